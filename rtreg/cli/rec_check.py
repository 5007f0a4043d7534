"""``rtreg rec check FILE``: is every record as it was written?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rtreg.cli._parser import Verbs
from rtreg.cli._progress import progress

_EPILOG = """\
Reads every byte, whatever state the file is in, and compares every checksum. What is damaged is told with its place and
with the frames that are missing for it.

exit code: 0 all whole, 1 something is not

examples:
  rtreg rec check night.mcap
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "check", help="is every record as it was written", description="Check a recording.", epilog=_EPILOG
    )
    parser.add_argument("recording", type=Path, metavar="REC", help="recording, or folder with the files of one")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check each file."""
    from rtreg.io.recordings.reader import files_of
    from rtreg.io.recordings.salvage import check

    worst = 0
    for path in files_of(args.recording):
        with progress("bytes") as update:
            found = check(path, update)
        print("\n".join([f"{path}: {found.size} bytes", *(f"  {line}" for line in found.lines())]))
        worst = max(worst, 0 if found.whole else 1)
    return worst
