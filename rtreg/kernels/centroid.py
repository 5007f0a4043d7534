"""The windowed centroid of one star: its first moments under the window that knows most about its place.

The window of a Gaussian star ``a g + b`` in pixels of variance v is ``g / v``: wide where photons make the noise,
narrow where the sky does. Where the moments ``sum (g / v) (x - c) (I - a g - b)`` vanish is the most likely centre.
One pass over a few hundred pixels; a Newton step from the moments to the centre; twice is enough.
"""

from __future__ import annotations

import numpy as np

from rtreg.kernels._jit import Array, Scalar, jit
from rtreg.kernels.bspline import sample
from rtreg.kernels.gauss_newton import CONTRACTION, CONVERGED, ENOUGH, FAILED, FINEST, LEFT, MAX_STEP, UNFINISHED
from rtreg.kernels.prepare import prepare

BAD = 4  # how `measure` ends, beside the ends of `gauss_newton.converge`: a bad pixel in the window
ROUNDING = 1e-6  # of the level: a star below what float32 leaves of a flat patch is none
LEAST_VARIANCE = np.float32(0.1)  # of the quiet pixel's: a background that falls must not make weights infinite
SETTLED = 0.1  # of the height in one pass: the weights, and with them the error bar, are those of this star
FARTHEST = 1.0  # px of the star from the middle of its window, before it is cut anew
WIDTH, QUIET, SLOPE, REF_Y, REF_X, REF_A, REF_B, SHARE = range(8)  # of `star`
Y, X, A, B, PASSES, STEP, YY, XY, XX, AA, CHI2 = range(11)  # of `state`


@jit
def moments(patch: Array, cy: Scalar, cx: Scalar, star: Array, a: Scalar, b: Scalar, along: Array, out: Array) -> None:
    """Sums over a window of the star's profile ``g``, its weight ``w = 1 / v`` and the pixels I.

    Parameters
    ----------
    patch : (ny, nx) float32
        The window; (cy, cx) is the star's place in it, px.
    star : (8,) float64
        `WIDTH` (sigma, px); `QUIET`, the variance of a pixel at the reference's background `REF_B`; `SLOPE`, what a
        unit of signal adds to it.
    a, b : Scalar
        Height and background that the weights are made for.
    along : (2, >= max(ny, nx)) float32
        Scratch.
    out : (14,) float64
        Sums of w times: 1, I - b, g, gg, g(I - b), gu, gu(I - b), ggu, gguu, then gv, gv(I - b), ggv, ggvv, gguv;
        (u, v) from the centre along (x, y).
    """
    ny, nx = patch.shape
    per_width = 1.0 / star[WIDTH]
    gx = along[0]
    us = along[1]
    for x in range(nx):
        u = x - cx
        us[x] = np.float32(u)
        gx[x] = np.float32(np.exp(-0.5 * (u * per_width) ** 2))
    least = LEAST_VARIANCE * np.float32(star[QUIET])
    level = np.float32(star[QUIET] + star[SLOPE] * (b - star[REF_B]))
    light = np.float32(star[SLOPE] * a)
    ground = np.float32(b)  # taken off first, or a bright sky would cost digits
    out[:] = 0.0
    for y in range(ny):
        v = y - cy
        gy = np.float32(np.exp(-0.5 * (v * per_width) ** 2))
        row = patch[y]
        w1 = np.float32(0.0)
        wi = np.float32(0.0)
        wg = np.float32(0.0)
        wgg = np.float32(0.0)
        wgi = np.float32(0.0)
        wgu = np.float32(0.0)
        wgui = np.float32(0.0)
        wggu = np.float32(0.0)
        wgguu = np.float32(0.0)
        for x in range(nx):
            g = gy * gx[x]
            w = np.float32(1.0) / max(level + light * g, least)
            s = w * g
            u = us[x]
            i = row[x] - ground
            w1 += w
            wi += w * i
            wg += s
            wgi += s * i
            wgu += s * u
            wgui += s * u * i
            s *= g
            wgg += s
            wggu += s * u
            wgguu += s * u * u
        out[0] += w1
        out[1] += wi
        out[2] += wg
        out[3] += wgg
        out[4] += wgi
        out[5] += wgu
        out[6] += wgui
        out[7] += wggu
        out[8] += wgguu
        out[9] += v * wg
        out[10] += v * wgi
        out[11] += v * wgg
        out[12] += v * v * wgg
        out[13] += v * wggu


@jit
def step(sums: Array, star: Array, state: Array) -> bool:
    """From moments to height, background and a step of the centre with its covariance; False when there is no star.

    `state` (11,) float64: `A`, `B`, `YY`, `XY`, `XX` (px²) and `AA` (variance of `A`) are renewed, `Y` and `X` moved,
    `STEP` is how far.
    """
    w, wi, wg, wgg, wgi = sums[0], sums[1], sums[2], sums[3], sums[4]
    det = wgg * w - wg * wg
    if not det > 0.0:
        return False
    a = (wgi * w - wi * wg) / det
    more = (wgg * wi - wg * wgi) / det
    if not ROUNDING * abs(wi / w) < a < np.inf:
        return False
    xx, yy, xy = sums[8], sums[12], sums[13]
    rx = sums[6] - more * sums[5] - a * sums[7]
    ry = sums[10] - more * sums[9] - a * sums[11]
    curvature = xx * yy - xy * xy
    if not curvature > 0.0:
        return False
    gain = star[WIDTH] * star[WIDTH] / a
    dy = gain * (xx * ry - xy * rx) / curvature
    dx = gain * (yy * rx - xy * ry) / curvature
    length = np.hypot(dy, dx)
    if not length < np.inf:
        return False
    shorten = min(1.0, MAX_STEP / length) if length > 0.0 else 1.0
    state[Y] += shorten * dy
    state[X] += shorten * dx
    state[STEP] = shorten * length
    state[A] = a
    state[B] += more
    state[YY] = gain * gain * xx / curvature
    state[XX] = gain * gain * yy / curvature
    state[XY] = -gain * gain * xy / curvature
    state[AA] = w / det
    return True


@jit
def misfit(
    patch: Array, cy: Scalar, cx: Scalar, star: Array, rest: Array, along: Array, model: Array, state: Array
) -> None:
    """chi² per degree of freedom of the window against the reference's own star, into ``state[CHI2]``.

    The reference's star is its Gaussian, and what that leaves of it: so little that a spline carries it, even where
    the star itself is too narrow for one.

    Parameters
    ----------
    cy, cx : Scalar
        Where in the window the star is.
    rest : (ny + 2 pad, nx + 2 pad) float32
        Spline coefficients of the reference about its star, less its Gaussian and background.
    along : (2, >= nx) float32
        Scratch.
    model : (ny, nx) float32
        Scratch.
    """
    sample(rest, star[REF_Y] - cy, star[REF_X] - cx, np.float32(0.0), model)
    scale = state[A] / star[REF_A]
    per_width = 1.0 / star[WIDTH]
    gx = along[0]
    for x in range(patch.shape[1]):
        gx[x] = np.float32(np.exp(-0.5 * ((x - cx) * per_width) ** 2))
    level = np.float32(state[B])
    ground = np.float32(star[REF_B])
    quiet = np.float32(star[QUIET])
    slope = np.float32(star[SLOPE])
    height = np.float32(scale)
    noisy = np.float32(scale * scale * star[SHARE])
    total = 0.0
    linear = 0.0
    weight = 0.0
    for y in range(patch.shape[0]):
        gy = np.float32(star[REF_A] * np.exp(-0.5 * ((y - cy) * per_width) ** 2))
        for x in range(patch.shape[1]):
            light = gy * gx[x] + model[y, x]
            expected = height * light + level
            variance = quiet + slope * (expected - ground) + noisy * (quiet + slope * light)
            w = np.float32(1.0) / max(variance, LEAST_VARIANCE * quiet)
            r = patch[y, x] - expected
            total += w * r * r
            linear += w * r
            weight += w
    state[CHI2] = max(0.0, total - linear * linear / weight) / (patch.size - 4.0)


@jit
def measure(
    pixels: Array,
    offset: Scalar,
    dark: Array,
    inverse_flat: Array,
    mask: Array,
    saturation: Scalar,
    star: Array,
    rest: Array,
    passes: int,
    reach: Scalar,
    patch: Array,
    bad: Array,
    model: Array,
    along: Array,
    sums: Array,
    state: Array,
) -> int:
    """Find the star near where `state` says, in raw pixels (ny, nx), of which only the window's are looked at.

    Parameters
    ----------
    pixels, offset, dark, inverse_flat, mask, saturation
        As `prepare.prepare`.
    star : (8,) float64
        The reference's: see `moments`; `REF_Y`, `REF_X` its place in `rest`; `SHARE`, one over the frames in it.
    rest : (n + 2 pad, n + 2 pad) float32
        See `misfit`.
    passes : int
        At most so many.
    reach : Scalar
        Give up when the answer leaves the start by more than this, px.
    patch, model : (n, n) float32
        Scratch; n is odd, and the size of the window.
    bad : (n * n,) int32
        Scratch.
    state : (11,) float64
        `Y`, `X`, `A`, `B`: where to start, px, and what is expected; afterwards what was found.

    Returns
    -------
    CONVERGED, LEFT (the window leaves the frame, or the star its reach), FAILED (no star), UNFINISHED, or BAD (there
    are bad pixels in the window).
    """
    n = patch.shape[0]
    half = n // 2
    start_y = state[Y]
    start_x = state[X]
    state[PASSES] = 0.0
    top = -1
    left = -1
    while state[PASSES] < passes:
        if top < 0 or abs(state[Y] - top - half) > FARTHEST or abs(state[X] - left - half) > FARTHEST:
            top = int(np.rint(state[Y])) - half
            left = int(np.rint(state[X])) - half
            if top < 0 or left < 0 or top + n > pixels.shape[0] or left + n > pixels.shape[1]:
                return LEFT
            rows = slice(top, top + n)
            columns = slice(left, left + n)
            n_bad, _, _ = prepare(
                pixels[rows, columns],
                offset,
                dark[rows, columns],
                inverse_flat[rows, columns],
                mask[rows, columns],
                saturation,
                patch,
                bad,
            )
            if n_bad > 0:
                return BAD
        before = state[A]
        moments(patch, state[Y] - top, state[X] - left, star, state[A], state[B], along, sums)
        state[PASSES] += 1.0
        if not step(sums, star, state):
            return FAILED
        if max(abs(state[Y] - start_y), abs(state[X] - start_x)) > reach:
            return LEFT
        enough = max(FINEST, ENOUGH * np.sqrt(min(state[YY], state[XX])))
        settled = abs(state[A] - before) <= SETTLED * state[A]
        if settled and state[STEP] * CONTRACTION / (1.0 - CONTRACTION) <= enough:
            misfit(patch, state[Y] - top, state[X] - left, star, rest, along, model, state)
            return CONVERGED
    return UNFINISHED
