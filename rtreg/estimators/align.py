"""Undo a shift: the frame as it would look had it not moved."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.errors import FrameError
from rtreg.estimators.registrar import as_pixels
from rtreg.kernels import bspline, prepare


def align(frame: npt.ArrayLike, shift: tuple[float, float], *, fill: float = math.nan) -> npt.NDArray[np.float32]:
    """Move a frame's content back by `shift`, onto the reference: ``out(y, x) = frame(y + dy, x + dx)``.

    Parameters
    ----------
    frame : (ny, nx) array, uint8 ... float64
        Never written to. NaN pixels are filled from their neighbours before interpolating, and are `fill` in the
        output where they had the largest weight.
    shift : Shift or (dx, dy)
        As measured, px, x first.
    fill : float
        What stands where the frame has no data; NaN by default, which rtreg takes for "masked".

    Returns
    -------
    (ny, nx) float32 array
        Cubic B-spline interpolation (Unser 1999, doi 10.1109/79.799930); flux is kept away from the border.

    Raises
    ------
    FrameError
        When the frame is not a 2-D image, or the shift is not finite.
    """
    pixels = as_pixels(frame, "frame")
    dx, dy = float(shift[0]), float(shift[1])
    if not (math.isfinite(dx) and math.isfinite(dy)):
        raise FrameError(f"shift = ({dx}, {dy}) px is not finite: there is no way to undo it")
    work, n_bad, bad = _filled(pixels)
    coefficients = np.empty(pixels.shape, np.float32)
    bspline.prefilter(work, True, coefficients)
    out = np.empty(pixels.shape, np.float32)
    bspline.sample(coefficients, dy, dx, np.float32(fill), out)
    if n_bad:
        y, x = np.divmod(bad[:n_bad], pixels.shape[1])
        y, x = np.rint(y - dy).astype(int), np.rint(x - dx).astype(int)
        inside = (y >= 0) & (y < pixels.shape[0]) & (x >= 0) & (x < pixels.shape[1])
        out[y[inside], x[inside]] = fill
    return out


def _filled(pixels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], int, npt.NDArray[np.int32]]:
    """The frame in float32 with NaN and inf filled in, and where they were."""
    none = np.empty((0, 0), np.float32)
    work, bad = np.empty(pixels.shape, np.float32), np.empty(pixels.size, np.int32)
    n_bad, _, _ = prepare.prepare(
        pixels, np.float32(0.0), none, none, np.empty((0, 0), bool), np.float32(math.inf), work, bad
    )
    if n_bad:
        prepare.patch(work, bad, n_bad, np.zeros(pixels.shape, bool))
    return work, n_bad, bad
