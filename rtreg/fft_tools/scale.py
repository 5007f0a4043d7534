"""Fourier interpolation: the values of a periodic, band-limited array anywhere between its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.fft_tools._arrays import filled
from rtreg.fft_tools.fast_ffts import get_ffts

__all__ = ["fourier_interp1d", "fourier_interp2d", "fourier_interpnd"]

Array = npt.NDArray[Any]


def fourier_interp1d(
    data: npt.ArrayLike,
    out_x: npt.ArrayLike,
    data_x: npt.ArrayLike | None = None,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    return_real: bool = True,
) -> Array:
    """Values of a 1-D array at the positions `out_x`; outside the array it repeats itself.

    Parameters
    ----------
    data : (n,) array_like
    out_x : (m,) array_like
        Where to evaluate: indices, or in the unit of `data_x`.
    data_x : (n,) array_like, optional
        Position of each element, increasing. Positions between elements are taken linearly, and `out_x` beyond the
        ends as the ends. By default ``0, 1, ... n - 1``.
    nthreads, use_numpy_fft
        See `rtreg.fft_tools.get_ffts`.
    return_real : bool
        The real part, or the complex array.

    Returns
    -------
    (m,) ndarray

    Raises
    ------
    ValueError
        If `out_x` is not 1-D, or `data_x` has another shape than `data` or does not increase.
    """
    shape, positions = np.shape(data), np.asarray(out_x, float)
    if len(shape) != 1:
        raise ValueError(f"fourier_interp1d takes a 1-D array, not {len(shape)}-D")
    if positions.ndim != 1:
        raise ValueError("out_x must be 1-D")
    if data_x is not None:
        grid = np.asarray(data_x, float)
        if grid.shape != shape:
            raise ValueError(f"data_x is of shape {grid.shape}, the data of {shape}")
        if not np.all(np.diff(grid) > 0):
            raise ValueError("data_x must increase")
        positions = np.interp(positions, grid, np.arange(grid.size))
    return fourier_interpnd(data, (positions,), nthreads, use_numpy_fft, return_real)


def fourier_interp2d(
    data: npt.ArrayLike,
    outinds: npt.ArrayLike | Sequence[npt.ArrayLike],
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    return_real: bool = True,
) -> Array:
    """`fourier_interpnd` for images.

    Raises
    ------
    ValueError
        If `data` is not 2-D, or `outinds` does not fit it.
    """
    if np.ndim(data) != 2:
        raise ValueError(f"fourier_interp2d takes a 2-D image, not {np.ndim(data)}-D")
    return fourier_interpnd(data, outinds, nthreads, use_numpy_fft, return_real)


def fourier_interpnd(
    data: npt.ArrayLike,
    outinds: npt.ArrayLike | Sequence[npt.ArrayLike],
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    return_real: bool = True,
) -> Array:
    """Values of an array of any number of axes on a grid of other positions; outside, the array repeats itself.

    Parameters
    ----------
    data : array_like
        One NaN makes every answer NaN: each depends on all pixels.
    outinds : sequence of 1-D array_like, or ndarray
        The positions along each axis, in axis order, pixels; or all of them at once, as from `numpy.indices`:
        an array of shape ``(ndim, *out)`` in which they change along their own axis only.
    nthreads, use_numpy_fft
        See `rtreg.fft_tools.get_ffts`.
    return_real : bool
        The real part, or the complex array.

    Returns
    -------
    ndarray
        One value for each combination of positions; float32 for float32 data, else float64 (complex64, complex128).

    Raises
    ------
    ValueError
        If the positions do not fit the number of axes.
    """
    values = filled(data, np.nan)
    positions = _per_axis(outinds, values.ndim)
    _, ifftn = get_ffts(nthreads=nthreads, use_numpy_fft=use_numpy_fft)
    return evaluate(ifftn(values), positions, return_real)


def evaluate(coefficients: Array, positions: Sequence[Array], real: bool) -> Array:
    """The sum of waves ``coefficients[k] exp(-2 pi i k x / n)`` at every combination of positions.

    One matrix product an axis; `coefficients` are in the order of `numpy.fft`.
    """
    result = coefficients
    for axis, where in enumerate(positions):
        waves = np.exp(-2j * np.pi * np.outer(where, np.fft.fftfreq(result.shape[axis]))).astype(result.dtype)
        if real and axis == len(positions) - 1:  # the imaginary half of the last product is not wanted
            return _along(waves.real, result.real, axis) - _along(waves.imag, result.imag, axis)
        result = _along(waves, result, axis)
    return result


def _along(matrix: Array, values: Array, axis: int) -> Array:
    """`matrix` applied to one axis of `values`."""
    return np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)


def _per_axis(outinds: npt.ArrayLike | Sequence[npt.ArrayLike], ndim: int) -> list[Array]:
    """The positions along each axis, from either form."""
    if len(outinds) != ndim:  # type: ignore[arg-type]  # a number has no length, which Python itself says well
        raise ValueError(f"positions for {len(outinds)} axes, but the array has {ndim}")  # type: ignore[arg-type]
    rows = [np.asarray(row, float) for row in outinds]  # type: ignore[union-attr]
    if all(row.ndim == ndim for row in rows) and ndim > 1:
        rows = [row[tuple(slice(None) if i == axis else 0 for i in range(ndim))] for axis, row in enumerate(rows)]
    if any(row.ndim != 1 for row in rows):
        raise ValueError("give the positions along each axis as 1-D arrays, or all as numpy.indices does")
    return rows
