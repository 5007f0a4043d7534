"""Pixels of a frame that are not the scene: cosmic rays, satellites, blinking emitters.

A fit reweighted with weights 0 and 1 (Talwar 1977; Huber & Ronchetti, "Robust Statistics", ch. 7): a pixel far from
its prediction is left out like a bad one, filled with the prediction, and looked at again after the next fit. On a
frame without outliers hardly a pixel in 100 000 is that far out, so nothing is lost there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.estimators.exposure import Exposure
from rtreg.estimators.track import Tracker

Image = npt.NDArray[Any]

FAR = 4.5  # sigma: outliers; noise alone is there in 7 of a million pixels
BESIDE = 2.5  # sigma: that far out next to an outlier is a part of it
LARGEST_FIRST = 0.5  # of the farthest pixel: what is nearer may only look far since that one draws the fit
LEAST_NOISE = 0.5  # of what the frame should have: with less, it is interpolation that is far out
ROUNDS = 8
MOST = 0.1  # of all pixels: with more outliers it is another scene, and the fit says so better as it is
SPIKE = 8.0  # sigma
SHARPER = 3.0  # times its neighbours along an axis: no star of FWHM 1.6 px or more is
NORMAL = 1.4826  # of the median of absolute values, for a normal distribution's sigma


class Outliers:
    """Finds them in one frame after another.

    Notes
    -----
    The mutable state: which pixels of the frame in work are outliers, and what they were before they were filled.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._far = np.zeros(shape, bool)
        self._seen, self._model, self._variance = (np.empty(shape, np.float32) for _ in range(3))
        self._first = 0  # of the list of bad pixels that is ours

    def begin(self, frame: Exposure) -> None:
        """A new frame, looked at: its spikes are bad pixels. A search would take a cosmic ray for the star."""
        self._seen[:] = frame.work
        self._first = frame.n_bad
        self._far = _spikes(frame.work)
        self._far.reshape(-1)[frame.bad[: self._first]] = False
        if self._far.any():
            frame.reject(np.flatnonzero(self._far))

    def update(self, tracker: Tracker, frame: Exposure) -> bool:
        """Outliers of the tracker's last fit become bad pixels of `frame`, filled with its prediction.

        False when they are the same as before, or so many that the fit must be wrong.
        """
        tracker.expect(self._model, self._variance)
        distance = np.abs(self._seen - self._model) / np.sqrt(self._variance)
        distance.reshape(-1)[frame.bad[: self._first]] = np.nan
        known = distance[np.isfinite(distance)]
        if known.size == 0:
            return False
        distance /= max(NORMAL * float(np.median(known)), LEAST_NOISE)
        np.nan_to_num(distance, copy=False)
        limit = max(FAR, LARGEST_FIRST * float(distance.max(where=~self._far, initial=0.0)))
        far = distance > limit
        far |= (distance > BESIDE) & _beside(far)
        # what the fit could not see, it cannot judge
        far |= self._far & ~np.isfinite(self._model)
        if np.array_equal(far, self._far) or np.count_nonzero(far) > MOST * far.size:
            return False
        back, filled = self._far & ~far, far & np.isfinite(self._model)
        frame.work[back] = self._seen[back]
        frame.work[filled] = self._model[filled]
        self._far = far
        found = np.flatnonzero(far)
        frame.n_bad = self._first + found.size
        frame.bad[self._first : frame.n_bad] = found
        return True


def _spikes(image: Image) -> Image:
    """Pixels far above the ground and much higher than both neighbours along one of the axes."""
    ground = np.float32(np.median(image))
    above = image - ground
    sigma = NORMAL * float(np.median(np.abs(above)))
    padded = np.pad(above, 1, mode="edge")
    beside = np.minimum(
        np.maximum(padded[:-2, 1:-1], padded[2:, 1:-1]), np.maximum(padded[1:-1, :-2], padded[1:-1, 2:])
    )
    return np.asarray((above > SPIKE * sigma) & (above > SHARPER * np.maximum(beside, sigma)))


def _beside(far: Image) -> Image:
    """Pixels within one of a True one."""
    padded = np.pad(far, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return np.asarray(rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:])
