"""``rtreg rec import FILE REC``: images of another program as a recording."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rtreg.cli._parser import Verbs, positive
from rtreg.cli._progress import progress
from rtreg.errors import ConfigError

_EPILOG = """\
FILE is what `rtreg register` takes: a FITS cube, TIFF, SER, HDF5, .npy, or a folder of images. Times and headers are
taken from it where it has them; otherwise --rate says how fast the frames came.

examples:
  rtreg rec import jupiter.ser jupiter.mcap
  rtreg rec import frames.npy frames.mcap --rate 200 --stream guide
  rtreg rec import cube.fits cube.mcap --rate 25 --start 2026-03-01T21:30:00
"""


def utc(text: str) -> int:
    """A time like 2026-03-01T21:30:00.5, in UTC unless it has an offset, as ns since 1970."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 2026-03-01T21:30:00") from None
    since = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "import",
        help="images from FITS, SER, TIFF, HDF5, ... as a recording",
        description="Make a recording of the images in a file.",
        epilog=_EPILOG,
    )
    parser.add_argument("file", metavar="FILE", help="images: a stack, a video, or a folder")
    parser.add_argument("recording", type=Path, metavar="REC", help="recording to write (.mcap); must not exist")
    parser.add_argument("--stream", help="name of the stream (default: what FILE says, or cam)")
    parser.add_argument("--rate", type=positive, metavar="HZ", help="of frames whose times FILE does not say")
    parser.add_argument("--start", type=utc, metavar="UTC", help="time of the first of those (default: now)")
    parser.add_argument("--compression", choices=("none", "lz4", "zstd"), default="none", help="(default: none)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Import."""
    from rtreg.io import wire
    from rtreg.io.atomic import replacing
    from rtreg.io.exchange import messages_of_stack
    from rtreg.io.facts import versions
    from rtreg.io.images import open_stack
    from rtreg.io.recordings import RecordingWriter

    if args.recording.exists():
        raise ConfigError(f"{args.recording} exists already; recordings are not overwritten: choose another")
    if args.recording.suffix.lower() != ".mcap":
        raise ConfigError(f"{args.recording}: a recording ends in .mcap")
    stream = None if args.stream is None else wire.stream_name(args.stream)
    now = time.time_ns()
    start = now if args.start is None else args.start
    facts = {"versions": {key: str(value) for key, value in versions(["numpy"]).items()}, "import": {"file": args.file}}
    with open_stack(args.file) as stack, progress("frames") as update, replacing(args.recording) as partial:
        messages = messages_of_stack(stack, stream=stream, epoch=now, rate_hz=args.rate, start_ns=start)
        with RecordingWriter(partial, compression=args.compression, metadata=facts) as writer:
            log_ns = 0
            for done, (t_ns, parts) in enumerate(messages, 1):
                log_ns = max(log_ns, t_ns)  # the order of the file is the order in which they came
                writer.add(parts, log_ns)
                update(done, len(stack))
        count = len(stack)
    print(f"{args.recording}: {count} frames", file=sys.stderr)
    return 0
