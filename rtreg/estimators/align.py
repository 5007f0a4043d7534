"""Undo a shift: the frame as it would look had it not moved."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError, FrameError
from rtreg.estimators.pixels import as_pixels
from rtreg.fft_tools.shift import shift2d
from rtreg.kernels import bspline, prepare

Interpolation = Literal["spline", "fourier"]


def align(
    frame: npt.ArrayLike,
    shift: tuple[float, float],
    *,
    fill: float = math.nan,
    interpolation: Interpolation = "spline",
) -> npt.NDArray[np.float32]:
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
    interpolation : {"spline", "fourier"}
        Cubic B-spline (Unser 1999, doi 10.1109/79.799930), which is local and quick; or the Fourier shift theorem on
        the mirrored frame, which keeps all that a well sampled frame holds, and rings where one is not well sampled.

    Returns
    -------
    (ny, nx) float32 array
        Flux is kept away from the border.

    Raises
    ------
    FrameError
        When the frame is not a 2-D image, or the shift is not finite.
    ConfigError
        Another interpolation.
    """
    if interpolation not in get_args(Interpolation):
        raise ConfigError(f"interpolation = {interpolation!r}: one of {', '.join(get_args(Interpolation))}")
    pixels = as_pixels(frame, "frame")
    dx, dy = float(shift[0]), float(shift[1])
    if not (math.isfinite(dx) and math.isfinite(dy)):
        raise FrameError(f"shift = ({dx}, {dy}) px is not finite: there is no way to undo it")
    work, n_bad, bad = _filled(pixels)
    out = (_by_spline if interpolation == "spline" else _by_fourier)(work, dy, dx, fill)
    if n_bad:
        y, x = np.divmod(bad[:n_bad], pixels.shape[1])
        y, x = np.rint(y - dy).astype(int), np.rint(x - dx).astype(int)
        inside = (y >= 0) & (y < pixels.shape[0]) & (x >= 0) & (x < pixels.shape[1])
        out[y[inside], x[inside]] = fill
    return out


def _by_spline(work: npt.NDArray[np.float32], dy: float, dx: float, fill: float) -> npt.NDArray[np.float32]:
    coefficients = np.empty(work.shape, np.float32)
    bspline.prefilter(work, True, coefficients)
    out = np.empty(work.shape, np.float32)
    bspline.sample(coefficients, dy, dx, np.float32(fill), out)
    return out


def _by_fourier(work: npt.NDArray[np.float32], dy: float, dx: float, fill: float) -> npt.NDArray[np.float32]:
    ny, nx = work.shape
    mirrored = np.pad(work, ((0, ny), (0, nx)), "symmetric")  # without a step from one side to the other
    out = np.asarray(shift2d(mirrored, -dx, -dy)[:ny, :nx], np.float32)
    y, x = np.arange(ny) + dy, np.arange(nx) + dx
    out[(y < 0) | (y > ny - 1), :] = fill
    out[:, (x < 0) | (x > nx - 1)] = fill
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
