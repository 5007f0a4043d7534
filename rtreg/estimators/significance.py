"""Where a noisy reference has something to follow, and where it has only noise.

A template's gradients carry its noise, and the more dark sky round a star, the more of it. Pixels without structure
know nothing about the shift: left out, they take no information with them, and the noise stays outside.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.kernels import box

Image = npt.NDArray[Any]

REACH = 4  # px: structure is looked for in boxes of 2 REACH + 1
EXCESS = 0.8  # of the gradient energy that noise has on average: 4 sigma for such a box
KEPT = 0.98  # of the information must lie in what is kept: else it is everywhere, and everything is kept


def significant(reference: Image, variance: Image, good: Image) -> Image:
    """The pixels round which the gradients of a reference are more than its noise.

    Parameters
    ----------
    reference : (ny, nx) float32
    variance : (ny, nx) float32
        Of the reference's own pixels.
    good : (ny, nx) bool

    Returns
    -------
    (ny, nx) bool array, True = keep; `good` itself when the structure is everywhere.
    """
    energy, mean, count = (np.empty(reference.shape, np.float32) for _ in range(3))
    box.gradient_energy(reference, variance, good, energy)
    box.box_sum(energy, REACH, mean)
    box.box_sum(good, REACH, count)
    rich = mean > (1.0 + EXCESS) * count
    box.box_sum(rich, REACH, count)
    keep = good & (count > 0.5)
    lost = float(np.sum(energy, where=~keep, dtype=np.float64)) - np.count_nonzero(good & ~keep)
    kept = float(np.sum(energy, where=keep, dtype=np.float64)) - np.count_nonzero(keep)
    # the sum over pure noise scatters about 0: only what stands far out of that scatter is a loss
    scatter = 6.0 * math.sqrt(2.0 * np.count_nonzero(good & ~keep))
    return keep if kept > 0.0 and lost <= (1.0 - KEPT) * (kept + lost) + scatter else good


def middle(reference: Image, variance: Image, good: Image, *, noisy: bool) -> tuple[float, float]:
    """Where in a reference the shift is measured, (x, y) px: the middle of its gradient energy.

    Parameters
    ----------
    reference, good : (ny, nx) float32, bool
    variance : (ny, nx) float32
        Of the reference's own pixels if it is `noisy`, else of a frame's.
    """
    if noisy:
        good = significant(reference, variance, good)
    energy = np.empty(reference.shape, np.float32)
    box.gradient_energy(reference, variance, good, energy)
    if noisy:
        energy -= good  # what noise has on average
    total = float(energy.sum(dtype=np.float64))
    out = []
    for axis, size in ((1, reference.shape[1]), (0, reference.shape[0])):
        line = energy.sum(axis=1 - axis, dtype=np.float64)
        place = float(line @ np.arange(size)) / total if total > 0.0 else math.nan
        out.append(place if 0.0 <= place <= size - 1 else (size - 1) / 2)
    return out[0], out[1]
