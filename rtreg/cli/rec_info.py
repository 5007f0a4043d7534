"""``rtreg rec info REC``: what is in a recording."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rtreg.cli._json import dumps
from rtreg.cli._parser import Verbs
from rtreg.cli._progress import progress

_EPILOG = """\
Reads all of it. Gaps are frames that are missing by their numbers; skipped ones are in the recording, but the tracker
passed them over to stay fresh. A recording without checkpoints cannot be replayed with --verify.

examples:
  rtreg rec info night.mcap
  rtreg rec info night.mcap --json
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "info",
        help="streams, rates, gaps, states, latencies",
        description="Say what is in a recording.",
        epilog=_EPILOG,
    )
    parser.add_argument("recording", type=Path, metavar="REC", help="recording, or folder with the files of one")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Describe."""
    from rtreg.io.recordings import Recording
    from rtreg.io.recordings.describe import describe

    with Recording(args.recording) as recording, progress("messages") as update:
        found = describe(recording, update)
    print(dumps(found) if args.json else "\n".join(_words(found)))
    return 0


def _words(found: dict[str, Any]) -> list[str]:
    began = datetime.fromtimestamp(found["begin_ns"] / 1e9, UTC).isoformat(timespec="milliseconds")
    state = "closed" if found["closed"] else "never closed: `rtreg rec recover`"
    lines = [
        f"{len(found['files'])} file(s), {found['bytes'] / 2**20:.1f} MiB, {state}",
        f"{found['messages']} messages in {found['seconds']:.1f} s from {began}",
        f"attachments: {', '.join(found['attachments']) or 'none'}",
    ]
    lines += [f"{name}: {_pairs(values)}" for name, values in found["metadata"].items() if name != "numerics"]
    for name, stream in found["streams"].items():
        lines += [f"stream {name}", *_stream(stream)]
    return lines


def _stream(stream: dict[str, Any]) -> list[str]:
    latency = stream["latency_us"]
    return [
        f"  frames       {stream['frames']} at {stream['rate_hz']:.1f} Hz: {_pairs(stream['kinds'])}",
        f"  gaps         {stream['lost']} frames lost in {stream['gaps']} gaps, {stream['epochs']} camera starts, "
        f"longest silence {stream['longest_silence_s']:.3f} s",
        f"  tracker      looked at {stream['looked_at']}, skipped {stream['skipped']}, "
        f"{stream['checkpoints']} checkpoints, {stream['event_gaps']} gaps in its events",
        f"  corrections  {stream['corrections']}: {_pairs(stream['states'])}",
        f"  reasons      {_pairs(stream['reasons'])}",
        f"  orders       {_pairs(stream['orders'])}",
        *(
            f"  {stage:<12} p50 {q['p50']:.0f} us, p99 {q['p99']:.0f}, max {q['max']:.0f}"
            for stage, q in latency.items()
        ),
    ]


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items()) or "none"
