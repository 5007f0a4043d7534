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
MARGIN = 3  # px at the border that a fit of a picture in motion does not use
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
    n_kept = np.count_nonzero(keep)
    n_lost = np.count_nonzero(good) - n_kept
    total = float(np.sum(energy, dtype=np.float64))
    np.multiply(energy, keep, out=energy)
    kept = float(np.sum(energy, dtype=np.float64))
    lost, kept = total - kept - n_lost, kept - n_kept
    # the sum over pure noise scatters about 0: only what stands far out of that scatter is a loss
    scatter = 6.0 * math.sqrt(2.0 * n_lost)
    return keep if kept > 0.0 and lost <= (1.0 - KEPT) * (kept + lost) + scatter else good


def lever(reference: Image, variance: Image, good: Image, *, noisy: bool) -> Image:
    """What a measured shift becomes when the picture grows or turns instead: (2, 2) float64, px.

    A fit of a shift weighs each place by its gradients: of motion ``M (x, y)`` it sees ``G^-1 sum g g' M (x, y) / v``,
    with ``G = sum g g' / v``. For a star that is the star's own motion.

    Parameters
    ----------
    reference, good : (ny, nx) float32, bool
    variance : (ny, nx) float32
        Of the reference's own pixels if it is `noisy`, else of a frame's.

    Returns
    -------
    (2, 2) array
        Shift (x, y), px, by a growth ``a`` (first column) and a turn ``b`` of the picture about its first pixel, as
        of a point (x, y): ``[[x, -y], [y, x]]``.
    """
    if noisy:
        good = significant(reference, variance, good)
    good = good.copy()
    for line in (np.s_[:MARGIN], np.s_[-MARGIN:], np.s_[:, :MARGIN], np.s_[:, -MARGIN:]):
        good[line] = False
    gy, gx = np.gradient(np.asarray(reference, np.float64))
    weight = np.where(good, 1.0 / variance, 0.0)
    per_axis = 0.5 * np.where(good, 1.0, 0.0) if noisy else 0.0  # what noise adds to a squared central difference
    y, x = np.arange(reference.shape[0])[:, None], np.arange(reference.shape[1])
    xx, xy, yy = gx * gx * weight - per_axis, gx * gy * weight, gy * gy * weight - per_axis
    normal = np.array([[xx.sum(), xy.sum()], [xy.sum(), yy.sum()]])
    if not (normal[0, 0] > 0.0 and np.linalg.det(normal) > 0.0):
        middle_y, middle_x = (0.5 * (n - 1) for n in reference.shape)
        return np.array([[middle_x, -middle_y], [middle_y, middle_x]])
    grown = np.sum(xx * x + xy * y), np.sum(xy * x + yy * y)
    turned = np.sum(xy * x - xx * y), np.sum(yy * x - xy * y)
    return np.asarray(np.linalg.solve(normal, np.transpose([grown, turned])))
