"""Upsampled discrete Fourier transforms by matrix products (Guizar-Sicairos 2008, doi 10.1364/OL.33.000156)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.fft_tools._arrays import filled
from rtreg.fft_tools.fast_ffts import get_ffts
from rtreg.fft_tools.scale import evaluate

__all__ = ["dftups", "dftups1d", "odddftups", "upsample_image"]

Array = npt.NDArray[Any]


def dftups(
    inp: npt.ArrayLike,
    nor: int | None = None,
    noc: int | None = None,
    usfac: float = 1,
    roff: float = 0,
    coff: float = 0,
) -> Array:
    """A window of the Fourier transform of `inp`, as if that had been padded with zeros to `usfac` times its size.

    The same as padding, transforming and cutting out, without the large array: quick for small windows.

    Parameters
    ----------
    inp : (ny, nx) array_like
        Zero frequency first, as `numpy.fft.fft2` leaves it.
    nor, noc : int, optional
        Rows and columns of the window, in upsampled pixels; those of `inp` by default.
    usfac : float
        Upsampling factor.
    roff, coff : float
        Row and column of the window, upsampled pixels, at which the transform's origin lies.

    Returns
    -------
    (nor, noc) ndarray, complex
        ``sum inp[k, l] exp(-2 pi i (k (r - roff) / ny + l (c - coff) / nx) / usfac)``, not normalised.

    Raises
    ------
    ValueError
        If `inp` is not 2-D.
    """
    values = filled(inp, np.nan)
    if values.ndim != 2:
        raise ValueError(f"dftups takes a 2-D array, not {values.ndim}-D")
    values = values.astype(np.result_type(values, np.complex64), copy=False)
    rows = (np.arange(values.shape[0] if nor is None else nor, dtype=float) - roff) / usfac
    columns = (np.arange(values.shape[1] if noc is None else noc, dtype=float) - coff) / usfac
    return evaluate(values, (rows, columns), real=False)


def odddftups(
    inp: npt.ArrayLike,
    nor: int | None = None,
    noc: int | None = None,
    usfac: float = 1,
    roff: float = 0,
    coff: float = 0,
) -> Array:
    """The same as `dftups`, which is right for odd sizes; the name is kept for those who call it."""
    return dftups(inp, nor, noc, usfac, roff, coff)


def dftups1d(
    inp: npt.ArrayLike,
    usfac: float = 1,
    outsize: int | None = None,
    offset: float = 0,
    return_xouts: bool = False,
) -> Array | tuple[Array, Array]:
    """`dftups` in one dimension.

    Parameters
    ----------
    inp : (n,) array_like
        Zero frequency first.
    usfac : float
        Upsampling factor.
    outsize : int, optional
        Number of upsampled elements; n by default.
    offset : float
        The first of them, in upsampled elements: note that the sign is the opposite of that of `dftups`.
    return_xouts : bool
        Return ``(x, transform)``, with x in original elements.

    Raises
    ------
    ValueError
        If `inp` is not 1-D.
    """
    values = filled(inp, np.nan)
    if values.ndim != 1:
        raise ValueError(f"dftups1d takes a 1-D array, not {values.ndim}-D")
    values = values.astype(np.result_type(values, np.complex64), copy=False)
    x = (np.arange(values.size if outsize is None else outsize, dtype=float) + offset) / usfac
    out = evaluate(values, (x,), real=False)
    return (x, out) if return_xouts else out


def upsample_image(
    image: npt.ArrayLike,
    upsample_factor: float = 1,
    output_size: int | Sequence[int] | None = None,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    xshift: float = 0,
    yshift: float = 0,
) -> Array:
    """An image on a grid `upsample_factor` times finer, by Fourier interpolation; real.

    Parameters
    ----------
    image : (ny, nx) array_like
    upsample_factor : float
        Upsampled pixels a pixel.
    output_size : int or (int, int), optional
        Rows and columns of the answer, in upsampled pixels; the whole image by default.
    nthreads, use_numpy_fft
        See `rtreg.fft_tools.get_ffts`.
    xshift, yshift : float
        Where in the answer the image's pixel (0, 0) lies, upsampled pixels.

    Returns
    -------
    ndarray of float
        Pixel (r, c) is the image at ``((r - yshift) / upsample_factor, (c - xshift) / upsample_factor)``. (The real
        part, for a complex image.)

    Raises
    ------
    ValueError
        If `image` is not 2-D.
    """
    values = filled(image, np.nan)
    if values.ndim != 2:
        raise ValueError(f"upsample_image takes a 2-D image, not {values.ndim}-D")
    rows, columns = _size(values.shape, upsample_factor, output_size)
    _, ifftn = get_ffts(nthreads=nthreads, use_numpy_fft=use_numpy_fft)
    y = (np.arange(rows, dtype=float) - yshift) / upsample_factor
    x = (np.arange(columns, dtype=float) - xshift) / upsample_factor
    return evaluate(ifftn(values), (y, x), real=True)


def _size(shape: tuple[int, ...], factor: float, asked: int | Sequence[int] | None) -> tuple[float, float]:
    if asked is None:
        return shape[0] * factor, shape[1] * factor
    if isinstance(asked, Sequence | np.ndarray):
        rows, columns = asked
        return rows, columns
    return asked, asked
