"""Tracking: weighted inverse-compositional Gauss-Newton about one reference, no FFT.

The reference side is worked out once (templates, their prefilter, normal matrix, covariance); a frame then costs two
or three passes of `kernels.gauss_newton.project`. Method: Baker & Matthews 2004 (doi
10.1023/B:VISI.0000011205.11775.fd) with the B-spline prefilter moved onto the templates.

The templates are cut where a tap would leave the frame. Cut templates are still exact instruments: with
``A_i`` the cut template and ``P A_i`` what it weighs, ``M_ij = <P A_i, T_j>`` makes ``M^-1 <A, B I>`` unbiased, and the
covariance is ``M^-1 <P A_i, v P A_j> M^-T``. So one pixel of margin beyond the taps is enough.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.errors import FrameError
from rtreg.estimators.cut import Cut, entries
from rtreg.estimators.exposure import Exposure
from rtreg.estimators.fill import MIRROR_FELT, mirror_error
from rtreg.estimators.grid import Grid, Information, Window, choose_rows, choose_tiles
from rtreg.estimators.noise_map import PixelNoise
from rtreg.estimators.pieces import Job, Pieces, at_once, in_fewer
from rtreg.estimators.spline import CUBIC, Spline, kept_noise, sampled
from rtreg.estimators.sums import dot
from rtreg.estimators.wiener import NoiseFilter, filter_for
from rtreg.kernels import box, bspline, follow, gauss_newton, prepare

Image = npt.NDArray[Any]

MAX_PASSES = 20
MAX_REFILLS = 40
SETTLED = 0.03  # of a sigma: a step that changes the fillings no more
MOST_AT_ONCE = 8  # pieces of cutting templates that make one, where they are of a few tiles
AHEAD = 0.6  # of the slack: a drift that has come so far will soon need new templates
FILL_REACH = 2  # px: so far a filled pixel is felt in the spline
INTERPOLATION_ERROR = 0.01  # of a pixel's distance from the mean
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
    xx: float = math.nan  # variances and covariance of the shift, px², and of the scale
    xy: float = math.nan
    yy: float = math.nan
    scale_variance: float = math.nan
    passes: int = 0
    converged: bool = False
    in_range: bool = True


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
    tiled : bool
        Look at tiles alone where that pays. Not for frames that all have bad pixels, nor while noise is learnt from
        residuals, nor to see outliers: those take the whole frame.

    Notes
    -----
    The mutable state: what was cut for one window of shifts (`_cut`), replaced by `prepare_for`, the one that is being
    cut ahead of time, the fit's, and scratch. Nothing else changes after construction. Not for use by two threads at
    once.
    """

    def __init__(self, reference: Image, good: Image, noise: PixelNoise, **options: Any) -> None:
        at_once(self._build(reference, good, noise, **options))

    @classmethod
    def built(cls, reference: Image, good: Image, noise: PixelNoise, **options: Any) -> Pieces[Tracker]:
        """What the constructor makes, in pieces."""
        tracker = cls.__new__(cls)
        yield from tracker._build(reference, good, noise, **options)
        return tracker

    def _build(
        self,
        reference: Image,
        good: Image,
        noise: PixelNoise,
        *,
        reference_frames: float = 1,
        slack: float = 0.5,
        spline: Spline = CUBIC,
        tiled: bool = True,
    ) -> Pieces[None]:
        shape = reference.shape
        if min(shape) < 8:
            raise FrameError(f"image is {shape}: registration needs at least 8 x 8 pixels")
        self.shape: tuple[int, int] = (shape[0], shape[1])
        self.slack, self._spline = slack, spline
        self._noise, self._per_frames = noise, 0.0 if math.isinf(reference_frames) else 1.0 / reference_frames
        total_variance = noise.total * np.float32(1.0 + self._per_frames)
        self.weights = np.where(good, 1.0 / total_variance, 0.0).astype(np.float32)
        yield
        self._quiet_mean = float(np.mean(noise.quiet, where=good))
        self._judging = yield from _judging(self.weights, good)
        # a cut template weighs the lines just beyond its cut: those, too, must be of good pixels
        self._inner = (_inside(np.any(good, axis=1), spline.reach), _inside(np.any(good, axis=0), spline.reach))
        total = float(self.weights.sum(dtype=np.float64))
        if total <= 0.0:
            raise FrameError("the reference has no good pixel: every one is masked, NaN or saturated")
        self.mean = float(np.sum(self.weights * reference, dtype=np.float64) / total)
        self.noise_filter: NoiseFilter | None = None
        self.noisy = False  # whether the reference's noise is a part of its gradients that counts
        yield
        self.coefficients = np.empty(shape, np.float32)
        bspline.prefilter(reference - np.float32(self.mean), True, self.coefficients)
        yield
        self._templates = yield from spline.templates(reference - np.float32(self.mean))
        yield
        weighted = yield from self._weighted()
        for layer in weighted:
            yield
            spline.prefilter(layer, False, layer)
        yield
        self._filtered = weighted
        # where a filter is needed noise is much of the slopes: what is left without it would scatter by as much
        unsaid = self._felt * np.float32(0.0 if self.noisy else self._noise_of_slopes)
        self._information = yield from Information.of(self.weights * self._felt, self._templates[2:], unsaid)
        self._tiled = tiled and self._local
        self._border_error: Image | None = None
        self._begin()

    def afresh(self) -> Tracker:
        """Another tracker of the same reference that has fitted nothing; what does not change is shared."""
        other = copy.copy(self)
        other._begin()
        return other

    def _begin(self) -> None:
        """Nothing has been fitted yet."""
        self._cut: Cut | None = None
        self._cut_at: tuple[float, float, bool] | None = None  # what `_cut` was made for
        # cutting for where a drift goes, and what for
        self._ahead: tuple[Job[Cut | None], tuple[float, float, bool]] | None = None
        self._scratch: tuple[Image, Image] | None = None
        self._sums = np.zeros(4)
        self._state = np.zeros(follow.STATE)
        self._state[follow.GUESS] = self.mean  # the offset of the last frame: where the next one's is looked for
        self._lost = np.zeros((4, 4))
        self.information_left = 1.0
        self.fit = Fit()

    def _weighted(self) -> Pieces[Image]:
        """Weighted templates; those of a noisy reference, and the frame with them, through its noise filter.

        Sets what the reference's noise makes of the templates' products with themselves where it is felt (`_felt`), a
        pixel: in the normal matrix, and in the spread of what it is multiplied with; of values, dy and dx.
        """
        plain = float(np.mean(np.square(self._spline.slope_response(WAVES))))
        share = self._per_frames / (1.0 + self._per_frames)  # of the variance in the weights
        self._felt = (self.weights > 0.0).astype(np.float32)
        self._noise_of_slopes = share * plain
        self._noise_in_normal = share * np.array([1.0, plain, plain])
        self._noise_in_spread = share * self._noise_in_normal
        weighted = np.empty_like(self._templates)
        for template, layer in zip(self._templates, weighted, strict=True):
            np.multiply(template, self.weights, out=layer)
            yield
        if self._per_frames == 0.0:
            return weighted
        energy = min(dot(weighted[k], self._templates[k]) for k in (2, 3))
        noise = self._noise_in_normal[1] * np.count_nonzero(self._felt)
        self.noisy = bool(noise > NOISY_INFORMATION * energy)
        if not self.noisy:
            return weighted
        yield
        noise_filter = yield from filter_for(self._templates, self.weights, 1.0 / self._per_frames, self._spline)
        if noise_filter is None:
            return weighted
        self.noise_filter = noise_filter
        yield from self._feel_noise(noise_filter, share)
        return (yield from noise_filter.instruments())

    @property
    def _local(self) -> bool:
        """Whether templates are nothing where there is no structure: noise is everywhere, and a filter carries far."""
        return not self.noisy or (self.noise_filter is not None and self.noise_filter.local)

    def _feel_noise(self, noise_filter: NoiseFilter, share: float) -> Pieces[None]:
        """The same for filtered templates.

        What noise passes the filter is known; that it also draws the weights to itself is seen by adding some more. To
        first order in a perturbation ``e`` of the reference the instruments change by ``J e``, and the expectation of
        ``<J e, slopes of e>`` is what the noise that is there adds to ``<A, slopes>`` (Stein 1981, doi
        10.1214/aos/1176345632; with one sign a pixel as in Ramani et al. 2008, doi 10.1109/TIP.2008.2001404).
        """
        deviation = np.sqrt(self._noise.total * np.float32(self._per_frames))
        extra = self._felt * deviation * _signs(self.shape)
        self._felt = noise_filter.keep
        yield
        total = float(np.sum(self._felt, dtype=np.float64))
        squares = float(np.sum(np.square(self._felt), dtype=np.float64))
        drawn = yield from noise_filter.drawn(extra)
        templates = yield from self._spline.templates(extra)
        yield
        products = np.array([dot(drawn[k], templates[k]) for k in (0, 2, 3)])
        yield
        self._noise_in_normal = share * np.array(noise_filter.moments(2)) + products / total
        yield
        self._noise_in_spread = share**2 * np.array(noise_filter.moments(4)) * squares / total

    def prepare_for(self, dy: float, dx: float, *, whole: bool = False) -> Cut | None:
        """Cut the templates for shifts about (dy, dx), px; None when too little of the reference is in the frame.

        `whole`: of the whole frame, wherever the information is.
        """
        self._ahead = None
        return at_once(self.cutting(dy, dx, whole=whole))

    def cutting(self, dy: float, dx: float, *, whole: bool = False) -> Pieces[Cut | None]:
        """`prepare_for` in pieces; with the last one the templates change."""
        window = self._window_at(dy, dx)
        if window.empty:
            return None
        grid = self._grid(window, whole)
        yield
        pixels = grid.shape[0] * grid.shape[1]
        cut = yield from in_fewer(self._cut_for(grid), min(MOST_AT_ONCE, self.weights.size // pixels))
        if cut is not None:
            self._cut, self._cut_at = cut, (dy, dx, whole)
        return cut

    def keep_up(self, dy: float, dx: float) -> bool:
        """Do a piece of cutting new templates if a shift of (dy, dx), px, comes near the end of those there are.

        Returns whether there was one to do.
        """
        if self._ahead is None:
            if self._cut is None or self._cut_at is None:
                return False
            centre = self._cut.grid.window.centre
            if max(abs(dy - centre[0]), abs(dx - centre[1])) <= AHEAD * self.slack:
                return False
            self._ahead = self._look_ahead(dy, dx, self._cut_at[2])
        if self._ahead[0].advance():
            self._ahead = None
        return True

    def _look_ahead(self, dy: float, dx: float, whole: bool) -> tuple[Job[Cut | None], tuple[float, float, bool]]:
        return Job(self.cutting(dy, dx, whole=whole)), (dy, dx, whole)

    def _grid(self, window: Window, whole: bool) -> Grid:
        reach = self._spline.reach
        corners = None
        if self._tiled and not whole:
            margin = math.ceil(self.slack + 0.5) + math.floor(self.slack + 0.5) + 2 * reach + 1
            corners = choose_tiles(self._information, window, self.shape, margin)
        return Grid(self.shape, window, corners, slack=self.slack, reach=reach)

    def _cut_for(self, grid: Grid) -> Pieces[Cut | None]:
        window, templates = grid.window, grid.take(self._templates)
        yield
        weights = self.weights if grid.whole else grid.cut(self.weights)
        if grid.whole:
            if self._scratch is None:
                self._scratch = np.empty((4, *self.shape), np.float32), np.empty((4, *self.shape), np.float32)
            cut, instruments = self._scratch
            for layer, target in zip(self._filtered, cut, strict=True):
                grid.cut(layer, target)
                yield
            blocks, scout_blocks, share = choose_rows(self._information.rows, window.top, window.bottom)
            felt = self._felt[window.top : window.bottom, window.left : window.right]
        else:
            yield
            cut = grid.cut(self._filtered)
            instruments = np.empty_like(cut)
            yield
            gain = (weights * (np.square(templates[2]) + np.square(templates[3]))).sum(axis=1, dtype=np.float64)
            looked_at = np.flatnonzero(cut[0].any(axis=1))
            blocks, scout_blocks, share = choose_rows(gain, int(looked_at[0]), int(looked_at[-1]) + 1, group=1)
            felt = grid.cut(self._felt)
        count = float(np.sum(felt, dtype=np.float64))
        _keep(cut, blocks)
        for source, target in zip(cut, instruments, strict=True):
            yield
            self._spline.smooth(source, target)
        normal, spread = np.empty((4, 4)), np.zeros((3, 4, 4))
        yield
        gauss_newton.gram(instruments, templates, templates[1], normal)
        quiet, light = grid.take(self._noise.quiet), grid.take(self._noise.light)
        for noise, target in zip((quiet, light), spread, strict=False):
            yield
            gauss_newton.gram(instruments, instruments, noise, target)
        yield
        self._subtract_reference_noise(normal, spread, count)
        try:
            inverse = np.linalg.inv(normal)
        except np.linalg.LinAlgError:
            return None
        parts = inverse @ spread @ inverse.T
        covariance = self._covariance_of(parts)
        if not (np.isfinite(covariance).all() and covariance[2, 2] > 0.0 and covariance[3, 3] > 0.0):
            return None
        made = Cut(grid, normal, parts, self._spline.order)
        made.hold(inverse, cut, blocks, 0)
        if scout_blocks.size:
            yield
            yield from self._scout(made, cut, templates, scout_blocks, share * count)
        yield
        share_of_quiet = quiet / (quiet + light)
        yield
        yield from made.layers(
            grid.take(self.coefficients),
            self._judging if grid.whole else grid.cut(self._judging),
            templates,
            weights,
            share_of_quiet,
        )
        yield
        sigmas = math.sqrt(covariance[2, 2]), math.sqrt(covariance[3, 3])
        amplitude = math.sqrt(float(np.sum(np.square(templates[0]), dtype=np.float64)))
        yield
        yield from made.shorten(amplitude, sigmas)
        made.know(min(sigmas), share, self._noise.slope / self._quiet_mean, self._per_frames, self.mean)
        return made

    def _scout(self, made: Cut, cut: Image, templates: Image, blocks: Image, count: float) -> Pieces[None]:
        """Templates for some of the rows alone, in a normal matrix of their own; none if that has no inverse."""
        reach = self._spline.reach
        chosen = np.concatenate([np.arange(first - reach, last + reach) for first, last in blocks])
        held = np.zeros(cut.shape[1], bool)
        for first, last in blocks:
            held[first:last] = True
        rows = chosen[(chosen >= 0) & (chosen < cut.shape[1])]
        against = np.ascontiguousarray(templates[:, rows])
        yield
        part = cut[:, rows]
        part[:, ~held[rows]] = 0.0
        yield
        instruments, normal = np.empty_like(part), np.empty((4, 4))
        for source, target in zip(part, instruments, strict=True):
            self._spline.smooth(source, target)
        yield
        gauss_newton.gram(instruments, against, against[1], normal)
        self._subtract_reference_noise(normal, None, count)
        with contextlib.suppress(np.linalg.LinAlgError):
            made.hold(np.linalg.inv(normal), cut, blocks, 1)

    def snapshot(self) -> dict[str, Any]:
        """What the next fit depends on besides the arguments of the constructor."""
        ahead = None if self._ahead is None else (*self._ahead[1], self._ahead[0].done)
        return {"cut_at": self._cut_at, "ahead": ahead, "offset": self._state.item(follow.GUESS)}

    def restore(self, state: dict[str, Any]) -> None:
        """Be as the tracker that gave `snapshot`, made with the same arguments, was."""
        self._state[follow.GUESS] = float(state["offset"])
        if state["cut_at"] is not None:
            dy, dx, whole = state["cut_at"]
            self.prepare_for(float(dy), float(dx), whole=bool(whole))
        if state["ahead"] is not None:
            dy, dx, whole, done = state["ahead"]
            self._ahead = self._look_ahead(float(dy), float(dx), bool(whole))
            self._ahead[0].advance(int(done))

    def _window_at(self, dy: float, dx: float) -> Window:
        return Window.about(dy, dx, self.slack, self.shape, self._inner, self._spline.reach)

    def _subtract_reference_noise(self, normal: Image, spread: Image | None, count: float) -> None:
        """The reference's noise looks like structure: take its expectation out of the diagonals."""
        if self._per_frames == 0.0:
            return
        noise = count * self._noise_in_normal
        if spread is not None:
            self.information_left = 1.0 - max(noise[1] / normal[2, 2], noise[2] / normal[3, 3])
        for index, once, twice in zip((0, 2, 3), noise, count * self._noise_in_spread, strict=True):
            normal[index, index] -= min(once, (1.0 - LEAST_KEPT) * normal[index, index])
            if spread is not None:
                all_noise = (1.0 + self._per_frames) * (spread[0, index, index] + spread[1, index, index])
                spread[2, index, index] = min(twice, (1.0 - LEAST_KEPT) * all_noise)

    def _covariance_of(self, parts: Image) -> Image:
        """Of a frame as bright as the reference."""
        return np.asarray((1.0 + self._per_frames) * (parts[0] + parts[1]) - parts[2])

    # -- one frame ------------------------------------------------------------------------------------------------

    def run(self, frame: Exposure, dy: float, dx: float, reach: float) -> Fit:
        """Fit one frame from the start (dy, dx); the returned `Fit` is overwritten by the next call.

        Parameters
        ----------
        frame : Exposure
            Its bad pixels are filled with the reference's prediction as the fit goes on.
        reach : float
            Give up when the answer leaves the start by more than this, px.
        """
        cut = self._cut
        if cut is None or frame.n_bad:
            return self._patiently(frame, dy, dx, reach)
        ended = self._follow(frame, cut, MAX_PASSES, (dy, dx))
        found = self._state.tolist()
        if ended != gauss_newton.CONVERGED:
            return self._patiently(frame, dy, dx, reach, ended)
        return self._read(found, abs(found[0] - dy) <= reach and abs(found[1] - dx) <= reach)

    def _patiently(self, frame: Exposure, dy: float, dx: float, reach: float, ended: int | None = None) -> Fit:
        """The same with whatever may come in between: new templates, bad pixels. `ended`: so did what was tried."""
        state = self._state
        whole = frame.n_bad > 0
        if ended is None:
            follow.start(state, dy, dx)
        while True:
            if ended == follow.UNFIT:
                if not frame.look():
                    break
                whole = True  # bad pixels are predicted, and filled, on the whole frame
            at = state.item(gauss_newton.DY), state.item(gauss_newton.DX)
            if ended == gauss_newton.FAILED or max(abs(at[0] - dy), abs(at[1] - dx)) > reach:
                break
            cut = self._ready(*at, whole)
            if cut is None:
                break
            if ended == gauss_newton.CONVERGED and cut.grid.window.holds(*at) and self._settled(frame):
                break
            passes = int(state[gauss_newton.PASSES])
            if passes >= (MAX_REFILLS if frame.n_bad else MAX_PASSES):
                break
            cut.compile(frame)
            # bad pixels are refilled after every pass
            ended = self._follow(frame, cut, passes + 1 if frame.n_bad else MAX_PASSES)
            if frame.n_bad and ended != gauss_newton.FAILED and ended != follow.UNFIT:
                self._refill(frame, cut)
        found = state.tolist()
        fit = self._read(
            found, ended == gauss_newton.CONVERGED and max(abs(found[0] - dy), abs(found[1] - dx)) <= reach
        )
        fit.in_range = not self._window_at(fit.dy, fit.dx).empty
        return fit

    def _settled(self, frame: Exposure) -> bool:
        """Whether bad pixels are filled with what the fit now says: those in a star's core slow it down."""
        state = self._state
        variance = min(state.item(follow.XX), state.item(follow.YY))
        return not frame.n_bad or not state.item(gauss_newton.STEP) ** 2 > SETTLED**2 * variance

    def _read(self, found: list[float], converged: bool) -> Fit:
        """The state as a `Fit`."""
        fit = self.fit
        (
            fit.dy, fit.dx, fit.scale, _, passes, _, fit.offset, fit.chi2_dof,
            fit.xx, fit.xy, fit.yy, fit.scale_variance, *_,
        ) = found  # fmt: skip
        fit.passes, fit.converged, fit.in_range = int(passes), converged, True
        return fit

    def _ready(self, dy: float, dx: float, whole: bool) -> Cut | None:
        cut = self._cut
        if cut is not None and cut.grid.window.holds(dy, dx) and (cut.whole or not whole):
            return cut
        return self.prepare_for(dy, dx, whole=whole)

    def _follow(self, frame: Exposure, cut: Cut, most: int, start: tuple[float, float] | None = None) -> int:
        """Passes, at most so many in all; of a new fit if there is a `start`."""
        if cut.whole:
            fresh, image, bad = not frame.looked, frame.work, frame.bad
        else:
            fresh, image, bad = True, cut.image, cut.bad
        begin, dy, dx = (False, 0.0, 0.0) if start is None else (True, *start)
        ended = follow.follow(
            frame.pixels, *frame.calibration, fresh, cut.tiles, image, bad, *cut.held, cut.order, most, *cut.judged,
            cut.facts, cut.column, self._sums, self._state, begin, dy, dx,
        )  # fmt: skip
        if fresh and cut.whole:
            frame.looked = True
            if ended == follow.UNFIT:
                frame.note(*self._state[follow.N_BAD : follow.FROM_Y].astype(int).tolist())
        return int(ended)

    def _refill(self, frame: Exposure, cut: Cut) -> None:
        state = self._state
        dy, dx = state.item(gauss_newton.DY), state.item(gauss_newton.DX)
        self._judge(frame, cut)
        fy, fx = -dy - math.floor(-dy), -dx - math.floor(-dx)
        prepare.repatch(
            frame.work, frame.bad, frame.n_bad, self.coefficients, state.item(gauss_newton.SCALE),
            state.item(follow.OFFSET), dy, dx, bspline.taps(fy), bspline.taps(fx),
        )  # fmt: skip
        self._judge(frame, cut)

    def _judge(self, frame: Exposure, cut: Cut) -> None:
        """Offset, chi² and variances of a fit with bad pixels."""
        filled = float(self._filled(frame))
        follow.judge(frame.work, *cut.judged, filled, cut.facts, cut.column, self._sums, self._state)
        growth = self._growth(frame, cut)
        state = self._state
        factors = follow.brightness(
            state[gauss_newton.SCALE], state[follow.OFFSET] - state[gauss_newton.SCALE] * self.mean, cut.facts
        )
        square = state[gauss_newton.SCALE] ** 2
        covariance = growth @ np.tensordot(np.array([*factors, -square]), cut.parts, 1)
        xx, xy, yy, scale_variance = entries(covariance)
        state[follow.XX : follow.N_BAD] = xx / square, xy / square, yy / square, scale_variance

    def _filled(self, frame: Exposure) -> int:
        """How many bad pixels were filled with a prediction that counts: they have no residual, but are in the sums."""
        state = self._state
        y, x = np.divmod(frame.bad[: frame.n_bad], self.shape[1])
        y, x = y - round(state[gauss_newton.DY]), x - round(state[gauss_newton.DX])
        inside = (y >= 0) & (y < self.shape[0]) & (x >= 0) & (x < self.shape[1])
        return int(np.count_nonzero(self._judging[y[inside], x[inside]]))

    def _growth(self, frame: Exposure, cut: Cut) -> Image:
        """What a covariance is multiplied with when some information was lost to bad pixels; NaN when all of it was."""
        window = cut.grid.window
        gauss_newton.lost_information(
            frame.bad, frame.n_bad, self._templates, self.weights,
            round(self._state[gauss_newton.DY]), round(self._state[gauss_newton.DX]),
            window.top, window.bottom, window.left, window.right, self._lost,
        )  # fmt: skip
        try:
            return np.asarray(np.linalg.inv(cut.normal - self._lost) @ cut.normal)
        except np.linalg.LinAlgError:
            return np.full((4, 4), math.nan)

    @property
    def structure(self) -> float:
        """chi²/dof of a frame of which nothing is explained: the scale on which a misfit is large or small."""
        return self._cut.structure if self._cut is not None else math.nan

    def predict(self, out: Image) -> None:
        """The last fit's model of the frame, ``scale R(p - d) + offset``; NaN where the reference says nothing."""
        fit = self.fit
        in_frame, in_reference = _overlap(self.shape, round(fit.dy), round(fit.dx))
        bspline.sample(self.coefficients, -fit.dy, -fit.dx, np.float32(math.nan), out)
        out *= np.float32(fit.scale)
        out += np.float32(fit.offset)
        out[in_frame][self.weights[in_reference] == 0.0] = np.nan

    def expect(self, model: Image, variance: Image) -> None:
        """`predict` into `model`, and into `variance` how far a pixel may be from it, its interpolation included."""
        fit, cut = self.fit, self._cut
        assert cut is not None
        self.predict(model)
        in_frame, in_reference = _overlap(self.shape, round(fit.dy), round(fit.dx))
        quiet, light = follow.brightness(fit.scale, fit.offset - fit.scale * self.mean, cut.facts)
        np.multiply(np.float32(INTERPOLATION_ERROR), model - np.float32(fit.offset), out=variance)
        np.square(variance, out=variance)
        variance[in_frame] += np.float32(quiet) * self._noise.quiet[in_reference]
        variance[in_frame] += np.float32(light) * self._noise.light[in_reference]
        if self._border_error is None:
            self._border_error = mirror_error(self._templates[0])
        variance[in_frame] += np.float32(fit.scale**2) * np.square(self._border_error[in_reference])

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
        fit, cut = self.fit, self._cut
        assert cut is not None
        assert cut.whole
        window, instruments = cut.grid.window, np.empty_like(self._templates)
        layers = cut.grid.cut(self._filtered)
        _keep(layers, cut.blocks)
        for source, target in zip(layers, instruments, strict=True):
            self._spline.smooth(source, target)
        near_y, near_x = round(fit.dy), round(fit.dx)
        model = np.float32(fit.scale) * sampled(self._templates[0], near_y - fit.dy, near_x - fit.dx)
        model += np.float32(fit.offset)
        frame = work.copy()
        frame.reshape(-1)[bad] = np.nan
        inverse = np.linalg.inv(cut.normal)
        rows = (sum(factor * layer for factor, layer in zip(row, instruments, strict=True)) for row in inverse)
        lever = sum(template * row for template, row in zip(self._templates, rows, strict=True))
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
        weights, frame = self._judging[in_reference], work[in_frame]
        left = np.nan_to_num((frame - model[in_frame]) * np.sqrt(weights))
        products = float(np.sum(left[:, 1:] * left[:, :-1]) + np.sum(left[1:] * left[:-1]))
        total = float(np.sum(weights))
        if total <= 0.0:
            return 1.0
        mean = float(np.sum(weights * frame)) / total
        variance = float(np.sum(weights * np.square(frame - mean)))
        return 0.5 * products / variance if variance > 0.0 else 0.0


@functools.cache
def _signs(shape: tuple[int, int]) -> Image:
    """One or minus one for every pixel, always the same: (ny, nx) float32."""
    return np.random.default_rng(0).choice(np.array([-1.0, 1.0], np.float32), shape)


def _keep(stack: Image, blocks: Image) -> None:
    """Zero what no block looks at."""
    row = 0
    for first, last in blocks:
        stack[:, row:first] = 0.0
        row = last
    stack[:, row:] = 0.0


def _inside(lines: Image, margin: int) -> tuple[int, int]:
    """Half-open range of the lines that lie `margin` inside the outermost True ones."""
    known = np.flatnonzero(lines)
    return (int(known[0]) + margin, int(known[-1]) + 1 - margin) if known.size else (0, 0)


def _judging(weights: Image, good: Image) -> Pieces[Image]:
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
        yield
        box.box_sum(~good, FILL_REACH, near)
        yield
        np.multiply(out, near <= 0.5, out=out)
        yield
    return out if np.count_nonzero(out) > LEAST_JUDGING else weights


def _overlap(shape: tuple[int, int], dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The pixels common to frame and reference at a whole-pixel shift: as slices of the frame and of the reference."""
    frame = tuple(slice(max(0, d), n + min(0, d)) for n, d in zip(shape, (dy, dx), strict=True))
    reference = tuple(slice(max(0, -d), n - max(0, d)) for n, d in zip(shape, (dy, dx), strict=True))
    return (frame[0], frame[1]), (reference[0], reference[1])
