"""Registration by cross-correlation: the seed's `register_images` and `dftregistration`.

Where the images are periodic, or flat at the border, the answer is the exact peak of their circular cross-correlation.
Where they are not, that peak is wrong by tenths of a pixel at any signal (what leaves on one side does not come back on
the other), so `register_images` then correlates only what both images have: the fit of `chi2_shift` without errors.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError, FrameError
from rtreg.estimators.acquire import DETECTION
from rtreg.estimators.correlate import Correlation, RealPair, check_reach, periodic
from rtreg.estimators.pair import (
    Loaded,
    anywhere,
    check_shapes,
    no_match,
    register_pair,
    weights_of,
)
from rtreg.fft_tools import get_ffts
from rtreg.fft_tools.shift import shiftnd

__all__ = ["dftregistration", "register_images"]

Image = npt.NDArray[Any]


def register_images(
    im1: npt.ArrayLike,
    im2: npt.ArrayLike,
    usfac: int = 1,
    return_registered: bool = False,
    return_error: bool = False,
    zeromean: bool = True,
    DEBUG: bool = False,
    maxoff: float | None = None,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
) -> list[Any]:
    """How far `im2` has moved against `im1`, by cross-correlation.

    Parameters
    ----------
    im1, im2 : (ny, nx) arrays of one shape, any integer or float dtype
        NaN and masked pixels are ignored. Never written to.
    usfac : int
        The answer is rounded to 1/usfac px; 1 gives whole pixels.
    return_registered, return_error : bool
        See below.
    zeromean
        No effect, since means never count; kept for calls that pass it.
    DEBUG
        No effect.
    maxoff : float, optional
        Largest shift along each axis to look for, px of the image.
    nthreads, use_numpy_fft
        Threads of FFTW; NumPy's transforms instead.

    Returns
    -------
    dx, dy : float
        px; positive when the content of `im2` lies at larger x, y than that of `im1`: shift `im2` by ``(-dx, -dy)`` to
        align it. NaN, with a RuntimeWarning that says why, where nothing can be measured.
    ex, ey : float
        With `return_error`: 1-sigma errors, px, from the noise that the residuals show, rounding to 1/usfac included.
    registered : (ny, nx) array
        With `return_registered`: `im2` moved back onto `im1` by a Fourier shift; NaN where there is no answer.

    Raises
    ------
    FrameError, ConfigError
        Both are ValueErrors: shapes that differ, a dtype or option without meaning, `usfac` not a whole number.

    References
    ----------
    Guizar-Sicairos, Thurman & Fienup 2008, doi 10.1364/OL.33.000156.
    """
    factor = _check_factor(usfac)
    reference, frame = Loaded(im1, "im1"), Loaded(im2, "im2")
    check_shapes(reference.shape, frame.shape)
    check_reach(maxoff)
    trouble = reference.trouble or frame.trouble
    dx = dy = ex = ey = math.nan
    if not trouble and not periodic(reference.work, frame.work):
        match = register_pair(reference, frame, weights_of(None, frame), None, max_shift=maxoff)
        dx, dy, (ex, ey), trouble = match.dx, match.dy, match.sigma, match.trouble
    elif not trouble:
        pair = RealPair(reference.work, frame.work, threads=nthreads, use_numpy=use_numpy_fft)
        at = pair.correlation.refine(*pair.correlation.whole_pixel(maxoff))
        dx, dy = at.dx, at.dy
        score = pair.score(at)
        trouble = "" if score > DETECTION else no_match(score)
        if return_error:
            (xx, _), (_, yy) = anywhere(frame.shape, maxoff) if trouble else pair.covariance(at)
            ex, ey = math.sqrt(xx), math.sqrt(yy)
    if trouble:
        warnings.warn(f"register_images: {trouble}", RuntimeWarning, stacklevel=2)
    dx, dy = _rounded(dx, factor), _rounded(dy, factor)
    answer: list[Any] = [dx, dy]
    if return_error:
        answer += [math.hypot(e, 1.0 / (math.sqrt(12.0) * factor)) for e in (ex, ey)]
    if return_registered:
        moved = math.isfinite(dx) and math.isfinite(dy)
        back = (-dy, -dx) if moved else (0.0, 0.0)
        registered = shiftnd(im2, back, nthreads=nthreads, use_numpy_fft=use_numpy_fft)
        answer.append(registered if moved else np.full_like(registered, np.nan))
    return answer


def dftregistration(
    buf1ft: npt.ArrayLike,
    buf2ft: npt.ArrayLike,
    usfac: int = 1,
    return_registered: bool = False,
    return_error: bool = False,
    zeromean: bool = True,
    DEBUG: bool = False,
    maxoff: float | None = None,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
) -> list[Any]:
    """The peak of the circular cross-correlation of two images, from their transforms.

    Parameters
    ----------
    buf1ft, buf2ft : (ny, nx) complex arrays
        ``numpy.fft.fft2`` of reference and image. A constant phase between them does not count.
    usfac, return_registered, return_error, zeromean, DEBUG, maxoff, nthreads, use_numpy_fft
        As in `register_images`.

    Returns
    -------
    row, column : float
        What to move the **second** image by to align it, px: minus `register_images`, and y first.
    error_row, error_column : float
        With `return_error`: 1-sigma, px; from the residuals, for noise that is even over the image.
    registered : (ny, nx) complex array
        With `return_registered`: the transform of the second image, aligned, its phase that of the first.

    Raises
    ------
    FrameError, ConfigError
        As `register_images`.
    """
    factor = _check_factor(usfac)
    check_reach(maxoff)
    first, second = np.asarray(buf1ft), np.asarray(buf2ft)
    if first.ndim != 2 or first.shape != second.shape or first.size == 0:
        raise FrameError(f"transforms must be 2-D and of one shape: {first.shape} and {second.shape}")
    cross = np.conj(first) * second
    cross[0, 0] = 0.0
    trouble = _trouble_of(cross)
    if trouble:
        warnings.warn(f"dftregistration: {trouble}", RuntimeWarning, stacklevel=2)
        nothing = [math.nan] * (4 if return_error else 2)
        return nothing + ([np.full_like(cross, np.nan)] if return_registered else [])
    _, ifftn = get_ffts(nthreads, use_numpy_fft)
    surface = ifftn(cross)
    correlation = Correlation(cross, first.shape, np.abs(surface))
    place = correlation.whole_pixel(maxoff)
    phase = surface[place] / abs(surface[place])
    correlation.cross *= np.conj(phase)
    at = correlation.refine(*place)
    dy, dx = _rounded(at.dy, factor), _rounded(at.dx, factor)
    answer: list[Any] = [-dy, -dx]
    if return_error:
        errors = _even_noise(first, second, at.height, at.curvature)
        answer += [math.hypot(e, 1.0 / (math.sqrt(12.0) * factor)) for e in errors]
    if return_registered:
        ny, nx = first.shape
        turn = np.exp(2j * np.pi * (np.fft.fftfreq(ny)[:, None] * dy + np.fft.fftfreq(nx)[None, :] * dx))
        answer.append(second * turn * np.conj(phase))
    return answer


def _even_noise(
    first: Image, second: Image, height: float, curvature: tuple[float, float, float]
) -> tuple[float, float]:
    """1-sigma (y, x), px, for white noise of the strength that the best fit leaves."""
    energies = [float(np.sum(np.abs(f) ** 2) - abs(f[0, 0]) ** 2) / f.size for f in (first, second)]
    scale = height / energies[0]
    variance = max(energies[1] - scale * height, 0.0) / max(first.size - 4, 1)
    yy, yx, xx = curvature
    det = yy * xx - yx * yx
    if not (det > 0.0 and yy < 0.0 and scale > 0.0):
        return math.nan, math.nan
    return math.sqrt(variance * -xx / (det * scale)), math.sqrt(variance * -yy / (det * scale))


def _trouble_of(cross: Image) -> str:
    if not np.isfinite(cross).all():
        return "a transform is not finite: the image has NaN pixels"
    return "" if cross.any() else "an image is constant: there is nothing in it to follow"


def _rounded(value: float, factor: int) -> float:
    return round(value * factor) / factor if math.isfinite(value) else math.nan


def _check_factor(usfac: object) -> int:
    if isinstance(usfac, (int, float, np.integer, np.floating)) and usfac >= 1 and int(usfac) == usfac:
        return int(usfac)
    raise ConfigError(f"usfac = {usfac!r}: a whole number from 1 up; the answer is rounded to 1/usfac px")
