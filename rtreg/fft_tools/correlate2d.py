"""Cross-correlation of two images by FFT."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError
from rtreg.fft_tools._arrays import split
from rtreg.fft_tools.convolve_nd import Convolver, Edges, reweigh

__all__ = ["correlate2d"]

Array = npt.NDArray[Any]


def correlate2d(
    im1: npt.ArrayLike,
    im2: npt.ArrayLike,
    boundary: str | None = "wrap",
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    **kwargs: Any,
) -> Array:
    """Cross-correlation map of two images.

    Parameters
    ----------
    im1, im2 : (ny, nx) array_like
        Not necessarily of the same shape. Never written to.
    boundary : {"wrap", "fill", "constant", "nearest", "extend", "reflect"} or None
        What lies beyond the edges of `im1`: the other side ("wrap"), `fill_value` ("fill", "constant", None), the
        pixel at the edge ("nearest", "extend"), or the image in a mirror, the pixel at the edge twice ("reflect").
    nthreads, use_numpy_fft
        See `rtreg.fft_tools.get_ffts`.
    psf_pad, fft_pad : bool, optional
        Room so that nothing wraps round, and sizes that the FFT is quick at. Both on, but for "wrap", which allows
        neither.
    nan_treatment : {"fill", "interpolate"}, optional
        NaN, infinite and masked pixels of `im1` count as `fill_value`; or are left out, and the sum over the others
        scaled up. Those of `im2` count as 0.
    fill_value : float, optional
        See `boundary` and `nan_treatment`; 0 by default.
    preserve_nan : bool, optional
        NaN in the map wherever `im1` is NaN.

    Returns
    -------
    ndarray
        The larger of the two images in each axis is its shape. With n pixels along an axis of both,
        ``sum conj(im1(x)) im2(x + d)`` stands at ``(n - 1) // 2 - d``: the peak moves to **smaller** indices as the
        content of `im2` moves to larger ones. Real: the real part, for complex images. float32 if both images are.

    Raises
    ------
    TypeError
        For any other keyword. (The product of the transforms, the uncropped map and the power-of-two padding, which
        documents of the original name as `return_fft`, `fftshift`, `crop` and `pad`, are not offered: see
        `rtreg.fft_tools.convolve_nd.convolvend`.)
    ValueError
        If an image is not 2-D, or NaN pixels are to be interpolated but `im2` has no sum.
    ConfigError
        For an unknown boundary or treatment, or padding with "wrap".
    """
    options = _options(kwargs)
    edges = Edges.of(boundary, options["psf_pad"], options["fft_pad"])
    image, bad = split(im1)
    kernel, bad_kernel = split(im2)
    if image.ndim != 2 or kernel.ndim != 2:
        raise ValueError(f"correlate2d takes 2-D images, not {image.ndim}-D and {kernel.ndim}-D")
    dtype = np.result_type(image, kernel)
    interpolate = options["nan_treatment"] == "interpolate"
    fill = dtype.type(0 if interpolate else options["fill_value"])
    image = np.where(bad, fill, np.conj(image)).astype(dtype, copy=False)
    kernel = np.where(bad_kernel, dtype.type(0), kernel).astype(dtype, copy=False)[::-1, ::-1]

    real = dtype.kind == "f"
    correlate = Convolver(image.shape, kernel, edges, real=real, nthreads=nthreads, use_numpy_fft=use_numpy_fft)
    result = correlate(image, edges.beyond(options["fill_value"]))
    if interpolate and bad.any():
        total = kernel.sum()
        if abs(total) < 1e-8:
            raise ValueError("cannot interpolate NaN pixels: the second image sums up to zero")
        reweigh(result, correlate((1.0 - bad).astype(dtype), 1.0) / total.real, 0.0)
    if options["preserve_nan"]:
        result[correlate.window(image.shape)][bad] = np.nan
    larger = tuple(max(n, m) for n, m in zip(image.shape, kernel.shape, strict=True))
    return np.ascontiguousarray(result[correlate.window(larger)])


_OPTIONS: dict[str, Any] = {
    "psf_pad": None,
    "fft_pad": None,
    "nan_treatment": "fill",
    "fill_value": 0.0,
    "preserve_nan": False,
}


def _options(given: dict[str, Any]) -> dict[str, Any]:
    for name in given:
        if name not in _OPTIONS:
            raise TypeError(f"correlate2d() got an unexpected keyword {name!r}; it knows {', '.join(_OPTIONS)}")
    options = _OPTIONS | given
    if options["nan_treatment"] not in ("fill", "interpolate"):
        raise ConfigError(f"nan_treatment is {options['nan_treatment']!r}, neither 'fill' nor 'interpolate'")
    return options
