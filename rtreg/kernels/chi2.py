"""One pair of images: the sums that improve their shift, and the chi² of it, with an error for every pixel.

For one pair this costs a prefilter and two or three passes, less than preparing the templates whose cost a live run
spreads over its frames (`kernels.gauss_newton`).
"""

from __future__ import annotations

import numpy as np

from rtreg.kernels._jit import Array, Scalar, jit
from rtreg.kernels.bspline import taps

SUMS = 30  # what `moments` writes
LINES = 9  # of scratch
LEAST_VARIANCE = np.float32(1e-3)  # of the variance at signal 0: keeps weights finite where the line reaches zero


@jit
def survey(pixels: Array) -> tuple[int, float, float, float]:
    """Number, mean, smallest and largest of the finite pixels of an image (ny, nx); NaN where there are none."""
    n = 0
    total = 0.0
    nx = pixels.shape[1]
    # extremes by column: a running minimum of one number is not vectorised, since a NaN could pass through it
    low = np.full(nx, np.inf)
    high = np.full(nx, -np.inf)
    for y in range(pixels.shape[0]):
        row = pixels[y]
        s = 0.0
        bad = 0
        for x in range(nx):
            s += float(row[x])
        if (s > -np.inf) & (s < np.inf):  # then every pixel is finite; `s - s` would be optimised away
            for x in range(nx):
                v = float(row[x])
                low[x] = v if v < low[x] else low[x]
            for x in range(nx):
                v = float(row[x])
                high[x] = v if v > high[x] else high[x]
        else:
            s = 0.0
            for x in range(nx):
                v = float(row[x])
                if (v > -np.inf) & (v < np.inf):
                    s += v
                    low[x] = min(low[x], v)
                    high[x] = max(high[x], v)
                else:
                    bad += 1
        total += s
        n += nx - bad
    return n, (total / n if n else np.nan), (low.min() if nx else np.nan), (high.max() if nx else np.nan)


@jit
def load(pixels: Array, mean: float, scale: float, out: Array, bad: Array) -> int:
    """``out = (pixels - mean) * scale`` in float32; pixels that are not finite become 0 and are listed in `bad`."""
    ny, nx = pixels.shape
    n_bad = 0
    for y in range(ny):
        row = pixels[y]
        target = out[y]
        rejected = 0
        for x in range(nx):
            v = np.float64(row[x])
            rejected += 0 if (v > -np.inf) & (v < np.inf) else 1
            target[x] = np.float32((v - mean) * scale)
        if rejected:
            for x in range(nx):
                v = np.float64(row[x])
                if not ((v > -np.inf) & (v < np.inf)):
                    target[x] = np.float32(0.0)
                    if n_bad < bad.size:
                        bad[n_bad] = y * nx + x
                    n_bad += 1
    return n_bad


@jit
def slopes(f: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """Derivatives of the four `taps` with respect to the position, per px."""
    g = 1.0 - f
    return (
        np.float32(-0.5 * g * g),
        np.float32(-2.0 * f + 1.5 * f * f),
        np.float32(2.0 * g - 1.5 * g * g),
        np.float32(0.5 * f * f),
    )


@jit
def _row(coefficients: Array, y: int, by: tuple[Scalar, ...], count: int, first: int, out: Array) -> None:
    """Four rows from `y` on, weighted with `by`: `count` columns from `first` on into `out`."""
    r0 = coefficients[y, first : first + count]
    r1 = coefficients[y + 1, first : first + count]
    r2 = coefficients[y + 2, first : first + count]
    r3 = coefficients[y + 3, first : first + count]
    for x in range(count):
        out[x] = by[0] * r0[x] + by[1] * r1[x] + by[2] * r2[x] + by[3] * r3[x]


@jit
def _filter(line: Array, bx: tuple[Scalar, ...], out: Array) -> None:
    """Four taps along x."""
    for x in range(out.size):
        out[x] = bx[0] * line[x] + bx[1] * line[x + 1] + bx[2] * line[x + 2] + bx[3] * line[x + 3]


@jit
def _overlap(size: int, available: int, first: int, margin: int) -> tuple[int, int]:
    """Frame pixels ``[low, high)`` whose taps, from ``pixel + first`` on, stay `margin` inside the reference."""
    return max(0, margin - first), min(size, available - margin - 3 - first)


@jit
def moments(
    reference: Array,
    jy: int,
    jx: int,
    weights: Array,
    coefficients: Array,
    pad: int,
    fy: Scalar,
    fx: Scalar,
    margin: int,
    scale: Scalar,
    offset: Scalar,
    floor: Scalar,
    slope: Scalar,
    stride: int,
    matrix: bool,
    lines: Array,
    out: Array,
) -> None:
    """Sums for one step: instruments ``A = L, 1, D_y R, D_x R`` against the residual and what it is linear in.

    The frame is interpolated, the reference is not; its gradient D (five points) and L, the sum of a pixel and its four
    neighbours, only weigh. So whatever white noise either image has moves nothing on average. Interpolating the
    reference instead would smooth its noise by an amount that depends on the shift, and draw the answer towards half
    pixels; R itself for L would make the scale too small.

    Parameters
    ----------
    reference : (my, mx) float32
        Frame pixel (y, x) lies on its pixel ``(y + jy, x + jx)``.
    weights : (ny, nx) or (1, nx) float32
        On the frame's pixels, or one row for all of them; 0 = ignore.
    coefficients : (cy, cx) float32
        Of the frame, with `pad` pixels more on every side; read at ``(y + pad + fy, x + pad + fx)`` for pixel (y, x).
    fy, fx : Scalar
        Between -1 and 1; the pixels used do not depend on it, or a fit could go back and forth between two sets.
    margin : int
        Pixels at the border of `coefficients` not to use beyond what the taps need.
    scale, offset : Scalar
        The residual is ``frame - scale R - offset``.
    floor, slope : Scalar
        The variance grows as ``1 + slope (R - floor)``, on top of `weights`; slope 0 for weights as they are.
    stride : int
        Only every `stride`-th row is looked at.
    matrix : bool
        False for the sums with the residual alone, a third of the time; the others are left as they are.
    lines : (LINES, >= nx + 3) float32
        Scratch.
    out : (SUMS,) float64
        In rows of A: products with ``R, 1, I_y, I_x, r`` (20 sums, `I_y` and `I_x` the frame's slopes); then
        ``D_y D_y, D_y D_x, D_x D_x, L L, L D_y, L D_x``, ``L, R r, r r`` and the number of pixels used. All but the
        last weighted.
    """
    ny, nx = coefficients.shape[0] - 2 * pad, coefficients.shape[1] - 2 * pad
    if matrix:
        out[:] = 0.0
    for k in range(4):
        out[5 * k + 4] = 0.0
    out[27:] = 0.0
    my = int(np.floor(fy))
    mx = int(np.floor(fx))
    by, sy = taps(fy - my), slopes(fy - my)
    bx, sx = taps(fx - mx), slopes(fx - mx)
    my += pad
    mx += pad
    edge = margin + 2 - pad
    top, bottom = max(0, edge, 2 - jy), min(ny, ny - edge, reference.shape[0] - 2 - jy)
    left, right = max(0, edge, 2 - jx), min(nx, nx - edge, reference.shape[1] - 2 - jx)
    count = right - left
    if count <= 0:
        return
    a = np.float32(scale)
    b = np.float32(offset)
    q = np.float32(slope)
    low = np.float32(floor)
    value = lines[0, : count + 3]
    rise = lines[1, : count + 3]
    r = lines[2, :count]
    iy = lines[3, :count]
    ix = lines[4, :count]
    w = lines[5, :count]
    dy = lines[6, :count]
    dx = lines[7, :count]
    sum5 = lines[8, :count]
    for y in range(top, bottom, stride):
        _row(coefficients, y + my - 1, by, count + 3, left + mx - 1, value)
        _filter(value, bx, r)
        t = reference[y + jy, left + jx : right + jx]
        for x in range(count):
            r[x] -= a * t[x] + b
        given = weights[min(y, weights.shape[0] - 1), left:right]
        if q > 0:
            for x in range(count):
                w[x] = given[x] / max(np.float32(1.0) + q * (t[x] - low), LEAST_VARIANCE)
        else:
            w[:] = given
        _instruments(reference, y + jy, left + jx, dy, dx, sum5)
        if matrix:
            _row(coefficients, y + my - 1, sy, count + 3, left + mx - 1, rise)
            _filter(rise, bx, iy)
            _filter(value, sx, ix)
            _add_matrix(w, t, iy, ix, dy, dx, sum5, out)
        p = s = g = h = tr = rr = used = np.float32(0.0)
        for x in range(count):
            wr = w[x] * r[x]
            p += wr * sum5[x]
            s += wr
            g += wr * dy[x]
            h += wr * dx[x]
            tr += wr * t[x]
            rr += wr * r[x]
            used += np.float32(1.0) if w[x] > 0 else np.float32(0.0)
        out[4] += p
        out[9] += s
        out[14] += g
        out[19] += h
        out[27] += tr
        out[28] += rr
        out[29] += used


@jit
def _instruments(image: Array, y: int, x0: int, dy: Array, dx: Array, sum5: Array) -> None:
    """Gradient by five points, and the sum of a pixel and its four neighbours, along row `y` from `x0` on."""
    near = np.float32(8.0 / 12.0)
    far = np.float32(1.0 / 12.0)
    here = image[y, x0 - 2 :]
    up1 = image[y - 1, x0:]
    up2 = image[y - 2, x0:]
    down1 = image[y + 1, x0:]
    down2 = image[y + 2, x0:]
    # one output a loop: with more, the checks for overlap between the arrays keep LLVM from using vectors
    for x in range(dy.size):
        dy[x] = near * (down1[x] - up1[x]) - far * (down2[x] - up2[x])
    for x in range(dy.size):
        dx[x] = near * (here[x + 3] - here[x + 1]) - far * (here[x + 4] - here[x])
    for x in range(dy.size):
        sum5[x] = here[x + 1] + here[x + 2] + here[x + 3] + up1[x] + down1[x]


@jit
def _add_matrix(w: Array, t: Array, iy: Array, ix: Array, dy: Array, dx: Array, sum5: Array, out: Array) -> None:
    """One row's sums of `moments` without the residual, added to `out`."""
    p0 = p1 = p2 = p3 = q0 = q1 = q2 = q3 = np.float32(0.0)
    for x in range(w.size):
        w0 = w[x] * sum5[x]
        p0 += w0 * t[x]
        p1 += w0
        p2 += w0 * iy[x]
        p3 += w0 * ix[x]
        q0 += w[x] * t[x]
        q1 += w[x]
        q2 += w[x] * iy[x]
        q3 += w[x] * ix[x]
    g0 = g1 = g2 = g3 = h0 = h1 = h2 = h3 = np.float32(0.0)
    for x in range(w.size):
        wy = w[x] * dy[x]
        wx = w[x] * dx[x]
        g0 += wy * t[x]
        g1 += wy
        g2 += wy * iy[x]
        g3 += wy * ix[x]
        h0 += wx * t[x]
        h1 += wx
        h2 += wx * iy[x]
        h3 += wx * ix[x]
    yy = yx = xx = ll = ly = lx = np.float32(0.0)
    for x in range(w.size):
        wy = w[x] * dy[x]
        wl = w[x] * sum5[x]
        yy += wy * dy[x]
        yx += wy * dx[x]
        xx += w[x] * dx[x] * dx[x]
        ll += wl * sum5[x]
        ly += wl * dy[x]
        lx += wl * dx[x]
    out[0] += p0
    out[1] += p1
    out[2] += p2
    out[3] += p3
    out[5] += q0
    out[6] += q1
    out[7] += q2
    out[8] += q3
    out[10] += g0
    out[11] += g1
    out[12] += g2
    out[13] += g3
    out[15] += h0
    out[16] += h1
    out[17] += h2
    out[18] += h3
    out[20] += yy
    out[21] += yx
    out[22] += xx
    out[23] += ll
    out[24] += ly
    out[25] += lx
    out[26] += p1


@jit
def chi2(
    frame: Array,
    weights: Array,
    coefficients: Array,
    y0: Scalar,
    x0: Scalar,
    margin: int,
    scale: Scalar,
    offset: Scalar,
    floor: Scalar,
    slope: Scalar,
    lines: Array,
    out: Array,
) -> None:
    """``sum w (frame - scale R - offset)²`` on the frame's own pixels, where its noise is still white.

    `coefficients` (my, mx) are the **reference's**, read at ``(y + y0, x + x0)``; the rest as in `moments`. `out` (2,)
    float64 gets the sum and the number of pixels used.
    """
    ny, nx = frame.shape
    out[:] = 0.0
    my = int(np.floor(y0))
    mx = int(np.floor(x0))
    by = taps(y0 - my)
    bx = taps(x0 - mx)
    top, bottom = _overlap(ny, coefficients.shape[0], my - 1, margin)
    left, right = _overlap(nx, coefficients.shape[1], mx - 1, margin)
    count = right - left
    if count <= 0:
        return
    a = np.float32(scale)
    b = np.float32(offset)
    q = np.float32(slope)
    low = np.float32(floor)
    value = lines[0, : count + 3]
    t = lines[2, :count]
    for y in range(top, bottom):
        _row(coefficients, y + my - 1, by, count + 3, left + mx - 1, value)
        _filter(value, bx, t)
        pixels = frame[y, left:right]
        w = weights[y, left:right]
        square = used = np.float32(0.0)
        for x in range(count):
            r = pixels[x] - a * t[x] - b
            square += w[x] * r * r / max(np.float32(1.0) + q * (t[x] - low), LEAST_VARIANCE)
            used += np.float32(1.0) if w[x] > 0 else np.float32(0.0)
        out[0] += square
        out[1] += used


@jit
def noise_by_signal(
    frame: Array,
    weights: Array,
    coefficients: Array,
    y0: Scalar,
    x0: Scalar,
    margin: int,
    scale: Scalar,
    offset: Scalar,
    low: Scalar,
    high: Scalar,
    stride: int,
    lines: Array,
    out: Array,
) -> None:
    """Squared residuals by signal: ``out[0]`` counts, ``out[1]`` sums of r², ``out[2]`` sums of ``R - low``.

    Bins grow with the square of the distance from `low`, up to `high`. Only every `stride`-th row is looked at, and
    only pixels with weight. `out` is (3, bins) float64; the rest as in `chi2`.
    """
    ny, nx = frame.shape
    out[:, :] = 0.0
    my = int(np.floor(y0))
    mx = int(np.floor(x0))
    by = taps(y0 - my)
    bx = taps(x0 - mx)
    top, bottom = _overlap(ny, coefficients.shape[0], my - 1, margin)
    left, right = _overlap(nx, coefficients.shape[1], mx - 1, margin)
    count = right - left
    if count <= 0:
        return
    a = np.float32(scale)
    b = np.float32(offset)
    bins = out.shape[1]
    norm = np.float32(1.0 / (high - low))
    value = lines[0, : count + 3]
    t0 = lines[2, :count]
    for y in range(top, bottom, stride):
        _row(coefficients, y + my - 1, by, count + 3, left + mx - 1, value)
        _filter(value, bx, t0)
        pixels = frame[y, left:right]
        w = weights[y, left:right]
        for x in range(count):
            if w[x] > 0:
                signal = max(t0[x] - low, np.float32(0.0))
                k = min(bins - 1, int(bins * np.sqrt(min(signal * norm, np.float32(1.0)))))
                r = pixels[x] - a * t0[x] - b
                out[0, k] += 1.0
                out[1, k] += r * r
                out[2, k] += signal


@jit
def blot(weights: Array, bad: Array, dy: int, dx: int, wrap: bool) -> None:
    """Zero the weights (ny, nx) of frame pixels within 1 px of where bad reference pixels lie, moved by (dy, dx).

    `bad` holds flat indices of the reference, which has the frame's shape; `wrap`: round the border.
    """
    ny, nx = weights.shape
    for k in range(bad.size):
        for j in range(-1, 2):
            for i in range(-1, 2):
                y = bad[k] // nx + dy + j
                x = bad[k] % nx + dx + i
                if wrap:
                    y %= ny
                    x %= nx
                if 0 <= y < ny and 0 <= x < nx:
                    weights[y, x] = np.float32(0.0)


@jit
def _variance(share: Scalar, weight: Scalar) -> Scalar:
    """What a pixel adds to an interpolated variance: infinite without weight, if more than a twentieth."""
    if weight > 0:
        return share / weight
    return np.float32(np.inf) if share > np.float32(0.05) else np.float32(0.0)


@jit
def move_weights(weights: Array, fy: Scalar, fx: Scalar, out: Array) -> None:
    """Weights at ``(y + fy, x + fx)``, |f| <= 1: one over the variance there, interpolated; 0 beside a 0."""
    ny, nx = weights.shape
    jy = 1 if fy >= 0 else -1
    jx = 1 if fx >= 0 else -1
    ay = np.float32(fy if fy >= 0 else -fy)
    ax = np.float32(fx if fx >= 0 else -fx)
    by = np.float32(1.0) - ay
    bx = np.float32(1.0) - ax
    for y in range(ny):
        here = weights[y]
        there = weights[min(max(y + jy, 0), ny - 1)]
        target = out[y]
        for x in range(nx):
            u = min(max(x + jx, 0), nx - 1)
            variance = _variance(by * bx, here[x]) + _variance(by * ax, here[u])
            variance += _variance(ay * bx, there[x]) + _variance(ay * ax, there[u])
            target[x] = np.float32(1.0) / variance


@jit
def solve(sums: Array, inverse: Array, step: Array) -> bool:
    """The Newton step (4,) of the `sums` of `moments`, and the inverse (4, 4) of the matrix; False if it has none.

    By Gauss-Jordan elimination with row pivots. The residual falls with scale and offset, and grows along the slopes,
    hence the signs.
    """
    m = np.zeros((4, 8))
    for i in range(4):
        for j in range(4):
            m[i, j] = sums[5 * i + j] if j < 2 else -sums[5 * i + j]
        m[i, 4 + i] = 1.0
    for c in range(4):
        p = c
        for i in range(c + 1, 4):
            if abs(m[i, c]) > abs(m[p, c]):
                p = i
        if not abs(m[p, c]) > 0.0:
            return False
        for j in range(8):
            m[c, j], m[p, j] = m[p, j], m[c, j]
        f = 1.0 / m[c, c]
        for j in range(8):
            m[c, j] *= f
        for i in range(4):
            if i != c:
                g = m[i, c]
                for j in range(8):
                    m[i, j] -= g * m[c, j]
    total = 0.0
    for i in range(4):
        step[i] = 0.0
        for j in range(4):
            inverse[i, j] = m[i, 4 + j]
            step[i] += m[i, 4 + j] * sums[5 * j + 4]
            total += m[i, 4 + j]
    return (total > -np.inf) & (total < np.inf)
