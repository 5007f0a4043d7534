"""One star followed by its windowed centroid: a few hundred pixels a frame, whatever the size of the frame.

The star, its width and the window are the reference's; a frame's shift is how far the same centroid has moved. What the
star looks like does not matter for that: a centroid moves with whatever is in its window. It decides how close to the
bound the answer comes, and the error bar is that of the star as it is, not of the Gaussian that the window is made for.

Only what is safe is answered here. With a bad pixel in the window, or a star that is not where it was or as bright,
the caller takes the fit instead.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg.estimators.noise_map import PixelNoise
from rtreg.estimators.track import Fit
from rtreg.kernels import box, bspline, centroid, gauss_newton
from rtreg.kernels.prepare import Calibration

Image = npt.NDArray[Any]

PASSES = 12
REACH = 4.0  # px: farther than that from one frame to the next, it may be another star
HALF_WIDTHS = 4.0  # of the window: at 20 000 electrons a star's own photons still make half of the noise at 3 sigma
PAD = 3  # px of spline round the window: fraction and taps
TAIL = 12  # px: so far the spline's prefilter reaches
ROOM = 12  # px from the border: the brightest spot is looked for inside, if the image is large enough
NARROWEST, WIDEST = 0.5, 1 / 10  # sigma of a star, px, and of the image's shorter side
FIRST_WIDTH, WIDTH_ROUNDS, WIDTH_STEP = 1.5, 40, 1.4
LEAST_EXPLAINED = 0.6  # of the structure in the window, by one Gaussian: else it is no star
LEAST_SIGNIFICANCE = 6.0  # of its height in the reference: below that noise has such spots
DIMMING = 2.0  # by more than this factor in one frame: look again with more care


class Spot(NamedTuple):
    """A star as a Gaussian: its place and sigma, px."""

    y: float
    x: float
    width: float


def brightest(reference: Image, good: Image, variance: Image) -> Spot | None:
    """The brightest star of an image with room for its window; None when it looks like none, or is cut by something.

    Parameters
    ----------
    reference : (ny, nx) float32
    good : (ny, nx) bool
    variance : (ny, nx) float32
        Of the reference's own pixels.
    """
    sums = np.empty(reference.shape, np.float32)
    box.box_sum(np.where(good, reference, np.float32(np.mean(reference, where=good))), 1, sums)
    room = min(ROOM, min(reference.shape) // 4)
    inner = sums[room:-room, room:-room]
    y, x = (int(i) + room for i in np.unravel_index(np.argmax(inner), inner.shape))
    spot = Spot(float(y), float(x), FIRST_WIDTH)
    for _ in range(WIDTH_ROUNDS):
        window = _window(spot, reference.shape)
        if window is None or not good[window].all():
            return None
        new, explained = _moments(reference[window], variance[window], spot, window)
        if not (NARROWEST <= new.width <= WIDEST * min(reference.shape)):
            return None
        settled = max(abs(new.y - spot.y), abs(new.x - spot.x), abs(new.width - spot.width)) < 1e-3 * spot.width
        spot = new
        if settled:
            return spot if explained >= LEAST_EXPLAINED else None
    return None


def _window(spot: Spot, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """The pixels of a star's window, with the spline's pad; None when they are not all in the image."""
    reach = _half(spot.width) + PAD
    if not (math.isfinite(spot.y) and math.isfinite(spot.x)):
        return None
    top, left = round(spot.y) - reach, round(spot.x) - reach
    bottom, right = top + 2 * reach + 1, left + 2 * reach + 1
    inside = top >= 0 and left >= 0 and bottom <= shape[0] and right <= shape[1]
    return np.s_[top:bottom, left:right] if inside else None


def _half(width: float) -> int:
    return math.ceil(HALF_WIDTHS * width) + 1


def _moments(image: Image, variance: Image, spot: Spot, window: tuple[slice, slice]) -> tuple[Spot, float]:
    """One round of adaptive moments: a better spot, and how much of the structure this one explains.

    Under a Gaussian window as wide as the star, the product is narrower by the root of 2: twice the moments.
    """
    v = np.arange(window[0].start, window[0].stop)[:, None] - spot.y
    u = np.arange(window[1].start, window[1].stop) - spot.x
    g = np.exp(-0.5 * (u * u + v * v) / spot.width**2)
    g0, i0 = g - g.mean(), image - image.mean(dtype=np.float64)
    a = float(np.sum(g0 * i0) / np.sum(g0 * g0))
    left = i0 - a * g0
    structure = float(np.sum(i0 * i0) - np.sum(variance, dtype=np.float64))
    explained = 1.0 - (float(np.sum(left * left) - np.sum(variance, dtype=np.float64))) / structure
    light = g * (left + a * g)
    total = float(np.sum(light))
    if not (total > 0.0 and a > 0.0 and structure > 0.0):
        return Spot(math.nan, math.nan, math.nan), 0.0
    square = max(0.0, float(np.sum(light * (u * u + v * v))) / total)  # both axes: sigma² of the product, twice
    width = min(max(math.sqrt(square), spot.width / WIDTH_STEP), spot.width * WIDTH_STEP)
    dy, dx = 2.0 * float(np.sum(light * v)) / total, 2.0 * float(np.sum(light * u)) / total
    return Spot(spot.y + dy, spot.x + dx, width), explained


class Star:
    """The star of a reference, to be found in frames.

    Parameters
    ----------
    reference : (ny, nx) float32
        Calibrated.
    spot : Spot
        Where in the reference, with all of its window inside: see `brightest`.
    noise : PixelNoise
    reference_frames : float
        How many frames were averaged into the reference; `inf` for a noise-free one.

    Attributes
    ----------
    significant : bool
        Whether the star stands out of the reference's noise far enough to be followed.

    Notes
    -----
    The mutable state: `fit`, overwritten by every `run`, and scratch. One thread.
    """

    mean = 0.0  # of the reference, that a `Fit`'s offset is relative to

    def __init__(self, reference: Image, spot: Spot, noise: PixelNoise, *, reference_frames: float) -> None:
        window = _window(spot, reference.shape)
        assert window is not None
        self.fit = Fit()
        n = 2 * _half(spot.width) + 1
        self._patch, self._model = np.empty((2, n, n), np.float32)
        self._bad = np.empty(n * n, np.int32)
        self._along = np.empty((2, n), np.float32)
        self._sums, self._state = np.zeros(14), np.zeros(11)
        self._rest = np.zeros((n + 2 * PAD, n + 2 * PAD), np.float32)
        share = 0.0 if math.isinf(reference_frames) else 1.0 / reference_frames
        quiet, ground = (float(np.median(_rim(image[window]))) for image in (noise.total, reference))
        corner = (window[0].start, window[1].start)
        self._y, self._x = spot.y, spot.x
        self._star = np.array([spot.width, quiet, noise.slope, 0.0, 0.0, 1.0, ground, share])
        ended = self._know_reference(reference, corner)
        height, error = self._star.item(centroid.REF_A), math.sqrt(self._state[centroid.AA] * (share or 1.0))
        self.significant = ended == gauss_newton.CONVERGED and height > LEAST_SIGNIFICANCE * error
        self._excess = (1.0, 1.0)
        if self.significant:
            self._rest = _spline(reference - self._gaussian(reference.shape, corner), window)
            self._excess = self._over_ideal(reference[window])
        self.structure = self._unexplained(reference[window])
        self._reference_errors = tuple(share * v for v in self._errors())

    def _know_reference(self, reference: Image, corner: tuple[int, int]) -> int:
        """Where the star is in the reference, how high and on what ground; again, with the weights for that height."""
        for _ in range(2):
            self._state[: centroid.B + 1] = self._y, self._x, *self._star[centroid.REF_A : centroid.SHARE]
            ended = self._measure(reference, Calibration(), REACH)
            self._y, self._x, height, ground = self._state[: centroid.B + 1].tolist()
            place = self._y - corner[0], self._x - corner[1]
            self._star[centroid.REF_Y : centroid.SHARE] = *place, height, ground
        return ended

    def run(self, pixels: Image, calibration: Calibration, dy: float, dx: float, scale: float) -> Fit | None:
        """Find the star about the shift (dy, dx); None when it cannot be told without a closer look.

        Parameters
        ----------
        pixels : (ny, nx) array
            Raw; only those of the window are looked at.
        calibration : Calibration
            What turns them into signal.
        scale : float
            How bright the star was in the last frame, over the reference.
        """
        star, state, fit = self._star, self._state, self.fit
        height, ground = star[centroid.REF_A : centroid.SHARE].tolist()
        state[: centroid.B + 1] = self._y + dy, self._x + dx, scale * height, ground
        if self._measure(pixels, calibration, REACH) != gauss_newton.CONVERGED:
            return None
        y, x, a, b, passes = state[: centroid.PASSES + 1].tolist()
        fit.dy, fit.dx, fit.scale = y - self._y, x - self._x, a / height
        if not 1.0 / DIMMING < fit.scale / scale < DIMMING:
            return None
        fit.offset = b - fit.scale * ground
        fit.chi2_dof = state.item(centroid.CHI2)
        fit.xx, fit.xy, fit.yy, fit.scale_variance = self._variances()
        fit.passes, fit.converged, fit.in_range = int(passes), True, True
        return fit

    def _variances(self) -> tuple[float, float, float, float]:
        """Of the last run: (xx, xy, yy) of the shift, px², the reference's noise included, and of the scale."""
        xx, xy, yy = (
            frame + of_reference for frame, of_reference in zip(self._errors(), self._reference_errors, strict=True)
        )
        return xx, xy, yy, self._state.item(centroid.AA) / self._star.item(centroid.REF_A) ** 2

    def _measure(self, pixels: Image, calibration: Calibration, reach: float) -> int:
        return centroid.measure(
            pixels, *calibration, self._star, self._rest, PASSES, reach, self._patch, self._bad, self._model,
            self._along, self._sums, self._state,
        )  # fmt: skip

    def _errors(self) -> tuple[float, float, float]:
        """(xx, xy, yy) that the noise of the last measured image makes, px²."""
        yy, xy, xx = self._state[centroid.YY : centroid.XX + 1].tolist()
        ex, ey = self._excess
        return ex * xx, math.sqrt(ex * ey) * xy, ey * yy

    def _unexplained(self, image: Image) -> float:
        """chi²/dof of a frame of which nothing is explained: the scale on which a misfit is large or small."""
        _, quiet, slope, _, _, _, ground, _ = self._star.tolist()
        light = np.maximum(image - ground, 0.0)
        return float(np.mean(light * light / (quiet + slope * light)))

    def _gaussian(self, shape: tuple[int, ...], corner: tuple[int, int]) -> Image:
        """The Gaussian on its background, float32, in an image (ny, nx) where the window begins at `corner`."""
        width, _, _, y, x, height, ground, _ = self._star.tolist()
        v, u = (np.arange(n) - c - at for n, c, at in zip(shape, (y, x), corner, strict=True))
        g = np.exp(-0.5 * (v / width) ** 2)[:, None] * np.exp(-0.5 * (u / width) ** 2)
        return np.asarray(height * g + ground, np.float32)

    def _over_ideal(self, image: Image) -> tuple[float, float]:
        """Variance along (x, y) over that of a star which is the window's own Gaussian.

        Of the moment ``S = sum p I`` the variance is ``sum p² v``, and a shift changes it by ``-sum p I'``: with the
        star's own slopes and light, instead of the Gaussian's.
        """
        width, quiet, slope, y, x, height, ground, _ = self._star.tolist()
        g = (self._gaussian(image.shape, (0, 0)) - ground) / height
        window = g / (quiet + slope * height * g)
        variance = np.maximum(quiet + slope * (image - ground), centroid.LEAST_VARIANCE * quiet)
        rest = np.empty((2, *image.shape), np.float32)
        bspline.gradients(self._rest, *rest)
        inner = np.s_[PAD:-PAD, PAD:-PAD]
        out = []
        for axis, at in ((1, x), (0, y)):
            along = np.expand_dims(np.arange(image.shape[axis]) - at, 1 - axis)
            p, slopes = (window * along)[inner], (height * g * along / width**2)[inner]
            real = np.sum(p * p * variance[inner]) / np.sum(p * (slopes - rest[axis][inner])) ** 2
            out.append(float(real * np.sum(p * slopes) * height / width**2))
        return out[0], out[1]


def find_star(reference: Image, good: Image, noise: PixelNoise, reference_frames: float) -> Star | None:
    """The star of a reference that frames can be measured by; None when none stands out. Parameters as `Star`'s."""
    share = 0.0 if math.isinf(reference_frames) else 1.0 / reference_frames
    spot = brightest(reference, good, noise.total * np.float32(share))
    if spot is None:
        return None
    star = Star(reference, spot, noise, reference_frames=reference_frames)
    return star if star.significant else None


def _spline(reference: Image, window: tuple[slice, slice]) -> Image:
    """Spline coefficients in the window, made with enough round it."""
    wide = tuple(slice(max(0, part.start - TAIL), part.stop + TAIL) for part in window)
    coefficients = np.empty(reference[wide].shape, np.float32)
    bspline.prefilter(np.ascontiguousarray(reference[wide]), True, coefficients)
    inner = tuple(slice(part.start - w.start, part.stop - w.start) for part, w in zip(window, wide, strict=True))
    return np.ascontiguousarray(coefficients[inner])


def _rim(image: Image) -> Image:
    """The outermost pixels of an image, three deep: there is no star in them."""
    rim = np.ones(image.shape, bool)
    rim[PAD:-PAD, PAD:-PAD] = False
    return image[rim]
