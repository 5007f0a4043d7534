"""``rtreg rec cut REC OUT``: a part of a recording as one of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rtreg.cli._parser import Verbs
from rtreg.cli._progress import counted, progress
from rtreg.cli.rec_export import add_span, span_of

_EPILOG = """\
Messages are copied as they are, and all attachments with them. A cut can be replayed with --verify from its first
checkpoint on; so it begins at the last checkpoint before --from, and says when that is, unless --exactly is said.

examples:
  rtreg rec cut night.mcap lost.mcap --from 10700 --to 10760
  rtreg rec cut two_cameras.mcap guide.mcap --stream guide
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "cut", help="a part of a recording", description="Cut a part out of a recording.", epilog=_EPILOG
    )
    parser.add_argument("recording", metavar="REC", help="recording, or folder with the files of one")
    parser.add_argument("out", type=Path, metavar="OUT", help="what to write; must not exist")
    add_span(parser)
    parser.add_argument("--exactly", action="store_true", help="begin at --from, even if that cannot be replayed")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Cut."""
    from rtreg.io.recordings import Recording
    from rtreg.io.recordings.cut import cut, replayable_from

    with Recording(args.recording) as recording:
        begin, _ = recording.span_ns
        start, stop = span_of(args, recording).values()
        if start is not None and not args.exactly:
            asked, start = start, max(begin, replayable_from(recording, args.stream, start))
            if start != asked:
                print(f"begins at {(start - begin) / 1e9:.3f} s, before a checkpoint", file=sys.stderr)
        with progress("messages") as update:
            items = recording.items(stream=args.stream, start_ns=start, stop_ns=stop)
            count = cut(recording, args.out, counted(items, update, sum(recording.counts.values())))
    print(f"{args.out}: {count} messages", file=sys.stderr)
    return 0
