"""``rtreg register REF FRAME...``: the shift of every frame of some files against a reference."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rtreg.cli._finders import add_options, finder, world_scale
from rtreg.cli._json import dumps
from rtreg.cli._parser import Verbs
from rtreg.errors import FrameError

if TYPE_CHECKING:
    from rtreg.FITS_tools.world import WorldScale
    from rtreg.records import Estimate

_EPILOG = """\
dx, dy: where the frame's content lies relative to the reference, in pixels; positive is larger x (column), larger y
(row). To align a frame, shift it by (-dx, -dy). sigma: 1-sigma errors, true only as far as the noise is known: give
--gain and --read-noise, or let the residual decide. chi2: misfit per degree of freedom, 1 is right.

World offsets, where REF is a FITS file with a WCS: the same offsets and errors through its whole pixel scale matrix, in
its world units, in the order of its axes; on the sky degrees on the tangent plane, positive east (right ascension
grows) and north. They are offsets of content between pixels of one grid; images on different grids are matched by
rtreg.FITS_tools.register_fits.

Files: FITS, TIFF, .npy, grey PNG, or a folder of them. A stack gives one row a frame; REF is one image.

exit code: 0 all frames measured, 1 some are flagged (see the column flags), 2 bad argument or file

examples:
  rtreg register ref.fits night/*.fits
  rtreg register first.npy stack.tif --gain 1.5 --read-noise 3 --max-shift 20
  rtreg register ref.fits cube.fits --mask bad_pixels.fits --json > shifts.json
  rtreg register a.fits b.fits --method chi2 --err err.fits
"""


class World(NamedTuple):
    """A shift in world units, in the order of the world axes, with 1-sigma errors."""

    offset: tuple[float, float]
    sigma: tuple[float, float]
    unit: tuple[str, str]

    @classmethod
    def of(cls, estimate: Estimate, scale: WorldScale) -> World:
        """An estimate's shift in world units."""
        return cls(scale.offset(*estimate.shift), scale.errors(estimate.covariance), scale.units)


class Row(NamedTuple):
    """One line of the answer: which frame of which file, and what came out."""

    file: str
    frame: int
    estimate: Estimate
    world: World | None


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "register",
        help="the shift of every frame of some files",
        description="Measure the shift of every frame against a reference, with error bars.",
        epilog=_EPILOG,
    )
    parser.add_argument("reference", metavar="REF", help="image file of the reference")
    parser.add_argument("frames", metavar="FRAME", nargs="+", help="image files; a stack gives one row a frame")
    parser.add_argument("--json", action="store_true", help="print a JSON array; NaN is written as null")
    add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print, and say by the exit code whether all is well."""
    rows = list(_progress(_measure(args)))
    if args.json:
        print(dumps([_as_json(row) for row in rows]))
    elif sys.stdout.isatty():
        _print_table(rows)
    else:
        _print_plain(rows)
    return int(any(not row.estimate.ok for row in rows))


def _measure(args: argparse.Namespace) -> Iterator[Row]:
    from rtreg.io.images import load_image, open_stack

    measure = finder(args, load_image(args.reference), load_image).start()
    scale = world_scale(args.reference)
    for path in args.frames:
        with open_stack(path) as stack:
            for index, frame in enumerate(stack):
                try:
                    estimate = measure(frame)
                except FrameError as error:
                    raise FrameError(f"{path}: image {index}: {error}") from None
                yield Row(path, index, estimate, None if scale is None else World.of(estimate, scale))


def _progress(rows: Iterator[Row]) -> Iterator[Row]:
    """Count on stderr, if someone is there to see it."""
    if not sys.stderr.isatty():
        yield from rows
        return
    for count, row in enumerate(rows, 1):
        if count % 20 == 0:
            print(f"\r{count} frames, {Path(row.file).name}[{row.frame}]", end="\x1b[K", file=sys.stderr, flush=True)
        yield row
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _as_json(row: Row) -> dict[str, Any]:
    estimate = row.estimate
    (xx, xy), (_, yy) = estimate.covariance
    return {
        "file": row.file,
        "frame": row.frame,
        "dx": estimate.dx,
        "dy": estimate.dy,
        "sigma_x": estimate.sigma.dx,
        "sigma_y": estimate.sigma.dy,
        "cov": [xx, xy, yy],
        "chi2_dof": estimate.chi2_dof,
        "contrast": estimate.contrast,
        "scale": estimate.scale,
        "offset": estimate.offset,
        "flags": estimate.flags.reasons,
        "world": row.world and row.world._asdict(),
    }


def _columns(rows: list[Row]) -> list[str]:
    """Names of the columns; those of the world only if there is one."""
    unit = next((row.world.unit for row in rows if row.world), None)
    world = [f"world {axis} {unit[axis - 1]}".rstrip() for axis in (1, 2)] + ["sigma_1", "sigma_2"] if unit else []
    return ["file", "frame", "dx px", "dy px", "sigma_x", "sigma_y", *world, "chi2/dof", "flags"]


def _cells(row: Row) -> list[str]:
    e = row.estimate
    pixels = [f"{e.dx:+.4f}", f"{e.dy:+.4f}", f"{e.sigma.dx:.4f}", f"{e.sigma.dy:.4f}"]
    world = [*(f"{o:+.4e}" for o in row.world.offset), *(f"{s:.1e}" for s in row.world.sigma)] if row.world else []
    return [row.file, str(row.frame), *pixels, *world, f"{e.chi2_dof:.3f}", " ".join(e.flags.reasons) or "-"]


def _print_table(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in _columns(rows):
        table.add_column(name, justify="left" if name in ("file", "flags") else "right", no_wrap=name != "file")
    for row in rows:
        table.add_row(*_cells(row), style=None if row.estimate.ok else "yellow")
    Console().print(table)


def _print_plain(rows: list[Row]) -> None:
    """Tab-separated, one header line: what `cut` and a spreadsheet want."""
    print("\t".join(_columns(rows)))
    for row in rows:
        print("\t".join(_cells(row)))
