"""Windows of an array on a finer grid, by Fourier interpolation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.fft_tools._arrays import whole
from rtreg.fft_tools.scale import fourier_interpnd

__all__ = ["zoom1d", "zoom_on_pixel", "zoomnd"]

Array = npt.NDArray[Any]


def zoom1d(
    inp: npt.ArrayLike,
    usfac: float = 1,
    outsize: int | None = None,
    offset: float = 0,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    return_xouts: bool = False,
    return_real: bool = True,
) -> Array | tuple[Array, Array]:
    """Zoom in on the middle of a 1-D array.

    Parameters
    ----------
    inp : (n,) array_like
    usfac : float
        Upsampling factor: the answer's elements are 1 / usfac apart.
    outsize : int, optional
        Elements of the answer; n by default.
    offset : float
        Of the middle of the answer from that of the array, ``(n - 1) / 2``, in elements of the array.
    nthreads, use_numpy_fft
        See `rtreg.fft_tools.get_ffts`.
    return_xouts : bool
        Return ``(x, zoomed)``, with x in elements of the array.
    return_real : bool
        The real part, or the complex array.

    Returns
    -------
    (outsize,) ndarray, or a tuple of two

    Raises
    ------
    ValueError
        If `inp` is not 1-D or a size makes no sense.
    """
    if np.ndim(inp) != 1:
        raise ValueError(f"zoom1d takes a 1-D array, not {np.ndim(inp)}-D")
    (size,) = np.shape(inp)
    x = _window((size - 1) / 2 + offset, size if outsize is None else outsize, usfac)
    zoomed = fourier_interpnd(inp, (x,), nthreads, use_numpy_fft, return_real)
    return (x, zoomed) if return_xouts else zoomed


def zoom_on_pixel(
    inp: npt.ArrayLike,
    coordinates: Sequence[float],
    usfac: float = 1,
    outshape: int | Sequence[int] | None = None,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    return_real: bool = True,
    return_xouts: bool = False,
) -> Array | tuple[Array, Array]:
    """Zoom in on a position in an array of any number of axes.

    Parameters
    ----------
    inp : array_like
    coordinates : sequence of float
        What becomes the middle of the answer, pixels, in axis order (y before x for an image).
    usfac : float
        Upsampling factor: the answer's pixels are 1 / usfac apart. An axis of even length has no pixel in its middle.
    outshape : int or sequence of int, optional
        Shape of the answer (a number: of every axis); that of `inp` by default.
    nthreads, use_numpy_fft
        See `rtreg.fft_tools.get_ffts`.
    return_real : bool
        The real part, or the complex array.
    return_xouts : bool
        Return ``(positions, zoomed)``; positions, pixels of `inp`, are of shape ``(ndim, *outshape)``.

    Returns
    -------
    ndarray of shape `outshape`, or a tuple of two

    Raises
    ------
    ValueError
        If the coordinates or the shape do not fit the number of axes, or a size makes no sense.
    """
    shape = np.shape(inp)
    if outshape is None:
        sizes: Sequence[int] = shape
    else:
        sizes = [outshape] * len(shape) if np.isscalar(outshape) else list(outshape)  # type: ignore[list-item,arg-type]
    if not len(sizes) == len(coordinates) == len(shape):
        raise ValueError(
            f"{len(coordinates)} coordinates and {len(sizes)} sizes for an array of {len(shape)} axes; give one an axis"
        )
    rows = [_window(target, size, usfac) for target, size in zip(coordinates, sizes, strict=True)]
    zoomed = fourier_interpnd(inp, rows, nthreads, use_numpy_fft, return_real)
    return (np.array(np.meshgrid(*rows, indexing="ij")), zoomed) if return_xouts else zoomed


def zoomnd(
    inp: npt.ArrayLike,
    offsets: Sequence[float] = (),
    middle_convention: Callable[[float], float] = float,
    **kwargs: Any,
) -> Array | tuple[Array, Array]:
    """Zoom in on the middle of an array, or beside it.

    Parameters
    ----------
    inp : array_like
    offsets : sequence of float, optional
        Of the middle of the answer from that of the array, pixels of the array, in axis order.
    middle_convention : callable
        What is the middle of n pixels: `float` for ``(n - 1) / 2``, which is between two pixels where n is even;
        `numpy.floor` and `numpy.ceil` for the pixel before or after it. To zoom in on a pixel, say which to
        `zoom_on_pixel`: nothing can be half a pixel off then.
    **kwargs
        `usfac`, `outshape`, `return_xouts` and the rest: as in `zoom_on_pixel`.

    Returns
    -------
    ndarray, or a tuple of two
        As from `zoom_on_pixel`.

    Raises
    ------
    ValueError
        If there is not one offset an axis.
    """
    shape = np.shape(inp)
    if len(offsets) == 0:
        offsets = (0.0,) * len(shape)
    if len(offsets) != len(shape):
        raise ValueError(f"{len(offsets)} offsets for an array of {len(shape)} axes; give one an axis")
    middle = [middle_convention((size - 1) / 2) + off for size, off in zip(shape, offsets, strict=True)]
    return zoom_on_pixel(inp, middle, **kwargs)


def _window(middle: float, size: int, usfac: float) -> Array:
    """`size` positions, 1 / usfac apart, with their mean at `middle`."""
    if not usfac > 0:
        raise ValueError(f"the upsampling factor must be positive, not {usfac!r}")
    size = whole(size, "the size of the zoomed array")
    reach = (size - 1) / usfac / 2
    return np.linspace(middle - reach, middle + reach, size)
