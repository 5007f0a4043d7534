"""A frame from raw pixels to an answer with its error bar, in one call: what tracking costs is done in here."""

from __future__ import annotations

import numpy as np

from rtreg.kernels._jit import Array, Scalar, jit
from rtreg.kernels.gauss_newton import (
    CONVERGED,
    DX,
    DY,
    HIGH_X,
    HIGH_Y,
    LEFT,
    LOW_X,
    LOW_Y,
    ORIGIN_X,
    ORIGIN_Y,
    PASSES,
    SCALE,
    STEP,
    converge,
    residual,
)
from rtreg.kernels.prepare import gather, prepare_frame

UNFIT = 4  # how `follow` ends, beside how `converge` does: bad pixels, or all of them alike; nothing was fitted

# What follows in `facts` what gauss_newton has there: variance without light and its mean, as a share of the whole, and
# what a unit of background adds to it, relative; the reference's share of noise, 1 / frames; its mean; every how many
# rows are judged; the smallest factor noise can have; and the parts of the covariance, (xx, xy, yy, scale) by
# quiet noise, by light and what the reference's noise counted twice.
BACKGROUND, QUIET_SHARE, PER_FRAMES, MEAN, STRIDE, LEAST, PARTS = range(8, 15)
FACTS = PARTS + 12
# And in `state`: where the offset is looked for; what was found: offset, chi²/dof, (xx, xy, yy) in px², variance of the
# scale; bad pixels in the image.
# And where the fit began, px.
GUESS, OFFSET, CHI2, XX, XY, YY, SCALE_VARIANCE, N_BAD, N_NAN, N_SATURATED, FROM_Y, FROM_X = range(5, 17)
STATE = 17
SUDDEN = 0.25  # px from where a fit began: a wild pixel may have drawn it there, and all rows are asked whether one has


@jit
def follow(
    pixels: Array,
    offset: Scalar,
    dark: Array,
    inverse_flat: Array,
    mask: Array,
    saturation: Scalar,
    fresh: bool,
    tiles: Array,
    image: Array,
    bad: Array,
    blocks: Array,
    templates: Array,
    scout_blocks: Array,
    scout: Array,
    gains: Array,
    order: int,
    passes: int,
    coefficients: Array,
    judging: Array,
    kept: Array,
    facts: Array,
    column: Array,
    sums: Array,
    state: Array,
    begin: bool,
    dy: Scalar,
    dx: Scalar,
) -> int:
    """Calibrate what is to be looked at, fit it, and judge the fit.

    Parameters
    ----------
    pixels ... saturation
        As `kernels.prepare.prepare`.
    fresh : bool
        Whether `image` is still to be filled from `pixels`.
    tiles : (n, 2) int64
        As `kernels.prepare.gather`; no tiles for the whole frame.
    image : (ny, nx) float32
        What is fitted: the whole frame calibrated, or tiles of it side by side.
    bad : (capacity,) int32
        Flat indices in `image` of bad pixels, as `prepare` lists them.
    blocks ... sums
        As `gauss_newton.converge`.
    coefficients, judging : (ny, nx) float32
        As `residual`, on the grid of `image`.
    kept : (n,) float64
        What interpolating at a fraction 0 ... 1 of a pixel leaves of the variance of white noise, along one axis.
    facts, state : (FACTS,), (STATE,) float64
    begin, dy, dx : bool, float, float
        Whether this is a new fit, and where it starts, px; else it goes on from `state`.

    Returns
    -------
    As `converge`, or UNFIT.
    """
    if begin:
        start(state, dy, dx)
    if fresh:
        if tiles.shape[0]:
            counts = gather(pixels, offset, dark, inverse_flat, mask, saturation, tiles, image, bad)
        else:
            counts = prepare_frame(pixels, offset, dark, inverse_flat, mask, saturation, image, bad)
        state[N_BAD] = counts[0]
        state[N_NAN] = counts[1]
        state[N_SATURATED] = counts[2]
        if counts[0] > 0 or alike(image):
            return UNFIT
    ended = converge(image, blocks, templates, scout_blocks, scout, gains, order, passes, facts, column, sums, state)
    if ended == CONVERGED:
        if not (facts[LOW_Y] <= state[DY] <= facts[HIGH_Y] and facts[LOW_X] <= state[DX] <= facts[HIGH_X]):
            return LEFT
        judge(image, coefficients, judging, kept, 0.0, facts, column, sums, state)
    return ended


@jit
def start(state: Array, dy: Scalar, dx: Scalar) -> None:
    """Begin a fit at (dy, dx), px."""
    state[DY] = dy
    state[DX] = dx
    state[SCALE] = np.nan
    state[STEP] = np.inf
    state[PASSES] = 0.0
    state[OFFSET:N_BAD] = np.nan
    state[FROM_Y] = dy
    state[FROM_X] = dx


@jit
def alike(image: Array) -> bool:
    """Whether all pixels are. Two of them decide nearly always, so this costs nothing."""
    first = image[0, 0]
    if image[0, 1] != first:
        return False
    for y in range(image.shape[0]):
        row = image[y]
        for x in range(row.size):
            if row[x] != first:
                return False
    return True


@jit
def judge(
    image: Array,
    coefficients: Array,
    judging: Array,
    kept: Array,
    filled: Scalar,
    facts: Array,
    column: Array,
    sums: Array,
    state: Array,
) -> None:
    """Offset, chi² and variances of the fit in `state`, by the residual on the frame's own pixels.

    `filled` of the pixels judged have no residual, since they were filled with the prediction. `sums` (4,) float64 is
    scratch. Where no residual tells, offset, chi² and variances are NaN.
    """
    scale = state[SCALE]
    guess = state[GUESS]  # the sums lose no digits when the residual is near 0
    sudden = abs(state[DY] - state[FROM_Y]) > SUDDEN or abs(state[DX] - state[FROM_X]) > SUDDEN
    stride = 1 if sudden else int(facts[STRIDE])
    dy = state[DY] - facts[ORIGIN_Y]
    dx = state[DX] - facts[ORIGIN_X]
    residual(image, coefficients, judging, scale, guess, dy, dx, stride, column, sums)
    for k in range(OFFSET, SCALE_VARIANCE + 1):
        state[k] = np.nan
    total = sums[2]
    dof = sums[3] - 4.0 - filled / stride
    if total <= 0.0 or dof <= 0.0:
        return
    linear = sums[1]
    offset = guess + linear / total
    state[GUESS] = offset
    state[OFFSET] = offset
    # the weights are for a frame as bright as the reference; this one may be dimmed by a cloud
    quiet, light = brightness(scale, offset - scale * facts[MEAN], facts)
    expected = facts[QUIET_SHARE] * quiet + (1.0 - facts[QUIET_SHARE]) * light
    if facts[PER_FRAMES] > 0.0:  # between its pixels, the reference has less noise than on them
        last = kept.size - 1
        of_y = kept[int(np.rint((state[DY] - np.floor(state[DY])) * last))]
        of_x = kept[int(np.rint((state[DX] - np.floor(state[DX])) * last))]
        expected -= scale * scale * facts[PER_FRAMES] * (1.0 - of_y * of_x)
    state[CHI2] = max(0.0, (sums[0] - linear * linear / total) / dof) * (1.0 + facts[PER_FRAMES]) / expected
    square = scale * scale
    for k in range(4):
        twice = square * facts[PARTS + 8 + k]
        state[XX + k] = quiet * facts[PARTS + k] + light * facts[PARTS + 4 + k] - twice
    for k in range(3):
        state[XX + k] /= square


@jit
def brightness(scale: Scalar, offset: Scalar, facts: Array) -> tuple[Scalar, Scalar]:
    """What to multiply quiet noise and that of the light with, for a frame of this photometry.

    The frame's light is `scale` times the reference's, and a background above it brings noise of its own; the
    reference's noise is in the residual `scale` times.
    """
    of_reference = scale * scale * facts[PER_FRAMES]
    return max(1.0 + facts[BACKGROUND] * offset, facts[LEAST]) + of_reference, scale + of_reference
