"""The ways `rtreg register` can measure a shift, each as a function of a frame."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rtreg.errors import ConfigError

if TYPE_CHECKING:
    import numpy.typing as npt

    from rtreg.noise import NoiseModel
    from rtreg.records import Estimate

    Image = npt.NDArray[Any]

METHODS = {
    "gn": "weighted Gauss-Newton, with the camera's noise",
    "chi2": "chi² with an error for each pixel",
    "cross": "peak of the cross-correlation",
    "dft": "peak of the cross-correlation, upsampled 100 times",
}
_NOISE = ("gain", "read_noise", "offset", "saturation", "dark", "flat", "mask")


def finder(args: argparse.Namespace, load: Callable[[str], Image]) -> Callable[[Image], Estimate]:
    """What measures a frame as the command line asks for it; `ConfigError` where its options contradict each other."""
    _check(args)
    reference = load(args.reference)
    if args.method == "gn":
        from rtreg.estimators.registrar import Registrar

        return Registrar(reference, noise=_noise(args, load), max_shift=args.max_shift).measure
    function, options = _function(args)
    err = load(args.err) if args.err is not None else None

    def measure(frame: Image) -> Estimate:
        from rtreg.FITS_tools.methods import measure as measure_by
        from rtreg.records import Estimate, Shift, Verdict

        dx, dy, ex, ey = measure_by(function, reference, frame, err, options)
        return Estimate(
            shift=Shift(dx, dy),
            covariance=((ex**2, 0.0), (0.0, ey**2)),
            flags=Verdict.OK if math.isfinite(dx + dy) else Verdict.NAN,
        )

    return measure


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


def _function(args: argparse.Namespace) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A shift finder, and what to tell it."""
    if args.method == "chi2":
        from rtreg.chi2_shifts import chi2_shift

        return chi2_shift, {}
    if args.method == "cross":
        from rtreg.cross_correlation_shifts import cross_correlation_shifts

        return cross_correlation_shifts, {"maxoff": args.max_shift}
    from rtreg.register_images import register_images

    return register_images, {"maxoff": args.max_shift, "usfac": 100}


def _noise(args: argparse.Namespace, load: Callable[[str], Image]) -> NoiseModel | None:
    """The noise model that the options describe; None when none was given."""
    from rtreg.noise import NoiseModel

    given = {name: getattr(args, name) for name in _NOISE if getattr(args, name) is not None}
    for name in given.keys() & {"dark", "flat", "mask"}:
        given[name] = load(given[name])
    if "mask" in given:
        given["mask"] = given["mask"] != 0
    return NoiseModel(**given) if given else None
