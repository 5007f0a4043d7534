"""A picture to warm up with: any estimator locks on it, whichever kernels it will need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.estimators.regions import Box
from rtreg.live.stacking import smoothed

Image = npt.NDArray[Any]
STAR = 1.7  # px, sigma


def warming(shape: tuple[int, int], dtype: Any, boxes: Sequence[Box]) -> Image:
    """Blobs that repeat nowhere, (ny, nx), so that a fit locks, and a star in each box, for a centroid to follow."""
    rng = np.random.default_rng(0)
    pixels = 300.0 + 300.0 * smoothed(rng.normal(size=shape).astype(np.float32))[0]
    for box in boxes:
        y, x = np.mgrid[: box.height, : box.width]
        v, u = y - box.height // 2, x - box.width // 2
        pixels[box.area] += 1000.0 * np.exp(-0.5 * (u * u + v * v) / STAR**2)
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 2000.0
    return np.asarray(np.clip(pixels, 0.0, 1500.0) * min(1.0, top / 2000.0)).astype(dtype)
