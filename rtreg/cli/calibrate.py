"""``rtreg calibrate CONFIG``: measure the 2x2 between image and actuator."""

from __future__ import annotations

import argparse
from typing import Any

from rtreg.cli._json import dumps
from rtreg.cli._parser import Verbs, not_negative, positive, whole
from rtreg.cli.service import add_config
from rtreg.errors import ConfigError

_EPILOG = """\
`rtreg camera CONFIG` and `rtreg track CONFIG` must be running; `rtreg actuate` may be. The loop is opened and stays
open. The device is moved by plus and minus STEP along each axis, some times over; the answer is checked by one
correction with it, and the device goes back to where it was. Nothing is written: the lines for the config are printed.

Refused: an axis that does not move the image, axes that move it along one line, moves that are not repeatable, and an
answer whose correction does not bring the image back.

exit code: 0 measured, 2 refused, or nobody answered (one line on stderr says why)

examples:
  rtreg calibrate microscope_drift
  rtreg calibrate ./my_setup.toml --step 0.5 --cycles 6 --settle 0.5
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "calibrate",
        help="measure the matrix from image to actuator",
        description="Move the actuator along its axes, see what the image does, and print [controller] matrix.",
        epilog=_EPILOG,
    )
    add_config(parser)
    parser.add_argument(
        "--step",
        type=positive,
        metavar="U",
        help="how far to move, in the actuator's unit (default: what the configured matrix says moves the image 2 px)",
    )
    parser.add_argument("--cycles", type=whole, default=3, help="how often to do it all (default: %(default)s)")
    parser.add_argument("--frames", type=whole, default=10, help="frames at each place (default: %(default)s)")
    parser.add_argument(
        "--settle", type=not_negative, default=0.2, metavar="S", help="wait after a move, s (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print everything for a program")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print."""
    from rtreg import build
    from rtreg.cli._progress import progress
    from rtreg.io.config import load
    from rtreg.services.calibrate import Plan, calibrate, default_step

    if args.cycles < 2:
        raise ConfigError(f"--cycles {args.cycles}: at least 2, or nothing is known of how repeatable the moves are")
    if args.frames < 3:
        raise ConfigError(f"--frames {args.frames}: at least 3, for an error bar")
    config = load(args.config, args.overrides)
    step = args.step or default_step(build.controller(config))
    with progress("places") as update:
        found = calibrate(config, Plan(step, args.cycles, args.frames, args.settle), update)
    print(dumps(found) if args.json else _text(found))
    return 0


def _text(found: dict[str, Any]) -> str:
    unit, plan = found["unit"], found["plan"]
    fault = found["configured_fault"]
    lines = [
        "[controller]",
        f"matrix = {_rows(found['matrix'], '.6g')}   # {unit} for 1 px of the image",
        f"#      ± {_rows(found['matrix_sigma'], '.2g')}",
        f"# response {_rows(found['response'], '.6g')} px for 1 {unit}, repeated to {found['repeatability']:.2%}",
        f"# {plan['cycles']} cycles of {plan['frames']} frames, step {plan['step']:.4g} {unit}",
        f"# a loop with the matrix of this config {'would run away: ' + fault if fault else 'holds'}",
        "# the loop is open now; `rtreg ctl close` closes it",
    ]
    return "\n".join(lines)


def _rows(rows: list[list[float]], form: str) -> str:
    return "[" + ", ".join("[" + ", ".join(format(value, form) for value in row) + "]" for row in rows) + "]"
