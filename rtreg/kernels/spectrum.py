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
def window(circular: Array, out: Array) -> None:
    """A map with shift d at index d modulo the size, laid out about shift 0.

    `out` (2 half_y + 1, 2 half_x + 1): index (dy + half_y, dx + half_x).
    """
    py, px = circular.shape
    half_y, half_x = out.shape[0] // 2, out.shape[1] // 2
    for j in range(out.shape[0]):
        source = circular[(j - half_y) % py]
        out[j, :half_x] = source[px - half_x :]
        out[j, half_x:] = source[: half_x + 1]


@jit
def explained(cross: Array, linear: Array, quadratic: Array, overlap: Array, out: Array) -> None:
    """Explained fraction of the frame's weighted variance at every whole-pixel shift of the window.

    At shift ``d`` the frame is fitted by ``a R + b`` over the pixels that both have, with weights w on the reference
    side; the answer is the squared correlation coefficient of the two, with the sign of `a` (Padfield 2012,
    doi 10.1109/TIP.2011.2181402).

    Parameters
    ----------
    cross, linear, quadratic : (2 half_y + 1, 2 half_x + 1) float32
        ``sum w R I``, ``sum w I`` and ``sum w I²`` at shift d, at index (dy + half_y, dx + half_x).
    overlap : (3, 2 half_y + 1, 2 half_x + 1) float32
        ``sum w``, ``sum w R`` and ``sum w R²`` over the pixels that are common at that shift.
    out : (2 half_y + 1, 2 half_x + 1) float32
        0 where nothing is common, or either has no variance.
    """
    for j in range(out.shape[0]):
        c = cross[j]
        frame1 = linear[j]
        frame2 = quadratic[j]
        count = overlap[0, j]
        reference1 = overlap[1, j]
        reference2 = overlap[2, j]
        target = out[j]
        for i in range(target.size):
            per = 1.0 / np.float64(count[i]) if count[i] > 0.0 else np.float64(0.0)
            r = np.float64(reference1[i])
            s = np.float64(frame1[i])
            covariance = np.float64(c[i]) - s * r * per
            var_r = np.float64(reference2[i]) - r * r * per
            var_i = np.float64(frame2[i]) - s * s * per
            norm = var_r * var_i if (per > 0.0) & (var_r > 0.0) & (var_i > 0.0) else np.inf
            value = covariance * covariance / norm
            value = value if value < 1.0 else np.float64(1.0)
            target[i] = value if covariance > 0.0 else -value


@jit
def overlaps(values: Array, sign: int, table: Array, out: Array) -> None:
    """Sums of `values` (ny, nx) over the pixels that an image and itself, moved by (dy, dx), have in common.

    With `sign` 1 image pixel p lies on pixel ``p - d``: what is common starts at ``max(0, -d)`` and ends at
    ``n - max(0, d)``. With -1 the other way round: the same overlap, seen from the other image.

    Parameters
    ----------
    table : (ny + 1, nx + 1) float64
        Scratch: sums over everything above and to the left.
    out : (2 half_y + 1, 2 half_x + 1) float32
        Index (dy + half_y, dx + half_x).
    """
    ny, nx = values.shape
    half_y, half_x = out.shape[0] // 2, out.shape[1] // 2
    table[0, :] = 0.0
    table[:, 0] = 0.0
    y = 0
    while y + 4 <= ny:  # four running sums that do not wait for each other
        v0, v1, v2, v3 = values[y], values[y + 1], values[y + 2], values[y + 3]
        above, t0, t1, t2, t3 = table[y, 1:], table[y + 1, 1:], table[y + 2, 1:], table[y + 3, 1:], table[y + 4, 1:]
        s0 = s1 = s2 = s3 = 0.0
        for x in range(nx):
            s0 += v0[x]
            s1 += v1[x]
            s2 += v2[x]
            s3 += v3[x]
            first_two = s0 + s1
            t0[x] = above[x] + s0
            t1[x] = above[x] + first_two
            t2[x] = above[x] + (first_two + s2)
            t3[x] = above[x] + (first_two + (s2 + s3))
        y += 4
    while y < ny:
        s0 = 0.0
        for x in range(nx):
            s0 += values[y, x]
            table[y + 1, x + 1] = table[y, x + 1] + s0
        y += 1
    between = np.empty(nx + 1)
    for j in range(out.shape[0]):
        dy = sign * (j - half_y)
        first = table[max(0, -dy)]
        last = table[ny - max(0, dy)]
        for x in range(nx + 1):
            between[x] = last[x] - first[x]
        whole = between[nx]
        left = out[j, :half_x]
        right = out[j, half_x:]
        if sign > 0:
            for i in range(left.size):
                left[i] = whole - between[half_x - i]
            for i in range(right.size):
                right[i] = between[nx - i]
        else:
            for i in range(left.size):
                left[i] = between[nx - half_x + i]
            for i in range(right.size):
                right[i] = whole - between[i]
