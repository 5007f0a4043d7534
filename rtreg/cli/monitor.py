"""``rtreg monitor [CONFIG]``: a live view of a running tracker."""

from __future__ import annotations

import argparse
from typing import Any

from rtreg.cli._parser import Verbs
from rtreg.cli.service import add_config

_EPILOG = """\
CONFIG is the tracker's: its stream and its endpoints are what is watched. Shows rate, shift and sigma of both axes as
numbers and sparklines, state and reasons, latency by stage, losses and the reference. A plain line a second when the
output is no terminal. Ctrl-C ends it; the tracker goes on.

examples:
  rtreg monitor
  rtreg monitor microscope_drift
  rtreg monitor simulated --set stream=cam2 | tee night.log
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "monitor",
        help="a live view of a running tracker",
        description="Show what a tracker is doing.",
        epilog=_EPILOG,
    )
    add_config(parser, default="simulated")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Watch until interrupted."""
    from rtreg.io.config import load
    from rtreg.services import monitor

    return monitor.main(load(args.config, args.overrides))
