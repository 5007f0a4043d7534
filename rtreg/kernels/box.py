"""Gradient energy in units of the noise, and sums over boxes: where in an image there is structure."""

from __future__ import annotations

import numpy as np

from rtreg.kernels._jit import Array, jit


@jit
def gradient_energy(image: Array, variance: Array, good: Array, out: Array) -> None:
    """Squared gradient over the noise variance: 1 on average over pure noise, 0 where `good` is False.

    Central differences; at the border half of the one-sided difference, which has the same noise.

    Parameters
    ----------
    image, variance : (ny, nx) float32
        Variance of the image's own pixels.
    good : (ny, nx) bool
    out : (ny, nx) float32
    """
    ny, nx = image.shape
    half = np.float32(0.5)
    for y in range(ny):
        above = image[max(y - 1, 0)]
        below = image[min(y + 1, ny - 1)]
        row = image[y]
        v = variance[y]
        g = good[y]
        target = out[y]
        for x in range(nx):
            slope = half * (below[x] - above[x])
            target[x] = slope * slope
        for x in range(1, nx - 1):
            slope = half * (row[x + 1] - row[x - 1])
            target[x] += slope * slope
        if nx > 1:
            target[0] += (half * (row[1] - row[0])) ** 2
            target[nx - 1] += (half * (row[nx - 1] - row[nx - 2])) ** 2
        for x in range(nx):
            target[x] = target[x] / v[x] if g[x] else np.float32(0.0)


@jit
def box_sum(image: Array, reach: int, out: Array) -> None:
    """Sums over boxes of ``2 reach + 1`` pixels a side, cut at the border; (ny, nx), any dtype, into float32 `out`."""
    ny, nx = image.shape
    column = np.zeros(nx, np.float64)  # running sums of the rows in reach
    for y in range(min(reach, ny)):
        row = image[y]
        for x in range(nx):
            column[x] += row[x]
    for y in range(ny):
        if y + reach < ny:
            row = image[y + reach]
            for x in range(nx):
                column[x] += row[x]
        if y - reach - 1 >= 0:
            row = image[y - reach - 1]
            for x in range(nx):
                column[x] -= row[x]
        total = 0.0
        for x in range(min(reach, nx)):
            total += column[x]
        target = out[y]
        for x in range(nx):
            if x + reach < nx:
                total += column[x + reach]
            if x >= reach + 1:
                total -= column[x - reach - 1]
            target[x] = total
