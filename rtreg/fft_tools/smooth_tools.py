"""Smoothing of images, and the kernels to do it with."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rtreg.fft_tools._arrays import split, whole
from rtreg.fft_tools.convolve_nd import convolvend
from rtreg.fft_tools.downsample import downsample as _downsample

__all__ = ["make_kernel", "smooth"]

Array = npt.NDArray[Any]
Norm = Callable[[Array], Any] | bool

_log = logging.getLogger(__name__)


def smooth(
    image: npt.ArrayLike,
    kernelwidth: float = 3,
    kerneltype: str = "gaussian",
    trapslope: float | None = None,
    silent: bool = True,
    psf_pad: bool = True,
    interp_nan: bool = False,
    nwidths: float | Literal["max"] = "max",
    min_nwidths: float = 6,
    return_kernel: bool = False,
    normalize_kernel: Norm = np.sum,
    downsample: bool = False,
    downsample_factor: int | None = None,
    **kwargs: Any,
) -> Array | tuple[Array, Array]:
    """Smooth an image, without shifting it (but by half a pixel by a boxcar of even width, which has no middle).

    Parameters
    ----------
    image : array_like
        Of any number of axes. Never written to.
    kernelwidth, kerneltype, trapslope, normalize_kernel
        Width in pixels, kind and norm of the kernel, see `make_kernel`.
    silent : bool
        False logs the kernel's size, kind and peak.
    psf_pad : bool
        Take the image as surrounded by zeros, which darkens its edges; if False, as periodic.
    interp_nan : bool
        Smooth over NaN and masked pixels from what lies around them. If False, they count as 0 and are NaN in the
        answer.
    nwidths : float or "max"
        Size of the kernel, in widths; "max" makes it as large as the image.
    min_nwidths : float
        Its size where the image is smaller than that.
    return_kernel : bool
        Return ``(smoothed, kernel)``.
    downsample : bool
        Average the answer (and the kernel) over blocks of `downsample_factor` pixels, `kernelwidth` by default.
    **kwargs
        Passed on to `rtreg.fft_tools.convolve_nd.convolvend`.

    Returns
    -------
    ndarray, as the image in shape, or a tuple of two

    Raises
    ------
    ValueError
        For a kernel that cannot be made, see `make_kernel`.
    """
    values, bad = split(image)
    shape = _kernel_shape(values.shape, kernelwidth, nwidths, min_nwidths)
    kernel = make_kernel(shape, kernelwidth, kerneltype, trapslope, normalize_kernel)
    if not silent:
        _log.info("%s kernel of shape %s with peak %g", kerneltype, kernel.shape, kernel.max())
    options: dict[str, Any] = {
        "boundary": "fill" if psf_pad else "wrap",
        "interpolate_nan": interp_nan,
        "normalize_kernel": normalize_kernel,
        "quiet": True,
    }
    smoothed = convolvend(np.where(bad, np.nan, values), kernel.astype(values.dtype), **(options | kwargs))
    if not interp_nan:
        smoothed[bad] = np.nan
    if downsample:
        factor = whole(kernelwidth if downsample_factor is None else downsample_factor, "downsample_factor")
        smoothed = _downsample(smoothed, factor)
        kernel = _downsample(kernel, factor) if return_kernel else kernel
    return (smoothed, kernel) if return_kernel else smoothed


def _kernel_shape(
    shape: tuple[int, ...], width: float, nwidths: float | Literal["max"], min_nwidths: float
) -> tuple[int, ...]:
    """Odd: a kernel of even size has one pixel more on one side of its centre, and shifts what it smooths."""
    if any(width * min_nwidths > n for n in shape):
        nwidths = min_nwidths
    sizes = shape if nwidths == "max" else (math.ceil(width * nwidths),) * len(shape)
    return tuple(n - 1 + n % 2 for n in sizes)


def make_kernel(
    kernelshape: Sequence[int],
    kernelwidth: float = 3,
    kerneltype: str = "gaussian",
    trapslope: float | None = None,
    normalize_kernel: Norm = np.sum,
    force_odd: bool = False,
) -> Array:
    """A smoothing kernel of any number of axes.

    Parameters
    ----------
    kernelshape : sequence of int
        Its shape.
    kernelwidth : float
        Its width w, pixels.
    kerneltype : {"gaussian", "boxcar", "tophat", "brickwall", "airy", "trapezoid"}
        With r the distance from the centre, pixels:

        * "gaussian": ``exp(-r**2 / (2 w**2))``;
        * "boxcar": 1 in a box of w pixels a side, rounded to whole pixels;
        * "tophat": 1 where ``r < w``;
        * "airy" or "brickwall": ``J1(r / w) / (r / w)``;
        * "trapezoid": 1 where ``r < w``, beyond it the cone ``max(r) - trapslope r`` down to 0.

        The centre of "gaussian" and "boxcar" is on pixel ``n // 2``; that of the others at ``(n - 1) / 2``, between
        two pixels where n is even.
    trapslope : float, optional
        Slope of the trapezoid, which needs one.
    normalize_kernel : callable or bool
        The kernel is divided by what this makes of it: `numpy.sum` (or True) for unit sum, `numpy.max` for unit peak.
    force_odd : bool
        Take one pixel off each even side.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    ValueError
        For an unknown `kerneltype`, a width that is not positive, or a trapezoid without a slope.
    """
    if kerneltype not in _SHAPES:
        raise ValueError(f"kerneltype {kerneltype!r} is none of {', '.join(_SHAPES)}")
    if not kernelwidth > 0:
        raise ValueError(f"kernelwidth must be positive, not {kernelwidth!r}")
    if kerneltype == "trapezoid" and not trapslope:
        raise ValueError("a trapezoid needs its trapslope")
    shape = [whole(n, "a side of the kernel") for n in kernelshape]
    if force_odd:
        shape = [n - 1 if n % 2 == 0 else n for n in shape]
    kernel = _SHAPES[kerneltype](shape, kernelwidth, trapslope or 0.0)
    if normalize_kernel:
        kernel /= (np.sum if normalize_kernel is True else normalize_kernel)(kernel)
    return kernel


def _radius(shape: Sequence[int], on_a_pixel: bool = False) -> Array:
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    squares = [(x - (n // 2 if on_a_pixel else (n - 1) / 2)) ** 2 for x, n in zip(axes, shape, strict=True)]
    radius: Array = np.sqrt(sum(squares, np.zeros(tuple(shape))))
    return radius


def _gaussian(shape: Sequence[int], width: float, _: float) -> Array:
    return np.exp(-(_radius(shape, on_a_pixel=True) ** 2) / (2 * width**2))


def _boxcar(shape: Sequence[int], width: float, _: float) -> Array:
    side = max(1, round(width))
    kernel = np.zeros(tuple(shape))
    kernel[tuple(slice(max(0, n // 2 - side // 2), n // 2 + (side + 1) // 2) for n in shape)] = 1.0
    return kernel


def _tophat(shape: Sequence[int], width: float, _: float) -> Array:
    return (_radius(shape) < width).astype(float)


def _airy(shape: Sequence[int], width: float, _: float) -> Array:
    from rtreg.kernels.bessel import j1_over_x  # numba only for those who want this kernel

    x = (_radius(shape) / width).ravel()
    out = np.empty_like(x)
    j1_over_x(x, out)
    return out.reshape(tuple(shape))


def _trapezoid(shape: Sequence[int], width: float, slope: float) -> Array:
    radius = _radius(shape)
    cone = np.clip(radius.max() - slope * radius, 0, None)
    return np.where(radius < width, 1.0, cone)


_SHAPES: dict[str, Callable[[Sequence[int], float, float], Array]] = {
    "gaussian": _gaussian,
    "boxcar": _boxcar,
    "tophat": _tophat,
    "brickwall": _airy,
    "airy": _airy,
    "trapezoid": _trapezoid,
}
