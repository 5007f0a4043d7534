"""Products of neighbouring pixels: noise has no correlation between them, a scene has."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtreg.kernels._jit import Array, Scalar, jit


@jit
def products(a: Array, b: Array) -> Any:
    """Mean product of each pixel of `a` with its right and lower neighbours in `b`, both less their means.

    `a` and `b` are (ny, nx) float32; NaN pixels are left out. NaN when there are none.
    """
    mean_a = _mean(a)
    mean_b = _mean(b)
    right: Any = 0.0
    lower: Any = 0.0
    n_right = 0
    n_lower = 0
    ny, nx = a.shape
    for y in range(ny):
        total, count = _row(a[y, 1:], b[y, : nx - 1], mean_a, mean_b)
        right += total
        n_right += count
        if y > 0:
            total, count = _row(a[y], b[y - 1], mean_a, mean_b)
            lower += total
            n_lower += count
    return 0.5 * (right / n_right + lower / n_lower)


@jit
def _row(a: Array, b: Array, mean_a: Scalar, mean_b: Scalar) -> tuple[Scalar, int]:
    """Sum of products of two rows, and how many there are."""
    total = np.float32(0.0)
    count = 0
    for x in range(a.size):
        product = (a[x] - mean_a) * (b[x] - mean_b)
        there = product == product
        total += product if there else np.float32(0.0)
        count += 1 if there else 0
    return np.float64(total), count


@jit
def _mean(image: Array) -> Scalar:
    total, count = 0.0, 0
    for y in range(image.shape[0]):
        row = image[y]
        part = np.float32(0.0)
        for x in range(row.size):
            there = row[x] == row[x]
            part += row[x] if there else np.float32(0.0)
            count += 1 if there else 0
        total += np.float64(part)
    return np.float32(total / count)
