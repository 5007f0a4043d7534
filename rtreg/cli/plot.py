"""``rtreg plot REC``: a recording in one picture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rtreg.cli._parser import Verbs
from rtreg.cli._progress import counted, progress
from rtreg.cli.rec_export import add_span, span_of
from rtreg.errors import ConfigError

_EPILOG = """\
Over time: the shift, its error bar, and the residual (measured minus true where a simulator said the truth, else chi²
per degree of freedom), with the tracker's states as bands behind. Below: the power spectrum of the shift, and the
latencies from reception, and from the camera, to the correction.

examples:
  rtreg plot night.mcap
  rtreg plot night.mcap lost_at_three.pdf --from 10700 --to 10900
"""
_ENDINGS = (".png", ".pdf", ".svg")


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "plot",
        help="a recording in one picture: shift, sigma, residual, states, spectrum, latency",
        description="Draw a recording's corrections in one picture.",
        epilog=_EPILOG,
    )
    parser.add_argument("recording", type=Path, metavar="REC", help="recording, or folder with the files of one")
    parser.add_argument(
        "out", type=Path, nargs="?", metavar="OUT", help="ends in .png, .pdf or .svg (default: REC.png)"
    )
    add_span(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw."""
    from rtreg.io.atomic import replacing
    from rtreg.io.corrections import columns_of
    from rtreg.io.recordings import Recording
    from rtreg.plot import draw

    out = args.out or args.recording.with_suffix(".png")
    if out.suffix.lower() not in _ENDINGS:
        raise ConfigError(f"{out} cannot be written: a plot ends in {', '.join(_ENDINGS)}")
    with Recording(args.recording) as recording, progress("corrections") as update:
        stream = recording.one_stream(args.stream, "c")
        total = recording.counts[f"c/{stream}/"]
        columns = columns_of(counted(recording.corrections(stream, **span_of(args, recording)), update, total))
    figure = draw(columns, f"{args.recording.name}, stream {stream}, {len(columns['seq'])} corrections")
    with replacing(out) as partial:
        figure.savefig(partial, dpi=120)
    print(out, file=sys.stderr)
    return 0
