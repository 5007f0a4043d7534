"""Tracking: weighted inverse-compositional Gauss-Newton about one reference, no FFT.

The reference side is worked out once (templates, their prefilter, normal matrix, covariance); a frame then costs two
or three passes of `kernels.gauss_newton.project`. Method: Baker & Matthews 2004 (doi
10.1023/B:VISI.0000011205.11775.fd) with the B-spline prefilter moved onto the templates.

What is known of the reference is in `templates`; here it is cut for where the frames are, and they are fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rtreg.estimators.cut import Cut, entries
from rtreg.estimators.exposure import Exposure
from rtreg.estimators.fill import mirror_error
from rtreg.estimators.grid import Grid
from rtreg.estimators.pieces import Job, Pieces, at_once, in_fewer
from rtreg.estimators.spline import kept_noise, sampled
from rtreg.estimators.templates import Made, Scratch, Templates
from rtreg.kernels import bspline, follow, gauss_newton, leftover, prepare

Image = npt.NDArray[Any]
Place = tuple[float, float, bool]  # (dy, dx), px, and whether of the whole frame: what templates are cut for
T = TypeVar("T")

MAX_PASSES = 20
MAX_REFILLS = 40
SETTLED = 0.03  # of a sigma: a step that changes the fillings no more
MOST_AT_ONCE = 8  # pieces of cutting templates that make one, where they are of a few tiles
AHEAD = 0.6  # of the slack: a drift that has come so far will soon need new templates
INTERPOLATION_ERROR = 0.01  # of a pixel's distance from the mean
LARGEST_LEVER = 0.9  # of a pixel in its own prediction


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
    templates : Templates
        Of the reference.

    Notes
    -----
    The mutable state: what was cut for one window of shifts (`_cut`), replaced by `prepare_for`, the one that is being
    cut ahead of time, the fit's, and scratch. Nothing else changes after construction. Not for use by two threads at
    once.
    """

    def __init__(self, templates: Templates) -> None:
        self.templates, self.shape, self.mean = templates, templates.shape, templates.mean
        self._cut: Cut | None = None
        self._cut_at: Place | None = None  # what `_cut` was made for
        self._pending: Job[None] | None = None  # what makes it quick
        self._ahead: tuple[Job[Cut | None], Place] | None = None  # cutting for where a drift goes, and what for
        self._scratch = Scratch()
        self._border_error: Image | None = None
        self._model: Image | None = None
        self._sums = np.zeros(4)
        self._state = np.zeros(follow.STATE)
        self._state[follow.GUESS] = self.mean  # the offset of the last frame: where the next one's is looked for
        self._lost = np.zeros((4, 4))
        self.information_left = 1.0
        self.fit = Fit()

    def prepare_for(self, dy: float, dx: float, *, whole: bool = False) -> Cut | None:
        """Cut the templates for shifts about (dy, dx), px; None when too little of the reference is in the frame.

        `whole`: of the whole frame, wherever the information is.
        """
        self._ahead = None
        return at_once(self.cutting(dy, dx, whole=whole))

    def cutting(self, dy: float, dx: float, *, whole: bool = False) -> Pieces[Cut | None]:
        """`prepare_for` in pieces; with the last one the templates change. What was pending is not done any more."""
        self._pending = None
        made = yield from self._begin((dy, dx, whole))
        if made is None or made.cut is None:
            return None
        yield
        yield from self._in_fewer(made.pending, made.cut.grid)
        self._cut, self._cut_at = made.cut, (dy, dx, whole)
        return made.cut

    def _in_a_hurry(self, place: Place) -> Cut | None:
        """`prepare_for` for a frame that waits: what is worth its time for more than one is done after it."""
        replaced, self._cut, self._cut_at = self._cut, None, None  # from now on its memory is another's
        self._ahead = self._pending = None
        made = at_once(self._begin(place, replaced))
        if made is not None and made.cut is not None:
            self._cut, self._cut_at = made.cut, place
            self._pending = Job(self._in_fewer(made.pending, made.cut.grid))
        return self._cut

    def _begin(self, place: Place, replaced: Cut | None = None) -> Pieces[Made | None]:
        """Templates that are right, but for what is pending; `replaced` by them."""
        dy, dx, whole = place
        window = self.templates.window_at(dy, dx)
        if window.empty:
            return None
        grid = self.templates.grid(window, whole)
        yield
        made = yield from self._in_fewer(self.templates.cut(grid, self._scratch, replaced), grid)
        self.information_left = made.information_left
        return made

    def _in_fewer(self, pieces: Pieces[T], grid: Grid) -> Pieces[T]:
        """Pieces of a look at the frame each, where the grid is but a part of it."""
        pixels = self.shape[0] * self.shape[1]
        return in_fewer(pieces, min(MOST_AT_ONCE, pixels // (grid.shape[0] * grid.shape[1])))

    def keep_up(self, dy: float, dx: float) -> bool:
        """Do a piece of what is left to do between frames, and return whether there was one.

        That is what makes the templates quick, and to cut new ones if a shift of (dy, dx), px, comes near their end.
        """
        if self._pending is not None:
            if self._pending.advance():
                self._pending = None
            return True
        if self._ahead is None:
            if self._cut is None or self._cut_at is None:
                return False
            centre = self._cut.grid.window.centre
            if max(abs(dy - centre[0]), abs(dx - centre[1])) <= AHEAD * self.templates.slack:
                return False
            self._ahead = self._look_ahead((dy, dx, self._cut_at[2]))
        if self._ahead[0].advance():
            self._ahead = None
        return True

    def _look_ahead(self, place: Place) -> tuple[Job[Cut | None], Place]:
        return Job(self.cutting(place[0], place[1], whole=place[2])), place

    def _finish(self) -> None:
        """A second frame for the same templates: now all of it is worth its time."""
        while self._pending is not None:
            if self._pending.advance():
                self._pending = None

    def snapshot(self) -> dict[str, Any]:
        """What the next fit depends on besides the arguments of the constructor."""
        ahead = None if self._ahead is None else (*self._ahead[1], self._ahead[0].done)
        pending = None if self._pending is None else self._pending.done
        return {
            "cut_at": self._cut_at,
            "pending": pending,
            "ahead": ahead,
            "offset": self._state.item(follow.GUESS),
            "information_left": self.information_left,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Be as the tracker that gave `snapshot`, made with the same arguments, was."""
        self._state[follow.GUESS] = float(state["offset"])
        if state["cut_at"] is not None:
            dy, dx, whole = state["cut_at"]
            self._in_a_hurry((float(dy), float(dx), bool(whole)))
            if state.get("pending") is None:
                self._finish()
            elif self._pending is not None:
                self._pending.advance(int(state["pending"]))
        if state["ahead"] is not None:
            dy, dx, whole, done = state["ahead"]
            self._ahead = self._look_ahead((float(dy), float(dx), bool(whole)))
            self._ahead[0].advance(int(done))
        self.information_left = float(state.get("information_left", self.information_left))

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
        if self._pending is not None and cut is not None and cut.grid.window.holds(dy, dx):
            self._finish()
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
        fit.in_range = not self.templates.window_at(fit.dy, fit.dx).empty
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
        return self._in_a_hurry((dy, dx, whole))

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
            frame.work, frame.bad, frame.n_bad, self.templates.coefficients, state.item(gauss_newton.SCALE),
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
        return int(np.count_nonzero(self.templates.judging[y[inside], x[inside]]))

    def _growth(self, frame: Exposure, cut: Cut) -> Image:
        """What a covariance is multiplied with when some information was lost to bad pixels; NaN when all of it was."""
        window = cut.grid.window
        gauss_newton.lost_information(
            frame.bad, frame.n_bad, self.templates.layers, self.templates.weights,
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
        bspline.sample(self.templates.coefficients, -fit.dy, -fit.dx, np.float32(math.nan), out)
        out *= np.float32(fit.scale)
        out += np.float32(fit.offset)
        out[in_frame][self.templates.weights[in_reference] == 0.0] = np.nan

    def expect(self, model: Image, variance: Image) -> None:
        """`predict` into `model`, and into `variance` how far a pixel may be from it, its interpolation included."""
        fit, cut = self.fit, self._cut
        assert cut is not None
        self.predict(model)
        in_frame, in_reference = _overlap(self.shape, round(fit.dy), round(fit.dx))
        quiet, light = follow.brightness(fit.scale, fit.offset - fit.scale * self.mean, cut.facts)
        np.multiply(np.float32(INTERPOLATION_ERROR), model - np.float32(fit.offset), out=variance)
        np.square(variance, out=variance)
        variance[in_frame] += np.float32(quiet) * self.templates.noise.quiet[in_reference]
        variance[in_frame] += np.float32(light) * self.templates.noise.light[in_reference]
        if self._border_error is None:
            self._border_error = mirror_error(self.templates.layers[0])
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
        squares, signal : (my, mx) float32
            On the common pixels, over ``1 - h`` with h the share of a pixel in its own prediction; NaN where the fit
            did not look. The signal is the mean of frame and model, by inverse variance: it has as little noise as
            can be, and none in common with the residual.
        share : float
            Variance of a residual over that of a frame's pixel.
        """
        fit, cut = self.fit, self._cut
        assert cut is not None
        assert cut.whole
        window, instruments = cut.grid.window, self.templates.instruments(cut)
        near_y, near_x = round(fit.dy), round(fit.dx)
        model = np.float32(fit.scale) * sampled(self.templates.layers[0], near_y - fit.dy, near_x - fit.dx)
        model += np.float32(fit.offset)
        frame = work.copy()
        frame.reshape(-1)[bad] = np.nan
        inverse = np.linalg.inv(cut.normal)
        rows = (sum(factor * layer for factor, layer in zip(row, instruments, strict=True)) for row in inverse)
        lever = sum(template * row for template, row in zip(self.templates.layers, rows, strict=True))
        in_frame, in_reference = _overlap(self.shape, near_y, near_x)
        keep = 1.0 - np.clip(lever, 0.0, LARGEST_LEVER)
        looked = self.templates.judging > 0.0
        looked[: window.top] = looked[window.bottom :] = looked[:, : window.left] = looked[:, window.right :] = False
        keep[~looked] = np.nan
        left, signal = frame[in_frame] - model[in_reference], model[in_reference]
        of_model = fit.scale**2 * self.templates.per_frames * kept_noise(fit.dy) * kept_noise(fit.dx)
        signal += np.nan_to_num(left) * np.float32(of_model / (1.0 + of_model))
        return np.square(left) / keep[in_reference], signal, 1.0 + of_model

    def structure_left(self, work: Image) -> float:
        """Fraction of the frame's weighted variance that the last fit leaves as structure.

        Judged by the products of neighbouring residuals: noise has no correlation between neighbours; another scene,
        locked on by chance, does.
        """
        if self._model is None:
            self._model = np.empty(self.shape, np.float32)
        model = self._model
        self.predict(model)
        fit, sums, rows = self.fit, np.empty(4), np.empty((2, self.shape[1]), np.float32)
        weights = self.templates.judging
        leftover.leftover(work, model, weights, round(fit.dy), round(fit.dx), np.float32(fit.offset), rows, sums)
        products, total, linear, square = sums.tolist()
        if total <= 0.0:
            return 1.0
        variance = square - linear * linear / total
        return 0.5 * products / variance if variance > 0.0 else 0.0


def _overlap(shape: tuple[int, int], dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The pixels common to frame and reference at a whole-pixel shift: as slices of the frame and of the reference."""
    frame = tuple(slice(max(0, d), n + min(0, d)) for n, d in zip(shape, (dy, dx), strict=True))
    reference = tuple(slice(max(0, -d), n - max(0, d)) for n, d in zip(shape, (dy, dx), strict=True))
    return (frame[0], frame[1]), (reference[0], reference[1])
