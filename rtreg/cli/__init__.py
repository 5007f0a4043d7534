"""The `rtreg` command: one file a verb.

A verb module has ``add(verbs)``, which describes it to argparse, and ``run(args) -> int``. Whatever costs time to
import is imported inside ``run``, so that ``rtreg --help`` is instant.

Exit codes: 0 done, 1 done but with flagged frames (``register``) or a failed demo check, 2 a bad argument, config,
file or device (one line on stderr says which), 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rtreg.cli import (
    batch,
    calibrate,
    chaos,
    check,
    ctl,
    demo,
    doctor,
    info,
    keys,
    monitor,
    plot,
    rec,
    record,
    register,
    replay,
    service,
    warm,
)
from rtreg.cli._parser import Parser
from rtreg.errors import RtregError
from rtreg.version import __version__

__all__ = ["main"]

_VERBS = (
    demo,
    service,
    monitor,
    ctl,
    calibrate,
    record,
    replay,
    rec,
    plot,
    register,
    batch,
    keys,
    chaos,
    check,
    doctor,
    warm,
    info,
)

_EPILOG = """\
examples:
  rtreg demo                          watch a simulated camera being held still
  rtreg camera simulated              one process each: publish frames,
  rtreg track simulated                 measure them and publish corrections,
  rtreg actuate simulated               move something by the corrections,
  rtreg monitor                         look at all of it
  rtreg register ref.fits cube.fits   the shift of every frame of a file
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one `rtreg` command line (default: this process's) and return its exit code."""
    verb = "rtreg"
    try:
        args = _parser().parse_args(argv)
        verb = f"rtreg {args.verb}"
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except RtregError as error:
        print(f"{verb}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `rtreg register ... | head`: the reader has enough, which is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"{verb}: {_os_error(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _os_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _parser() -> Parser:
    parser = Parser(
        prog="rtreg",
        description="Real-time image registration: frames off a live ZeroMQ feed in, sub-pixel corrections out.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"rtreg {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    for verb in _VERBS:
        verb.add(verbs)
    return parser
