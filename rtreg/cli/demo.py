"""``rtreg demo``: watch a simulated camera being held still."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtreg.cli._json import dumps
from rtreg.cli._parser import Verbs, positive

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtreg.services.view import View

_EPILOG = """\
Starts `rtreg camera`, `rtreg track` and `rtreg actuate` as processes of their own on free loopback ports, first with
the loop open (5 s, at most 30 % of --seconds), then closed, and ends with a summary. Of the JSON object:

  frames .. rejected      the tracker's own accounts of the run
  corrections             published, one a frame; repetitions while no frame comes are not counted
  measure_rms_px          rms of what was measured against the truth, [x, y]; the truth is taken relative to the truth
                          of the frames that the reference is made of
  sigma_px                the error bar reported: median over the run, averaged over both axes
  open_loop_rms_px        rms of the true image motion about its mean, per axis, while the loop is open
  closed_loop_rms_px      the same while it is closed, the first second left out (a third of a short run)
  latency_us              transport (sent to received), queue (to start of work), process, publish, total

The first run compiles the kernels, which takes up to a minute; later ones start in seconds.

examples:
  rtreg demo
  rtreg demo --scene cells --size 256 --rate 200
  rtreg demo --json --no-view --seconds 20
  rtreg demo --record demo.mcap && rtreg replay --verify demo.mcap
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "demo",
        help="watch a simulated camera being held still",
        description="Hold a simulated camera still, and show it.",
        epilog=_EPILOG,
    )
    parser.add_argument("--scene", choices=("star", "stars", "granulation", "cells"), help="what is looked at")
    parser.add_argument("--size", type=_size, metavar="PX", help="frames of PX x PX pixels")
    parser.add_argument("--rate", type=positive, metavar="HZ", help="frames a second")
    parser.add_argument(
        "--seconds", type=positive, default=20.0, help="how long, counted while frames flow (default: %(default)g)"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="record all of it, for `rtreg replay --verify FILE`"
    )
    parser.add_argument("--no-view", action="store_true", help="no live view")
    parser.add_argument("--json", action="store_true", help="end with one JSON object instead of words")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo and print its summary."""
    from rich.console import Console

    from rtreg.services import demo
    from rtreg.services.monitor import display

    overrides = [f"{key}={value}" for key, value in _settings(args) if value is not None]
    if args.no_view:
        summary = demo.main(overrides, args.seconds, _notes(), args.record)
    else:
        with display(Console(stderr=args.json)) as show:
            summary = demo.main(overrides, args.seconds, show, args.record)
    print(dumps(summary) if args.json else _words(summary))
    return 0


def _settings(args: argparse.Namespace) -> list[tuple[str, Any]]:
    shape = None if args.size is None else [args.size, args.size]
    return [("scene.kind", args.scene), ("scene.shape", shape), ("camera.rate_hz", args.rate)]


def _size(text: str) -> int:
    if not text.isdecimal() or not 16 <= int(text) <= 2048:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 16 to 2048")
    return int(text)


def _notes() -> Callable[[View], None]:
    """Instead of the view: what is being waited for, once each, if someone reads stderr."""
    said = ""

    def show(view: View) -> None:
        nonlocal said
        if view.last is None and view.note != said and sys.stderr.isatty():
            print(view.note, file=sys.stderr)
            said = view.note

    return show


def _words(summary: dict[str, Any]) -> str:
    total, measured = summary["latency_us"]["total"], summary["measure_rms_px"]
    opened, closed = summary["open_loop_rms_px"], summary["closed_loop_rms_px"]
    quieter = opened / closed if closed else float("nan")
    return "\n".join(
        [
            f"frames     {summary['frames']} at {summary['rate_hz']:.1f} Hz: lost {summary['lost']}, "
            f"skipped {summary['skipped']}, rejected {summary['rejected']}",
            f"measured   to {measured[0]:.4f} px (x), {measured[1]:.4f} px (y) rms of the truth; "
            f"error bar {summary['sigma_px']:.4f}",
            f"motion     {opened:.4f} px rms with the loop open, {closed:.4f} closed: {quieter:.0f} times quieter",
            f"latency    {total['p50']:.0f} us median, {total['p99']:.0f} us at 99 %, camera to correction",
        ]
    )
