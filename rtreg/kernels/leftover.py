"""What a fit leaves over, as far as it is structure: noise has no correlation between neighbours."""

from __future__ import annotations

import numpy as np

from rtreg.kernels._jit import Array, Scalar, jit


@jit
def leftover(
    frame: Array, model: Array, weights: Array, dy: int, dx: int, level: Scalar, rows: Array, out: Array
) -> None:
    """Sums over the pixels that frame and reference have in common at a whole-pixel shift.

    Parameters
    ----------
    frame, model : (ny, nx) float32
        The model is NaN where it says nothing; no residual there.
    weights : (ny, nx) float32
        Inverse variance on the reference's grid, 0 = ignore.
    dy, dx : int
        Of the frame against the reference, px.
    level : float32
        Near the frame's mean, so that the sums lose no digits.
    rows : (2, nx) float32
        Scratch.
    out : (4,) float64
        Sum of the products of neighbouring residuals, each over its sigma, along both axes; sums of w, of w v and of
        w v², with v the frame above `level`.
    """
    ny, nx = frame.shape
    out[:] = 0.0
    left, right = max(0, dx), nx + min(0, dx)
    size = right - left
    if size <= 0:
        return
    rows[:, :] = np.float32(0.0)
    for y in range(max(0, dy), ny + min(0, dy)):
        above, here = rows[y & 1], rows[1 - (y & 1)]
        pixels, expected, w = frame[y, left:right], model[y, left:right], weights[y - dy, left - dx : right - dx]
        total = np.float32(0.0)
        linear = np.float32(0.0)
        square = np.float32(0.0)
        for x in range(size):
            v = pixels[x] - level
            total += w[x]
            linear += w[x] * v
            square += w[x] * v * v
            rest = (pixels[x] - expected[x]) * np.sqrt(w[x])
            here[x] = rest if rest == rest else np.float32(0.0)
        down = np.float32(0.0)
        along = np.float32(0.0)
        for x in range(size):
            down += above[x] * here[x]
        for x in range(size - 1):
            along += here[x] * here[x + 1]
        out[0] += down + along
        out[1] += total
        out[2] += linear
        out[3] += square
