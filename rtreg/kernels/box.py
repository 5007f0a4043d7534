"""What stands out of the noise about it: gradient energy, sums over boxes, and an image drawn to its local mean."""

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
    line = np.zeros(nx + 2 * reach, np.float32)
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
        for x in range(nx):
            line[reach + x] = column[x]
        target = out[y]
        target[:] = np.float32(0.0)
        for k in range(2 * reach + 1):
            source = line[k:]
            for x in range(nx):
                target[x] += source[x]


@jit
def shrink(image: Array, variance: Array, out: Array) -> None:
    """A noisy image drawn towards its local mean where it differs by no more than noise: for variances, not for fits.

    The local mean is that of (1 2 1) / 4 along both axes, past the border mirrored; what differs from it by ``d`` keeps
    the part ``1 - 4 variance / d²``, if that is positive.

    Parameters
    ----------
    image, variance : (ny, nx) float32
    out : (ny, nx) float32
        Another array.
    """
    ny, nx = image.shape
    half = np.float32(0.5)
    quarter = np.float32(0.25)
    rows = np.empty(nx + 2, np.float32)
    for y in range(ny):
        row = image[y]
        above = image[y - 1 if y > 0 else min(1, ny - 1)]
        below = image[y + 1 if y < ny - 1 else max(ny - 2, 0)]
        body = rows[1 : nx + 1]
        for x in range(nx):
            body[x] = quarter * (above[x] + below[x]) + half * row[x]
        rows[0] = body[min(1, nx - 1)]
        rows[nx + 1] = body[max(nx - 2, 0)]
        middle = rows[1:]
        right = rows[2:]
        v = variance[y]
        target = out[y]
        for x in range(nx):
            local = quarter * (rows[x] + right[x]) + half * middle[x]
            detail = row[x] - local
            keep = np.float32(1.0) - np.float32(4.0) * v[x] / max(detail * detail, np.float32(1e-30))
            target[x] = local + max(keep, np.float32(0.0)) * detail
