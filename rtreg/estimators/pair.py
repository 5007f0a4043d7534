"""One pair of images, once: their shift with an error for every pixel, and the chi² about it.

``chi²(d, a, b) = sum_p w(p) (frame(p) - a reference(p - d) - b)²``. Errors, masks and weights are the frame's. Where
the answer is wanted once, this is cheaper than `track.Tracker`, which prepares a reference for many frames, and it
takes what a live camera does not have: an error for every pixel, and a say in what the scene does past the border.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError, FrameError
from rtreg.estimators.acquire import DETECTION, Peak, Searcher
from rtreg.estimators.pixels import as_pixels
from rtreg.estimators.spline import kept_noise
from rtreg.estimators.track import MAX_PASSES, Fit
from rtreg.kernels import bspline, chi2, prepare
from rtreg.kernels.gauss_newton import CONTRACTION, ENOUGH, FINEST, MAX_STEP
from rtreg.noise import variance_line
from rtreg.records import NO_COVARIANCE, Covariance

Image = npt.NDArray[Any]
Boundary = Literal["wrap", "constant", "reflect", "nearest"]
PAD_MODE: dict[str, Any] = {"wrap": "wrap", "constant": "constant", "reflect": "symmetric", "nearest": "edge"}

SMALLEST = 8  # px: four parameters and the taps need that much
COARSEST = 64  # px: one search alone may be coarser than those that a lock depends on
BORDER = 1  # px beyond the taps that mirrored coefficients make wrong
TINY = 16  # px: below, there is no pixel to spare for that
PAD = 14  # px: what the spline's prefilter remembers, and the taps
REACH = 4.0  # px that a fit may walk from its start
WEIGHTS_OFF = 0.02  # px: beyond that weights are moved after the frame's pixels
OFF_ANCHOR = 0.75  # px: beyond that the reference is laid on the frame anew
INSTRUMENT = 2  # px on either side that the five-point gradient takes
GRADIENT_NOISE = 2 * (8**2 + 1) / 12**2  # what it does to the variance of white noise
SIGNAL_BINS = 32
NOISE_ROWS = 64  # rows that are enough to learn the noise from,
BLOCK = 32  # taken in blocks of this many from all over the frame,
HALO = 8  # px about them that the spline's prefilter remembers
ENOUGH_ROWS = 128  # for the first passes,
WIDEST_STRIDE = 4  # no further apart than this, or stars fall in between
ROUGH = 0.1  # px: from there on all rows count
MATRIX_REACH = 0.3  # px: further from where it was taken, the matrix is taken anew
CHANCE = 2.0  # sigma: a growth of the noise with the signal that is less may be none
FLAT_NOISE = 0.1  # growth of the variance over the range of the signal that weights need not follow


class Loaded:
    """An image in float32, mean 0 and scale 1 whatever its units, its bad pixels listed and filled.

    `trouble` says why it cannot be registered (all bad, constant); empty when it can.
    """

    def __init__(self, image: npt.ArrayLike, name: str) -> None:
        pixels = as_pixels(image, name)
        self.shape: tuple[int, int] = pixels.shape
        n_good, self.mean, low, high = chi2.survey(pixels)
        self.trouble, self.unit = "", 1.0
        if pixels.size == 0:
            raise FrameError(f"{name} is empty: its shape is {pixels.shape}")
        if n_good == 0:
            self.trouble = f"{name} has no good pixel: every one is NaN or masked"
        elif high == low:
            self.trouble = f"{name} is constant ({low:g}): there is nothing in it to follow"
        if self.trouble:
            return
        self.unit = max(high - self.mean, self.mean - low)
        self.low, self.high = self.level(low), self.level(high)  # of `work`
        self.work = np.empty(self.shape, np.float32)
        bad = np.empty(pixels.size - n_good, np.int32)
        chi2.load(pixels, self.mean, 1.0 / self.unit, self.work, bad)
        self.bad = bad
        if bad.size:
            prepare.patch(self.work, bad, bad.size, np.zeros(self.shape, bool))

    def level(self, value: float) -> float:
        """What `value`, in the image's own units, is in `work`."""
        return (value - self.mean) / self.unit


@dataclass(frozen=True, slots=True)
class Weights:
    """Inverse variances of a frame's pixels: `work` in units that float32 holds, and what to multiply them with."""

    work: Image  # (ny, nx) float32, largest 1
    unit: float  # of the weights, 1 / (image units)²; NaN when the noise is unknown
    even: bool  # whether all are 1

    @property
    def known(self) -> bool:
        """Whether they come from an error that was given."""
        return not math.isnan(self.unit)


def weights_of(err: npt.ArrayLike | None, frame: Loaded) -> Weights:
    """Weights from the 1-sigma error of the frame's pixels: an array, a scalar, or None for "unknown".

    Pixels whose error is 0, NaN or infinite, and those that are bad in the frame, get weight 0. The sign does not
    matter. Raises `FrameError` when a scalar is none of those a pixel can have, or an array has another shape.
    """
    work = np.ones(frame.shape, np.float32)
    unit = math.nan
    if err is not None and np.ndim(err) == 0:
        value = abs(float(np.asarray(err)))
        if not (0.0 < value < math.inf):
            raise FrameError(f"err = {value:g}: the error of a pixel is a positive number; None if it is unknown")
        unit = 1.0 / value**2
    elif err is not None:
        errors = np.abs(as_pixels(err, "err").astype(np.float64))
        if errors.shape != frame.shape:
            raise FrameError(f"err is {errors.shape} but the image is {frame.shape}")
        good = (errors > 0.0) & np.isfinite(errors)
        smallest = float(np.min(errors, where=good, initial=math.inf))
        unit = 1.0 / smallest**2 if smallest < math.inf else 0.0
        np.divide(smallest, errors, out=errors, where=good)
        work[:] = np.where(good, errors * errors, 0.0)
    if frame.bad.size:
        work.reshape(-1)[frame.bad] = 0.0
    return Weights(work, unit, not frame.bad.size and (err is None or np.ndim(err) == 0))


def check_shapes(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """Raise `FrameError` when two images are not of one shape."""
    if first != second:
        raise FrameError(f"images must have the same shape: the first is {first}, the second {second}")


def check_boundary(boundary: str | None) -> Boundary | None:
    """`boundary` if it is one, else `ConfigError`."""
    if boundary is not None and boundary not in get_args(Boundary):
        raise ConfigError(f"boundary = {boundary!r}: None, {', '.join(get_args(Boundary))}")
    return boundary  # type: ignore[return-value]


def search(
    reference: Loaded,
    frame: Loaded,
    weights: Image,
    boundary: Boundary | None,
    max_shift: float | None = None,
    *,
    smallest: int = COARSEST,
) -> tuple[Peak, int]:
    """The best whole-pixel shift of the frame, refined to a fraction of a bin, and the bin.

    The frame and its weights play the searcher's reference, since the weights are the frame's; so the shift found is
    that of the other, and is turned round here.
    """
    searcher = Searcher(frame.work, weights, max_shift, smallest=smallest, contrast=False, circular=boundary == "wrap")
    found = searcher.search(reference.work)
    found.dy, found.dx = -found.dy, -found.dx
    return found, searcher.bin


class PairFit:
    """Gauss-Newton fit of one pair about a start.

    The residual is the frame, interpolated, less ``a R + b``; its products with the reference's gradient are brought to
    zero. That gradient is an instrument, not a model: noise in either image moves nothing on average, and costs only
    what it must (see `kernels.chi2.moments`).

    Parameters
    ----------
    reference, frame : Loaded
    weights : Weights
        Of the frame's pixels.
    start : (dy, dx)
        px; the fit does not go further from it than `REACH`.
    boundary : Boundary or None
        What the reference does past its border; None: nothing is known there, and pixels that would need it do not
        count.
    """

    def __init__(
        self, reference: Loaded, frame: Loaded, weights: Weights, start: tuple[float, float], boundary: Boundary | None
    ) -> None:
        self.start, self.boundary = start, boundary
        self._reference, self._frame = reference, frame
        self._given, self._even = weights.work, weights.even
        self.slope = 0.0
        self._floor, self._range = reference.low, reference.high - reference.low
        self._sums, self._change, self._inverse = np.empty(chi2.SUMS), np.empty(4), np.empty((4, 4))
        self._lines = np.empty((chi2.LINES, 2 * max(frame.shape) + 4 * PAD), np.float32)
        self._pixels = frame.work if not frame.bad.size else frame.work.copy()
        self._coefficients, self._pad, self._margin = self._prefiltered()
        self._model: tuple[Image, tuple[int, int], int] | None = None
        self.fit = Fit()
        self._noise = np.empty((3, 0))
        self._matrix_at = start
        self._anchor((round(start[0]), round(start[1])))

    def run(self, start: tuple[float, float], unit: float) -> Fit:
        """Fit from `start` (dy, dx). `unit`: the weights times this are inverse variances.

        NaN if that is unknown: then the residuals of a first fit tell how the noise grows with the signal.
        """
        fit = self.fit
        fit.dy, fit.dx = start
        fit.scale, fit.offset, fit.passes, fit.converged, fit.in_range = 0.0, 0.0, 0, False, True
        stride = min(WIDEST_STRIDE, self.weights.shape[0] // ENOUGH_ROWS)
        if stride > 1 and not self._iterate(unit, stride, ROUGH):
            (fit.dy, fit.dx), fit.scale, fit.offset = start, 0.0, 0.0  # what there is may lie between the rows
        fit.converged = self._iterate(unit, 1)
        # only now: a shift that is still wrong would pass for noise that grows with the signal
        if fit.converged and math.isnan(unit) and self._learn_noise():
            fit.converged = self._iterate(unit, 1)
        return fit

    def _iterate(self, unit: float, stride: int, rough: float = 0.0) -> bool:
        """Passes over every `stride`-th row until the next step cannot matter, or is below `rough`, px."""
        fit, last = self.fit, math.inf
        for done in range(1, MAX_PASSES + 1):
            near = round(fit.dy), round(fit.dx)
            if max(abs(fit.dy - self._near[0]), abs(fit.dx - self._near[1])) > OFF_ANCHOR and near != self._near:
                self._anchor(near)
            length = self._step(fit, stride)
            away = max(abs(fit.dy - self.start[0]), abs(fit.dx - self.start[1]))
            if not length < math.inf or away > REACH:
                return False
            if self._frame.bad.size:
                self._refill()
            contraction = max(CONTRACTION, min(0.95, length / last)) if done > 1 else CONTRACTION
            # once the scale is known, steps shrink as the way from where the matrix is from: Newton's with their square
            way = max(length, self._from_matrix())
            remaining = min(length * contraction / (1.0 - contraction), 2.0 * length * way)
            settled = remaining <= max(FINEST, ENOUGH * self._smallest_sigma(unit))
            if fit.passes > 1 and (settled or length < rough):
                return True
            last = length
        return False

    def noise_level(self) -> float:
        """Variance of ``frame - scale reference`` that the residuals show, times the weights; NaN if they show none.

        Interpolating an image smooths its noise. So there are two residuals, with either image interpolated, and what
        the two lack is known: a share of both noises together, whichever image they come from.
        """
        counts, squares, signals = self._noise
        used = float(counts.sum())
        if used <= 4.0 or self.count <= 4.0:
            return math.nan
        square = float(np.sum(squares / np.maximum(1.0 + self.slope * signals / counts, 1e-3)))
        both = square / (used - 4.0) + self.square / (self.count - 4.0)
        mean = both / (1.0 + kept_noise(self.fit.dy) * kept_noise(self.fit.dx))
        return mean if mean > 0.0 else math.nan

    def _learn_noise(self) -> bool:
        """Let the variance follow the signal, as the residuals say; False when that changes nothing worth a fit."""
        self._noise = self._noise_by_signal()
        counts, squares, signals = self._noise
        self.slope = 0.0
        if counts.size < 2:
            return False
        p, q, chance = variance_line(counts, squares / counts, signals / counts, rounds=2)
        slope = q / max(p, 1e-6 * q * self._range) if q > CHANCE * chance else 0.0
        if slope * self._range > FLAT_NOISE:
            self.slope = slope
        return self.slope > 0.0

    def _noise_by_signal(self) -> Image:
        """Pixels, squared residuals and signals in bins of signal (3, bins), over blocks of rows that are enough."""
        fit, height = self.fit, self.weights.shape[0]
        low, high = np.float32(self._floor), np.float32(self._floor + self._range)
        scale, offset = np.float32(fit.scale), np.float32(fit.offset)
        total, bins = np.zeros((3, SIGNAL_BINS)), np.empty((3, SIGNAL_BINS))
        image, at = _laid(self._reference, self._near, self.boundary, PAD)
        fy, fx = fit.dy - self._near[0], fit.dx - self._near[1]
        blocks, stride = (1, 1) if height <= NOISE_ROWS else (NOISE_ROWS // BLOCK, 2)
        rows = height if blocks == 1 else BLOCK
        # the brightest pixel is in: how the noise grows with the signal is to be seen there
        bright = int(np.argmax(self._reference.work)) // self._reference.shape[1] + self._near[0] - rows // 2
        starts = [min(max(bright, 0), height - rows), *(k * (height - rows) // blocks for k in range(1, blocks))]
        for first in starts:
            top = max(0, first + at[0] - HALO)
            part = image[top : max(top, first + rows + at[0] + HALO)]
            if part.shape[0] < 4:
                continue
            coefficients = np.empty(part.shape, np.float32)
            bspline.prefilter(part, True, coefficients)
            chi2.noise_by_signal(
                self._pixels[first : first + rows], self.weights[first : first + rows], coefficients,
                first + at[0] - top - fy, at[1] - fx, BORDER if self.boundary is None else 0,
                scale, offset, low, high, stride, self._lines, bins,
            )  # fmt: skip
            total += bins
        return total[:, total[0] > 0]

    def covariance(self, level: float) -> tuple[float, float, float]:
        """(xx, xy, yy), px², where `level` / weight is the variance of a pixel; NaN when the pair does not say.

        The spread of the products counts the reference's noise twice, in the gradient and in the residual; the two do
        not add up in a sum over pixels, so what they seem to give together is taken out.
        """
        fit, total = self.fit, float(self._sums[6])
        own = max(-float(self._sums[27]) / (fit.scale * total), 0.0)  # the reference's variance, in weighted mean
        share = min(fit.scale**2 * own / level, 1.0) if level > 0.0 else 0.0
        spread = level * (self._spread() - np.diag([0.0, 0.0, 1.0, 1.0]) * (GRADIENT_NOISE * share * own * total))
        c = self._inverse @ spread @ self._inverse.T
        if not (c[2, 2] > 0.0 and c[3, 3] > 0.0):
            return math.nan, math.nan, math.nan
        return float(c[3, 3]), float(c[2, 3]), float(c[2, 2])

    def surface(self, reach: float, level: float) -> Callable[[float, float], float]:
        """chi² as a function of the shift (dy, dx), px, within `reach` of the answer; `level` as in `covariance`.

        With the photometry of the fit, and the reference interpolated, so that the frame's noise stays white. Its rise
        is taken over the pixels that the reference covers all the way, so that there are no steps, and scaled up to the
        information in the fit. The answer is its minimum.
        """
        image, origin, margin = self._model_of_reference()
        fit = self.fit
        weights = np.zeros_like(self.weights)
        rows, columns = (
            _covered(weights.shape[k], image.shape[k], origin[k] - at, reach, margin)
            for k, at in enumerate((fit.dy, fit.dx))
        )
        weights[rows, columns] = self.weights[rows, columns]
        h = 0.01
        s = [[self._chi2(weights, fit.dy + j * h, fit.dx + i * h)[0] for i in (-1, 0, 1)] for j in (-1, 0, 1)]
        g = np.array([s[2][1] - s[0][1], s[1][2] - s[1][0]]) / (2 * h)
        curve = np.array([s[2][1] + s[0][1] - 2 * s[1][1], s[1][2] + s[1][0] - 2 * s[1][1]]) / h**2
        off = [-a / b if b > 0.0 and abs(a) < b else 0.0 for a, b in zip(g.tolist(), curve.tolist(), strict=True)]
        least = self._chi2(weights, fit.dy + off[0], fit.dx + off[1])[0]
        lowest = self._chi2(self.weights, fit.dy, fit.dx)[0]
        xx, xy, yy = self.covariance(level)
        energy, det = float(curve.sum()), xx * yy - xy * xy
        grown = 2.0 * (xx + yy) / det / energy if energy > 0.0 and det > 0.0 else math.nan

        def chi2_at(dy: float, dx: float) -> float:
            return lowest / level + grown * (self._chi2(weights, dy + off[0], dx + off[1])[0] - least)

        return chi2_at

    def _anchor(self, near: tuple[int, int]) -> None:
        """Lay the reference on the frame by whole pixels; weights follow where its bad pixels come to lie."""
        self._near = near
        self.weights = self._given
        if self._reference.bad.size:
            self.weights = self._given.copy()
            chi2.blot(self.weights, self._reference.bad, near[0], near[1], self.boundary == "wrap")
        self._laid, self._at = _laid(self._reference, near, self.boundary, INSTRUMENT)
        self._model = None
        self._weights_at, self._moved = (0.0, 0.0), self.weights
        self._matrix_of: tuple[Any, ...] = ()

    def _prefiltered(self) -> tuple[Image, int, int]:
        """Spline coefficients of the frame, the pixels padded in front, and the margin to keep from their border."""
        image, pad, margin = self._pixels, 0, BORDER if min(self._pixels.shape) >= TINY else 0
        if self.boundary == "wrap":
            image, pad, margin = np.pad(image, PAD, mode="wrap"), PAD, 0
        out = np.empty(image.shape, np.float32)
        bspline.prefilter(image, True, out)
        return out, pad, margin

    def _model_of_reference(self) -> tuple[Image, tuple[int, int], int]:
        """Spline coefficients of the reference, its pixel under the frame's (0, 0) at shift 0, and the margin."""
        if self._model is None:
            image, at = _laid(self._reference, self._near, self.boundary, PAD)
            out = np.empty(image.shape, np.float32)
            bspline.prefilter(image, True, out)
            origin = at[0] + self._near[0], at[1] + self._near[1]
            self._model = out, origin, BORDER if self.boundary is None else 0
        return self._model

    def _refill(self) -> None:
        """Bad pixels of the frame get what the reference predicts: no residual, no say."""
        image, origin, _ = self._model_of_reference()
        fit, bad = self.fit, self._frame.bad
        y, x = origin[0] - fit.dy, origin[1] - fit.dx
        by, bx = (bspline.taps(v - math.floor(v)) for v in (y, x))
        prepare.repatch(self._pixels, bad, bad.size, image, fit.scale, fit.offset, -y, -x, by, bx)
        self._coefficients, _, _ = self._prefiltered()

    def _chi2(self, weights: Image, dy: float, dx: float) -> tuple[float, float]:
        """Sum of squares with the reference interpolated, and the number of pixels in it."""
        image, origin, margin = self._model_of_reference()
        fit, sums = self.fit, np.empty(2)
        chi2.chi2(
            self._pixels, weights, image, origin[0] - dy, origin[1] - dx, margin,
            np.float32(fit.scale), np.float32(fit.offset), np.float32(self._floor), np.float32(self.slope),
            self._lines, sums,
        )  # fmt: skip
        return float(sums[0]), float(sums[1])

    def _step(self, fit: Fit, stride: int) -> float:
        """One pass: improves `fit` and returns the length of the step, px; inf when there is none to take."""
        fy, fx = fit.dy - self._near[0], fit.dx - self._near[1]
        even = self._even and self.weights is self._given
        if not even and max(abs(fy - self._weights_at[0]), abs(fx - self._weights_at[1])) > WEIGHTS_OFF:
            self._weights_at, self._moved = (fy, fx), np.empty_like(self.weights)
            chi2.move_weights(self.weights, np.float32(fy), np.float32(fx), self._moved)
        # the matrix is taken once for each set of rows and weights; a step from nearby can do with it
        of = stride, self.slope, self._weights_at
        fresh = of != self._matrix_of or self._from_matrix() > MATRIX_REACH
        if fresh:
            self._matrix_of, self._matrix_at = of, (fit.dy, fit.dx)
        chi2.moments(
            self._laid, self._at[0], self._at[1], self._moved[:1] if even else self._moved,
            self._coefficients, self._pad, fy, fx, self._margin,
            np.float32(fit.scale), np.float32(fit.offset), np.float32(self._floor), np.float32(self.slope),
            stride, fresh, self._lines, self._sums,
        )  # fmt: skip
        fit.passes += 1
        self.count, self.square = float(self._sums[29]), float(self._sums[28])
        if self.count <= 8.0:
            fit.in_range = False
            return math.inf
        if not chi2.solve(self._sums, self._inverse, self._change):
            return math.inf
        step = self._change.tolist()
        fit.scale += step[0]
        fit.offset += step[1]
        length = math.hypot(step[2], step[3])
        if not (fit.scale > 0.0 and length < math.inf):
            return math.inf
        short = min(1.0, MAX_STEP / length) if length > 0.0 else 1.0
        fit.dy += step[2] * short
        fit.dx += step[3] * short
        return length

    def _from_matrix(self) -> float:
        """How far the fit is from where the matrix was taken, px."""
        return math.hypot(self.fit.dy - self._matrix_at[0], self.fit.dx - self._matrix_at[1])

    def _spread(self) -> Image:
        """``sum w A_i A_j``: the covariance of what is brought to zero, when the weights are inverse variances."""
        sums = self._sums.tolist()
        y1, x1, one, l1 = sums[11], sums[16], sums[6], sums[26]
        yy, yx, xx, ll, ly, lx = sums[20:26]
        return np.array([[ll, l1, ly, lx], [l1, one, y1, x1], [ly, y1, yy, yx], [lx, x1, yx, xx]])

    def _smallest_sigma(self, unit: float) -> float:
        level = self.square / max(self.count - 4.0, 1.0) if math.isnan(unit) else 1.0 / unit
        least = min(abs(float(self._inverse[2, 2])), abs(float(self._inverse[3, 3])))
        return math.sqrt(level * least / self.fit.scale)


@dataclass(frozen=True, slots=True)
class Match:
    """What `register_pair` found.

    `dx`, `dy` in px; `covariance` px², NaN where unknown; `scale` and `offset` are photometric, in the images' units;
    `trouble` says what speaks against it, empty when nothing does. `unit` makes the chi² of `pair` one.
    """

    dx: float = math.nan
    dy: float = math.nan
    covariance: Covariance = NO_COVARIANCE
    scale: float = math.nan
    offset: float = math.nan
    trouble: str = ""
    unit: float = math.nan
    pair: PairFit | None = None

    @property
    def sigma(self) -> tuple[float, float]:
        """1-sigma errors (x, y), px; NaN where unknown."""
        (xx, _), (_, yy) = self.covariance
        return math.sqrt(xx), math.sqrt(yy)


def register_pair(
    reference: Loaded,
    frame: Loaded,
    weights: Weights,
    boundary: Boundary | None,
    *,
    max_shift: float | None = None,
) -> Match:
    """Find and fit the shift of `frame` against `reference`, searching ± `max_shift` px (None: half the frame)."""
    if min(frame.shape) < SMALLEST:
        raise FrameError(f"image is {frame.shape}: registration needs at least {SMALLEST} x {SMALLEST} pixels")
    if not (weights.even or weights.work.any()):
        return Match(trouble="no pixel has a usable error: each is 0, NaN or infinite")
    pair, trouble = _found(reference, frame, weights, boundary, max_shift)
    fit = pair.fit
    if trouble or not fit.converged:
        reason = trouble or "the fit did not converge: whole-pixel answer, error unknown"
        place = (fit.dx, fit.dy) if fit.converged else (pair.start[1], pair.start[0])
        return Match(*place, covariance=anywhere(frame.shape, max_shift) if trouble else NO_COVARIANCE, trouble=reason)
    return _match(pair, reference, frame, weights)


def no_match(score: float) -> str:
    """The trouble with a peak no higher than noise makes them."""
    return f"no significant match: score {score:.3g}, {DETECTION:g} wanted; the answer may lie anywhere in the range"


def anywhere(shape: tuple[int, int], max_shift: float | None) -> Covariance:
    """Covariance, px², of an answer that may lie anywhere in the range of the search."""
    dy, dx = (n / 2 if max_shift is None else min(n / 2, max_shift) for n in shape)
    return (dx * dx / 3.0, 0.0), (0.0, dy * dy / 3.0)


def _found(
    reference: Loaded,
    frame: Loaded,
    weights: Weights,
    boundary: Boundary | None,
    max_shift: float | None,
) -> tuple[PairFit, str]:
    """A fit about the start that a search finds, and what speaks against it."""
    unit = weights.unit * frame.unit**2
    for smallest in (COARSEST, max(frame.shape)):  # binned, and if that leads nowhere, in full
        found, factor = search(reference, frame, weights.work, boundary, max_shift, smallest=smallest)
        place = found.dy, found.dx
        trouble = "" if found.score > DETECTION else no_match(found.score)
        pair = PairFit(reference, frame, weights, place, boundary)
        fit = pair.run(place, unit)
        away = max(abs(fit.dy - place[0]), abs(fit.dx - place[1]))
        if factor == 1 or (fit.converged and not trouble and away <= 1.0 + factor):
            break
    return pair, trouble


def _match(pair: PairFit, reference: Loaded, frame: Loaded, weights: Weights) -> Match:
    fit = pair.fit
    level = 1.0 / (weights.unit * frame.unit**2) if weights.known else pair.noise_level()
    xx, xy, yy = pair.covariance(level)
    scale = fit.scale * frame.unit / reference.unit
    return Match(
        dx=fit.dx,
        dy=fit.dy,
        covariance=((xx, xy), (xy, yy)),
        scale=scale,
        offset=frame.mean + fit.offset * frame.unit - scale * reference.mean,
        unit=1.0 / level,
        pair=pair,
    )


def _covered(size: int, available: int, first: float, reach: float, margin: int) -> slice:
    """Frame pixels that lie on the reference, from ``first`` on, wherever that moves within `reach`."""
    low = max(0, margin + 1 - math.floor(first - reach))
    return slice(low, max(low, min(size, available - margin - 2 - math.floor(first + reach))))


def _laid(
    reference: Loaded, near: tuple[int, int], boundary: Boundary | None, pad: int
) -> tuple[Image, tuple[int, int]]:
    """The reference moved by whole pixels, as it goes on past its border by `pad`; frame pixel p lies on ``p + at``."""
    if boundary is None:
        return reference.work, (-near[0], -near[1])
    if boundary == "wrap":
        return np.pad(np.roll(reference.work, near, (0, 1)), pad, mode="wrap"), (pad, pad)
    before = [pad + max(0, n) for n in near]
    widths = [(first, pad + max(0, -n)) for first, n in zip(before, near, strict=True)]
    extra = {"constant_values": reference.level(0.0)} if boundary == "constant" else {}
    padded = np.pad(reference.work, widths, mode=PAD_MODE[boundary], **extra)
    return padded, (before[0] - near[0], before[1] - near[1])
