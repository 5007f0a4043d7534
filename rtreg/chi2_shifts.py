"""Shifts by chi²: the seed's `chi2_shift` family, over the estimators' own fit of a pair of images.

``chi²(dx, dy) = sum_p (im2(p) - im1(p - d))² / err(p)²``: `im1` is the model, `err` belongs to `im2`. The fit adds a
photometric scale and offset, so that neither a different exposure nor a different background is taken for a shift.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError, FrameError
from rtreg.estimators.pair import Boundary, Loaded, Match, check_boundary, check_shapes, register_pair, weights_of
from rtreg.fft_tools import correlate2d

__all__ = ["chi2_shift", "chi2_shift_iterzoom", "chi2map_to_errors", "chi2n_map"]

Image = npt.NDArray[Any]
Grid = tuple[Image, Image, Image]  # x, y, chi²

WIDEST_MESH = 12.0  # px: up to here the chi² itself is evaluated, beyond the whole-pixel map is interpolated
MESH = 16  # points across a grid where chi² is evaluated; it is smooth between them
COARSEST_MESH = 0.5  # px: the square of a sampled image needs twice its samples
HUGE = 2**26  # pixels: a complex transform of more takes over a gigabyte
LEAST_SIGMA = 1e-6  # px: keeps the grid of a perfect fit wider than a point

_log = logging.getLogger(__name__)


def chi2_shift(
    im1: npt.ArrayLike,
    im2: npt.ArrayLike,
    err: npt.ArrayLike | None = None,
    upsample_factor: int | Literal["auto"] = "auto",
    boundary: str | None = None,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    zeromean: bool = False,
    nfitted: int = 2,
    verbose: bool = False,
    return_error: bool = True,
    return_chi2array: bool = False,
    max_auto_size: int = 512,
    max_nsig: float = 1.1,
    allow_huge: bool = False,
) -> list[Any]:
    """How far `im2` has moved against `im1`: the minimum of chi², with its error.

    Parameters
    ----------
    im1, im2 : (ny, nx) arrays of one shape, at least 8 x 8, any integer or float dtype
        Model and measured image. NaN and masked pixels are ignored. Never written to.
    err : (ny, nx) array or float, optional
        1-sigma error of each pixel of `im2`, in its units. Pixels whose error is 0, NaN or infinite are ignored.
        Without it, noise that may grow with the signal is estimated from the residuals.
    upsample_factor : int or "auto"
        Points a pixel of the chi² array; "auto": the 1-sigma contour fills half of it. The shift itself is exact.
    boundary : {None, "wrap", "constant", "reflect", "nearest"}
        What `im1` does past its border. None: nothing is known there; only pixels that both images have count, so
        new content at the border biases nothing. "wrap": it is periodic; "constant": 0; "reflect": mirrored, the edge
        pixel twice; "nearest": the edge pixel.
    nthreads, use_numpy_fft
        Of the map that a wide chi² array is read from, see `chi2n_map`; the fit takes no FFT but the search's.
    zeromean
        No effect on the shift, since the fit has an offset of its own; kept for calls that pass it.
    nfitted : int
        Degrees of freedom of the contour that "auto" fits into the chi² array.
    verbose : bool
        Log what was found (logger ``rtreg.chi2_shifts``, level INFO).
    return_error, return_chi2array : bool
        See below.
    max_auto_size : int
        Side of the chi² array with "auto".
    max_nsig : float
        Sigma of the contour that "auto" fits into the chi² array.
    allow_huge : bool
        Without it, images of more than 2**26 pixels are refused, since the memory for them is worth a thought.

    Returns
    -------
    dx, dy : float
        px; positive when the content of `im2` lies at larger x, y than that of `im1`: shift `im2` by ``(-dx, -dy)`` to
        align it. NaN, with a RuntimeWarning that says why, where nothing can be measured.
    ex, ey : float
        With `return_error`: 1-sigma errors, px, from the Fisher information of the fit; NaN where unknown. `im1`
        counts as free of noise: if it is not, put its noise into `err`.
    (x, y, chi2) : tuple of 2-D arrays
        With `return_chi2array`: chi² about its minimum, and where: x, y are **minus** the shift, as in `chi2n_map`.

    Raises
    ------
    FrameError, ConfigError
        Both are ValueErrors: shapes that differ or are too small, a dtype or an option without meaning.

    See Also
    --------
    rtreg.register : the same for a camera's noise model, and for a noisy reference.

    Examples
    --------
    >>> import numpy as np, rtreg
    >>> y, x = np.indices([100, 100])
    >>> image = np.exp(-((x - 50.0) ** 2 + (y - 50.0) ** 2) / 18.0) * 20
    >>> noise = np.random.default_rng(1).normal(0, 1, (100, 100))
    >>> dx, dy, ex, ey = rtreg.chi2_shift(image, np.roll(image, (12, 5), (0, 1)) + noise)
    >>> bool(abs(dx - 5) < 4 * ex), bool(abs(dy - 12) < 4 * ey)
    (True, True)
    """
    factor = _check_factor(upsample_factor)
    _check_size(im1, allow_huge)
    found = _Measurement(im1, im2, err, boundary, verbose)
    if not return_chi2array:
        return found.answer(return_error)
    shape: tuple[int, int] = found.frame.shape
    if factor is None:
        reach = math.sqrt(_delta_chi2(max_nsig, nfitted)) * found.largest_sigma
        shape, density = (max_auto_size, max_auto_size), max_auto_size / (4.0 * reach)
    else:
        shape, density = shape if factor < shape[0] else (2 * factor, 2 * factor), float(factor)
    return [*found.answer(return_error), found.grid(shape, density, nthreads, use_numpy_fft)]


def chi2_shift_iterzoom(
    im1: npt.ArrayLike,
    im2: npt.ArrayLike,
    err: npt.ArrayLike | None = None,
    upsample_factor: int | Literal["auto"] = "auto",
    boundary: str | None = None,
    nthreads: int = 1,
    use_numpy_fft: bool = False,
    zeromean: bool = False,
    verbose: bool = False,
    return_error: bool = True,
    return_chi2array: bool = False,
    zoom_shape: Sequence[int] = (10, 10),
    rezoom_shape: Sequence[int] = (100, 100),
    rezoom_factor: float = 5,
    mindiff: float = 1,
    zoomstep: float = 2,
    allow_huge: bool = False,
) -> list[Any]:
    """The same answer as `chi2_shift`; the chi² array is chosen by zooming in until it is flat.

    Parameters
    ----------
    im1, im2, err, boundary, zeromean, verbose, return_error, nthreads, use_numpy_fft, allow_huge
        As in `chi2_shift`.
    upsample_factor
        Accepted; the zoom is chosen by `mindiff`.
    zoom_shape, mindiff, zoomstep
        The zoom grows by factors of `zoomstep` until chi² rises by less than `mindiff` from the centre of an array of
        `zoom_shape` to its edge.
    rezoom_shape, rezoom_factor
        Shape (ny, nx) of the chi² array, and how much finer it is than that zoom.

    Returns
    -------
    dx, dy, ex, ey
        As `chi2_shift`.
    (x, y, chi2) : tuple of 2-D arrays
        With `return_chi2array`: chi² and where; here x, y are the shift itself, px.

    Raises
    ------
    FrameError, ConfigError
        As `chi2_shift`.
    """
    _check_factor(upsample_factor)
    if not (mindiff > 0 and zoomstep > 1 and rezoom_factor > 0):
        raise ConfigError(
            f"mindiff = {mindiff}, zoomstep = {zoomstep}, rezoom_factor = {rezoom_factor}: above 0, 1 and 0"
        )
    _check_size(im1, allow_huge)
    found = _Measurement(im1, im2, err, boundary, verbose)
    if not return_chi2array:
        return found.answer(return_error)
    finest = max(zoom_shape) / (2.0 * found.largest_sigma * math.sqrt(mindiff))
    zoom = float(zoomstep) ** max(0, math.ceil(math.log(finest, zoomstep)))
    shape = (int(rezoom_shape[0]), int(rezoom_shape[1]))
    x, y, values = found.grid(shape, zoom * rezoom_factor, nthreads, use_numpy_fft)
    return [*found.answer(return_error), (-x, -y, values)]


def chi2n_map(
    im1: npt.ArrayLike,
    im2: npt.ArrayLike,
    err: npt.ArrayLike | None = None,
    boundary: str | None = None,
    nthreads: int = 1,
    zeromean: bool = False,
    use_numpy_fft: bool = False,
    return_all: bool = False,
    reduced: bool = False,
    allow_huge: bool = False,
) -> Any:
    """chi² of every whole-pixel shift, by FFT in float64.

    Parameters
    ----------
    im1, im2, err, boundary
        As in `chi2_shift`; without `err` it is 1 everywhere. Where pixels drop out (with None those that `im1` does not
        reach, always bad ones), chi² is scaled up to the weight of all, so that shifts compare.
    nthreads, use_numpy_fft
        See `rtreg.fft_tools.get_ffts`.
    zeromean : bool
        Subtract each image's mean first; without, a difference in background counts as misfit.
    return_all : bool
        Return the three terms too.
    reduced : bool
        Divide by the number of pixels less 2.
    allow_huge : bool
        As in `chi2_shift`; the map takes about ten times the memory of a float64 image.

    Returns
    -------
    chi2 : (ny, nx) float64 array
        The minimum lies at the centre **minus** the shift; the centre is ``(n - 1) // 2``.
    term1 : float
        ``sum im2² / err²``.
    term2 : (ny, nx) array
        ``-2 sum im1(p - d) im2(p) / err(p)²``.
    term3 : (ny, nx) array or float
        ``sum im1(p - d)² / err(p)²``, and what makes the three add up to `chi2` where pixels drop out. A float when it
        does not depend on the shift.

    Raises
    ------
    FrameError, ConfigError
        As `chi2_shift`.
    """
    check_boundary(boundary)
    _check_size(im1, allow_huge)
    model, data = _as_float(im1), _as_float(im2)
    check_shapes(model.shape, data.shape)
    good1, good2 = np.isfinite(model), np.isfinite(data)
    if zeromean:
        model, data = model - np.mean(model, where=good1), data - np.mean(data, where=good2)
    weights = _inverse_variance(err, data.shape) * good2
    model, data = np.where(good1, model, 0.0), np.where(good2, data, 0.0)

    def correlate(image: Image, kernel: Image, outside: float = 0.0) -> Image:
        return np.asarray(
            correlate2d(image, kernel, boundary or "constant", nthreads, use_numpy_fft, fill_value=outside)
        )

    term1 = float(np.sum(weights * data * data))
    term2 = -2.0 * correlate(model, weights * data)
    if boundary == "wrap" and good1.all() and np.ptp(weights) == 0.0:
        term3: Any = float(weights.flat[0] * np.sum(model * model))
    else:
        term3 = correlate(model * model, weights)
    if boundary is None or not good1.all():
        outside = 0.0 if boundary is None else 1.0
        here = good1.astype(np.float64)
        seen = correlate(here, weights, outside) / np.sum(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(seen > 1e-9, 1.0 / seen, np.nan)
        term2 = term2 * share
        term3 = (term3 + correlate(here, weights * data * data, outside)) * share - term1
    chi2 = term1 + term2 + term3
    if reduced:
        chi2 = chi2 / (data.size - 2.0)
    return (chi2, term1, term2, term3) if return_all else chi2


def chi2map_to_errors(
    chi2map: npt.ArrayLike, zoomfactor: float = 1.0, nsigma: float = 1, nfitted: int = 2
) -> tuple[float, float, float, float]:
    """Extent of the contour of ``nsigma`` about the minimum of a chi² map.

    Parameters
    ----------
    chi2map : (ny, nx) array
        With its minimum and the contour inside.
    zoomfactor : float
        Points of the map a pixel.
    nsigma : float
        Confidence, as that many sigma of a normal distribution.
    nfitted : int
        Degrees of freedom: 2 for the joint confidence of x and y, 1 for the error of each by itself.

    Returns
    -------
    ex_low, ex_high, ey_low, ey_high : float
        From the minimum to the contour's ends, px, all positive; between points of the map by interpolation. NaN where
        the contour leaves the map.
    """
    values = _as_float(chi2map)
    values = np.where(np.isnan(values), np.inf, values)
    if values.ndim != 2 or not np.isfinite(values).any():
        raise FrameError(f"chi2map is {values.shape} and must be 2-D, with a minimum: nothing in it is finite")
    level = _delta_chi2(nsigma, nfitted)
    ends: list[float] = []
    for axis in (0, 1):
        low, high = _extent(values.min(axis=axis), level)
        ends += [low / zoomfactor, high / zoomfactor]
    return ends[0], ends[1], ends[2], ends[3]


class _Measurement:
    """One call: the images, what the fit made of them, and the chi² about it."""

    def __init__(
        self, im1: npt.ArrayLike, im2: npt.ArrayLike, err: npt.ArrayLike | None, boundary: str | None, verbose: bool
    ) -> None:
        self.im1, self.im2, self.err = im1, im2, err
        self.boundary: Boundary | None = check_boundary(boundary)
        self.reference, self.frame = Loaded(im1, "im1"), Loaded(im2, "im2")
        check_shapes(self.reference.shape, self.frame.shape)
        trouble = self.reference.trouble or self.frame.trouble
        self.match = Match(trouble=trouble)
        if not trouble:
            self.match = register_pair(self.reference, self.frame, weights_of(err, self.frame), self.boundary)
        if self.match.trouble:
            warnings.warn(f"chi2_shift: {self.match.trouble}", RuntimeWarning, stacklevel=3)
        if verbose:
            _log.info("%s", self.match)

    @property
    def largest_sigma(self) -> float:
        """px; never 0 or NaN, since grids are sized by it."""
        return max((s for s in self.match.sigma if s > LEAST_SIGMA), default=LEAST_SIGMA)

    def answer(self, with_error: bool) -> list[Any]:
        """dx, dy and, on request, their errors."""
        return [self.match.dx, self.match.dy, *(self.match.sigma if with_error else ())]

    def grid(self, shape: tuple[int, int], density: float, nthreads: int, use_numpy_fft: bool) -> Grid:
        """chi² at `shape` points about the answer, `density` a px; x and y are minus the shift."""
        dy, dx = self.match.dy, self.match.dx
        y, x = ((np.arange(n) - n // 2) / density for n in shape)
        if self.match.pair is None:
            values = np.full(shape, np.nan)
        elif max(shape) / density <= WIDEST_MESH:
            values = self._mesh(dy - y, dx - x)
        else:
            values = self._interpolated(dy - y, dx - x, nthreads, use_numpy_fft)
        xx, yy = np.meshgrid(x - dx, y - dy)
        return xx, yy, values

    def _mesh(self, y: Image, x: Image) -> Image:
        """chi² evaluated on a coarse mesh of shifts, and interpolated."""
        nodes = []
        for ends in (y, x):
            low, high = float(ends.min()), float(ends.max())
            step = min(COARSEST_MESH, max((high - low) / MESH, LEAST_SIGMA))
            nodes.append(np.arange(-4, math.ceil((high - low) / step) + 5) * step + low)
        pair = self.match.pair
        assert pair is not None
        about = zip(nodes, (pair.fit.dy, pair.fit.dx), strict=True)
        reach = max(float(np.abs(places - centre).max()) for places, centre in about)
        chi2_at = pair.surface(reach, 1.0 / self.match.unit)
        values = np.array([[chi2_at(float(v), float(u)) for u in nodes[1]] for v in nodes[0]])
        return _spline(values, nodes[0], nodes[1], y, x)

    def _interpolated(self, y: Image, x: Image, nthreads: int, use_numpy_fft: bool) -> Image:
        """chi² read from the map of whole-pixel shifts; NaN beyond it."""
        err = self.frame.unit / math.sqrt(self.match.unit) if self.err is None else self.err
        model = self.match.scale * _as_float(self.im1) + self.match.offset
        values = chi2n_map(model, self.im2, err, self.boundary, nthreads, use_numpy_fft=use_numpy_fft, allow_huge=True)
        values = values[::-1, ::-1]
        nodes = [np.arange(n) - n // 2 for n in values.shape]  # reversed, the centre is n // 2 and shifts grow
        return _spline(values, nodes[0], nodes[1], y, x)


def _spline(values: Image, rows: Image, columns: Image, y: Image, x: Image) -> Image:
    """Cubic spline through `values` on the even mesh `rows` x `columns`, at (y, x); NaN outside the mesh."""
    low = float(np.nanmin(values)) if np.isfinite(values).any() else 0.0
    known = np.nan_to_num(values - low)
    out = known
    outside = []
    for nodes, places in ((rows, y), (columns, x)):
        step = float(nodes[1] - nodes[0])
        at = (places - nodes[0]) / step
        # coefficients from the even mesh, then values at the places: two matrices for each axis
        out = (_basis(at, nodes.size) @ np.linalg.solve(_basis(np.arange(nodes.size), nodes.size), out)).T
        outside.append((at < -1e-9) | (at > nodes.size - 1 + 1e-9))
    out = out + low
    out[outside[0][:, None] | outside[1][None, :]] = np.nan
    return out


def _basis(at: Image, n: int) -> Image:
    """Cubic B-splines about 0 .. n-1 at the positions `at`, mirrored at the ends: (at.size, n)."""
    mirrored = np.arange(-1, n + 1)
    distance = np.abs(np.asarray(at, np.float64)[:, None] - mirrored[None, :])
    bump = np.where(distance < 1, 2 / 3 - distance**2 + distance**3 / 2, np.maximum(2 - distance, 0) ** 3 / 6)
    out = bump[:, 1:-1].copy()
    out[:, min(1, n - 1)] += bump[:, 0]
    out[:, max(n - 2, 0)] += bump[:, -1]
    return np.asarray(out)


def _extent(profile: Image, level: float) -> tuple[float, float]:
    """Distances, in samples, from the minimum of a profile to where it has risen by `level`, to either side."""
    k = int(np.argmin(profile))
    least, place = float(profile[k]), float(k)
    if 0 < k < profile.size - 1:
        rise, curvature = profile[k + 1] - profile[k - 1], profile[k + 1] + profile[k - 1] - 2 * profile[k]
        if curvature > 0:
            place = k - 0.5 * rise / curvature
            least -= 0.125 * rise * rise / curvature
    root = np.sqrt(np.maximum(profile - least, 0.0))  # a parabola's root is straight: exact between samples
    ends = []
    for part, sign in ((np.arange(k, -1, -1), -1.0), (np.arange(k, profile.size), 1.0)):
        above = np.flatnonzero(root[part] >= math.sqrt(level))
        if above.size == 0:
            ends.append(math.nan)
            continue
        j = int(above[0])
        if j == 0:
            ends.append(abs(place - k) * math.sqrt(level) / max(float(root[k]), 1e-300))
            continue
        inner, outer = float(root[part[j - 1]]), float(root[part[j]])
        inner = math.copysign(inner, -1.0) if j == 1 and (place - k) * sign > 0 else inner
        fraction = (math.sqrt(level) - inner) / (outer - inner)
        ends.append(abs(float(part[j - 1]) + sign * fraction - place))
    return ends[0], ends[1]


def _delta_chi2(nsigma: float, nfitted: int) -> float:
    """Rise of chi² that `nfitted` parameters together exceed as seldom as a normal deviate exceeds `nsigma`."""
    if not (nsigma > 0 and nfitted >= 1 and nfitted == int(nfitted)):
        raise ConfigError(f"nsigma = {nsigma}, nfitted = {nfitted}: a positive number, and a whole one from 1 up")
    if nfitted == 1:
        return float(nsigma) ** 2
    wanted = _log_tail(1, float(nsigma) ** 2)
    low, high = 0.0, 2.0 * float(nsigma) ** 2 + 20.0 * nfitted + 20.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _log_tail(int(nfitted), middle) > wanted else (low, middle)
    return 0.5 * (low + high)


def _log_tail(k: int, x: float) -> float:
    """Logarithm of the probability that chi² of k degrees of freedom exceeds x."""
    h = 0.5 * x
    if k % 2:
        root = math.sqrt(h)
        # far out, where erfc is 0, its asymptotic series
        tail = math.erfc(root)
        log_tail = math.log(tail) if tail > 0 else -h - math.log(root * math.sqrt(math.pi)) - 0.5 / h
        powers = [(i + 0.5) for i in range((k - 1) // 2)]
    else:
        log_tail, powers = -h, [float(i) for i in range(1, k // 2)]
    terms = [log_tail] + [p * math.log(h) - h - math.lgamma(p + 1.0) for p in powers if h > 0]
    top = max(terms)
    return top + math.log(sum(math.exp(t - top) for t in terms))


def _inverse_variance(err: npt.ArrayLike | None, shape: tuple[int, ...]) -> Image:
    """1 / err² in float64, 0 where err is 0, NaN, infinite or masked."""
    errors = np.ones(shape) if err is None else np.abs(_as_float(err))
    if errors.ndim and errors.shape != shape:
        raise FrameError(f"err is {errors.shape} but the image is {shape}")
    good = (errors > 0) & np.isfinite(errors)
    if not good.any():
        raise FrameError("err has no usable value: each is 0, NaN or infinite")
    out = np.zeros(errors.shape)
    np.divide(1.0, errors, out=out, where=good)
    return np.broadcast_to(out * out, shape).copy()


def _as_float(image: npt.ArrayLike) -> Image:
    """`image` in float64, NaN where it is masked."""
    if isinstance(image, np.ma.MaskedArray):
        return np.asarray(np.ma.filled(image.astype(np.float64), np.nan))
    return np.asarray(image, np.float64)


def _check_size(image: npt.ArrayLike, allow_huge: bool) -> None:
    if not allow_huge and np.size(image) > HUGE:
        raise FrameError(f"image has {np.size(image)} pixels, more than {HUGE}: pass allow_huge=True to use the memory")


def _check_factor(upsample_factor: object) -> int | None:
    """The factor as an int, None for "auto"."""
    if isinstance(upsample_factor, str) and upsample_factor == "auto":
        return None
    if isinstance(upsample_factor, (int, float, np.integer, np.floating)) and upsample_factor >= 1:
        whole = int(upsample_factor)
        if whole == upsample_factor:
            return whole
    raise ConfigError(f"upsample_factor = {upsample_factor!r}: a whole number from 1 up, or 'auto'")
