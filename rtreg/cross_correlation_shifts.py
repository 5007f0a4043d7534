"""Shifts by the peak of the cross-correlation: the seed's `cross_correlation_shifts` and what goes with it."""

from __future__ import annotations

import importlib
import logging
import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError, FrameError
from rtreg.estimators.acquire import DETECTION
from rtreg.estimators.correlate import Peak, RealPair, check_reach, periodic
from rtreg.estimators.pair import (
    Boundary,
    Loaded,
    anywhere,
    check_boundary,
    check_shapes,
    no_match,
    register_pair,
    weights_of,
)
from rtreg.records import NO_COVARIANCE, Covariance

__all__ = ["cross_correlation_shifts", "cross_correlation_shifts_FITS", "second_derivative"]  # noqa: F822

Image = npt.NDArray[Any]

BOUNDARIES = {"fill": "constant", "extend": "nearest"}  # the words of convolutions
GAUSS_REACH = 3  # px about the peak that a Gaussian is fitted to
GAUSS_LEVEL = 0.5  # of the peak's height: below, a correlation is no Gaussian
DECIMALS = 6  # of a shift, px: single precision carries no more, and whole pixels stay whole when `int` cuts them

_log = logging.getLogger(__name__)


def cross_correlation_shifts(
    image1: npt.ArrayLike,
    image2: npt.ArrayLike,
    errim1: npt.ArrayLike | None = None,
    errim2: npt.ArrayLike | None = None,
    maxoff: float | None = None,
    verbose: bool = False,
    gaussfit: bool = False,
    return_error: bool = False,
    zeromean: bool = True,
    *,
    boundary: str | None = None,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    allow_huge: bool = False,
) -> tuple[float, ...]:
    """How far `image2` has moved against `image1`: the peak of their cross-correlation.

    Parameters
    ----------
    image1, image2 : (ny, nx) arrays of one shape, any integer or float dtype
        NaN and masked pixels are ignored. Never written to.
    errim1, errim2 : (ny, nx) arrays or floats, optional
        1-sigma errors of the pixels, in the images' units. Without either, the residuals tell the noise.
    maxoff : float, optional
        Largest shift along each axis to look for, px.
    verbose : bool
        Log what was found (logger ``rtreg.cross_correlation_shifts``, level INFO).
    gaussfit : bool
        Fit a Gaussian to the circular correlation's peak, instead of finding the place where it is highest.
    return_error : bool
        See below.
    zeromean
        No effect, since means never count; kept for calls that pass it.
    boundary : {None, "wrap", "constant" or "fill", "reflect", "nearest" or "extend"}
        What `image1` does past its border. "wrap": it is periodic, and the circular correlation's peak is exact. None:
        the same where both images are periodic or flat at the border; else only what both images have is correlated.
        The others as in `chi2_shift`.
    nthreads, use_numpy_fft
        Threads of FFTW; NumPy's transforms instead. Of the circular correlation.
    allow_huge
        Accepted; nothing here grows beyond a few frames.

    Returns
    -------
    dx, dy : float
        px, **x first**; positive when the content of `image2` lies at larger x, y than that of `image1`. NaN, with a
        RuntimeWarning that says why, where nothing can be measured.
    ex, ey : float
        With `return_error`: 1-sigma errors, px; NaN where unknown. With `gaussfit`, those of the highest place.

    Raises
    ------
    FrameError, ConfigError
        Both are ValueErrors: shapes that differ, a dtype or an option without meaning.

    Examples
    --------
    >>> import numpy as np, rtreg
    >>> im1 = np.zeros([10, 10])
    >>> im2 = np.zeros([10, 10])
    >>> im1[4, 3] = 1
    >>> im2[5, 5] = 1
    >>> dx, dy = rtreg.cross_correlation_shifts(im1, im2)
    >>> round(dx, 6), round(dy, 6)
    (2.0, 1.0)
    """
    edge = check_boundary(BOUNDARIES.get(boundary, boundary) if isinstance(boundary, str) else boundary)
    check_reach(maxoff)
    reference, frame = Loaded(image1, "image1"), Loaded(image2, "image2")
    check_shapes(reference.shape, frame.shape)
    trouble = reference.trouble or frame.trouble
    answer: tuple[float, ...] = (math.nan,) * 4
    if not trouble:
        if gaussfit or edge == "wrap" or (edge is None and periodic(reference.work, frame.work)):
            pair = RealPair(reference.work, frame.work, threads=nthreads, use_numpy=use_numpy_fft)
            at = pair.correlation.refine(*pair.correlation.whole_pixel(maxoff))
            score = pair.score(at)
            trouble = "" if score > DETECTION else no_match(score)
            spread = anywhere(frame.shape, maxoff) if trouble else NO_COVARIANCE
            if return_error and not trouble:
                spread = _covariance(pair, at, reference, frame, errim1, errim2)
            errors = math.sqrt(spread[0][0]), math.sqrt(spread[1][1])
            place = _gaussian_peak(pair, at) if gaussfit else (at.dx, at.dy)
            answer = (round(place[0], DECIMALS), round(place[1], DECIMALS), *errors)
        else:
            answer, trouble = _over_common_pixels(reference, frame, errim1, errim2, edge, maxoff)
    if trouble:
        warnings.warn(f"cross_correlation_shifts: {trouble}", RuntimeWarning, stacklevel=2)
    if verbose:
        _log.info("dx, dy, ex, ey = %s", answer)
    return answer if return_error else answer[:2]


def second_derivative(image: npt.ArrayLike) -> tuple[Image, Image, Image]:
    """Second differences of an image.

    Parameters
    ----------
    image : (ny, nx) array

    Returns
    -------
    dxx, dyy, dxy : (ny, nx) float64 arrays
        d²/dx², d²/dy² and d²/dxdy, per px²; 0 in the outermost rows and columns.
    """
    values = np.asarray(image, np.float64)
    if values.ndim != 2:
        raise FrameError(f"second_derivative takes a 2-D image, not {values.ndim}-D")
    dxx, dyy, dxy = (np.zeros(values.shape) for _ in range(3))
    inner = (slice(1, -1), slice(1, -1))
    dxx[inner] = values[1:-1, 2:] + values[1:-1, :-2] - 2.0 * values[inner]
    dyy[inner] = values[2:, 1:-1] + values[:-2, 1:-1] - 2.0 * values[inner]
    dxy[inner] = 0.25 * (values[2:, 2:] + values[:-2, :-2] - values[2:, :-2] - values[:-2, 2:])
    return dxx, dyy, dxy


def __getattr__(name: str) -> Any:
    if name == "cross_correlation_shifts_FITS":  # it needs astropy, which only FITS_tools may know
        return importlib.import_module("rtreg.FITS_tools").cross_correlation_shifts_FITS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _covariance(
    pair: RealPair,
    at: Peak,
    reference: Loaded,
    frame: Loaded,
    errim1: npt.ArrayLike | None,
    errim2: npt.ArrayLike | None,
) -> Covariance:
    """Of the place of a circular correlation's peak, px²."""
    own = None if errim1 is None else _variance(errim1, reference)
    other = None if errim2 is None else _variance(errim2, frame)
    return pair.covariance(at, other, own)


def _over_common_pixels(
    reference: Loaded,
    frame: Loaded,
    errim1: npt.ArrayLike | None,
    errim2: npt.ArrayLike | None,
    edge: Boundary | None,
    maxoff: float | None,
) -> tuple[tuple[float, ...], str]:
    """The best correlation of what both images have, with what speaks against it.

    The error of `image1` is taken from where the whole-pixel search sees it, which is where it counts.
    """
    err = None
    if errim1 is not None or errim2 is not None:
        variance = np.zeros(frame.shape)
        if errim2 is not None:
            variance += _variance(errim2, frame) * frame.unit**2
        if errim1 is not None:
            first = register_pair(reference, frame, weights_of(None, frame), edge, max_shift=maxoff)
            if math.isnan(first.dx):
                return (math.nan,) * 4, first.trouble
            moved = np.roll(_variance(errim1, reference), (round(first.dy), round(first.dx)), (0, 1))
            variance += moved * (reference.unit * first.scale) ** 2
        err = np.sqrt(variance)
    match = register_pair(reference, frame, weights_of(err, frame), edge, max_shift=maxoff)
    return (match.dx, match.dy, *match.sigma), match.trouble


def _variance(errors: npt.ArrayLike, image: Loaded) -> Image:
    """Squared errors, in the units of `image.work`; those without meaning count as 0."""
    if isinstance(errors, np.ma.MaskedArray):
        errors = np.ma.filled(errors.astype(np.float64), 0.0)
    values = np.asarray(errors, np.float64)
    if values.ndim and values.shape != image.shape:
        raise FrameError(f"errors are {values.shape} but the image is {image.shape}")
    if not (np.isfinite(values) & (values != 0)).any():
        raise ConfigError("errors have no usable value: each is 0, NaN or infinite")
    return np.broadcast_to(np.nan_to_num(values / image.unit, posinf=0.0, neginf=0.0) ** 2, image.shape)


def _gaussian_peak(pair: RealPair, at: Peak) -> tuple[float, float]:
    """(dx, dy) of the Gaussian that fits the whole-pixel correlation about its peak; the peak itself if none does."""
    near_y, near_x = round(at.dy), round(at.dx)
    values = pair.correlation.around(near_y, near_x, GAUSS_REACH).astype(np.float64)
    steps = np.arange(-GAUSS_REACH, GAUSS_REACH + 1)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    use = (values > GAUSS_LEVEL * values[GAUSS_REACH, GAUSS_REACH]) | (np.maximum(np.abs(y), np.abs(x)) <= 1)
    use &= values > 0.0
    v, y, x = values[use], y[use], x[use]
    # the logarithm of a Gaussian is a parabola; its noise grows as 1 / value, hence the weights
    terms = np.stack([np.ones_like(v), y, x, 0.5 * y * y, y * x, 0.5 * x * x], axis=1)
    c, _, rank, _ = np.linalg.lstsq(terms * v[:, None], np.log(v) * v, rcond=None)
    matrix = np.array([[c[3], c[4]], [c[4], c[5]]])
    if rank < 6 or not (c[3] < 0.0 and c[5] < 0.0 and np.linalg.det(matrix) > 0.0):
        return at.dx, at.dy
    dy, dx = np.linalg.solve(matrix, -c[1:3])
    return float(near_x + dx), float(near_y + dy)
