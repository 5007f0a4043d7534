"""Sub-pixel shifts of arrays by the Fourier shift theorem: exact for periodic, band-limited data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.fft_tools._arrays import filled
from rtreg.fft_tools.fast_ffts import get_ffts

__all__ = ["shift2d", "shiftnd"]

Array = npt.NDArray[Any]


def shift2d(
    data: npt.ArrayLike,
    deltax: float,
    deltay: float,
    phase: float = 0,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    return_abs: bool = False,
    return_real: bool = True,
) -> Array:
    """Shift an image by (deltax, deltay) pixels, **x first**: `shiftnd` with the offset ``(deltay, deltax)``.

    Raises
    ------
    ValueError
        If `data` is not 2-D.
    """
    if np.ndim(data) != 2:
        raise ValueError(f"shift2d takes a 2-D image, not {np.ndim(data)}-D; shiftnd takes any number of axes")
    return shiftnd(data, (deltay, deltax), phase, nthreads, use_numpy_fft, return_abs, return_real)


def shiftnd(
    data: npt.ArrayLike,
    offset: Sequence[float],
    phase: float = 0,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    return_abs: bool = False,
    return_real: bool = True,
) -> Array:
    """Shift an array of any number of axes; what leaves on one side enters on the other.

    Parameters
    ----------
    data : array_like
        Any shape; real or complex. NaN, infinite and masked pixels count as 0. Never written to.
    offset : sequence of float
        Pixels along each axis, **in axis order** (y before x for an image); positive moves the content to larger
        indices.
    phase : float
        A constant phase to take off every frequency, rad.
    nthreads, use_numpy_fft
        See `rtreg.fft_tools.get_ffts`.
    return_abs : bool
        Return the modulus. Only looked at when `return_real` is False.
    return_real : bool
        Return the real part; if neither this nor `return_abs`, the complex array.

    Returns
    -------
    ndarray
        As `data` in shape; float32 for float32 data, else float64 (complex64, complex128).

    Raises
    ------
    ValueError
        If there is not one offset an axis.
    """
    values = filled(data, 0.0)
    if len(offset) != values.ndim:
        raise ValueError(f"{len(offset)} offsets for an array of {values.ndim} axes; give one an axis")
    fftn, ifftn = get_ffts(nthreads=nthreads, use_numpy_fft=use_numpy_fft)
    spectrum = fftn(values)
    turn = np.exp(-1j * phase)
    for axis, (off, size) in enumerate(zip(offset, values.shape, strict=True)):
        ramp = np.exp(-2j * np.pi * off * np.fft.fftfreq(size)) * turn
        spectrum *= ramp.astype(spectrum.dtype).reshape((-1,) + (1,) * (values.ndim - 1 - axis))
        turn = np.complex128(1.0)  # once is enough
    result = ifftn(spectrum)
    if return_real:
        return np.ascontiguousarray(result.real)
    return np.abs(result) if return_abs else result
