"""``rtreg replay REC``: a recording back on the wire, or through the engine again, compared with what was."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtreg.cli._json import dumps
from rtreg.cli._parser import Verbs, not_negative, positive
from rtreg.cli._progress import progress
from rtreg.errors import ConfigError

if TYPE_CHECKING:
    from rtreg.replay import Comparison

_EPILOG = """\
On the wire: frames, corrections, orders and status are published as if they happened now, to the default endpoints or
those that --set gives. `--frames-only` leaves out what a tracker said, so that another one can measure the frames.

In lock-step (--verify, --config, or --set of anything but endpoints): no sockets; the recorded frames and orders go
through the engine again, with the recorded choice of used and skipped frames. Every correction is compared: bit for bit
on the machine and with the versions of the recording, elsewhere within a tolerance (the output says which and why).
What is not compared: lat and valid_until, which are about the clock. With another configuration the frames are still
those that the recorded loop produced: what is answered is what it would have measured and commanded, not what the
mirror's other moves would have done to the image.

exit code of lock-step: 0 all the same, 1 something differs, 2 nothing could be repeated

examples:
  rtreg replay night.mcap                            and in another terminal: rtreg monitor
  rtreg replay night.mcap --frames-only --loop       and: rtreg track guide_star
  rtreg replay night.mcap --verify
  rtreg replay night.mcap --set controller.gain=0.2 --plot gain.png
  rtreg replay night.mcap --config other.toml --json
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "replay",
        help="a recording back on the wire; --verify: through the engine again, bit for bit",
        description="Replay a recording: on the wire, or in lock-step through the engine.",
        epilog=_EPILOG,
    )
    parser.add_argument("recording", type=Path, metavar="REC", help="recording, or folder with the files of one")
    parser.add_argument("--stream", help="which stream (default: the only one)")
    parser.add_argument(
        "--set", metavar="TABLE.KEY=VALUE", dest="overrides", action="append", default=[], help="override one key"
    )
    wire = parser.add_argument_group("on the wire")
    pace = wire.add_mutually_exclusive_group()
    pace.add_argument("--speed", type=positive, default=1.0, help="times the original pace (default: %(default)g)")
    pace.add_argument("--as-fast", action="store_true", help="as fast as the slowest consumer takes it")
    wire.add_argument("--loop", action="store_true", help="again and again")
    wire.add_argument("--from", dest="start", type=not_negative, metavar="S", help="seconds after the beginning")
    wire.add_argument("--to", dest="stop", type=not_negative, metavar="S", help="seconds after the beginning")
    wire.add_argument("--frames-only", action="store_true", help="frames alone, for a tracker to measure")
    wire.add_argument("--wait", type=not_negative, default=1.0, metavar="S", help="time for consumers to connect")
    lock = parser.add_argument_group("in lock-step")
    lock.add_argument("--verify", action="store_true", help="repeat the run, compare every correction")
    lock.add_argument("--config", metavar="CONFIG", help="with another configuration: what would have happened")
    lock.add_argument("--plot", type=Path, metavar="FILE", help="draw both (.png, .pdf, .svg)")
    lock.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Play, or repeat and compare."""
    others = [text for text in args.overrides if not text.strip().startswith("endpoints.")]
    if args.verify or args.config or others or args.plot or args.json:
        return _lock_step(args)
    from rtreg.io.config import parse
    from rtreg.services import replayer

    playing = replayer.Playing(
        speed=0.0 if args.as_fast else args.speed,
        loop=args.loop,
        start_s=args.start,
        stop_s=args.stop,
        frames_only=args.frames_only,
        wait_s=args.wait,
    )
    return replayer.main(parse(b"", "--set", args.overrides), args.recording, args.stream, playing)


def _lock_step(args: argparse.Namespace) -> int:
    from rtreg.io.config import load
    from rtreg.io.recordings import Recording
    from rtreg.replay import SideBySide, verify

    config = load(args.config, args.overrides) if args.config else None
    overrides = () if config else tuple(args.overrides)
    if args.start is not None or args.stop is not None:
        raise ConfigError("--from and --to are for the wire: in lock-step a run is repeated from its beginning")
    both = SideBySide()
    with Recording(args.recording) as recording, progress("corrections") as update:
        total = recording.counts.get(f"c/{recording.one_stream(args.stream, 'o')}/", 0)
        done = 0

        def watch(step: Any) -> None:
            nonlocal done
            done += 1
            both.add(step)
            update(done, total)

        found = verify(recording, stream=args.stream, config=config, overrides=overrides, watch=watch)
    if args.plot:
        both.draw(args.plot, args.recording.name)
        print(args.plot, file=sys.stderr)
    what_if = config is not None or bool(overrides)
    if args.json:
        print(dumps({**found.plain(), "side_by_side": both.table()}))
    else:
        print("\n".join([*_words(found, what_if), *(both.lines() if what_if else [])]))
    return 0 if found.same else 1


def _words(found: Comparison, what_if: bool) -> list[str]:
    asked = "bit for bit" if found.exact else f"within {found.tolerance()}, since {found.why_not}"
    verdict = "identical" if found.identical == found.compared else "the same" if found.same else "not the same"
    lines = [
        f"{verdict}: {found.identical} of {found.compared} corrections, {found.frames} of frames, equal in every bit",
        f"compared {asked}; not compared: lat, valid_until",
    ]
    if found.close:
        lines.append(f"close: {found.close}, at most {found.largest_px:.2g} px apart")
    if found.different:
        stages = ", ".join(f"{stage} {count}" for stage, count in found.stages.most_common())
        lines.append(f"different: {found.different}, first in: {stages}")
        shown = found.differences[: 3 if what_if else 20]
        lines += [f"  {difference}" for difference in shown]
        if found.different > len(shown):
            lines.append(f"  and {found.different - len(shown)} more")
    if found.missing:
        lines.append(f"missing: {found.missing} corrections are only in one of the two")
    if found.checkpoints:
        lines.append(f"checkpoints on the way: {found.checkpoints}, of which {found.unequal_checkpoints} differ")
    lines += [f"not repeated: {count} events {why}" for why, count in found.unrepeated.items()]
    return lines
