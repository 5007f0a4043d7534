"""A reference as it came, made ready: calibrated, its bad pixels found and filled."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError, FrameError
from rtreg.estimators.exposure import Exposure
from rtreg.estimators.fill import fill
from rtreg.estimators.pieces import Pieces
from rtreg.kernels import prepare
from rtreg.kernels.prepare import Calibration

Image = npt.NDArray[Any]


class Side(NamedTuple):
    """The reference's side of a comparison.

    Attributes
    ----------
    image : (ny, nx) float32
        Calibrated, bad pixels filled.
    good : (ny, nx) bool
        Which pixels are its own.
    doubt : (ny, nx) float32
        Variance of what the others were filled with.
    frames : float
        How many were averaged; `inf` for a noise-free one.
    """

    image: Image
    good: Image
    doubt: Image
    frames: float


def side_of(pixels: Image, calibration: Calibration, frames: float, mask: Image | None) -> Pieces[Side]:
    """What raw pixels (ny, nx) are as a reference, in pieces.

    Raises `FrameError` when none is good or all are alike, `ConfigError` when the mask is not of their shape.
    """
    shape = (pixels.shape[0], pixels.shape[1])
    if mask is not None and np.shape(mask) != shape:
        raise ConfigError(f"mask is {np.shape(mask)} but the reference is {shape}")
    exposure = Exposure(shape)
    exposure.take(pixels, calibration)
    yield
    exposure.look()
    yield
    work = exposure.work
    good = np.ones(shape, bool)
    good.reshape(-1)[exposure.bad[: exposure.n_bad]] = False
    if mask is not None:
        good &= ~np.asarray(mask, bool)
    if not good.any():
        raise FrameError("the reference has no good pixel: every one is masked, NaN or saturated")
    yield
    bad = np.flatnonzero(~good).astype(np.int32)
    level = work.item(int(np.argmax(good)))  # any good pixel's
    work.reshape(-1)[bad] = level
    if float(np.ptp(work)) == 0.0:
        raise FrameError(f"the reference is constant ({level:g}): there is nothing to follow in it")
    doubt = np.zeros(shape, np.float32)
    if bad.size:
        yield
        work.reshape(-1)[bad] = 0.0
        prepare.patch(work, bad, bad.size, np.zeros(shape, bool))
        yield
        doubt = yield from fill(work, good)
    yield
    return Side(work, good, doubt, float(frames))
