"""The one estimator, for one-shot and live use alike: search when lost, track when locked."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError, FrameError
from rtreg.estimators import centroid
from rtreg.estimators.acquire import DETECTION, Peak, Searcher
from rtreg.estimators.exposure import Exposure, calibration_of
from rtreg.estimators.noise_map import NoiseMap
from rtreg.estimators.pieces import Pieces, at_once
from rtreg.estimators.pixels import as_pixels
from rtreg.estimators.robust import ROUNDS, Outliers
from rtreg.estimators.side import Side, side_of
from rtreg.estimators.significance import lever
from rtreg.estimators.spline import SPLINES
from rtreg.estimators.templates import Templates
from rtreg.estimators.track import Fit, Tracker
from rtreg.kernels.prepare import Calibration
from rtreg.noise import NoiseModel
from rtreg.records import NAN, Estimate, Shift, Verdict

Image = npt.NDArray[Any]
Method = Literal["auto", "centroid", "fft"]
Place = tuple[Shift, bool]
OK = Verdict.OK  # an enumeration takes its time to look up its members
_shift = functools.partial(tuple.__new__, Shift)  # a named tuple's own constructor takes three times as long

SMALLEST_SCALE_SNR = 5.0  # photometric scale over its sigma
LARGEST_SIGMA = 1.0  # px: a wider error bar than the linear model can speak of
SMALLEST_CONTRAST = 1.5
SCALE_CHANGE = 2.0  # of the photometric scale since the last good answer: beyond, it may be another star's
CONTRAST_OF_ANOTHER_SCALE = 8.0  # by which a match must stand out all the same
# searches that must agree on a place far from the last good one, or on a worse fit: one frame alone may be corrupt
CONFIRMATIONS = 3
TRACK_REACH = 4.0  # px: Gauss-Newton finds its way back from here on content of FWHM >= 3 px
MISFIT_GROWTH = 3.0  # chi²/dof over the usual: a tracked answer is another place, or a frame is spoilt
FORGET = 0.05  # of the way that a baseline falls, a tracked frame that fits better
UNEXPLAINED = 0.01  # of the structure: less than that is interpolation error at high signal, no misfit
LARGEST_STRUCTURE_LEFT = 0.25  # of a frame's variance: with more than that unexplained it is another scene
LEAST_PRESENT = 0.3  # of what the reference promises where a search ended
LEAST_INFORMATION = 0.3  # of the gradient energy that is signal, not the reference's noise


class Registrar:
    """Measures how far frames have moved against a reference, with a true error bar.

    The first frame, and any frame after the lock was lost, is searched for by FFT over the full range; from then on
    a weighted Gauss-Newton fit starts from the last answer. `last_transition` says when and why that changed.

    Parameters
    ----------
    reference : (ny, nx) array, uint8 ... float64
        Raw pixels like the frames'; NaN is masked. Never written to.
    noise : NoiseModel, optional
        Detector constants. Without a gain the noise is measured from the residuals.
    reference_frames : float
        How many frames were averaged into the reference; `math.inf` for a noise-free template. The reference's own
        noise is part of the covariance.
    mask : (ny, nx) bool array, optional
        True = bad pixel of the reference.
    max_shift : float, optional
        Search range along each axis, px; None for half the frame. An answer beyond it is flagged OUT_OF_RANGE.
    method : {"auto", "centroid", "fft"}
        "auto" tracks by the fit and searches only when it must; "centroid" tracks the reference's brightest star by its
        windowed centroid and takes the fit when that cannot tell: for one star in a frame; "fft" searches on every
        frame, for scenes that jump.
    slack : float
        How far the shift may move before the templates are cut anew, px. Larger costs information at the border,
        smaller costs time when the image moves a lot.
    order : {3, 5}
        Of the splines that frames are interpolated with: 3 is fast; 5 is for images sharper than FWHM 3 px at high
        signal, where it has less bias.
    robust : bool
        Leave out pixels that are not the scene, such as cosmic rays, satellites and blinking emitters. Several times
        slower; nothing is lost on clean frames.
    calibrated : bool
        The reference is already in the units that `noise` turns raw pixels into (see `work`).

    Raises
    ------
    FrameError
        When the reference cannot be used: not 2-D, too small, dtype, no good or no varying pixel.
    ConfigError
        When an option has no meaning; the message names the value.

    Notes
    -----
    ``frame(y, x) = reference(y - dy, x - dx)``: a positive `dx` means that the content lies at larger x than in the
    reference. Buffers are reused by every call: one registrar, one thread.

    References
    ----------
    Baker & Matthews 2004, doi 10.1023/B:VISI.0000011205.11775.fd; Robinson & Milanfar 2004,
    doi 10.1109/TIP.2004.832923; Padfield 2012, doi 10.1109/TIP.2011.2181402.
    """

    def __init__(
        self,
        reference: npt.ArrayLike,
        *,
        noise: NoiseModel | None = None,
        reference_frames: float = 1,
        mask: Image | None = None,
        max_shift: float | None = None,
        method: Method = "auto",
        slack: float = 0.5,
        order: int = 3,
        robust: bool = False,
        calibrated: bool = False,
    ) -> None:
        _check_options(reference_frames, max_shift, method, slack)
        if order not in SPLINES:
            raise ConfigError(f"order = {order}: of the splines, 3 or 5")
        self._spline = SPLINES[order]
        pixels = as_pixels(reference, "reference")
        self.shape: tuple[int, int] = pixels.shape
        self.noise = noise or NoiseModel()
        self.noise.check_shape(self.shape)
        self.max_shift, self.method, self.slack = max_shift, method, slack
        self._calibration = calibration_of(self.noise, self.shape)
        self._identity = Calibration()
        self._robust, self._noise_known = robust, self.noise.known
        self._begin()
        self._set_reference(pixels, reference_frames, mask, calibrated)

    def _begin(self) -> None:
        """Nothing has been measured yet."""
        self._exposure = Exposure(self.shape)
        self._outliers = Outliers(self.shape) if self._robust else None
        self._start = Shift(0.0, 0.0)
        self.locked = False
        self.last_transition = "new: no frame measured yet"
        self._contrast = NAN
        self._noise_map = NoiseMap(self.noise, self.shape)
        self._baseline = NAN  # chi²/dof of good fits: what "fits as before" means
        self._scale = NAN  # of the last good answer
        # frames since then that fit worse than those before, and where, px
        self._misfits, self._misfit_at = 0, Shift(NAN, NAN)
        self._agreed = CONFIRMATIONS  # searches in a row that agree; before the first answer there is nothing to doubt

    def sibling(self) -> Registrar:
        """Another registrar with the same options, that has measured nothing; to be given a reference of its own."""
        other = copy.copy(self)
        other._begin()
        return other

    def afresh(self) -> Registrar:
        """Another registrar of the same reference, as this one was when it was made; only before it has measured.

        Templates and weights are shared: to weigh a noisy reference takes as long as to measure hundreds of frames.
        """
        other, noise_map = self.sibling(), copy.deepcopy(self._noise_map)
        other._noise_map = noise_map
        other._tracker = Tracker(self._tracker.templates)
        return other

    def __repr__(self) -> str:
        lock = f"locked at {self._start}" if self.locked else "not locked"
        return f"<Registrar {self.shape} {lock}; {self.last_transition}>"

    @property
    def work(self) -> Image:
        """The last measured frame, calibrated, bad pixels filled: (ny, nx) float32, overwritten by `measure`."""
        if self._exposure.pixels.size:
            self._exposure.look()
        return self._exposure.work

    @property
    def reference(self) -> Image:
        """The reference, calibrated, bad pixels filled: (ny, nx) float32. Not to be written to."""
        return self._side.image

    def lever(self) -> Image:
        """What the measured shift (x, y) becomes by a growth (first column) and a turn about the first pixel, (2, 2).

        Of a star at (x, y) it is ``[[x, -y], [y, x]]``; see `significance.lever`.
        """
        image, good, _, frames = self._side
        noisy = not math.isinf(frames) and self._noise_map.known
        variance = self._noise_map.of(image, frames).total / np.float32(frames if noisy else 1.0)
        return lever(image, variance, good, noisy=noisy)

    @property
    def information_left(self) -> float:
        """Part of the reference's gradient energy that is signal and not its noise, 0 to 1, as of the last search."""
        return float(self._tracker.information_left)

    def set_reference(
        self,
        reference: npt.ArrayLike,
        *,
        reference_frames: float = 1,
        mask: Image | None = None,
        calibrated: bool = False,
    ) -> None:
        """Replace the reference by another image of the same scene and frame of coordinates; the lock is kept.

        Parameters are those of the constructor. Raises `FrameError` when the shape differs.
        """
        self._set_reference(self._checked(reference, reference_frames), reference_frames, mask, calibrated)

    def renewing(
        self, reference: Image, *, reference_frames: float, where: Callable[[], Place], whole: bool = False
    ) -> Pieces[None]:
        """`set_reference` by a calibrated image, made ready in pieces: until the last one nothing changes.

        Parameters
        ----------
        where : callable
            Asked for the `place` to get ready for.
        whole : bool
            Be ready for frames that have bad pixels.

        Notes
        -----
        Begin anew when `noise_line` changes meanwhile: what was made is for the noise that was known before.
        """
        pixels = self._checked(reference, reference_frames)
        side, tracker = yield from self._made_of(pixels, reference_frames, None, True)
        yield
        shift, tracked = where()
        if tracked:
            yield from tracker.cutting(shift.dy, shift.dx, whole=whole)
        self._install(side, tracker)
        if tracked:
            self._find_star()
        else:
            self._new_searcher()

    @property
    def noise_line(self) -> tuple[float, float] | None:
        """What is known by now of a noise that has to be learnt: variance without light, and by a unit of signal."""
        return self._noise_map.line

    @property
    def place(self) -> Place:
        """Where the image was found last, and whether it will be looked for there."""
        return self._start, self.locked and self.method != "fft"

    def _checked(self, reference: npt.ArrayLike, frames: float) -> Image:
        pixels = as_pixels(reference, "reference")
        if pixels.shape != self.shape:
            raise FrameError(f"new reference is {pixels.shape} but the old one is {self.shape}; make a new Registrar")
        _check_options(frames, self.max_shift, self.method, self.slack)
        return pixels

    def measure(self, frame: npt.ArrayLike, *, guess: Shift | None = None, calibrated: bool = False) -> Estimate:
        """Measure one frame.

        Parameters
        ----------
        frame : (ny, nx) array, uint8 ... float64
            Raw pixels, of the reference's shape. NaN and saturated pixels are ignored. Never written to.
        guess : Shift, optional
            Where to start from, px; otherwise the last good answer, or a search.
        calibrated : bool
            The frame is already in the units of `work`.

        Returns
        -------
        Estimate
            NaN with the reason in `flags` where nothing could be measured.

        Raises
        ------
        FrameError
            When the shape or dtype is not one that can be measured.
        """
        pixels = as_pixels(frame, "frame")
        if pixels.shape != self.shape:
            raise FrameError(
                f"frame is {pixels.shape} but the reference is {self.shape}; crop it or set a new reference"
            )
        exposure = self._exposure
        exposure.take(pixels, self._identity if calibrated else self._calibration)
        if self._outliers is not None and exposure.look():
            self._outliers.begin(exposure)
        if guess is None and not self.locked:
            return self._acquire()
        if guess is None and self.method != "auto":
            estimate = self._glance(exposure) if self.method == "centroid" else self._acquire()
            if estimate is not None:
                return estimate
        fit = self._track(self._start if guess is None else guess)
        if not fit.converged and not exposure.look():
            return self._refused()
        if guess is not None:
            return self._judge(fit, "track")
        reason = self._lost(fit, self._tracker.structure)
        if reason is None:
            if fit.chi2_dof < self._baseline:  # what was usual once need not be so for ever
                self._baseline += FORGET * (fit.chi2_dof - self._baseline)
            return self._judge(self._learn_noise(fit), "track")
        self._unlock(reason)
        return self._acquire()

    # -- reference ------------------------------------------------------------------------------------------------

    def _set_reference(self, pixels: Image, frames: float, mask: Image | None, calibrated: bool) -> None:
        self._install(*at_once(self._made_of(pixels, frames, mask, calibrated)))

    def _install(self, side: Side, tracker: Tracker) -> None:
        self._side, self._tracker = side, tracker
        self._searcher: Searcher | None = None
        self._star: centroid.Star | None = None
        self._star_known = False

    def _made_of(
        self, pixels: Image, frames: float, mask: Image | None, calibrated: bool
    ) -> Pieces[tuple[Side, Tracker]]:
        """What belongs to a reference."""
        side = yield from side_of(pixels, self._identity if calibrated else self._calibration, frames, mask)
        tracker = yield from self._tracker_for(side)
        return side, tracker

    def _tracker_for(self, side: Side) -> Pieces[Tracker]:
        image = side.image
        self._noise_map.guess(image, side.good, side.frames)
        noise = self._noise_map.of(image, side.frames)
        yield
        if self._noise_map.known:
            noise = noise._replace(quiet=noise.quiet + side.doubt)
        templates = yield from Templates.built(
            image,
            side.good,
            noise,
            # noise that is not known yet cannot be taken out of the reference
            reference_frames=side.frames if self._noise_map.known else math.inf,
            slack=self.slack,
            spline=self._spline,
            tiled=not (self._calibration.mask.size or self._noise_map.learning or self._outliers),
        )
        return Tracker(templates)

    def _renew_tracker(self) -> None:
        """A new tracker for the reference as it is: the noise is another."""
        self._install(self._side, at_once(self._tracker_for(self._side)))

    def keep_up(self) -> bool:
        """Do a piece of what would make a `measure` take longer soon. Between frames, when there is time.

        Returns whether there was one to do.
        """
        shift, tracked = self.place
        return tracked and self._tracker.keep_up(shift.dy, shift.dx)

    def _new_searcher(self) -> Searcher:
        templates, reference = self._tracker.templates, self._side.image
        weights, noise_filter = templates.weights, templates.noise_filter
        if noise_filter is not None:
            mean = np.float32(templates.mean)
            reference, weights = noise_filter.denoise(reference - mean) + mean, weights * noise_filter.keep
        self._searcher = Searcher(reference, weights, self.max_shift)
        return self._searcher

    def _find_star(self) -> None:
        """Look for the reference's star, if it is to be followed and has not been looked for."""
        if self.method != "centroid" or self._star_known:
            return
        image, good, _, frames = self._side
        self._star = centroid.find_star(image, good, self._noise_map.of(image, frames), frames)
        self._star_known = True
        if self._star is None:
            self.last_transition = "no star stands out in the reference: tracked by the fit"

    def snapshot(self) -> dict[str, Any]:
        """What the next answers depend on besides the options: plain data, and arrays that the next call may change."""
        return {
            "reference": self._side.image,
            "good": self._side.good,
            "doubt": self._side.doubt,
            "frames": self._side.frames,
            "searcher": self._searcher is not None,
            "start": tuple(self._start),
            "locked": self.locked,
            "last_transition": self.last_transition,
            "contrast": self._contrast,
            "noise": self._noise_map.snapshot(),
            "baseline": self._baseline,
            "scale": self._scale,
            "agreed": self._agreed,
            "misfits": self._misfits,
            "misfit_at": tuple(self._misfit_at),
            "star_known": self._star_known,
            "tracker": self._tracker.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Be as the registrar that gave `snapshot`, with the same options, was: the next answers are the same ones.

        Raises `FrameError` when the images in it are not of this registrar's shape.
        """
        image, good, doubt = (
            self._image(state[n], t) for n, t in (("reference", "f4"), ("good", "?"), ("doubt", "f4"))
        )
        self._side = Side(image, good, doubt, float(state["frames"]))
        self._noise_map.restore(state["noise"])
        self._contrast, self._baseline = float(state["contrast"]), float(state["baseline"])
        self._start = Shift(*map(float, state["start"]))
        self._scale, self._agreed = float(state["scale"]), int(state["agreed"])
        self._misfits = int(state.get("misfits", 0))
        self._misfit_at = Shift(*map(float, state.get("misfit_at", (NAN, NAN))))
        self._renew_tracker()
        self._tracker.restore(state["tracker"])
        if state["star_known"]:
            self._find_star()
        self.locked, self.last_transition = bool(state["locked"]), str(state["last_transition"])
        if state["searcher"]:
            self._new_searcher()

    def _image(self, image: Any, kind: str) -> Image:
        if not isinstance(image, np.ndarray) or image.shape != self.shape or image.dtype != np.dtype(kind):
            raise FrameError(f"a stored image is {np.shape(image)}, not {self.shape} of {np.dtype(kind)}")
        return np.array(image)  # a copy: what is stored may be read-only

    # -- one frame ------------------------------------------------------------------------------------------------

    def _glance(self, exposure: Exposure) -> Estimate | None:
        """Measure by the star alone; None when there is any doubt."""
        if self._noise_map.learning:  # from the residuals of whole frames, which are the fit's
            return None
        self._find_star()
        star = self._star
        if star is None:
            return None
        fit = star.run(exposure.pixels, exposure.calibration, self._start.dy, self._start.dx, self._scale)
        if fit is None or self._lost(fit, star.structure):
            return None
        estimate = self._judge(fit, "track", mean=star.mean)
        return estimate if estimate.ok else None

    def _refused(self) -> Estimate:
        flags = self._exposure.refusal
        self._unlock(f"frame refused: {'|'.join(flags.reasons)}")
        return Estimate(flags=flags)

    def _track(self, start: Shift) -> Fit:
        fit = self._tracker.run(self._exposure, start.dy, start.dx, TRACK_REACH)
        if self._outliers is not None:
            for _ in range(ROUNDS):
                if not (fit.converged and self._outliers.update(self._tracker, self._exposure)):
                    break
                fit = self._tracker.run(self._exposure, fit.dy, fit.dx, TRACK_REACH)
        return fit

    def _lost(self, fit: Fit, structure: float) -> str | None:
        """Why a tracked answer is not to be believed, or None."""
        if not fit.in_range:
            return "track lost: hardly any of the reference left in the frame"
        if not fit.converged:
            return f"track lost: no convergence after {fit.passes} passes, scale {fit.scale:.3g}"
        limit = self._misfit_limit(structure)
        if fit.chi2_dof > limit:
            return f"track lost: chi2/dof {fit.chi2_dof:.3g}, limit {limit:.3g}"
        return None

    def _misfit_limit(self, structure: float) -> float:
        """chi²/dof above which a frame fits worse than those before and than noise explains; NaN before the first."""
        usual = self._baseline
        if self._noise_map.known and usual < 1.0:
            usual = 1.0
        return max(MISFIT_GROWTH * usual, UNEXPLAINED * structure)

    def _misfits_again(self, fit: Fit) -> bool:
        """Whether a search's answer fits worse than those before; no more when frame after frame has, in one place."""
        if not fit.chi2_dof > self._misfit_limit(self._tracker.structure):
            return False
        at = Shift(fit.dx, fit.dy)
        again = max(abs(at.dx - self._misfit_at.dx), abs(at.dy - self._misfit_at.dy)) <= TRACK_REACH
        self._misfits, self._misfit_at = self._misfits + 1 if again else 1, at
        return self._misfits < CONFIRMATIONS

    def _acquire(self) -> Estimate:
        if not self._exposure.look():
            return self._refused()
        searcher = self._searcher or self._new_searcher()
        found = searcher.search(self._exposure.work)
        self._contrast = found.contrast
        if found.score < DETECTION:
            return Estimate(contrast=found.contrast, flags=Verdict.LOW_SNR)
        start = Shift(found.dx, found.dy)
        fit = self._track(start)
        misfit = fit.converged and self._misfits_again(fit)
        if not misfit:
            fit = self._learn_noise(fit)
        doubts = self._doubts(found, start, fit, 1.0 + searcher.bin)
        if misfit and doubts is OK:
            doubts = Verdict.MISFIT
            self.last_transition = f"found, but chi2/dof is {fit.chi2_dof:.3g}"
        known, before = not math.isnan(self._scale), self._start
        estimate = self._judge(fit, "acquire", doubts)
        if not estimate.ok:
            self._noise_map.forget_residuals()  # they may be another scene's
            return estimate
        far = known and max(abs(estimate.dx - before.dx), abs(estimate.dy - before.dy)) > TRACK_REACH
        self._agreed = 1 if far else self._agreed + 1
        self.locked = self._agreed >= CONFIRMATIONS
        self._baseline = fit.chi2_dof
        what = "locked" if self.locked else f"found {self._agreed} of {CONFIRMATIONS} times before the lock"
        self.last_transition = f"{what}: search score {found.score:.3g}, contrast {found.contrast:.3g}"
        return estimate

    def _doubts(self, found: Peak, start: Shift, fit: Fit, reach: float) -> Verdict:
        """What speaks against the answer of a search, whose peak is right within `reach` px."""
        flags = Verdict.OK
        change = fit.scale / self._scale  # NaN before the first answer, and where there is no fit
        another = change > SCALE_CHANGE or change < 1.0 / SCALE_CHANGE
        if found.contrast < (CONTRAST_OF_ANOTHER_SCALE if another else SMALLEST_CONTRAST):
            flags |= Verdict.AMBIGUOUS
        if found.present < LEAST_PRESENT:
            flags |= Verdict.AMBIGUOUS  # something else that is bright in this place would look so
        if found.at_edge or not fit.in_range:
            flags |= Verdict.OUT_OF_RANGE  # the true peak may lie beyond
        if self._tracker.information_left < LEAST_INFORMATION:
            self.last_transition = "the reference's stated noise is all its gradients: average more frames, or check it"
            return flags | Verdict.LOW_SNR
        wandered = max(abs(fit.dx - start.dx), abs(fit.dy - start.dy)) > reach
        if fit.in_range and (wandered or not fit.converged):
            flags |= Verdict.AMBIGUOUS  # the peak leads nowhere
        elif fit.converged and self._tracker.structure_left(self._exposure.work) > LARGEST_STRUCTURE_LEFT:
            flags |= Verdict.MISFIT
        return flags

    def _judge(
        self,
        fit: Fit,
        regime: Literal["track", "acquire"],
        flags: Verdict = OK,
        mean: float | None = None,
    ) -> Estimate:
        """The fit as an `Estimate`, with what the estimator itself can see wrong; `mean` as the tracker's."""
        mean = self._tracker.mean if mean is None else mean
        if not (fit.converged and fit.scale > 0.0):
            return Estimate(
                contrast=self._contrast, iterations=fit.passes, regime=regime, scale=fit.scale,
                flags=flags or (Verdict.LOW_SNR if fit.in_range else Verdict.OUT_OF_RANGE),
            )  # fmt: skip
        dx, dy, scale = fit.dx, fit.dy, fit.scale
        xx, xy, yy, scale_variance = fit.xx, fit.xy, fit.yy, fit.scale_variance
        if not self._noise_known:
            # the line v = p + q signal has the shape right; the level is this frame's own
            level = max(fit.chi2_dof, self._noise_map.least_level)
            xx, xy, yy, scale_variance = xx * level, xy * level, yy * level, scale_variance * level
        if not (xx >= 0.0 and yy >= 0.0):
            xx = xy = yy = NAN
            flags |= Verdict.LOW_SNR
        known = xx < LARGEST_SIGMA**2 and yy < LARGEST_SIGMA**2
        if not (known and scale * scale > SMALLEST_SCALE_SNR**2 * scale_variance):
            flags |= Verdict.LOW_SNR
        if self.max_shift is not None and max(abs(dx), abs(dy)) > self.max_shift:
            flags |= Verdict.OUT_OF_RANGE
        shift = _shift((dx, dy))
        if flags is OK:
            self._start, self._scale, self._misfits = shift, scale, 0
        return Estimate(
            shift=shift,
            covariance=((xx, xy), (xy, yy)),
            chi2_dof=fit.chi2_dof,
            contrast=self._contrast,
            scale=scale,
            offset=fit.offset - scale * mean,
            iterations=fit.passes,
            regime=regime,
            flags=flags,
        )

    def look_at(self, shift: Shift) -> None:
        """Follow from here on, px, instead of from the last answer; if nothing is there, the next frame is searched."""
        self._start, self.locked = shift, True
        self.last_transition = f"told to look at {shift}"

    def _unlock(self, reason: str) -> None:
        if self.locked:
            self.locked = False
            self.last_transition = reason

    def _learn_noise(self, fit: Fit) -> Fit:
        """Learn from a good fit how noisy pixels are; the fit again, where that changed the weights."""
        if self._noise_known or not self._noise_map.learning:
            return fit
        exposure = self._exposure
        integer = exposure.pixels.dtype.kind in "iu"
        while fit.converged and self._noise_map.learning:
            blind = not self._noise_map.known
            seen = self._tracker.squares(exposure.work, exposure.bad[: exposure.n_bad])
            if not self._noise_map.learn(*seen, integer):
                break
            start = Shift(fit.dx, fit.dy)
            self._renew_tracker()
            fit = self._track(start)
            self._baseline = fit.chi2_dof
            if not blind:
                break
            self._noise_map.forget_residuals()  # without weights the bright pixels had drawn the fit to themselves
        return fit


def register(reference: npt.ArrayLike, frame: npt.ArrayLike, **options: Any) -> Estimate:
    """Measure how far `frame` has moved against `reference`: a search over the full range, then the fit.

    Parameters
    ----------
    reference, frame : (ny, nx) arrays of one shape, uint8 ... float64
        NaN pixels are ignored. Never written to.
    **options
        Keyword arguments of `Registrar`: `noise`, `reference_frames`, `mask`, `max_shift`, ...

    Returns
    -------
    Estimate
        `shift` (dx, dy) in px, positive when the frame's content lies at larger x, y than the reference's; with
        covariance, chi² and flags. Not `ok`, and NaN where unknown, when the frame could not be registered.

    Raises
    ------
    FrameError, ConfigError
        As `Registrar`.

    Examples
    --------
    >>> import numpy as np, rtreg
    >>> y, x = np.mgrid[:64, :64]
    >>> star = lambda cx, cy: np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8.0)
    >>> estimate = rtreg.register(star(30, 31), star(32.25, 30.5))
    >>> [round(float(v), 3) for v in estimate.shift]
    [2.25, -0.5]
    """
    return Registrar(reference, **options).measure(frame)


def _check_options(reference_frames: float, max_shift: float | None, method: str, slack: float) -> None:
    if not reference_frames >= 1:
        raise ConfigError(f"reference_frames = {reference_frames}: at least 1, or inf for a noise-free reference")
    if max_shift is not None and not (math.isfinite(max_shift) and max_shift > 0):
        raise ConfigError(f"max_shift = {max_shift}: a positive number of px, or none for half the frame")
    if method not in get_args(Method):
        raise ConfigError(f"method = {method!r}: one of {', '.join(get_args(Method))}")
    if not (math.isfinite(slack) and 0.0 < slack <= 8.0):
        raise ConfigError(f"slack = {slack}: px, above 0 and at most 8")
