"""Sums of products of images without BLAS, whose threads fight for the cores of a live loop.

They round by their number, too, so that a repetition elsewhere would not be bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def dot(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Sum of ``a * b``, images of the same shape, in float64."""
    return float(np.sum(np.multiply(a, b, dtype=np.float64)))
