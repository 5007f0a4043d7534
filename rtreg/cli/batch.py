"""``rtreg batch INPUT... --out TABLE``: the shift of every frame of an archive, on all cores, resumable."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rtreg.cli._finders import add_options, finder, world_scale
from rtreg.cli._parser import Verbs, whole
from rtreg.cli._progress import progress

_EPILOG = """\
Inputs: FITS cubes, TIFF stacks, SER, HDF5 (FILE.h5, or FILE.h5:/name), .npy, grey PNG, recordings (.mcap), folders of
images. They make one long sequence, in the order given, and are read in chunks, never as a whole.

Output: one row a frame, with file, frame, t_ns (UTC ns, where the file tells it), dx, dy, sigma_x, sigma_y (px), the
covariance, chi2_dof, contrast, scale, offset, iterations, regime and flags (nothing: all is well); where REF is a FITS
file with a WCS also world_1, world_2 and their errors, in its units. A frame that cannot be measured is a row of NaN
with the reason.

Killed? Run the same command again: finished chunks are kept in TABLE.chunks until the table is written, and belong to
these inputs and options alone. Each chunk begins with a search and, without --gain, learns the noise anew.

--align writes the frames with their shifts undone, float32, NaN where a frame has no data for the reference's pixel,
and a mask of that: STACK.mask.tif beside a TIFF, the array "mask" beside "frames" in a Zarr. Flagged frames are empty.

A Dask cluster (--scheduler) is yours and trusted: whoever reaches its scheduler can run programs on its workers. See
docs/batch.md for how to close it with TLS.

exit code: 0 all frames measured, 1 some are flagged (see the column flags), 2 bad argument or file

examples:
  rtreg batch night/*.fits --reference ref.fits --out shifts.parquet
  rtreg batch sun.ser --out shifts.csv --align steady.tif
  rtreg batch scan.h5:/entry/data --reference ref.npy --gain 1.5 --read-noise 3 --out shifts.ecsv --jobs 8
  rtreg batch big.tif --reference ref.tif --out shifts.parquet --scheduler tls://cluster:8786 --align steady.zarr
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "batch",
        help="the shifts of whole archives, on all cores or a cluster",
        description="Measure every frame of an archive against a reference, in chunks on all cores, into one table.",
        epilog=_EPILOG,
    )
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="stacks, videos, recordings, images or folders")
    parser.add_argument("--reference", metavar="REF", help="image file (default: the first frame of the first INPUT)")
    parser.add_argument("--out", metavar="TABLE", required=True, help="ends in .parquet, .csv or .ecsv")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    work = parser.add_argument_group("work")
    work.add_argument("--jobs", type=whole, metavar="N", help="processes (default: one for each usable core)")
    work.add_argument("--chunk", type=whole, metavar="FRAMES", help="frames measured in one go (default: 256)")
    work.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster to run on: tcp://HOST:PORT, tls://...")
    aligned = parser.add_argument_group("aligned stack")
    aligned.add_argument("--align", metavar="STACK", help="also write the aligned frames; ends in .tif or .zarr")
    aligned.add_argument(
        "--interpolation",
        choices=("spline", "fourier"),
        default="spline",
        help="spline: local, quick; fourier: keeps all detail of a well sampled frame (default: spline)",
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, write the table, and say by the exit code whether all is well."""
    from rtreg.batch import CHUNK, Summary, batch
    from rtreg.io.archive import Archive
    from rtreg.io.images import load_image, open_stack
    from rtreg.io.tables import check_table

    if args.reference is None:
        with open_stack(args.inputs[0]) as stack:
            reference = stack[0].copy()
    else:
        reference = load_image(args.reference)
    how = finder(args, reference, load_image)
    check_table(args.out)
    with progress("files") as update:
        archive = Archive.of(args.inputs, reference.shape, update)
    with progress("frames") as update:
        summary: Summary = batch(
            archive,
            args.out,
            finder=how,
            chunk=args.chunk or CHUNK,
            jobs=args.jobs,
            scheduler=args.scheduler,
            aligned=args.align,
            interpolation=args.interpolation,
            world=world_scale(args.reference or args.inputs[0]),
            overwrite=args.overwrite,
            progress=update,
        )
    earlier = f", {summary.resumed} of them by an earlier run" if summary.resumed else ""
    print(f"{args.out}: {summary.frames} frames{earlier}, {summary.flagged} flagged", file=sys.stderr)
    return int(summary.flagged > 0)
