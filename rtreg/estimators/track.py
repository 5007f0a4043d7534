"""Tracking: weighted inverse-compositional Gauss-Newton about one reference, no FFT.

The reference side is worked out once (templates, their prefilter, normal matrix, covariance); a frame then costs two
or three passes of `kernels.gauss_newton.project`. Method: Baker & Matthews 2004 (doi
10.1023/B:VISI.0000011205.11775.fd) with the B-spline prefilter moved onto the templates.

The templates are cut where a tap would leave the frame. Cut templates are still exact instruments: with
``A_i`` the cut template and ``P A_i`` what it weighs, ``M_ij = <P A_i, T_j>`` makes ``M^-1 <A, B I>`` unbiased, and the
covariance is ``M^-1 <P A_i, v P A_j> M^-T``. So one pixel of margin beyond the taps is enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.errors import FrameError
from rtreg.estimators.noise_map import PixelNoise
from rtreg.estimators.spline import CUBIC, Spline, kept_noise, sampled
from rtreg.estimators.wiener import NoiseFilter
from rtreg.kernels import box, bspline, gauss_newton, prepare

Image = npt.NDArray[Any]

MAX_PASSES = 20
JUDGED_ROWS = 64  # rows that a chi² is taken from: a few thousand pixels know it to 2 %
MIRROR_FELT = 8  # px from the border: so far a bright star cut by it shows in the residual
FILL_REACH = 2  # px: so far a filled pixel is felt in the spline
LEAST_JUDGING = 200  # pixels that a chi² needs to say something
LEAST_KEPT = 0.1  # of a diagonal after its noise is taken out: stated noise above the real must not break the fit
WAVES = (np.arange(4096) + 0.5) * np.pi / 4096  # radians a px, up to Nyquist
NOISY_INFORMATION = 0.03  # of the gradients' energy: with less noise than that in it, a reference needs no filter


@dataclass(slots=True)
class Fit:
    """The state of one fit; reused, so that a frame allocates nothing."""

    dy: float = math.nan
    dx: float = math.nan
    scale: float = math.nan
    offset: float = math.nan
    chi2_dof: float = math.nan
    passes: int = 0
    converged: bool = False
    in_range: bool = True


@dataclass(frozen=True, slots=True)
class Window:
    """Where the templates live (half-open, reference pixels), and the shifts they are valid for (closed, px)."""

    top: int
    bottom: int
    left: int
    right: int
    low: tuple[float, float]
    high: tuple[float, float]

    @classmethod
    def about(
        cls, dy: float, dx: float, slack: float, shape: tuple[int, int], inner: tuple[tuple[int, int], ...], reach: int
    ) -> Window:
        """The largest window inside `inner` whose taps stay in the frame for every shift within `slack` of (dy, dx).

        Taps lie at ``-reach ... reach + 1`` from the pixel that a position falls behind.
        """
        low, high = (dy - slack, dx - slack), (dy + slack, dx + slack)
        first = [max(start, reach - math.floor(v)) for (start, _), v in zip(inner, low, strict=True)]
        last = [min(stop, n - reach - 1 - math.floor(v)) for (_, stop), n, v in zip(inner, shape, high, strict=True)]
        return cls(first[0], last[0], first[1], last[1], low, high)

    def holds(self, dy: float, dx: float) -> bool:
        """Whether the templates are valid at this shift."""
        return self.low[0] <= dy <= self.high[0] and self.low[1] <= dx <= self.high[1]

    @property
    def empty(self) -> bool:
        """Too little overlap to fit four parameters with any sense."""
        return self.bottom - self.top < 4 or self.right - self.left < 4


class Tracker:
    """Gauss-Newton fits of translation, scale and offset about one reference.

    Parameters
    ----------
    reference : (ny, nx) float32
        Calibrated; bad pixels filled with something smooth.
    good : (ny, nx) bool
        False = weight 0.
    noise : PixelNoise
    reference_frames : float
        How many frames were averaged into the reference; `inf` for a noise-free one.
    slack : float
        How far the shift may move before the templates are cut anew, px.
    spline : Spline
        What frames are interpolated with.

    Notes
    -----
    The mutable state: the window with what was cut for it (`_window` ... `_covariance`), replaced by `prepare_for`, and
    scratch. Nothing else changes after construction. Not for use by two threads at once.
    """

    def __init__(
        self,
        reference: Image,
        good: Image,
        noise: PixelNoise,
        *,
        reference_frames: float = 1,
        slack: float = 0.5,
        spline: Spline = CUBIC,
    ) -> None:
        shape = reference.shape
        if min(shape) < 8:
            raise FrameError(f"image is {shape}: registration needs at least 8 x 8 pixels")
        self.shape: tuple[int, int] = (shape[0], shape[1])
        self.slack, self._spline = slack, spline
        self._noise, self._per_frames = noise, 0.0 if math.isinf(reference_frames) else 1.0 / reference_frames
        total_variance = noise.total * np.float32(1.0 + self._per_frames)
        self.weights = np.where(good, 1.0 / total_variance, 0.0).astype(np.float32)
        self._quiet_mean = float(np.mean(noise.quiet, where=good))
        self._quiet_share = float(np.mean(noise.quiet / noise.total, where=good))
        self._judging = _judging(self.weights, good)
        # a cut template weighs the lines just beyond its cut: those, too, must be of good pixels
        self._inner = (_inside(np.any(good, axis=1), spline.reach), _inside(np.any(good, axis=0), spline.reach))
        total = float(self.weights.sum(dtype=np.float64))
        if total <= 0.0:
            raise FrameError("the reference has no good pixel: every one is masked, NaN or saturated")
        self.mean = float(np.sum(self.weights * reference, dtype=np.float64) / total)
        # chi²/dof of a frame of which nothing is explained: the scale on which a misfit is large or small
        self.structure = float(
            np.sum(self.weights * np.square(reference - np.float32(self.mean)), dtype=np.float64)
            / np.count_nonzero(self.weights)
        )
        self.noise_filter: NoiseFilter | None = None
        self.noisy = False  # whether the reference's noise is a part of its gradients that counts
        self.coefficients = np.empty(shape, np.float32)
        bspline.prefilter(reference - np.float32(self.mean), True, self.coefficients)
        self._templates = self._templates_of(reference - np.float32(self.mean))
        weighted = self._weighted()
        for layer in weighted:
            spline.prefilter(layer, False, layer)
        self._filtered = weighted
        self._cut = np.zeros((4, *shape), np.float32)
        self._instruments = np.zeros((4, *shape), np.float32)
        self._combined = np.zeros((3, *shape), np.float32)
        self._column = np.zeros(gauss_newton.BLOCK + 2 * shape[1], np.float32)
        self._sums = np.zeros(3)
        self._state = np.zeros(5)
        self._bounds = np.zeros((2, 2))
        self._sigma = math.nan
        self._moments = np.zeros(4)
        self._offset = self.mean  # of the last frame: where the next one's is looked for
        self._lost = np.zeros((4, 4))
        self._window: Window | None = None
        self._cut_at: tuple[float, float] | None = None  # (dy, dx) that the window was made about
        self._normal = np.zeros((4, 4))
        self._parts = np.zeros((3, 4, 4))  # covariance by quiet noise, by light, and what reference noise counted twice
        self._entries: tuple[tuple[float, float, float, float], ...] = ()  # of `_parts`: what every frame needs
        self.information_left = 1.0
        self.fit = Fit()

    def _templates_of(self, image: Image) -> Image:
        """Image, one, and the image's slopes along y and x: (4, ny, nx) float32."""
        out = np.empty((4, *self.shape), np.float32)
        coefficients = np.empty(self.shape, np.float32)
        self._spline.prefilter(image, True, coefficients)
        out[0], out[1] = image, 1.0
        self._spline.gradients(coefficients, out[2], out[3])
        return out

    def _weighted(self) -> Image:
        """Weighted templates; those of a noisy reference, and the frame with them, through its noise filter.

        Sets what the reference's white noise makes of the templates' products with themselves, in units of its
        variance: in the normal matrix, and in the spread of what it is multiplied with.
        """
        plain = float(np.mean(np.square(self._spline.slope_response(WAVES))))
        self._noise_in_normal = self._noise_in_spread = (1.0, plain, plain)
        weighted = self._templates * self.weights
        if self._per_frames == 0.0:
            return weighted
        energy = min(float(np.vdot(weighted[k], self._templates[k])) for k in (2, 3))
        noise = plain * self._per_frames / (1.0 + self._per_frames) * np.count_nonzero(self.weights)
        self.noisy = bool(noise > NOISY_INFORMATION * energy)
        if not self.noisy:
            return weighted
        noise_filter = NoiseFilter(self._templates[0], self.weights, 1.0 / self._per_frames)
        if noise_filter.empty:
            return weighted
        self.noise_filter = noise_filter
        self._noise_in_normal, self._noise_in_spread = (
            noise_filter.moments(self._spline.slope_response, power) for power in (2, 4)
        )
        weighted = self._templates_of(noise_filter.smooth(self._templates[0])) * self.weights
        return np.stack([noise_filter.spread(layer) for layer in weighted])

    def prepare_for(self, dy: float, dx: float) -> bool:
        """Cut the templates for shifts about (dy, dx), px; False when too little of the reference is in the frame."""
        window = self._window_at(dy, dx)
        if window.empty:
            return False
        rows, columns = slice(window.top, window.bottom), slice(window.left, window.right)
        self._cut[:] = 0.0
        self._cut[:, rows, columns] = self._filtered[:, rows, columns]
        for source, target in zip(self._cut, self._instruments, strict=True):
            self._spline.smooth(source, target)
        normal, spread = np.empty((4, 4)), np.zeros((3, 4, 4))
        gauss_newton.gram(self._instruments, self._templates, self._templates[1], normal)
        gauss_newton.gram(self._instruments, self._instruments, self._noise.quiet, spread[0])
        gauss_newton.gram(self._instruments, self._instruments, self._noise.light, spread[1])
        self._subtract_reference_noise(normal, spread, rows, columns)
        try:
            inverse = np.linalg.inv(normal)
        except np.linalg.LinAlgError:
            return False
        parts = inverse @ spread @ inverse.T
        covariance = self._covariance_of(parts, 1.0, 0.0)
        if not (np.isfinite(covariance).all() and covariance[2, 2] > 0.0 and covariance[3, 3] > 0.0):
            return False
        gauss_newton.combine(inverse[[0, 2, 3]], self._cut, self._combined)
        self._normal, self._parts, self._window, self._cut_at = normal, parts, window, (dy, dx)
        self._entries = tuple(_entries(part) for part in parts)
        self._bounds[:] = window.low, window.high
        self._sigma = math.sqrt(min(covariance[2, 2], covariance[3, 3]))
        return True

    def expected_sigma(self, dy: float, dx: float) -> float:
        """Smaller error of dy and dx, px, of a frame as bright as the reference at this shift; inf if there is none."""
        return self._sigma if self._ready(dy, dx) else math.inf

    def snapshot(self) -> dict[str, Any]:
        """What the next fit depends on besides the arguments of the constructor."""
        return {"cut_at": self._cut_at, "offset": self._offset}

    def restore(self, state: dict[str, Any]) -> None:
        """Be as the tracker that gave `snapshot`, made with the same arguments, was."""
        self._offset = float(state["offset"])
        if state["cut_at"] is not None:
            dy, dx = state["cut_at"]
            self.prepare_for(float(dy), float(dx))

    def _window_at(self, dy: float, dx: float) -> Window:
        return Window.about(dy, dx, self.slack, self.shape, self._inner, self._spline.reach)

    def _subtract_reference_noise(self, normal: Image, spread: Image, rows: slice, columns: slice) -> None:
        """The reference's noise looks like structure: take its expectation out of the diagonals."""
        if self._per_frames == 0.0:
            return
        share = self._per_frames / (1.0 + self._per_frames)  # of the variance in the weights
        count = float(np.count_nonzero(self.weights[rows, columns] > 0.0))
        expected, squared = share * count, share * share * count  # sum of w v_r, and of (w v_r)²
        noise = [expected * part for part in self._noise_in_normal]
        self.information_left = 1.0 - max(noise[1] / normal[2, 2], noise[2] / normal[3, 3])
        for index, once, twice in zip((0, 2, 3), noise, self._noise_in_spread, strict=True):
            normal[index, index] -= min(once, (1.0 - LEAST_KEPT) * normal[index, index])
            all_noise = (1.0 + self._per_frames) * (spread[0, index, index] + spread[1, index, index])
            spread[2, index, index] = min(twice * squared, (1.0 - LEAST_KEPT) * all_noise)

    def _brightness(self, scale: float, offset: float) -> tuple[float, float]:
        """What to multiply quiet noise and that of the light with, for a frame of this photometry.

        The frame's light is `scale` times the reference's, and a background above it brings noise of its own; the
        reference's noise is in the residual `scale` times.
        """
        above = self._noise.slope * offset / self._quiet_mean
        of_reference = scale * scale * self._per_frames
        return max(1.0 + above, LEAST_KEPT) + of_reference, scale + of_reference

    def _covariance_of(self, parts: Image, scale: float, offset: float) -> Image:
        quiet, light = self._brightness(scale, offset)
        return np.asarray(quiet * parts[0] + light * parts[1] - scale * scale * parts[2])

    def run(self, work: Image, bad: Image, n_bad: int, dy: float, dx: float, reach: float) -> Fit:
        """Fit one frame from the start (dy, dx); the returned `Fit` is overwritten by the next call.

        Parameters
        ----------
        work : (ny, nx) float32
            Calibrated frame without NaN; its `n_bad` pixels listed in `bad` (flat indices) are filled, and refilled
            here with the reference's prediction as the fit goes on.
        reach : float
            Give up when the answer leaves the start by more than this, px.
        """
        fit, state = self.fit, self._state
        fit.dy, fit.dx, fit.scale, fit.offset, fit.chi2_dof = dy, dx, math.nan, math.nan, math.nan
        fit.passes, fit.converged, fit.in_range = 0, False, True
        state[:] = dy, dx, math.nan, math.inf, 0.0
        ended = gauss_newton.LEFT
        while ended in (gauss_newton.LEFT, gauss_newton.UNFINISHED) and fit.passes < MAX_PASSES:
            if not self._ready(fit.dy, fit.dx):
                fit.in_range = not self._window_at(fit.dy, fit.dx).empty
                return fit
            # bad pixels are refilled after every pass
            ended = self._passes(work, fit.passes + 1 if n_bad else MAX_PASSES)
            fit.dy, fit.dx, fit.scale, _, passes = state.tolist()
            fit.passes = int(passes)
            if ended == gauss_newton.FAILED or max(abs(fit.dy - dy), abs(fit.dx - dx)) > reach:
                return fit
            if n_bad:
                self._refill(work, bad, n_bad, fit)
        fit.converged = ended == gauss_newton.CONVERGED and self._ready(fit.dy, fit.dx)
        self._finish(work, bad, n_bad, fit)
        return fit

    def _passes(self, work: Image, most: int) -> int:
        window = self._window
        assert window is not None
        return gauss_newton.converge(
            work, self._combined, self._spline.order, window.top, window.bottom, self._bounds, self._sigma, most,
            self._column, self._sums, self._state,
        )  # fmt: skip

    def _ready(self, dy: float, dx: float) -> bool:
        return (self._window is not None and self._window.holds(dy, dx)) or self.prepare_for(dy, dx)

    def _refill(self, work: Image, bad: Image, n_bad: int, fit: Fit) -> None:
        self._finish(work, bad, n_bad, fit)
        fy, fx = -fit.dy - math.floor(-fit.dy), -fit.dx - math.floor(-fit.dx)
        prepare.repatch(
            work,
            bad,
            n_bad,
            self.coefficients,
            fit.scale,
            fit.offset,
            fit.dy,
            fit.dx,
            bspline.taps(fy),
            bspline.taps(fx),
        )

    def _filled(self, bad: Image, n_bad: int, fit: Fit) -> int:
        """How many bad pixels were filled with a prediction that counts: they have no residual, but are in the sums."""
        if not n_bad:
            return 0
        y, x = np.divmod(bad[:n_bad], self.shape[1])
        y, x = y - round(fit.dy), x - round(fit.dx)
        inside = (y >= 0) & (y < self.shape[0]) & (x >= 0) & (x < self.shape[1])
        return int(np.count_nonzero(self._judging[y[inside], x[inside]]))

    def _finish(self, work: Image, bad: Image, n_bad: int, fit: Fit) -> None:
        """Offset and chi² from the residual on the frame's own pixels."""
        stride = max(1, self.shape[0] // JUDGED_ROWS)
        guess = self._offset  # the sums lose no digits when the residual is near 0
        gauss_newton.residual(
            work,
            self.coefficients,
            self._judging,
            fit.scale,
            guess,
            fit.dy,
            fit.dx,
            stride,
            self._column,
            self._moments,
        )
        square, linear, total, used = self._moments.tolist()
        dof = used - 4.0 - self._filled(bad, n_bad, fit) / stride
        if total <= 0.0 or dof <= 0.0:
            return
        fit.offset = self._offset = guess + linear / total
        # the weights are for a frame as bright as the reference; this one may be dimmed by a cloud
        quiet, light = self._brightness(fit.scale, fit.offset - fit.scale * self.mean)
        expected = self._quiet_share * quiet + (1.0 - self._quiet_share) * light
        if self._per_frames:  # between its pixels, the reference has less noise than on them
            less = 1.0 - kept_noise(fit.dy) * kept_noise(fit.dx)
            expected -= fit.scale * fit.scale * self._per_frames * less
        fit.chi2_dof = max(0.0, (square - linear * linear / total) / dof) * (1.0 + self._per_frames) / expected

    def variances(self, bad: Image, n_bad: int) -> tuple[float, float, float, float]:
        """Of the last fit: (xx, xy, yy) of the shift, px², and of the scale."""
        fit = self.fit
        quiet, light = self._brightness(fit.scale, fit.offset - fit.scale * self.mean)
        twice = fit.scale * fit.scale
        if n_bad:
            xx, xy, yy, ss = _entries(self._inflated(bad, n_bad, np.tensordot((quiet, light, -twice), self._parts, 1)))
        else:
            a, b, c = self._entries
            xx, xy, yy, ss = (quiet * a[k] + light * b[k] - twice * c[k] for k in (0, 1, 2, 3))
        return xx / twice, xy / twice, yy / twice, ss

    def _inflated(self, bad: Image, n_bad: int, covariance: Image) -> Image:
        """A covariance when part of the information was lost to bad pixels; NaN when all of it was."""
        window, fit = self._window, self.fit
        assert window is not None
        gauss_newton.lost_information(
            bad, n_bad, self._templates, self.weights, round(fit.dy), round(fit.dx),
            window.top, window.bottom, window.left, window.right, self._lost,
        )  # fmt: skip
        try:
            grown = np.linalg.inv(self._normal - self._lost) @ self._normal
        except np.linalg.LinAlgError:
            return np.full((4, 4), math.nan)
        return np.asarray(grown @ covariance)

    def predict(self, out: Image) -> None:
        """The last fit's model of the frame, ``scale R(p - d) + offset``; NaN where the reference says nothing."""
        fit = self.fit
        in_frame, in_reference = _overlap(self.shape, round(fit.dy), round(fit.dx))
        bspline.sample(self.coefficients, -fit.dy, -fit.dx, np.float32(math.nan), out)
        out *= np.float32(fit.scale)
        out += np.float32(fit.offset)
        out[in_frame][self._judging[in_reference] == 0.0] = np.nan

    def squares(self, work: Image, bad: Image) -> tuple[Image, Image, float]:
        """Squared residuals of the last fit, what the noise can be learnt from. Allocates: not for every frame.

        Parameters
        ----------
        work : (ny, nx) float32
        bad : (n,) int32
            Flat indices of pixels that were filled.

        Returns
        -------
        squares, model : (my, mx) float32
            On the common pixels, over ``1 - h`` with h the share of a pixel in its own prediction; NaN where the fit
            did not look. The model is the frame's, without noise of its own.
        share : float
            Variance of a residual over that of a frame's pixel.
        """
        fit, window = self.fit, self._window
        assert window is not None
        near_y, near_x = round(fit.dy), round(fit.dx)
        model = np.float32(fit.scale) * sampled(self._templates[0], near_y - fit.dy, near_x - fit.dx)
        model += np.float32(fit.offset)
        frame = work.copy()
        frame.reshape(-1)[bad] = np.nan
        inverse = np.linalg.inv(self._normal)
        lever = np.einsum("ij,iyx,jyx->yx", inverse, self._templates, self._instruments, optimize=True)
        in_frame, in_reference = _overlap(self.shape, near_y, near_x)
        keep = 1.0 - np.clip(lever, 0.0, 1.0 - LEAST_KEPT)
        looked = self._judging > 0.0
        looked[: window.top] = looked[window.bottom :] = looked[:, : window.left] = looked[:, window.right :] = False
        keep[~looked] = np.nan
        squares = np.square(frame[in_frame] - model[in_reference]) / keep[in_reference]
        share = 1.0 + fit.scale**2 * self._per_frames * kept_noise(fit.dy) * kept_noise(fit.dx)
        return squares, model[in_reference], share

    def structure_left(self, work: Image) -> float:
        """Fraction of the frame's weighted variance that the last fit leaves as structure.

        Judged by the products of neighbouring residuals: noise has no correlation between neighbours; another scene,
        locked on by chance, does. Allocates: for acquisition, not for every frame.
        """
        model = np.empty(self.shape, np.float32)
        self.predict(model)
        in_frame, in_reference = _overlap(self.shape, round(self.fit.dy), round(self.fit.dx))
        weights, frame = self.weights[in_reference], work[in_frame]
        left = np.nan_to_num((frame - model[in_frame]) * np.sqrt(weights))
        products = float(np.sum(left[:, 1:] * left[:, :-1]) + np.sum(left[1:] * left[:-1]))
        total = float(np.sum(weights))
        if total <= 0.0:
            return 1.0
        mean = float(np.sum(weights * frame)) / total
        variance = float(np.sum(weights * np.square(frame - mean)))
        return 0.5 * products / variance if variance > 0.0 else 0.0


def _entries(c: Image) -> tuple[float, float, float, float]:
    """(xx, xy, yy) and the scale's variance, of a covariance in the order (scale, offset, dy, dx)."""
    return float(c[3, 3]), 0.5 * float(c[2, 3] + c[3, 2]), float(c[2, 2]), float(c[0, 0])


def _inside(lines: Image, margin: int) -> tuple[int, int]:
    """Half-open range of the lines that lie `margin` inside the outermost True ones."""
    known = np.flatnonzero(lines)
    return (int(known[0]) + margin, int(known[-1]) + 1 - margin) if known.size else (0, 0)


def _judging(weights: Image, good: Image) -> Image:
    """Weights for the residual: 0 where the interpolated reference is not the scene.

    That is beside bad pixels, whose fillings it has in it, and along the border, where it goes on mirrored.
    """
    ny, nx = weights.shape
    out = np.zeros_like(weights)
    far_y, far_x = min(MIRROR_FELT, ny // 8), min(MIRROR_FELT, nx // 8)
    inner = np.s_[far_y : ny - far_y, far_x : nx - far_x]
    out[inner] = weights[inner]
    if not good.all():
        near = np.empty(weights.shape, np.float32)
        box.box_sum(~good, FILL_REACH, near)
        out[near > 0.5] = 0.0
    return out if np.count_nonzero(out) > LEAST_JUDGING else weights


def _overlap(shape: tuple[int, int], dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The pixels common to frame and reference at a whole-pixel shift: as slices of the frame and of the reference."""
    frame = tuple(slice(max(0, d), n + min(0, d)) for n, d in zip(shape, (dy, dx), strict=True))
    reference = tuple(slice(max(0, -d), n - max(0, d)) for n, d in zip(shape, (dy, dx), strict=True))
    return (frame[0], frame[1]), (reference[0], reference[1])
