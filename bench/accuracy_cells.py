"""One cell of `accuracy.py`: a scene at a signal, an estimator, a reference, and what came out over many trials."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from accuracy_estimators import ESTIMATORS, Make, rtreg
from accuracy_scenes import FARTHEST, READ_NOISE, SCENES, View, bound, expose, hannan_thomson, noise_model, view_of

from rtreg import NoiseModel, Shift

Image = npt.NDArray[Any]
Fault = Literal["none", "dead", "cosmic", "vignetted", "saturated"]

LOST = 1.5  # px: an answer that far off is no measurement of this shift
SHIFTS = 50  # of each cell; the frames at one shift differ by their noise
FRACTIONS = 41
OFF_GRID = 0.0037  # px: no multiple of a hundredth, which is the grid of some
STILL = Shift(0.0, 0.0)
DEAD_FRACTION, RAY, VIGNETTING, WELL = 0.05, 100.0, 0.3, 0.5


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is measured; `frames` are those averaged into the reference, `inf` for a noise-free one."""

    scene: str
    peak: float
    estimator: str = "rtreg"
    frames: float = math.inf
    known: bool = True
    fault: Fault = "none"

    @property
    def name(self) -> str:
        """Of the file its result is kept in."""
        parts = (self.scene, f"{self.peak:g}", self.estimator, f"{self.frames:g}", self.known, self.fault)
        return "-".join(str(part) for part in parts).replace(" ", "_").replace(",", "")


@dataclasses.dataclass
class Result:
    """What came out. Ratios are over both axes together; `lost` were wrong without saying so, `refused` said so."""

    trials: int
    over_bound: float
    sigma_over_scatter: float
    within_1: float
    within_2: float
    lost: int
    refused: int
    reasons: dict[str, int]
    bound_px: float
    noise_noise: float = 1.0  # what noise times noise adds to the bound, by Hannan and Thomson
    q: float = 1.0  # share of the reference's gradient energy that is signal


class Camera:
    """Exposures of one scene by a detector with a fault, and what is known of that fault."""

    def __init__(self, view: View, fault: Fault, rng: np.random.Generator) -> None:
        self._view, self._fault, self._rng = view, fault, rng
        ny, nx = view.shape
        self.throughput: Image | None = None
        self.usable: Image | None = None
        self._well = math.inf
        options: dict[str, Any] = {}
        if fault == "dead":
            self.usable = rng.uniform(size=view.shape) >= DEAD_FRACTION
            options["mask"] = ~self.usable
        if fault == "vignetted":
            y, x = np.ogrid[-1.0 : 1.0 : ny * 1j, -1.0 : 1.0 : nx * 1j]
            self.throughput = 1.0 - VIGNETTING * 0.5 * (x * x + y * y)
            options["flat"] = self.throughput / self.throughput.mean()
        if fault == "saturated":
            still = view.render(STILL)
            self._well = float(np.rint(still.min() + WELL * (still.max() - still.min())))
            options["saturation"] = self._well
        self.model: NoiseModel = noise_model(**options)

    def mean(self, shift: Shift) -> Image:
        """Electrons without noise."""
        mean = np.asarray(self._view.render(shift), float)
        return mean if self.throughput is None else mean * self.throughput

    def finish(self, frame: Image) -> Image:
        """What the detector makes of an exposure."""
        if self.usable is not None and self._fault == "dead":
            frame[~self.usable] = 0.0
        if self._fault == "cosmic":
            y, x = (int(self._rng.integers(n)) for n in frame.shape)
            frame[y, x] += RAY * math.sqrt(max(frame[y, x], 0.0) + READ_NOISE**2)
        return np.minimum(frame, np.float32(self._well))

    def expose(self, mean: Image) -> Image:
        """One frame."""
        return self.finish(expose(mean, self._rng))

    def limit(self, shift: Shift) -> tuple[float, float]:
        """The bound of the pixels that are left, (x, y), px."""
        usable = self.usable
        if self._fault == "saturated":
            usable = self.mean(shift) + 3.0 * np.sqrt(self.mean(shift) + READ_NOISE**2) < self._well
        return bound(self._view, shift, usable, self.throughput)


def serpentine(rng: np.random.Generator, count: int) -> list[Shift]:
    """Shifts all over the range, one near the next, as frames of a stream are."""
    points = rng.uniform(-FARTHEST, FARTHEST, (count, 2))
    strips = np.floor((points[:, 1] + FARTHEST) / 0.5)
    order = np.lexsort((np.where(strips % 2 == 0, points[:, 0], -points[:, 0]), strips))
    return [Shift(*points[k]) for k in order]


def run(cell: Cell, trials: int) -> Result:
    """So many frames; a noisy reference is another one for each."""
    view = view_of(cell.scene, cell.peak)
    rng = np.random.default_rng(20261)
    camera = Camera(view, cell.fault, rng)
    make = ESTIMATORS[cell.estimator]
    still = camera.mean(STILL)
    measure = None
    if math.isinf(cell.frames):
        # the noise-free reference is given with the faults that stay: dead pixels, the flat, the full well
        measure = make(np.minimum(still, camera.model.saturation or math.inf), camera.model, math.inf, cell.known)
    errors, sigmas, limits = [], [], []
    reasons: Counter[str] = Counter()
    lost = refused = 0
    shifts = serpentine(rng, min(SHIFTS, trials))
    for k, shift in enumerate(shifts):
        mean, limit = camera.mean(shift), camera.limit(shift)
        for _ in range(trials * (k + 1) // len(shifts) - trials * k // len(shifts)):
            if not math.isinf(cell.frames):
                reference = camera.finish(expose(still, rng, int(cell.frames)))
                measure = make(reference, camera.model, cell.frames, cell.known)
            assert measure is not None
            answer = measure(camera.expose(mean))
            error = answer.shift[0] - shift.dx, answer.shift[1] - shift.dy
            if answer.refused:
                refused += 1
                reasons[answer.refused] += 1
            elif not max(map(abs, error)) < LOST:
                lost += 1
            else:
                errors.append(error)
                sigmas.append(answer.sigma)
                limits.append(limit)
    noise_noise, q = (1.0, 1.0) if math.isinf(cell.frames) else hannan_thomson(view, cell.frames)
    scale = 1.0 if math.isinf(cell.frames) else math.sqrt(1.0 + 1.0 / cell.frames)
    counts = {"trials": trials, "lost": lost, "refused": refused, "reasons": dict(reasons)}
    if not errors:
        return Result(**counts, **dict.fromkeys(NUMBERS, math.nan), noise_noise=noise_noise, q=q)
    e, s, b = np.array(errors), np.array(sigmas), np.array(limits) * scale
    z = np.abs(e / s)
    return Result(
        **counts,
        over_bound=float(np.sqrt(np.mean((e / b) ** 2))),
        sigma_over_scatter=float(np.sqrt(np.mean((s / b) ** 2) / np.mean((e / b) ** 2))),
        within_1=float(np.mean(z <= 1.0)) if np.isfinite(s).any() else math.nan,
        within_2=float(np.mean(z <= 2.0)) if np.isfinite(s).any() else math.nan,
        bound_px=float(np.mean(b)),
        noise_noise=noise_noise,
        q=q,
    )


NUMBERS = ("over_bound", "sigma_over_scatter", "within_1", "within_2", "bound_px")


def bias(scene: str, estimator: str) -> list[tuple[float, float]]:
    """Frames without noise, over two pixels: the fraction, and the error along x, px."""
    peak = SCENES[scene].peaks[-1]
    view = view_of(scene, peak)
    measure = ESTIMATORS[estimator](np.asarray(view.render(STILL), float), noise_model(), math.inf, True)
    out = []
    for f in np.linspace(-1.0, 1.0, FRACTIONS) + OFF_GRID:
        shift = Shift(float(f), 0.3 - 0.7 * float(f))
        answer = measure(np.asarray(view.render(shift), float))
        out.append((float(f), answer.shift[0] - shift.dx))
    return out


@dataclasses.dataclass
class Locks:
    """Searches of single frames over the whole range: how often right, refused, and wrong without a word."""

    frames: int
    right: int
    wrong: int
    refused: int
    lowest_contrast: float  # of those that were right
    highest_wrong: float  # contrast of a wrong answer, whether it was refused or not


def locks(scene: str, peak: float, size: int, frames: int, frames_in_reference: float = math.inf) -> Locks:
    """Every frame is searched for from nothing, shifted by up to a quarter of the view."""
    view = view_of(scene, peak, size)
    rng = np.random.default_rng(7)
    still = np.asarray(view.render(STILL), float)
    if not math.isinf(frames_in_reference):
        still = expose(still, rng, int(frames_in_reference))
    make: Make = rtreg(method="fft")
    measure = make(still, noise_model(), frames_in_reference, True)
    right = wrong = refused = 0
    lowest, highest = math.inf, 0.0
    for number in itertools.count():
        if number % 20 == 0:
            shift = Shift(*rng.uniform(-size / 4, size / 4, 2))
            mean = np.asarray(view.render(shift), float)
        if number == frames:
            break
        answer = measure(expose(mean, rng))
        near = math.hypot(answer.shift[0] - shift.dx, answer.shift[1] - shift.dy) < 2.0
        if answer.refused:
            refused += 1
        elif near:
            right += 1
            lowest = min(lowest, answer.contrast)
        else:
            wrong += 1
        if not near and not math.isnan(answer.shift[0]):
            highest = max(highest, answer.contrast)
    return Locks(frames, right, wrong, refused, lowest, highest)
