"""Convolution of arrays of any number of axes by FFT, with a choice of edges and of what NaN means."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg import fft
from rtreg.errors import ConfigError
from rtreg.fft_tools._arrays import split
from rtreg.fft_tools.fast_ffts import get_ffts, get_real_ffts

__all__ = ["convolvend"]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

# how an image goes on beyond its edges -> numpy.pad's word for it; None where a fill value or the FFT itself does it
_PADDING = {"wrap": None, "fill": None, "constant": None, "nearest": "edge", "extend": "edge", "reflect": "symmetric"}


class Edges(NamedTuple):
    """What lies beyond the edges of an image, and how much of it the FFT is given."""

    boundary: str
    psf_pad: bool  # room for the kernel, so that nothing wraps round
    fft_pad: bool  # up to a size that the FFT is quick at

    @classmethod
    def of(cls, boundary: str | None, psf_pad: bool | None, fft_pad: bool | None) -> Edges:
        """With None for the defaults; ConfigError for an unknown boundary, or where they contradict each other."""
        boundary = "fill" if boundary is None else boundary
        if boundary not in _PADDING:
            raise ConfigError(f"boundary {boundary!r} is none of {', '.join(map(repr, _PADDING))}")
        if boundary != "wrap":
            return cls(boundary, psf_pad is not False, fft_pad is not False)
        if psf_pad or fft_pad:
            name = "psf_pad" if psf_pad else "fft_pad"
            raise ConfigError(f"boundary 'wrap' is circular and leaves no room for {name}; leave it out, or use 'fill'")
        return cls(boundary, False, False)

    def beyond(self, fill_value: float) -> float:
        """What fills up a canvas that is larger than the image; a circle has no outside, so 0 there."""
        return 0.0 if self.boundary == "wrap" else fill_value


class Convolver:
    """Convolution of images of one shape with one kernel, the pixel ``n // 2`` of which is its origin.

    The answers are on a canvas, in which all arrays lie with their pixel ``n // 2`` on that of the canvas.

    Parameters
    ----------
    shape : tuple of int
        Of the images.
    kernel : ndarray
        Real or complex, of as many axes.
    edges : Edges
    real : bool
        All is real, and half the work does.
    nthreads, use_numpy_fft
        See `rtreg.fft_tools.get_ffts`.
    """

    def __init__(
        self, shape: Shape, kernel: Array, edges: Edges, *, real: bool, nthreads: int, use_numpy_fft: bool
    ) -> None:
        self._mode = _PADDING[edges.boundary]
        self._margin = tuple(self._reach(n, m) if self._mode else 0 for n, m in zip(shape, kernel.shape, strict=True))
        wide = tuple(n + 2 * margin for n, margin in zip(shape, self._margin, strict=True))
        self.shape = self._canvas(wide, kernel.shape, edges)
        self._forward: Callable[[Array], Array]
        self._backward: Callable[[Array], Array]
        if real:
            pair = get_real_ffts(nthreads, use_numpy_fft)
            self._forward, self._backward = pair.forward, lambda spectrum: pair.inverse(spectrum, self.shape)
        else:
            self._forward, self._backward = get_ffts(nthreads, use_numpy_fft)
        self._kernel = self._forward(np.fft.ifftshift(self._place(kernel, 0.0)))

    def __call__(self, image: Array, fill: float = 0.0) -> Array:
        """`image`, with `fill` beyond its edges where that is the boundary, convolved; the real part, on the canvas."""
        return self._backward(self.product(image, fill)).real

    def product(self, image: Array, fill: float = 0.0) -> Array:
        """The product of the two spectra."""
        if self._mode:
            image = np.pad(image, [(n, n) for n in self._margin], mode=self._mode)  # type: ignore[call-overload]
        return self._forward(self._place(image, fill)) * self._kernel

    def window(self, shape: Sequence[int]) -> tuple[slice, ...]:
        """Where an array of that shape lies on the canvas."""
        return tuple(slice(n // 2 - m // 2, n // 2 + (m + 1) // 2) for n, m in zip(self.shape, shape, strict=True))

    def _place(self, values: Array, fill: float) -> Array:
        if values.shape == self.shape:
            return values
        placed = np.full(self.shape, fill, values.dtype)
        placed[self.window(values.shape)] = values
        return placed

    def _canvas(self, image: Shape, kernel: Shape, edges: Edges) -> Shape:
        # with half of the smaller one beside the larger one, the two do not meet round the back
        room = 1 if edges.psf_pad and not self._mode else 0
        shape = (max(n, m) + room * ((min(n, m) + 1) // 2) for n, m in zip(image, kernel, strict=True))
        return tuple(fft.next_fast_len(n) if edges.fft_pad else n for n in shape)

    @staticmethod
    def _reach(n: int, m: int) -> int:
        """How far beyond n pixels a kernel of m reaches, from within the larger of the two."""
        return (max(n, m) - n + 1) // 2 + m // 2


def convolvend(
    array: npt.ArrayLike,
    kernel: npt.ArrayLike,
    boundary: str | None = "fill",
    fill_value: float = 0,
    crop: bool = True,
    return_fft: bool = False,
    fftshift: bool = True,
    fft_pad: bool = True,
    psf_pad: bool = False,
    interpolate_nan: bool = False,
    quiet: bool = False,
    ignore_edge_zeros: bool = False,
    min_wt: float = 0.0,
    normalize_kernel: Callable[[Array], Any] | bool = False,
    use_numpy_fft: bool = False,
    nthreads: int = 1,
) -> Array:
    """Convolve an array with a kernel whose centre is its pixel ``n // 2``.

    Parameters
    ----------
    array, kernel : array_like
        Of the same number of axes. NaN and masked pixels count as 0. Never written to.
    boundary : {"fill", "constant", "wrap", "nearest", "extend", "reflect"} or None
        What lies beyond the edges of `array`: `fill_value` ("fill", "constant" and None), the other side ("wrap"), the
        pixel at the edge ("nearest", "extend"), or the array in a mirror, the pixel at the edge twice ("reflect").
    fill_value : float
        See `boundary`.
    crop : bool
        Return what lies over `array`; if False, the whole padded grid.
    return_fft : bool
        Return the product of the two transforms instead, zero frequency in the middle and cropped around it, unless
        `fftshift` is False.
    fft_pad : bool
        Pad to sizes that the FFT is quick at. Not with "wrap".
    psf_pad : bool
        Only kept for those who pass it: where the boundary is not "wrap" there is always room for the kernel.
    interpolate_nan : bool
        Take the kernel-weighted mean of the pixels that are there, instead of 0 for the others. Only if the kernel is
        normalised, by itself or by `normalize_kernel`.
    quiet : bool
        Do not warn that NaN pixels count as 0.
    ignore_edge_zeros : bool
        The same for what lies beyond the edges.
    min_wt : float
        NaN where less than this part of the kernel lies on pixels that are there. With 0, such pixels are 0 where
        there is none at all.
    normalize_kernel : callable or bool
        Divide the kernel by what this makes of it; True: by its sum.
    use_numpy_fft, nthreads
        See `rtreg.fft_tools.get_ffts`.

    Returns
    -------
    ndarray
        As `array` in shape; the real part, if that or the kernel is complex. float32 if both are.

    Raises
    ------
    ValueError
        If the numbers of axes differ.
    ConfigError
        For an unknown boundary.
    """
    values, bad = split(array)
    weights, bad_weights = split(kernel)
    if values.ndim != weights.ndim:
        raise ValueError(f"the array has {values.ndim} axes and the kernel {weights.ndim}")
    if (bad.any() or bad_weights.any()) and not interpolate_nan and not quiet:
        warnings.warn("NaN pixels count as 0; interpolate_nan=True leaves them out", stacklevel=2)
    edges = Edges.of(boundary, None, None if boundary == "wrap" else fft_pad)
    weights = np.where(bad_weights, weights.dtype.type(0), weights)
    if normalize_kernel:
        weights = weights / (np.sum if normalize_kernel is True else normalize_kernel)(weights)
    total = weights.sum()
    normalised = bool(normalize_kernel) or abs(total - 1) < 1e-8
    seen = None
    if normalised and ((interpolate_nan and bad.any()) or ignore_edge_zeros):
        seen = 1.0 - bad if interpolate_nan else np.ones(bad.shape)

    dtype = np.result_type(values, weights)
    real = dtype.kind == "f" and not return_fft
    convolver = Convolver(
        values.shape,
        weights.astype(dtype, copy=False),
        edges,
        real=real,
        nthreads=nthreads,
        use_numpy_fft=use_numpy_fft,
    )
    image = np.where(bad, dtype.type(0), values).astype(dtype, copy=False)
    window = convolver.window(values.shape)
    if return_fft:
        product = convolver.product(image, edges.beyond(fill_value))
        if not fftshift:
            return product
        return np.fft.fftshift(product)[window] if crop else np.fft.fftshift(product)
    result = convolver(image, edges.beyond(fill_value))
    if seen is not None:
        reweigh(result, convolver(seen.astype(dtype), 0.0 if ignore_edge_zeros else 1.0) / total.real, min_wt)
    return np.ascontiguousarray(result[window]) if crop else result


def reweigh(result: Array, weight: Array, min_wt: float) -> None:
    """Divide `result` by the part of the kernel that lay on good pixels; where there was none, NaN or 0 (`min_wt`)."""
    nothing = weight < 100 * np.finfo(weight.dtype).eps  # zero, but for the rounding of the FFT
    np.divide(result, weight, out=result, where=~nothing)
    result[nothing] = 0.0
    if min_wt > 0:
        result[weight < min_wt] = np.nan
