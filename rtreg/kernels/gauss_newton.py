"""The inner products of weighted inverse-compositional Gauss-Newton, in flat blocks of whole rows.

The frame ``I(x + d) = a R(x) + b - a e.grad R`` is compared with templates on the reference grid. Interpolating the
frame is a prefilter and four short taps an axis; the prefilter is symmetric, so it is moved onto the templates, once
per reference, and the frame meets the taps alone (Baker & Matthews 2004, doi 10.1023/B:VISI.0000011205.11775.fd;
Unser 1999, doi 10.1109/79.799930).

The frame is contiguous, and templates are zero in the border columns, so a block of whole rows is ONE vector: what
leaks from one row's end into the next row's start meets a zero. Sums run in float32 lanes within a block and in
float64 from block to block.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rtreg.kernels._jit import Array, Scalar, jit
from rtreg.kernels.bspline import taps, taps5

MAX_STEP = 2.0  # px a pass: beyond that the linear model says nothing
CONTRACTION = 0.1  # what one pass leaves of the error, until the steps themselves show it
ENOUGH = 0.05  # of a sigma: what may remain
FINEST = 1e-5  # px: float32 sums carry no more
SCOUTED = 3.0  # of its sigma: further than that a scout's answer is off once in 400 frames
SHARP = 0.1  # px: a scout that knows less well does not spare a pass
LARGEST = 32766.0  # of an int16, less one for what is carried over
CONVERGED, LEFT, FAILED, UNFINISHED = 0, 1, 2, 3  # how `converge` ends

# Where things stand in `facts`, what is known of a set of templates: the shifts they are valid for, closed, px; sigma
# of dy and dx, the smaller, of a full pass and of a scout, px at scale 1; the frame's pixel that the image begins
# with less the reference's, px.
LOW_Y, LOW_X, HIGH_Y, HIGH_X, SIGMA, SCOUT_SIGMA, ORIGIN_Y, ORIGIN_X = range(8)
# And in `state`: shift, px; photometric scale; length of the last step, px; full passes so far.
DY, DX, SCALE, STEP, PASSES = range(5)
BLOCK = 4096  # px in a block: its vertical sums stay in the first-level cache


@jit
def project(
    image: Array, blocks: Array, templates: Array, order: int, dy: Scalar, dx: Scalar, column: Array, out: Array
) -> None:
    """Inner products of the image, interpolated at ``x + d``, with three templates.

    Parameters
    ----------
    image : (ny, nx) array, C-contiguous
    blocks : (n, 2) int64
        Rows ``first <= y < last`` of the image that are looked at; the taps of all of them lie inside it.
    templates : (3, rows, nx) array
        Those rows and no others, one after the other. Zero wherever one of the taps would leave the image.
    order : int
        Of the spline: 3 (four taps an axis) or 5 (six).
    dy, dx : Scalar
        Position at which the image is read, px.
    column : (>= BLOCK + 2 nx,) float32
        Scratch.
    out : (3,) float64
    """
    ny, nx = image.shape
    my = int(np.floor(dy))
    mx = int(np.floor(dx))
    before = 1 if order == 3 else 2  # taps before the pixel that a position falls behind
    by, by5 = taps(dy - my), taps5(dy - my)
    bx, bx5 = taps(dx - mx), taps5(dx - mx)
    flat = image.reshape(ny * nx)
    count = templates.shape[1] * nx
    first = templates[0].reshape(count)
    second = templates[1].reshape(count)
    third = templates[2].reshape(count)
    rows = max(1, BLOCK // nx)
    start = max(0, before - mx)
    out[0] = 0.0
    out[1] = 0.0
    out[2] = 0.0
    at = start
    for b in range(blocks.shape[0]):
        for y in range(blocks[b, 0], blocks[b, 1], rows):
            size = min(rows, blocks[b, 1] - y) * nx
            above = flat[(y + my - before) * nx :]
            if order == 3:
                _vertical(above, nx, by, size, column)
            else:
                _vertical5(above, nx, by5, size, column)
            used = min(size, size - mx - before - 1) - start
            if used > 0:
                source = column[start + mx - before :]
                t0 = first[at:]
                t1 = second[at:]
                t2 = third[at:]
                if order == 3:
                    s0, s1, s2 = _products(source, bx, t0, t1, t2, used)
                else:
                    s0, s1, s2 = _products5(source, bx5, t0, t1, t2, used)
                out[0] += s0
                out[1] += s1
                out[2] += s2
            at += size


@jit
def _vertical(above: Array, nx: int, by: tuple[Scalar, ...], size: int, column: Array) -> None:
    r1 = above[nx:]
    r2 = above[2 * nx :]
    r3 = above[3 * nx :]
    for i in range(size):
        column[i] = by[0] * above[i] + by[1] * r1[i] + by[2] * r2[i] + by[3] * r3[i]


@jit
def _vertical5(above: Array, nx: int, by: tuple[Scalar, ...], size: int, column: Array) -> None:
    r1 = above[nx:]
    r2 = above[2 * nx :]
    r3 = above[3 * nx :]
    r4 = above[4 * nx :]
    r5 = above[5 * nx :]
    for i in range(size):
        value = by[0] * above[i] + by[1] * r1[i] + by[2] * r2[i]
        column[i] = value + by[3] * r3[i] + by[4] * r4[i] + by[5] * r5[i]


@jit
def _products(
    source: Array, bx: tuple[Scalar, ...], t0: Array, t1: Array, t2: Array, count: int
) -> tuple[Scalar, Scalar, Scalar]:
    s0 = np.float32(0.0)
    s1 = np.float32(0.0)
    s2 = np.float32(0.0)
    for i in range(count):
        value = bx[0] * source[i] + bx[1] * source[i + 1] + bx[2] * source[i + 2] + bx[3] * source[i + 3]
        s0 += t0[i] * value
        s1 += t1[i] * value
        s2 += t2[i] * value
    return s0, s1, s2


@jit
def _products5(
    source: Array, bx: tuple[Scalar, ...], t0: Array, t1: Array, t2: Array, count: int
) -> tuple[Scalar, Scalar, Scalar]:
    s0 = np.float32(0.0)
    s1 = np.float32(0.0)
    s2 = np.float32(0.0)
    for i in range(count):
        value = bx[0] * source[i] + bx[1] * source[i + 1] + bx[2] * source[i + 2]
        value += bx[3] * source[i + 3] + bx[4] * source[i + 4] + bx[5] * source[i + 5]
        s0 += t0[i] * value
        s1 += t1[i] * value
        s2 += t2[i] * value
    return s0, s1, s2


@jit
def _step(
    image: Array,
    blocks: Array,
    templates: Array,
    gains: Array,
    order: int,
    facts: Array,
    column: Array,
    sums: Array,
    state: Array,
) -> Any:
    """One pass: moves `state` and returns the length of the step, px; inf when there is no positive scale."""
    project(image, blocks, templates, order, state[DY] - facts[ORIGIN_Y], state[DX] - facts[ORIGIN_X], column, sums)
    scale = sums[0] * gains[0]
    if not scale > 0.0:
        state[SCALE] = scale
        return np.inf
    step_y = -sums[1] * gains[1] / scale
    step_x = -sums[2] * gains[2] / scale
    length = np.hypot(step_y, step_x)
    if not length < np.inf:
        return np.inf
    if length > MAX_STEP:
        step_y *= MAX_STEP / length
        step_x *= MAX_STEP / length
        length = MAX_STEP
    state[SCALE] = scale
    state[DY] += step_y
    state[DX] += step_x
    return length


@jit
def converge(
    image: Array,
    blocks: Array,
    templates: Array,
    scout_blocks: Array,
    scout: Array,
    gains: Array,
    order: int,
    passes: int,
    facts: Array,
    column: Array,
    sums: Array,
    state: Array,
) -> int:
    """Passes until what the next step could change no longer matters.

    The first look is a scout's: a pass over the few rows that know a quarter of what there is to know, from whose
    answer one full pass usually ends it. The scout's error is random and twice sigma, so that a pass which leaves the
    fraction c of it makes the variance ``1 + 3 c²`` times as large: 1.03 for the 0.1 that is assumed, unmeasurable for
    the 0.01 that is usual. Otherwise a pass leaves about a tenth of the error, or what the last two steps show, and the
    rest of the geometric series is what remains.

    Parameters
    ----------
    image, blocks, templates, order, column, sums
        As `project`: the templates hold the rows of the inverse normal matrix for scale, dy and dx.
    scout_blocks, scout : arrays
        The same for the scout; no blocks for none.
    gains : (2, 3) float64
        What one unit of the templates' numbers stands for: those of the full pass, those of the scout.
    passes : int
        At most so many full passes in all.
    facts : float64
        See `LOW_Y` and what follows it: what these templates are valid for and how well they know.
    state : (>= 5,) float64
        See `DY` and what follows it: where the fit is; brought up to date. STEP is inf before the first pass.

    Returns
    -------
    CONVERGED, LEFT (the bounds: cut new templates and go on), FAILED (no positive scale) or UNFINISHED.
    """
    while state[PASSES] < passes:
        if not (facts[LOW_Y] <= state[DY] <= facts[HIGH_Y] and facts[LOW_X] <= state[DX] <= facts[HIGH_X]):
            return LEFT
        scouted = False
        if state[PASSES] == 0.0 and scout_blocks.shape[0] > 0:
            dy, dx = state[DY], state[DX]
            _step(image, scout_blocks, scout, gains[1], order, facts, column, sums, state)
            scouted = facts[LOW_Y] <= state[DY] <= facts[HIGH_Y] and facts[LOW_X] <= state[DX] <= facts[HIGH_X]
            if not scouted:  # let the full pass find out from here
                state[DY], state[DX] = dy, dx
        last = state[STEP]
        length = _step(image, blocks, templates, gains[0], order, facts, column, sums, state)
        state[PASSES] += 1.0
        if not length < np.inf:
            return FAILED
        state[STEP] = length
        scale = state[SCALE]
        if scouted and length * scale <= SCOUTED * facts[SCOUT_SIGMA] and facts[SCOUT_SIGMA] <= SHARP * scale:
            return CONVERGED
        left = CONTRACTION
        if last < np.inf:
            left = max(CONTRACTION, min(0.95, length / last))
        if length * left / (1.0 - left) <= max(FINEST, ENOUGH * facts[SIGMA] / scale):
            return CONVERGED
    return UNFINISHED


@jit
def gram(a: Array, b: Array, weight: Array, out: Array) -> None:
    """``out[i, j] = sum a[i] * b[j] * weight`` over (4, ny, nx) stacks; `weight` (ny, nx); `out` (4, 4) float64."""
    out[:, :] = 0.0
    for y in range(a.shape[1]):
        w = weight[y]
        for i in range(4):
            left = a[i, y]
            s0 = np.float32(0.0)
            s1 = np.float32(0.0)
            s2 = np.float32(0.0)
            s3 = np.float32(0.0)
            b0 = b[0, y]
            b1 = b[1, y]
            b2 = b[2, y]
            b3 = b[3, y]
            for x in range(w.size):
                v = left[x] * w[x]
                s0 += v * b0[x]
                s1 += v * b1[x]
                s2 += v * b2[x]
                s3 += v * b3[x]
            out[i, 0] += s0
            out[i, 1] += s1
            out[i, 2] += s2
            out[i, 3] += s3


@jit
def combine(matrix: Array, stack: Array, blocks: Array, out: Array) -> None:
    """``out[k] = sum_i matrix[k, i] stack[i]`` for three rows of `matrix` (3, 4), over some rows of a stack of images.

    Parameters
    ----------
    stack : (4, ny, nx) float32
    blocks : (n, 2) int64
        Rows ``first <= y < last`` of the stack, which follow each other in `out`.
    out : (3, rows, nx) float32
    """
    row = 0
    for b in range(blocks.shape[0]):
        for y in range(blocks[b, 0], blocks[b, 1]):
            for k in range(3):
                m0 = np.float32(matrix[k, 0])
                m1 = np.float32(matrix[k, 1])
                m2 = np.float32(matrix[k, 2])
                m3 = np.float32(matrix[k, 3])
                s0 = stack[0, y]
                s1 = stack[1, y]
                s2 = stack[2, y]
                s3 = stack[3, y]
                target = out[k, row]
                for x in range(target.size):
                    target[x] = m0 * s0[x] + m1 * s1[x] + m2 * s2[x] + m3 * s3[x]
            row += 1


@jit
def quantise(images: Array, out: Array, gains: Array) -> None:
    """``gains[k] out[k] = images[k]`` in int16: half the bytes, which is what a pass over a large frame waits for.

    The rounding of each pixel is made good in the one below it, so that it sums to nothing over anything but the
    sharpest structure; columns of zeros stay zero.

    Parameters
    ----------
    images : (3, ny, nx) float32
    out : (3, ny, nx) int16
    gains : (3,) float64
        Output: what one unit of `out` stands for.
    """
    nx = images.shape[2]
    carry = np.empty(nx, np.float32)
    for k in range(3):
        top = np.float32(0.0)
        for y in range(images.shape[1]):
            row = images[k, y]
            for x in range(nx):
                top = max(top, abs(row[x]))
        gains[k] = top / LARGEST if top > 0.0 else 1.0
        inverse = np.float32(1.0 / gains[k])
        carry[:] = 0.0
        for y in range(images.shape[1]):
            row = images[k, y]
            target = out[k, y]
            for x in range(nx):
                wanted = row[x] * inverse + carry[x]
                given = np.rint(wanted)
                carry[x] = wanted - given
                target[x] = np.int16(given)


@jit
def residual(
    frame: Array,
    coefficients: Array,
    weights: Array,
    scale: Scalar,
    offset: Scalar,
    dy: Scalar,
    dx: Scalar,
    stride: int,
    column: Array,
    out: Array,
) -> None:
    """Sums of ``r = I(p) - scale R(p - d) - offset`` on the frame's own pixels, where the noise is still white.

    Interpolating the reference (its spline `coefficients`, (ny, nx) float32) leaves the frame's noise alone; sums
    over an *interpolated frame* would have correlated noise and say 0.15-0.88 of the truth.

    Parameters
    ----------
    weights : (ny, nx) float32
        Inverse variance on the **reference** grid, 0 = ignore; read at the nearest pixel.
    stride : int
        Only every `stride`-th row is looked at.
    column : (>= nx,) float32
        Scratch.
    out : (4,) float64
        Sum of w r², of w r, of w, and the number of pixels with w > 0.
    """
    ny, nx = frame.shape
    my = int(np.floor(-dy))
    mx = int(np.floor(-dx))
    by = taps(-dy - my)
    bx = taps(-dx - mx)
    near_y = int(np.rint(-dy))
    near_x = int(np.rint(-dx))
    top = max(1 - my, -near_y, 0)
    bottom = min(ny - 2 - my, ny - near_y, ny)
    left = max(1 - mx, -near_x, 0)
    right = min(nx - 2 - mx, nx - near_x, nx)
    out[:] = 0.0
    if right <= left:
        return
    a = np.float32(scale)
    b = np.float32(offset)
    for y in range(top, bottom, stride):
        r0 = coefficients[y + my - 1]
        r1 = coefficients[y + my]
        r2 = coefficients[y + my + 1]
        r3 = coefficients[y + my + 2]
        for x in range(nx):
            column[x] = by[0] * r0[x] + by[1] * r1[x] + by[2] * r2[x] + by[3] * r3[x]
        source = column[left + mx - 1 :]
        pixels = frame[y, left:right]
        w = weights[y + near_y, left + near_x :]
        square = np.float32(0.0)
        linear = np.float32(0.0)
        total = np.float32(0.0)
        used = np.float32(0.0)
        for i in range(pixels.size):
            model = bx[0] * source[i] + bx[1] * source[i + 1] + bx[2] * source[i + 2] + bx[3] * source[i + 3]
            r = pixels[i] - a * model - b
            wr = w[i] * r
            square += wr * r
            linear += wr
            total += w[i]
            used += np.float32(1.0) if w[i] > 0 else np.float32(0.0)
        out[0] += square
        out[1] += linear
        out[2] += total
        out[3] += used


@jit
def lost_information(
    bad: Array,
    n_bad: int,
    templates: Array,
    weights: Array,
    near_y: int,
    near_x: int,
    top: int,
    bottom: int,
    left: int,
    right: int,
    out: Array,
) -> None:
    """What bad frame pixels take out of the normal matrix: ``sum w T_i T_j`` at the reference pixels under them.

    Parameters
    ----------
    bad : (>= n_bad,) int32
        Flat indices of bad pixels of the frame.
    templates : (4, ny, nx) float32
    weights : (ny, nx) float32
    near_y, near_x : int
        The shift to the nearest whole pixel: frame pixel p lies on reference pixel ``p - near``.
    top, bottom, left, right : int
        Only reference pixels in this box took part.
    out : (4, 4) float64
    """
    nx = weights.shape[1]
    out[:, :] = 0.0
    for k in range(n_bad):
        y = bad[k] // nx - near_y
        x = bad[k] % nx - near_x
        if y < top or y >= bottom or x < left or x >= right:
            continue
        w = np.float64(weights[y, x])
        for i in range(4):
            for j in range(4):
                out[i, j] += w * templates[i, y, x] * templates[j, y, x]
