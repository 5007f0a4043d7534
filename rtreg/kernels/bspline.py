"""Cubic B-splines: the prefilter that turns pixels into coefficients, the taps that turn them back, and sampling.

An image is ``sum_k c[k] beta(x - k)``; on the pixels themselves that is the short filter ``P = [1/6, 4/6, 1/6]``, so
the coefficients are ``c = P^-1 image``, a recursive filter with the single pole below (Unser 1999,
doi 10.1109/79.799930). Two ways to go on past the border: mirrored, for images that are to be sampled near it, and
zero, exact for signals that are zero outside, which is what templates are.
"""

from __future__ import annotations

import numpy as np

from rtreg.kernels._jit import Array, Scalar, jit

POLE = np.float32(np.sqrt(3.0) - 2.0)
GAIN = np.float32(6.0)
ZERO_TAIL = np.float32(-POLE / (1.0 - POLE * POLE))  # anti-causal start when everything beyond is zero
MIRROR_TERMS = 16  # POLE**16 is 7e-10: below float32
REACH = 11  # px: POLE**12 is 1.4e-7
RESPONSE = tuple(np.float32(np.sqrt(3.0) * float(POLE) ** k) for k in range(REACH + 1))  # of P^-1 to a single pixel


@jit
def taps(f: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """Weights of the coefficients at -1, 0, 1, 2 for a sample at fraction ``0 <= f < 1``."""
    g = 1.0 - f
    return (
        np.float32(g * g * g / 6.0),
        np.float32((4.0 - 6.0 * f * f + 3.0 * f * f * f) / 6.0),
        np.float32((4.0 - 6.0 * g * g + 3.0 * g * g * g) / 6.0),
        np.float32(f * f * f / 6.0),
    )


@jit
def taps5(f: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar, Scalar, Scalar]:
    """Weights of the quintic's coefficients at -2 ... 3 for a sample at fraction ``0 <= f < 1``."""
    g = 1.0 - f
    f2 = f * f
    g2 = g * g
    return (
        np.float32(g2 * g2 * g / 120.0),
        np.float32((26.0 + f * (-50.0 + f * (20.0 + f * (20.0 + f * (-20.0 + 5.0 * f))))) / 120.0),
        np.float32((66.0 + f2 * (-60.0 + f2 * (30.0 - 10.0 * f))) / 120.0),
        np.float32((66.0 + g2 * (-60.0 + g2 * (30.0 - 10.0 * g))) / 120.0),
        np.float32((26.0 + g * (-50.0 + g * (20.0 + g * (20.0 + g * (-20.0 + 5.0 * g))))) / 120.0),
        np.float32(f2 * f2 * f / 120.0),
    )


@jit
def prefilter(image: Array, mirror: bool, out: Array) -> None:
    """B-spline coefficients of `image` (ny, nx) into `out` (float32); `mirror` or zero beyond the border.

    In the zero case the coefficients that would lie outside are dropped. `out` may be `image`.
    """
    ny, nx = image.shape
    here = np.empty(nx + 2 * REACH, np.float32)
    below = np.empty(nx + 2 * REACH, np.float32)
    if ny == 1:
        factor = np.float32(1.0) if mirror else GAIN * ZERO_TAIL
        for x in range(nx):
            here[REACH + x] = factor * image[0, x]
        _filter_row(here, mirror, out[0])
        return
    _forward(image, mirror, out)
    # back up along y, whole rows at a time: every step is one vector operation; along x while the row is in the cache
    for y in range(ny - 1, -1, -1):
        body = here[REACH : REACH + nx]
        beneath = below[REACH : REACH + nx]
        row = out[y]
        if y < ny - 1:
            for x in range(nx):
                body[x] = POLE * (beneath[x] - row[x])
        elif mirror:
            above = out[y - 1]
            for x in range(nx):
                body[x] = POLE / (POLE * POLE - np.float32(1.0)) * (row[x] + POLE * above[x])
        else:
            for x in range(nx):
                body[x] = ZERO_TAIL * row[x]
        _filter_row(here, mirror, row)
        here, below = below, here


@jit
def _forward(image: Array, mirror: bool, out: Array) -> None:
    """The causal half of the recursion along y, from the top; ny > 1."""
    ny, nx = image.shape
    first = np.empty(nx, np.float32)
    for x in range(nx):
        first[x] = GAIN * image[0, x]
    if mirror:
        # sum_k z^k s[k], folded at the border as often as a small image needs
        power = POLE
        for k in range(1, MIRROR_TERMS):
            row = image[_fold(k, ny)]
            for x in range(nx):
                first[x] += power * (GAIN * row[x])
            power *= POLE
    out[0, :] = first
    for y in range(1, ny):
        source = image[y]
        above = out[y - 1]
        row = out[y]
        for x in range(nx):
            row[x] = GAIN * source[x] + POLE * above[x]


@jit
def _filter_row(line: Array, mirror: bool, out: Array) -> None:
    """Along x: a recursion cannot be vectorised, the same filter cut off where float32 ends can.

    The row is `line` without `REACH` pixels at either end, which are filled here.
    """
    nx = out.size
    for k in range(1, REACH + 1):
        line[REACH - k] = line[REACH + _fold(-k, nx)] if mirror else np.float32(0.0)
        line[REACH + nx - 1 + k] = line[REACH + _fold(nx - 1 + k, nx)] if mirror else np.float32(0.0)
    h = RESPONSE
    for x in range(nx):
        s = h[0] * line[x + 11]
        s += h[1] * (line[x + 10] + line[x + 12])
        s += h[2] * (line[x + 9] + line[x + 13])
        s += h[3] * (line[x + 8] + line[x + 14])
        s += h[4] * (line[x + 7] + line[x + 15])
        s += h[5] * (line[x + 6] + line[x + 16])
        s += h[6] * (line[x + 5] + line[x + 17])
        s += h[7] * (line[x + 4] + line[x + 18])
        s += h[8] * (line[x + 3] + line[x + 19])
        s += h[9] * (line[x + 2] + line[x + 20])
        s += h[10] * (line[x + 1] + line[x + 21])
        s += h[11] * (line[x] + line[x + 22])
        out[x] = s


@jit
def smooth(coefficients: Array, out: Array) -> None:
    """``P c`` with zero beyond the border: coefficients (ny, nx) back to pixels. `out` must be another array."""
    ny, nx = coefficients.shape
    a = np.float32(1.0 / 6.0)
    b = np.float32(4.0 / 6.0)
    column = np.empty(nx, np.float32)
    for y in range(ny):
        row = coefficients[y]
        for x in range(nx):
            column[x] = b * row[x]
        if y > 0:
            above = coefficients[y - 1]
            for x in range(nx):
                column[x] += a * above[x]
        if y < ny - 1:
            below = coefficients[y + 1]
            for x in range(nx):
                column[x] += a * below[x]
        target = out[y]
        for x in range(nx):
            target[x] = b * column[x]
        for x in range(1, nx):
            target[x] += a * column[x - 1]
        for x in range(nx - 1):
            target[x] += a * column[x + 1]


@jit
def gradients(coefficients: Array, out_y: Array, out_x: Array) -> None:
    """d/dy and d/dx on the pixels of the spline with these mirrored coefficients (ny, nx), per px."""
    ny, nx = coefficients.shape
    a = np.float32(1.0 / 6.0)
    b = np.float32(4.0 / 6.0)
    half = np.float32(0.5)
    value = np.empty(nx, np.float32)
    slope = np.empty(nx, np.float32)
    for y in range(ny):
        above = coefficients[y - 1 if y > 0 else min(1, ny - 1)]
        here = coefficients[y]
        below = coefficients[y + 1 if y < ny - 1 else max(ny - 2, 0)]
        for x in range(nx):
            value[x] = b * here[x] + a * (above[x] + below[x])
            slope[x] = half * (below[x] - above[x])
        for x in range(nx):
            left = x - 1 if x > 0 else min(1, nx - 1)
            right = x + 1 if x < nx - 1 else max(nx - 2, 0)
            out_y[y, x] = b * slope[x] + a * (slope[left] + slope[right])
            out_x[y, x] = half * (value[right] - value[left])


@jit
def convolve(image: Array, along_y: Array, along_x: Array, mirror: bool, out: Array) -> None:
    """`image` (ny, nx) through two short filters, one an axis, into `out`; `mirror` or zero beyond the border.

    The filters have an odd number of taps (float32), the middle one at the pixel itself, and are turned round as in any
    convolution. For splines of other orders than the cubic above. `out` may be `image`.
    """
    ny, nx = image.shape
    ry = along_y.size // 2
    rx = along_x.size // 2
    between = np.zeros((ny, nx), np.float32)
    for y in range(ny):
        target = between[y]
        for k in range(-ry, ry + 1):
            v = y - k
            if v < 0 or v >= ny:
                if not mirror:
                    continue
                v = _fold(v, ny)
            weight = along_y[k + ry]
            source = image[v]
            for x in range(nx):
                target[x] += weight * source[x]
    line = np.zeros(nx + 2 * rx, np.float32)
    for y in range(ny):
        row = between[y]
        line[rx : rx + nx] = row
        if mirror:
            for k in range(1, rx + 1):
                line[rx - k] = row[_fold(-k, nx)]
                line[rx + nx - 1 + k] = row[_fold(nx - 1 + k, nx)]
        target = out[y]
        target[:] = np.float32(0.0)
        for k in range(-rx, rx + 1):
            weight = along_x[k + rx]
            source = line[rx - k :]
            for x in range(nx):
                target[x] += weight * source[x]


@jit
def sample(coefficients: Array, dy: Scalar, dx: Scalar, fill: Scalar, out: Array) -> None:
    """The spline at ``(y + dy, x + dx)`` for every pixel of `out` (ny, nx); `fill` where that is outside the image.

    A position is inside when it lies between the centres of the outermost pixels.
    """
    ny, nx = coefficients.shape
    my = int(np.floor(dy))
    mx = int(np.floor(dx))
    by = taps(dy - my)
    bx = taps(dx - mx)
    column = np.empty(nx + 3, np.float32)  # one row, mirrored by one pixel left and two right
    out[:, :] = fill
    for y in range(out.shape[0]):
        if y + dy < 0 or y + dy > ny - 1:
            continue
        rows = (
            coefficients[_fold(y + my - 1, ny)],
            coefficients[_fold(y + my, ny)],
            coefficients[_fold(y + my + 1, ny)],
            coefficients[_fold(y + my + 2, ny)],
        )
        body = column[1 : nx + 1]
        for x in range(nx):
            body[x] = by[0] * rows[0][x] + by[1] * rows[1][x] + by[2] * rows[2][x] + by[3] * rows[3][x]
        column[0] = body[_fold(-1, nx)]
        column[nx + 1] = body[_fold(nx, nx)]
        column[nx + 2] = body[_fold(nx + 1, nx)]
        first = max(0, -mx)
        last = min(out.shape[1], nx - mx if dx == mx else nx - 1 - mx)
        if last <= first:
            continue
        source = column[first + mx :]
        target = out[y, first:last]
        for x in range(target.size):
            target[x] = bx[0] * source[x] + bx[1] * source[x + 1] + bx[2] * source[x + 2] + bx[3] * source[x + 3]


@jit
def _fold(i: int, n: int) -> int:
    """Index `i` mirrored into ``0 .. n-1`` about the outermost pixels."""
    if n == 1:
        return 0
    period = 2 * n - 2
    i = abs(i) % period
    return period - i if i >= n else i
