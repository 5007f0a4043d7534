"""What speaks for a match of frame and reference, and what against it, tile by tile."""

from __future__ import annotations

import math

import numpy as np

from rtreg.kernels._jit import Array, Scalar, jit

SUMS = 6
TILE = 4  # px: two of them hold a star with its wings
RICHEST = 1e-2  # of what the richest field promises: less may be its wings, or the ringing of a filter round it


@jit
def blur(image: Array, out: Array) -> None:
    """``(1 2 1) / 4`` along both axes of `image` (ny, nx) float32; beyond its border it goes on as it ends."""
    ny, nx = image.shape
    line = np.empty(nx + 2, np.float32)
    for y in range(ny):
        above, row, below, target = image[max(y - 1, 0)], image[y], image[min(y + 1, ny - 1)], out[y]
        for x in range(nx):
            line[x + 1] = above[x] + row[x] + row[x] + below[x]
        line[0], line[nx + 1] = line[1], line[nx]
        for x in range(nx):
            target[x] = np.float32(0.0625) * (line[x] + line[x + 1] + line[x + 1] + line[x + 2])


@jit
def move(image: Array, dy: Scalar, dx: Scalar, out: Array) -> None:
    """`image` (ny, nx) float32 moved by half a pixel at most, between its pixels a straight line."""
    ny, nx = image.shape
    step_y, step_x = -1 if dy > 0.0 else 1, -1 if dx > 0.0 else 1
    fy, fx = np.float32(math.fabs(dy)), np.float32(math.fabs(dx))
    line = np.empty(nx + 2, np.float32)
    beside = line[1 + step_x : 1 + step_x + nx]
    for y in range(ny):
        row, other, target = image[y], image[min(max(y + step_y, 0), ny - 1)], out[y]
        for x in range(nx):
            line[x + 1] = row[x] + fy * (other[x] - row[x])
        line[0], line[nx + 1] = line[1], line[nx]
        for x in range(nx):
            target[x] = line[x + 1] + fx * (beside[x] - line[x + 1])


@jit
def tiles(
    reference: Array, weights: Array, frame: Array, mean: Scalar, dy: int, dx: int, lines: Array, out: Array
) -> None:
    """Sums over the pixels of each tile of the reference that a frame moved by whole pixels also has.

    Parameters
    ----------
    reference, weights, frame : (ny, nx) float32
    mean : float
        Taken from the frame: the sums lose no digits to its level.
    dy, dx : int
        Reference pixel p is seen by frame pixel ``p + d``.
    lines : (SUMS, TILE * tiles across) float32
        Scratch: sums of a row of tiles, column by column.
    out : (SUMS, tiles down, tiles across) float64
        ``sum w``, ``sum w R``, ``sum w I``, ``sum w R I``, ``sum w R²`` and ``sum w I²``.
    """
    ny, nx = reference.shape
    first, last = max(0, -dx), nx - max(0, dx)
    level = np.float32(mean)
    count, of_r, of_i = lines[0, first:last], lines[1, first:last], lines[2, first:last]
    cross, square_r, square_i = lines[3, first:last], lines[4, first:last], lines[5, first:last]
    for top in range(0, ny, TILE):
        for k in range(SUMS):
            line = lines[k]
            for x in range(line.size):
                line[x] = 0.0
        for y in range(max(top, -dy), min(top + TILE, ny - max(0, dy))):
            r = reference[y, first:last]
            w = weights[y, first:last]
            i = frame[y + dy, first + dx : last + dx]
            # two sums a loop: with more, too many arrays might overlap for the compiler to use vectors
            for x in range(r.size):
                count[x] += w[x]
                of_r[x] += w[x] * r[x]
            for x in range(r.size):
                square_r[x] += w[x] * r[x] * r[x]
                of_i[x] += w[x] * (i[x] - level)
            for x in range(r.size):
                wi = w[x] * (i[x] - level)
                cross[x] += wi * r[x]
                square_i[x] += wi * (i[x] - level)
        for k in range(SUMS):
            line, target = lines[k], out[k, top // TILE]
            for x in range(target.size):
                target[x] = (line[4 * x] + line[4 * x + 1]) + (line[4 * x + 2] + line[4 * x + 3])


@jit
def gain(
    sums: Array, own: Scalar, least: Scalar, kept: Scalar, faint: Scalar, cap: Scalar, left: Array, out: Array
) -> None:
    """By how much a fit ``a R + b`` to all tiles explains each of them better than nothing, in chi², added up.

    The noise is what the fit leaves in the middling tile: in few tiles it may leave stars that it knows nothing of.
    Fields of two by two tiles are judged, each tile in four of them: so a star counts the same wherever it lies. No
    field counts for or against by more than `cap`. Where too little can be seen in any, all count together, as one.

    Parameters
    ----------
    sums : (SUMS, ny, nx) float64
        From `tiles`.
    own : float
        What the reference's noise adds to a weight's square.
    least, kept : float
        Noise is at least that fraction of the explained squares, and it was more than seen by a factor `1 / kept`
        before the images were blurred.
    faint : float
        Fields that promise less, in chi² or as a fraction of what the richest promises times the cap, are not judged.
    left : (ny * nx,) float64
        Scratch.
    out : (4,) float64
        The gain, what was promised, the gain of all tiles as one without a cap, and a.
    """
    out[:] = 0.0
    n = sums[0].sum()
    r = sums[1].sum() / n
    i = sums[2].sum() / n
    square_r = sums[4].sum() - n * r * r
    if not (n > 0.0 and square_r > 0.0):
        return
    a = (sums[3].sum() - n * r * i) / square_r
    if not a > 0.0:
        return
    ny, nx = sums.shape[1:]
    used = 0
    for y in range(ny):
        for x in range(nx):
            m, r1, i1 = sums[0, y, x], sums[1, y, x], sums[2, y, x]
            if m > 0.0:
                c = sums[3, y, x] - r * i1 - i * r1 + r * i * m
                g = sums[4, y, x] - 2.0 * r * r1 + r * r * m
                square_i = sums[5, y, x] - 2.0 * i * i1 + i * i * m
                left[used] = (square_i - 2.0 * a * c + a * a * g) / m
                used += 1
    noise = max(float(np.median(left[:used])), least * a * a * square_r / n) / kept
    found = np.zeros((ny + 1, nx + 1))
    expected = np.zeros((ny + 1, nx + 1))
    for y in range(ny):
        for x in range(nx):
            m, r1 = sums[0, y, x], sums[1, y, x]
            c = sums[3, y, x] - r * sums[2, y, x] - i * r1 + r * i * m
            g = sums[4, y, x] - 2.0 * r * r1 + (r * r - own) * m
            e = a * a * g / noise
            f = 2.0 * a * c / noise - e
            for j in range(2):
                for k in range(2):
                    found[y + j, x + k] += f
                    expected[y + j, x + k] += e
    visible = max(faint, RICHEST * expected.max())
    seen = promised = everything = all_promised = 0.0
    for y in range(ny + 1):
        for x in range(nx + 1):
            f, e = found[y, x], expected[y, x]
            everything += 0.25 * f
            all_promised += 0.25 * e
            if e > visible:
                seen += 0.25 * min(cap, max(-cap, f))
                promised += 0.25 * min(cap, e)
    apart = promised >= cap
    out[0] = seen if apart else min(cap, everything)
    out[1] = promised if apart else min(cap, all_promised)
    out[2] = everything
    out[3] = a
