"""``rtreg rec export REC OUT``: a recording's frames or corrections as a file of another program."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtreg.cli._parser import Verbs, not_negative
from rtreg.cli._progress import counted, progress
from rtreg.errors import ConfigError

if TYPE_CHECKING:
    from rtreg.io.recordings import Recording

_EPILOG = """\
The ending of OUT decides. Frames: .fits (cube, with a table FRAMES), .ser, .tif (OME-TIFF), .h5. Corrections: .csv,
.parquet, .ecsv, a row each, in the words of the wire.

Pixels, order and times stay as they are, and with them the header of every frame, so that `rtreg rec import` gives the
frames back; but SER holds only uint8 and uint16, and times to 100 ns.

examples:
  rtreg rec export night.mcap night.ser
  rtreg rec export night.mcap first_minute.fits --to 60
  rtreg rec export two_cameras.mcap guide.parquet --stream guide
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "export",
        help="frames to FITS, SER, OME-TIFF, HDF5; corrections to CSV, Parquet, ECSV",
        description="Write a recording's frames, or its corrections, to a file of another program.",
        epilog=_EPILOG,
    )
    parser.add_argument("recording", metavar="REC", help="recording, or folder with the files of one")
    parser.add_argument("out", type=Path, metavar="OUT", help="what to write; its ending decides the format")
    add_span(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.set_defaults(run=run)


def add_span(parser: argparse.ArgumentParser) -> None:
    """The options that say which stream of a recording, and from when to when."""
    parser.add_argument("--stream", help="which stream (default: the only one)")
    parser.add_argument("--from", dest="start", type=not_negative, metavar="S", help="seconds after the beginning")
    parser.add_argument("--to", dest="stop", type=not_negative, metavar="S", help="seconds after the beginning")


def span_of(args: argparse.Namespace, recording: Recording) -> dict[str, int | None]:
    """From when to when, as the recording's readers take it."""
    begin, _ = recording.span_ns
    return {
        "start_ns": None if args.start is None else begin + round(args.start * 1e9),
        "stop_ns": None if args.stop is None else begin + round(args.stop * 1e9),
    }


def run(args: argparse.Namespace) -> int:
    """Export."""
    from rtreg.io.exchange import FRAME_SUFFIXES
    from rtreg.io.recordings import Recording
    from rtreg.io.tables import SUFFIXES

    if args.out.exists() and not args.overwrite:
        raise ConfigError(f"{args.out} exists; choose another name, or say --overwrite")
    if not args.out.name.lower().endswith((*FRAME_SUFFIXES, *SUFFIXES)):
        known = f"frames in {', '.join(FRAME_SUFFIXES)}, corrections in {', '.join(SUFFIXES)}"
        raise ConfigError(f"{args.out} cannot be written: {known}")
    with Recording(args.recording) as recording:
        limits = span_of(args, recording)
        table = args.out.name.lower().endswith(SUFFIXES)
        count, what = (_corrections if table else _frames)(recording, args, limits)
    print(f"{args.out}: {count} {what}", file=sys.stderr)
    return 0


def _frames(recording: Recording, args: argparse.Namespace, limits: dict[str, int | None]) -> tuple[int, str]:
    from rtreg.io.atomic import replacing
    from rtreg.io.exchange import frames_to_file

    stream = recording.one_stream(args.stream, "f")
    total = recording.counts[f"f/{stream}/"]
    done = 0
    with progress("frames") as update, replacing(args.out) as partial:
        for done in frames_to_file(recording.items("f", stream=stream, **limits), partial, total):
            update(done, total)
    return done, "frames"


def _corrections(recording: Recording, args: argparse.Namespace, limits: dict[str, int | None]) -> tuple[int, str]:
    from rtreg.io.corrections import UNITS, columns_of
    from rtreg.io.tables import check_table, write_table

    check_table(args.out)
    stream = recording.one_stream(args.stream, "c")
    total = recording.counts[f"c/{stream}/"]
    with progress("corrections") as update:
        corrections = recording.corrections(stream, **limits)
        columns = columns_of(counted(corrections, update, total))
    write_table(args.out, columns, units=UNITS, about={"recording": str(args.recording)})
    return len(columns["seq"]), "corrections"
