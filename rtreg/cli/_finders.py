"""The ways a shift can be measured, as options of a command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rtreg.cli._parser import finite, not_negative, positive
from rtreg.errors import ConfigError

if TYPE_CHECKING:
    import numpy.typing as npt

    from rtreg.batch.finder import Finder
    from rtreg.FITS_tools.world import WorldScale
    from rtreg.noise import NoiseModel

    Image = npt.NDArray[Any]

METHODS = {
    "gn": "weighted Gauss-Newton, with the camera's noise",
    "chi2": "chi² with an error for each pixel",
    "cross": "peak of the cross-correlation",
    "dft": "peak of the cross-correlation, upsampled 100 times",
}
_NOISE = ("gain", "read_noise", "offset", "saturation", "dark", "flat", "mask")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how to measure."""
    parser.add_argument(
        "--method",
        choices=tuple(METHODS),
        default="gn",
        help="; ".join(f"{name}: {what}" for name, what in METHODS.items()) + " (default: gn)",
    )
    parser.add_argument("--err", metavar="FILE", help="1-sigma error of each pixel of the frames; for chi2 and cross")
    parser.add_argument("--max-shift", type=positive, metavar="PX", help="search only so far (default: everywhere)")
    noise = parser.add_argument_group("noise, for gn (default: learnt from the residual)")
    noise.add_argument("--gain", type=positive, metavar="E_PER_ADU", help="electrons per ADU")
    noise.add_argument("--read-noise", type=not_negative, metavar="E", help="read noise, electrons rms")
    noise.add_argument("--offset", type=finite, metavar="ADU", help="bias level, ADU")
    noise.add_argument("--saturation", type=finite, metavar="ADU", help="pixels from here up are ignored")
    noise.add_argument("--dark", metavar="FILE", help="dark image, ADU; subtracted")
    noise.add_argument("--flat", metavar="FILE", help="flat field, mean 1; divided out")
    noise.add_argument("--mask", metavar="FILE", help="pixels that are not 0 here are bad and ignored")


def finder(args: argparse.Namespace, reference: Image, load: Callable[[str], Image]) -> Finder:
    """How the command line asks for frames to be measured; `ConfigError` where its options contradict each other."""
    _check(args)
    from rtreg.batch.finder import Finder

    return Finder(
        reference=reference,
        method=args.method,
        noise=_noise(args, load) if args.method == "gn" else None,
        max_shift=args.max_shift,
        err=load(args.err) if args.err is not None else None,
    )


def _check(args: argparse.Namespace) -> None:
    """Refuse options that the method would not honour."""
    if args.method != "gn":
        for name in _NOISE:
            if getattr(args, name) is not None:
                raise ConfigError(f"--{name.replace('_', '-')} goes with --method gn; this is {args.method}")
    if args.err is not None and args.method not in ("chi2", "cross"):
        raise ConfigError(f"--err goes with --method chi2 or cross; this is {args.method}")
    if args.max_shift is not None and args.method == "chi2":
        raise ConfigError("--max-shift goes with --method gn, cross or dft; chi2 searches everywhere")


def _noise(args: argparse.Namespace, load: Callable[[str], Image]) -> NoiseModel | None:
    """The noise model that the options describe; None when none was given."""
    from rtreg.noise import NoiseModel

    given = {name: getattr(args, name) for name in _NOISE if getattr(args, name) is not None}
    for name in given.keys() & {"dark", "flat", "mask"}:
        given[name] = load(given[name])
    if "mask" in given:
        given["mask"] = given["mask"] != 0
    return NoiseModel(**given) if given else None


def world_scale(reference: str) -> WorldScale | None:
    """What turns pixels into world units; None where the file of the reference has no WCS."""
    from rtreg.io.images import is_fits

    if not is_fits(reference):
        return None
    from rtreg.FITS_tools.world import WorldScale

    scale = WorldScale.of(reference)
    return None if scale.trivial else scale
