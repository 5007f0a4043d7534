"""Acquisition: where is the frame, from nothing? A search over every whole-pixel shift by FFT.

For every shift the frame is fitted by ``a R + b`` over the pixels common to both, weights on the reference side only,
so that new content at the border biases nothing (Padfield 2012, doi 10.1109/TIP.2011.2181402). The work is done on
binned data: the answer only has to start a Gauss-Newton fit.

The score of a shift is its gain in log-likelihood over "nothing of the reference is there", ``-n log(1 - r²)``: for
pure noise it is chi-squared with one degree of freedom, so a wrong peak's probability follows from it; and it does
not fall for the high correlations of tiny overlaps. Which of the peaks is the place is for a `Jury` to say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import rtreg.fft as fft
from rtreg.estimators.jury import CAP, Case, Jury
from rtreg.kernels import peak, spectrum

Image = npt.NDArray[Any]

WORKING_SIZE = 96  # px: bin while the shorter side stays at or above this
LARGEST_BIN = 4  # structure of FWHM 3 px survives binning by 4, not by 8
DETECTION = 36.0  # search score, chi-squared of 1 degree: noise reaches 6 sigma once in 10^9 positions
FILLED = 4.0  # tiles, by one star
SAME_BRIGHTNESS = 0.35  # log of a scale: so far whole pixels and noise may be off
MOSTLY = 0.5  # of the squares that are common
SATURATED_R2 = 0.98  # whole-pixel samples know no better: above it rounding would decide between equal peaks


@dataclass(slots=True)
class Peak:
    """The best shift of a search (px of the frame) and what speaks for it; reused by the next search."""

    dy: float = math.nan
    dx: float = math.nan
    score: float = 0.0
    contrast: float = math.nan
    present: float = math.nan  # of what the reference promises there, the part that the frame shows
    at_edge: bool = False


class Searcher:
    """Search of frames for one reference, over the full range or within ± `max_shift`.

    Parameters
    ----------
    reference : (ny, nx) float32
        Calibrated, bad pixels filled.
    weights : (ny, nx) float32
        Inverse variances, 0 = ignore.
    max_shift : float or None
        Range of the search along each axis, px; None for half the frame.
    smallest : int
        Bin while the shorter side stays at or above this many pixels.
    contrast : bool
        Whether to weigh the highest peak against others; without, `Peak.contrast` and `Peak.present` are NaN and a
        search for one frame alone is cheaper.
    circular : bool
        What leaves the frame on one side comes back on the other.

    Notes
    -----
    Holds cached spectra of the reference and borrows the plan of its padded size; `search` overwrites the plan's
    buffers and the returned `Peak`.
    """

    def __init__(
        self,
        reference: Image,
        weights: Image,
        max_shift: float | None = None,
        *,
        smallest: int = WORKING_SIZE,
        contrast: bool = True,
        circular: bool = False,
    ) -> None:
        self.bin = _bin_for(reference.shape, smallest, whole=circular)
        shape = (reference.shape[0] // self.bin, reference.shape[1] // self.bin)
        self._half = tuple(_half_range(n, max_shift, self.bin) for n in shape)
        padded = tuple(
            n if circular else fft.next_fast_len(n + half) for n, half in zip(shape, self._half, strict=True)
        )
        self._plan = fft.plan((padded[0], padded[1]), np.float32)
        # with even weights, sums over the common pixels need no FFT
        self._even = not circular and weights.item(0) > 0.0 and bool((weights == weights.item(0)).all())
        r, w = np.empty(shape, np.float32), np.ones(shape, np.float32)
        self._count = 1.0
        if self._even:
            spectrum.bin_down(reference, self.bin, r)
            r -= np.float32(r.mean(dtype=np.float64))
        else:
            self._count = _weigh(reference, weights, self.bin, r, w)
        wr = w * r
        self._spectra = tuple(self._spectrum_of(image).copy() for image in ((wr,) if self._even else (wr, w)))
        self._table = np.empty((shape[0] + 1, shape[1] + 1))
        self._overlap = self._overlaps((w, wr, wr * r), 1, circular)
        self._frame = np.empty(shape, np.float32)
        self._frame_spectrum = np.empty_like(self._spectra[0])
        self._squared = np.empty(padded, np.float32)
        self._maps = np.empty_like(self._overlap)
        self._explained = np.empty_like(self._overlap[0])
        self._vertex = np.zeros(3)
        self._jury: Jury | None = None
        if contrast:
            radius = self._footprint(w, r, shape)
            spectrum.bin_down(reference, self.bin, r)  # that which has no weight shines into what has
            r -= np.float32(np.average(r, weights=w))
            self._jury = Jury(r, w, radius, SATURATED_R2)
        self.peak = Peak()

    def search(self, work: Image) -> Peak:
        """Find the frame `work` (ny, nx) float32, free of NaN; the returned `Peak` is overwritten by the next call."""
        spectrum.bin_down(work, self.bin, self._frame)
        self._explain(self._frame)
        values, found = self._explained, self.peak
        found.contrast = found.present = math.nan
        cases = self._jury.weigh(values, self._frame) if self._jury else []
        if cases:
            best = self._decide(cases)
            j, i, oy, ox = best.j, best.i, best.oy, best.ox
        else:
            j, i = peak.highest(values)
            peak.refine(values, j, i, self._vertex)
            oy, ox, r2 = self._vertex.tolist()
            found.score = self._score(j, i, r2)
        found.dy = (j - self._half[0] + oy) * self.bin
        found.dx = (i - self._half[1] + ox) * self.bin
        found.at_edge = not (0 < j < values.shape[0] - 1 and 0 < i < values.shape[1] - 1)
        return found

    def _decide(self, cases: list[Case]) -> Case:
        """The one with the best evidence; how far it is ahead of the others, and how much of it is there."""
        scores = [self._score_of(case) for case in cases]
        first = max(range(len(cases)), key=lambda k: (scores[k] >= DETECTION, cases[k].gain))
        best, found = cases[first], self.peak
        found.score = scores[first]
        found.present = best.gain / best.promised if best.promised > 0.0 else 0.0
        # a bright star whose width is not quite the reference's misses its flanks: details speak against what is plain
        # to see as a whole
        plain = best.explained > MOSTLY and best.scale > 0.0 and abs(math.log(best.scale)) < SAME_BRIGHTNESS
        if plain:
            found.present = 1.0
        others = [
            self._contrast(best, case) if score >= DETECTION and not plain else found.score / max(score, 1e-30)
            for case, score in zip(cases, scores, strict=True)
            if case is not best
        ]
        found.contrast = min(others, default=math.inf)
        return best

    def _contrast(self, best: Case, other: Case) -> float:
        """How much better the best of two real peaks is."""
        if other.gain <= 0.0:
            return math.inf  # what is not there speaks against it
        # fewer pixels that are common do not make it a worse match: what is there, beyond the half that any match has,
        # may be on the others; unless less of the reference's structure is on each pixel: one star of three
        fewer = self._common(best) / self._common(other)
        poorer = other.promised / best.promised * fewer
        likely = max(0.0, 2.0 * other.gain / other.promised - 1.0)
        more = max(0.0, fewer * min(1.0, poorer) - 1.0)
        # one bright star may fill four tiles, a fainter one but one: what brightness it had is left to tell them apart
        nearer = max(abs(math.log(other.scale)), SAME_BRIGHTNESS)
        lone = best.gain <= FILLED * CAP and abs(math.log(best.scale)) > nearer
        gain = min(best.gain, CAP) if lone else best.gain
        return gain / other.gain / (1.0 + min(1.0, likely) * more)

    def _common(self, case: Case) -> float:
        """Weight of the pixels common there."""
        return float(self._overlap[0, case.j, case.i])

    def _score_of(self, case: Case) -> float:
        return max(self._score(case.j, case.i, case.explained), case.whole)

    def _score(self, j: int, i: int, r2: float) -> float:
        n = self._count * float(self._overlap[0, j, i])
        return -n * math.log1p(-min(max(r2, 0.0), SATURATED_R2))

    def _spectrum_of(self, image: Image) -> Image:
        spectrum.embed(image, 0.0, self._plan.real)
        return self._plan.forward()

    def _correlate(self, reference_spectrum: Image, out: Image) -> None:
        """`out` = correlation of a cached spectrum with the frame's, which stands in `self._frame_spectrum`."""
        spectrum.correlate(reference_spectrum, self._frame_spectrum, self._plan.spectrum)
        spectrum.window(self._plan.inverse(), out)

    def _explain(self, frame: Image) -> None:
        """The map of explained fractions of `frame` into `self._explained`."""
        cross, linear, quadratic = self._maps
        plan = self._plan
        spectrum.embed(frame, float(frame.mean()), plan.real)
        if self._even:
            image = plan.real[: frame.shape[0], : frame.shape[1]]
            linear, quadratic = self._overlaps((image, image * image), -1, circular=False)
            np.copyto(self._frame_spectrum, plan.forward())
            self._correlate(self._spectra[0], cross)
        else:
            wr, w = self._spectra
            spectrum.square(plan.real, self._squared)  # kept for the second transform: the first may destroy its input
            np.copyto(self._frame_spectrum, plan.forward())
            self._correlate(wr, cross)
            self._correlate(w, linear)
            np.copyto(plan.real, self._squared)
            np.copyto(self._frame_spectrum, plan.forward())
            self._correlate(w, quadratic)
        spectrum.explained(cross, linear, quadratic, self._overlap, self._explained)

    def _overlaps(self, images: tuple[Image, ...], sign: int, circular: bool) -> Image:
        """Sums of each image over the pixels that are common at each shift; `sign` as in `kernels.spectrum`."""
        half_y, half_x = self._half
        out = np.empty((len(images), 2 * half_y + 1, 2 * half_x + 1), np.float32)
        for layer, values in zip(out, images, strict=True):
            if circular:
                layer[:] = values.sum(dtype=np.float64)
            else:
                spectrum.overlaps(values, sign, self._table, layer)
        return out

    def _footprint(self, w: Image, r: Image, shape: tuple[int, int]) -> tuple[float, float]:
        """Half axes (y, x) of the main peak, binned px: where the reference's match with itself has lost its height."""
        self._explain(np.where(w > 0, r, np.float32(0.0)).astype(np.float32))
        centre = self._half
        radii = []
        for axis in (0, 1):
            profile = np.take(self._explained, centre[1 - axis], axis=1 - axis)[centre[axis] :]
            below = np.flatnonzero(profile < 0.25)
            radii.append(float(below[0]) + 0.5 if below.size else float(profile.size))
        return max(1.5, radii[0]), max(1.5, radii[1])


def _weigh(reference: Image, weights: Image, factor: int, r: Image, w: Image) -> float:
    """Weighted means of binned pixels into `r`, about 0, and their weights into `w`, largest 1.

    Returns the number of pixels that a sum of weights of 1 stands for.
    """
    spectrum.bin_down(weights, factor, w)
    wr = np.empty_like(r)
    spectrum.bin_down(weights * reference, factor, wr)
    np.divide(wr, w, out=r, where=w > 0)
    r[~(w > 0)] = 0.0
    w *= np.float32(1.0 / w.max())
    r -= np.float32(np.average(r, weights=w))
    return float(w.sum(dtype=np.float64) / np.square(w).sum(dtype=np.float64))


def _bin_for(shape: tuple[int, ...], smallest: int, whole: bool) -> int:
    """The largest power of two that leaves enough pixels; `whole`: and no rest."""
    factor = 1
    while factor < LARGEST_BIN and min(shape) // (2 * factor) >= smallest:
        if whole and any(n % (2 * factor) for n in shape):
            break
        factor *= 2
    return factor


def _half_range(size: int, max_shift: float | None, factor: int) -> int:
    """Shifts to look at on either side, binned px: half the frame, or max_shift and one more to see a peak's flank."""
    half = size // 2
    return half if max_shift is None else max(1, min(half, math.ceil(max_shift / factor) + 1))
