"""Fourier-space products and their reading in image space, for the search of acquisition."""

from __future__ import annotations

import numpy as np

from rtreg.kernels._jit import Array, Scalar, jit


@jit
def correlate(reference: Array, frame: Array, out: Array) -> None:
    """``out = conj(reference) * frame``: the spectrum of ``sum_x reference(x) frame(x + d)``. `out` may be `frame`."""
    for y in range(out.shape[0]):
        a = reference[y]
        b = frame[y]
        target = out[y]
        for x in range(target.size):
            target[x] = np.conj(a[x]) * b[x]


@jit
def bin_down(image: Array, factor: int, out: Array) -> None:
    """Mean of ``factor x factor`` pixels of `image` into `out` (ny // factor, nx // factor) float32."""
    norm = np.float32(1.0 / (factor * factor))
    nx = out.shape[1] * factor
    total = np.empty(nx, np.float32)
    for y in range(out.shape[0]):
        for j in range(factor):
            row = image[y * factor + j, :nx]
            for x in range(nx):
                total[x] = row[x] if j == 0 else total[x] + row[x]
        target = out[y]
        if factor == 2:
            for x in range(target.size):
                target[x] = norm * (total[2 * x] + total[2 * x + 1])
            continue
        if factor == 4:
            for x in range(target.size):
                target[x] = norm * (total[4 * x] + total[4 * x + 1] + total[4 * x + 2] + total[4 * x + 3])
            continue
        for x in range(target.size):
            s = np.float32(0.0)
            for i in range(factor):
                s += total[x * factor + i]
            target[x] = norm * s


@jit
def embed(image: Array, mean: Scalar, out: Array) -> None:
    """`image` minus `mean` into the top left corner of `out`, zeros elsewhere."""
    ny, nx = image.shape
    m = np.float32(mean)
    out[:, :] = 0.0
    for y in range(ny):
        source = image[y]
        target = out[y]
        for x in range(nx):
            target[x] = source[x] - m


@jit
def square(image: Array, out: Array) -> None:
    """``out = image ** 2``."""
    for y in range(out.shape[0]):
        source = image[y]
        target = out[y]
        for x in range(target.size):
            target[x] = source[x] * source[x]


@jit
def explained(
    cross: Array, linear: Array, quadratic: Array, overlap: Array, half_y: int, half_x: int, out: Array
) -> None:
    """Explained fraction of the frame's weighted variance at every whole-pixel shift of the window.

    At shift ``d`` the frame is fitted by ``a R + b`` over the pixels that both have, with weights w on the reference
    side; the answer is the squared correlation coefficient of the two, with the sign of `a` (Padfield 2012,
    doi 10.1109/TIP.2011.2181402).

    Parameters
    ----------
    cross, linear, quadratic : (py, px) float32
        ``sum w R I``, ``sum w I`` and ``sum w I²`` at shift d, at index d modulo the size; the latter two may be of
        another size than the first.
    overlap : (3, 2 half_y + 1, 2 half_x + 1) float32
        ``sum w``, ``sum w R`` and ``sum w R²`` over the pixels that are common at that shift, on the window.
    out : (2 half_y + 1, 2 half_x + 1) float32
        Index (dy + half_y, dx + half_x).
    """
    py, px = cross.shape
    for j in range(out.shape[0]):
        y = (j - half_y) % py
        v = (j - half_y) % linear.shape[0]
        for i in range(out.shape[1]):
            x = (i - half_x) % px
            u = (i - half_x) % linear.shape[1]
            n = np.float64(overlap[0, j, i])
            if n <= 0.0:
                out[j, i] = 0.0
                continue
            r = np.float64(overlap[1, j, i])
            s = np.float64(linear[v, u])
            covariance = cross[y, x] - s * r / n
            var_r = overlap[2, j, i] - r * r / n
            var_i = quadratic[v, u] - s * s / n
            if var_r <= 0.0 or var_i <= 0.0:
                out[j, i] = 0.0
                continue
            value = covariance * covariance / (var_r * var_i)
            out[j, i] = min(value, 1.0) if covariance > 0.0 else -min(value, 1.0)


@jit
def overlaps(values: Array, half_y: int, half_x: int, table: Array, out: Array) -> None:
    """Sums of `values` (ny, nx) over the pixels that an image and itself, moved by (dy, dx), have in common.

    Image pixel p lies on pixel ``p - d``: what is common starts at ``max(0, -d)`` and ends at ``n - max(0, d)``.

    Parameters
    ----------
    table : (ny + 1, nx + 1) float64
        Scratch: sums over everything above and to the left.
    out : (2 half_y + 1, 2 half_x + 1) float32
        Index (dy + half_y, dx + half_x).
    """
    ny, nx = values.shape
    table[0, :] = 0.0
    for y in range(ny):
        row = values[y]
        above = table[y]
        here = table[y + 1]
        here[0] = 0.0
        s = 0.0
        for x in range(nx):
            s += row[x]
            here[x + 1] = above[x + 1] + s
    for j in range(out.shape[0]):
        dy = j - half_y
        first = table[max(0, -dy)]
        last = table[ny - max(0, dy)]
        target = out[j]
        for i in range(target.size):
            dx = i - half_x
            x0 = max(0, -dx)
            x1 = nx - max(0, dx)
            target[i] = last[x1] - first[x1] - last[x0] + first[x0]
