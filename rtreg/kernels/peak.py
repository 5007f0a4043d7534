"""Peaks of a map of explained fractions: the best, the second best outside its footprint, and their sub-pixel place."""

from __future__ import annotations

import numpy as np

from rtreg.kernels._jit import Array, Scalar, jit


@jit
def refine(values: Array, j: int, i: int, out: Array) -> None:
    """Vertex of the quadratic through the 3x3 neighbourhood of the maximum at (j, i).

    `out` (3,) float64 gets the offsets (y, x) in px, limited to half a pixel, and the value at the vertex. On the
    border of the map the offset across it is 0.
    """
    ny, nx = values.shape
    c = values[j, i]
    gy = 0.0
    gx = 0.0
    hyy = 0.0
    hxx = 0.0
    hxy = 0.0
    inner_y = 0 < j < ny - 1
    inner_x = 0 < i < nx - 1
    if inner_y:
        gy = 0.5 * (values[j + 1, i] - values[j - 1, i])
        hyy = values[j + 1, i] + values[j - 1, i] - 2.0 * c
    if inner_x:
        gx = 0.5 * (values[j, i + 1] - values[j, i - 1])
        hxx = values[j, i + 1] + values[j, i - 1] - 2.0 * c
    if inner_y and inner_x:
        hxy = 0.25 * (values[j + 1, i + 1] - values[j + 1, i - 1] - values[j - 1, i + 1] + values[j - 1, i - 1])
    det = hyy * hxx - hxy * hxy
    oy = 0.0
    ox = 0.0
    if hyy < 0.0 and hxx < 0.0 and det > 0.0:
        oy = -(hxx * gy - hxy * gx) / det
        ox = -(hyy * gx - hxy * gy) / det
    else:
        if hyy < 0.0:
            oy = -gy / hyy
        if hxx < 0.0:
            ox = -gx / hxx
    oy = min(0.5, max(-0.5, oy))
    ox = min(0.5, max(-0.5, ox))
    out[0] = oy
    out[1] = ox
    out[2] = c + gy * oy + gx * ox + 0.5 * (hyy * oy * oy + hxx * ox * ox) + hxy * oy * ox


@jit
def highest(values: Array) -> tuple[int, int]:
    """Index (j, i) of the maximum; the first of equals. NaN is never a maximum."""
    # a maximum for each column: that of one number is not vectorised, since a NaN could pass through it
    tops = np.full(values.shape[1], -np.inf, values.dtype)
    for j in range(values.shape[0]):
        row = values[j]
        for i in range(row.size):
            tops[i] = row[i] if row[i] > tops[i] else tops[i]
    best = tops.max()
    for j in range(values.shape[0]):
        row = values[j]
        hits = 0
        for i in range(row.size):
            hits += 1 if row[i] == best else 0
        if hits:
            for i in range(row.size):
                if row[i] == best:
                    return j, i
    return 0, 0


@jit
def second(values: Array, j0: int, i0: int, radius_y: Scalar, radius_x: Scalar) -> tuple[int, int]:
    """Index of the highest local maximum outside the ellipse about (j0, i0); (-1, -1) when there is none.

    A local maximum is no lower than its neighbours; on the map's border those that exist count.
    """
    ny, nx = values.shape
    best = -np.inf
    bj = -1
    bi = -1
    for j in range(ny):
        v = (j - j0) / radius_y
        for i in range(nx):
            c = values[j, i]
            if not c > best:
                continue
            u = (i - i0) / radius_x
            if u * u + v * v <= 1.0:
                continue
            peak = True
            for b in range(max(0, j - 1), min(ny, j + 2)):
                for a in range(max(0, i - 1), min(nx, i + 2)):
                    if values[b, a] > c:
                        peak = False
            if peak:
                best = c
                bj = j
                bi = i
    return bj, bi
