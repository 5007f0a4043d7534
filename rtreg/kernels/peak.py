"""Peaks of a map of explained fractions: the best, its rivals outside its footprint, and their sub-pixel place."""

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
def rivals(values: Array, radius_y: Scalar, radius_x: Scalar, heights: Array, out: Array) -> int:
    """Places (j, i) of the highest local maxima above 0, none within the ellipse about a higher one, best first.

    A local maximum is no lower than its neighbours; on the map's border those that exist count. Of equals the first
    comes first.

    Parameters
    ----------
    heights : (n,) float64
        Scratch: only the n highest maxima are looked at.
    out : (n, 2) int64

    Returns
    -------
    How many were found; the rest of `out` is undefined.
    """
    ny, nx = values.shape
    room = heights.size
    found = 0
    floor = np.float64(0.0)
    for j in range(ny):
        row = values[j]
        for i in range(nx):
            c = row[i]
            if not c > floor:
                continue
            peak = True
            for b in range(max(0, j - 1), min(ny, j + 2)):
                for a in range(max(0, i - 1), min(nx, i + 2)):
                    if values[b, a] > c:
                        peak = False
            if not peak:
                continue
            k = min(found, room - 1)
            while k > 0 and heights[k - 1] < c:
                heights[k] = heights[k - 1]
                out[k, 0] = out[k - 1, 0]
                out[k, 1] = out[k - 1, 1]
                k -= 1
            heights[k] = c
            out[k, 0] = j
            out[k, 1] = i
            found = min(found + 1, room)
            if found == room:
                floor = heights[room - 1]
    kept = 0
    for k in range(found):
        apart = True
        for m in range(kept):
            v = (out[k, 0] - out[m, 0]) / radius_y
            u = (out[k, 1] - out[m, 1]) / radius_x
            if u * u + v * v <= 1.0:
                apart = False
        if apart:
            out[kept, 0] = out[k, 0]
            out[kept, 1] = out[k, 1]
            kept += 1
    return kept
