"""``rtreg warm CONFIG``: compile and plan now what the tracker would otherwise wait for at its start."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from rtreg.cli._parser import Verbs, whole
from rtreg.cli.service import add_config

_EPILOG = """\
Kernels are compiled for the frames' dtype, FFTs planned for their shape, and both kept on disk: run this once after an
installation or an update, ahead of the night, as the user the tracker will run as. Give --shape and --dtype for frames
that the config says nothing about. A second run tells how long the tracker will take.

exit code: 0 warm, 2 the config is wrong or says nothing about its frames

examples:
  rtreg warm simulated
  rtreg warm ./my_setup.toml --shape 512 640 --dtype uint16
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "warm",
        help="compile and plan ahead, so that the tracker starts at once",
        description="Compile every kernel and make every FFT plan that a tracker of this config will need.",
        epilog=_EPILOG,
    )
    add_config(parser)
    parser.add_argument("--shape", type=whole, nargs=2, metavar=("NY", "NX"), help="of the frames, px")
    parser.add_argument("--dtype", default="uint16", help="of the frames, with --shape (default: uint16)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Warm up as the tracker does, and say how long it took."""
    begun = time.monotonic()
    import numpy as np

    from rtreg import build
    from rtreg.errors import ConfigError
    from rtreg.io.config import load

    config = load(args.config, args.overrides)
    engine = build.engine(config)
    frames = build.expected(config)
    if args.shape is not None:
        try:
            frames = (args.shape[0], args.shape[1]), np.dtype(args.dtype)
        except TypeError:
            raise ConfigError(f"--dtype {args.dtype!r} is no dtype; write uint8, uint16, int16 or float32") from None
    if frames is None:
        raise ConfigError(f"{config.source} does not say what its frames are; give --shape NY NX and --dtype")
    (ny, nx), dtype = frames
    print(f"warming up for frames of {ny} x {nx} {dtype}; half a minute the first time", file=sys.stderr)
    engine.warm_up((ny, nx), dtype)
    print(f"warm for {ny} x {nx} {dtype} after {time.monotonic() - begun:.1f} s")
    return 0
