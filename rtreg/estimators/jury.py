"""Which of the peaks of a search is the place, when the highest need not be.

A bright star of the frame on any star of the reference explains more than the true place does, where that star may not
even be common to both. So peaks are weighed by what speaks for them place by place: no detail of the picture counts for
more than a detection, and one that the reference promises and the frame does not show counts against. Of two stars, of
which either could be the only one of the reference, this cannot tell which: then both do as well.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg.kernels import evidence, peak

Image = npt.NDArray[Any]

CANDIDATES = 16  # peaks that are weighed
MAXIMA = 64  # that are looked at, before those near a higher one are left out
CAP = 36.0  # chi²: six sigma; of one detail
FAINT = 3.0  # chi²: what promises less is not missed
KEPT_NOISE, LOST_NOISE = 0.1406, 0.6406  # of the variance of white noise, in what is blurred and in what that leaves


class Case(NamedTuple):
    """A peak at (j, i) of the map; its vertex, from there, and the explained fraction at it; and the evidence.

    That is, in chi²: the gain, detail by detail; what the reference promised; and the gain as a whole. `scale` is the
    frame's brightness over the reference's.
    """

    j: int
    i: int
    explained: float
    oy: float
    ox: float
    gain: float
    promised: float
    whole: float
    scale: float


class Jury:
    """Weighs the peaks of a search by the evidence for each of them; buffers are reused.

    Parameters
    ----------
    reference, weights : (ny, nx) float32
        Binned, bad pixels filled, about 0; the largest weight 1.
    radius : (float, float)
        Half axes (y, x) of a peak, binned px.
    most : float
        Explained fraction above which the rest is not known to be noise.
    """

    def __init__(self, reference: Image, weights: Image, radius: tuple[float, float], most: float) -> None:
        ny, nx = reference.shape
        # blurred, pictures agree with what lies between their pixels
        self._reference, self._weights, self._least = np.empty_like(reference), weights, 1.0 - most
        evidence.blur(reference, self._reference)
        sharp = np.sqrt(weights[weights > 0.0]) * np.abs(reference - self._reference)[weights > 0.0]
        self._own_noise = (1.4826 * float(np.median(sharp))) ** 2 * KEPT_NOISE / LOST_NOISE
        self._radius = radius
        self._heights, self._places = np.empty(MAXIMA), np.empty((MAXIMA, 2), np.int64)
        self._frame, self._moved = np.empty_like(reference), np.empty_like(reference)
        tiles = -(-ny // evidence.TILE), -(-nx // evidence.TILE)
        self._lines = np.empty((evidence.SUMS, evidence.TILE * tiles[1]), np.float32)
        self._sums = np.empty((evidence.SUMS, *tiles))
        self._left = np.empty(self._sums[0].size)
        self._vertex, self._found = np.empty(3), np.empty(4)

    def weigh(self, values: Image, frame: Image) -> list[Case]:
        """The highest peaks of the map of explained fractions `values`, best first, for a frame."""
        count = min(CANDIDATES, peak.rivals(values, *self._radius, self._heights, self._places))
        evidence.blur(frame, self._frame)
        mean = float(self._frame.mean())
        return [self._case(values, j, i, mean) for j, i in self._places[:count].tolist()]

    def _case(self, values: Image, j: int, i: int, mean: float) -> Case:
        peak.refine(values, j, i, self._vertex)
        oy, ox, explained = self._vertex.tolist()
        evidence.move(self._reference, oy, ox, self._moved)
        dy, dx = j - values.shape[0] // 2, i - values.shape[1] // 2
        evidence.tiles(self._moved, self._weights, self._frame, mean, dy, dx, self._lines, self._sums)
        evidence.gain(self._sums, self._own_noise, self._least, KEPT_NOISE, FAINT, CAP, self._left, self._found)
        return Case(j, i, explained, oy, ox, *self._found.tolist())
