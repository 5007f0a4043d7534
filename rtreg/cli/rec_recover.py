"""``rtreg rec recover FILE OUT``: what is good of a torn or damaged file, as a good file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from rtreg.cli._parser import Verbs
from rtreg.cli._progress import progress
from rtreg.errors import ConfigError

_EPILOG = """\
Copies every record whose checksum agrees, in its order, and an index for them; then reads the new file again and
compares all of it. The old file is left as it is, unless --in-place is said: then the new one takes its name.

examples:
  rtreg rec recover torn.mcap good.mcap
  rtreg rec recover torn.mcap --in-place
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "recover",
        help="what is good of a torn or damaged file, as a good one",
        description="Save what is good of a recording.",
        epilog=_EPILOG,
    )
    parser.add_argument("recording", type=Path, metavar="FILE", help="the damaged file")
    parser.add_argument("out", type=Path, nargs="?", metavar="OUT", help="what to write; must not exist")
    parser.add_argument("--in-place", action="store_true", help="replace FILE by the good one")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Recover."""
    from rtreg.io.recordings.salvage import recover

    if (args.out is None) != args.in_place:
        raise ConfigError("say where to write: OUT, or --in-place, and not both")
    out = args.out or args.recording.with_name(f".{args.recording.name}.{os.getpid()}.part")
    try:
        with progress("bytes") as update:
            found = recover(args.recording, out, update)
        if args.in_place:
            os.replace(out, args.recording)
    finally:
        if args.in_place:
            out.unlink(missing_ok=True)
    print("\n".join([f"{args.out or args.recording}: {'nothing was lost' if found.whole else 'recovered'}"]))
    print("\n".join(f"  {line}" for line in found.lines()))
    return 0
