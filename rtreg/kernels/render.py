"""What a simulated camera computes a frame with: texture by quintic B-spline, stars as Gaussians, Poisson photons.

A texture lives on a torus, oversampled twice, so that it never ends; its coefficients come in four phases,
``phases[y & 1, x & 1]``, because a frame takes every second sample: within a phase a row is contiguous.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.kernels._jit import jit

Array = npt.NDArray[Any]

TAPS = 6
EXACT_BELOW = 30.0  # electrons; above, a normal number with the right mean, variance and skewness does
PER_ELECTRON = 4  # tabulated means an electron, so that what is left for the slow way is hardly ever an event
OUTCOMES = 128  # 0 ... 127: the largest tabulated mean, 29.75, exceeds that once in 1e34

# splitmix64 (Steele, Lea & Flood 2014, doi 10.1145/2660193.2660195); kept in uint64 by name, since numba
# turns uint64 with a plain int into float64
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX1 = np.uint64(0xBF58476D1CE4E5B9)
MIX2 = np.uint64(0x94D049BB133111EB)
S7 = np.uint64(7)
S27 = np.uint64(27)
S30 = np.uint64(30)
S31 = np.uint64(31)
S32 = np.uint64(32)
LOW7 = np.uint64(OUTCOMES - 1)
LOW25 = np.uint64(2**25 - 1)
UNIT25 = np.float32(2.0**-25)
UNIT32 = 2.0**-32


@jit
def texture(phases: Array, my: int, mx: int, taps_y: Array, taps_x: Array, out: Array) -> None:
    """Samples of a torus at ``2 y + my + 2 + f``: `taps` weigh the six samples from ``2 y + my`` on, x likewise.

    `phases` is (2, 2, wy, wx) float32, ``phases[p, q, i, j]`` the coefficient at ``(2 i + p, 2 j + q)``; the taps
    are float32 (6,). `out` is (ny, nx) float32, overwritten, at most as large as the torus less two pixels.
    """
    wx = phases.shape[3]
    ny, nx = out.shape
    # of six successive samples every second one is of one parity, so a row takes three from each x-phase
    here = np.empty(nx + 2, np.float32)
    between = np.empty(nx + 2, np.float32)
    q = mx & 1
    a, b, c, d, e, f = taps_x[0], taps_x[1], taps_x[2], taps_x[3], taps_x[4], taps_x[5]
    for y in range(ny):
        _mix_rows(phases, q, 2 * y + my, (mx >> 1) % wx, taps_y, here)
        _mix_rows(phases, 1 - q, 2 * y + my, ((mx + 1) >> 1) % wx, taps_y, between)
        row = out[y]
        for x in range(nx):
            row[x] = (a * here[x] + c * here[x + 1] + e * here[x + 2]) + (
                b * between[x] + d * between[x + 1] + f * between[x + 2]
            )


@jit
def _mix_rows(phases: Array, q: int, j: int, start: int, taps: Array, out: Array) -> None:
    """Six rows of x-phase `q` from sample row `j` on, weighted, from column `start` on, round the torus once."""
    wy = phases.shape[2]
    p = j & 1
    # full indexing keeps the rows contiguous for the compiler, which a slice of the phases would not
    r0 = phases[p, q, (j >> 1) % wy]
    r1 = phases[1 - p, q, ((j + 1) >> 1) % wy]
    r2 = phases[p, q, ((j + 2) >> 1) % wy]
    r3 = phases[1 - p, q, ((j + 3) >> 1) % wy]
    r4 = phases[p, q, ((j + 4) >> 1) % wy]
    r5 = phases[1 - p, q, ((j + 5) >> 1) % wy]
    first = min(out.size, r0.size - start)
    _mix(r0[start:], r1[start:], r2[start:], r3[start:], r4[start:], r5[start:], taps, out[:first])
    _mix(r0, r1, r2, r3, r4, r5, taps, out[first:])


@jit
def _mix(r0: Array, r1: Array, r2: Array, r3: Array, r4: Array, r5: Array, taps: Array, out: Array) -> None:
    a, b, c, d, e, f = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    for x in range(out.size):
        out[x] = a * r0[x] + b * r1[x] + c * r2[x] + d * r3[x] + e * r4[x] + f * r5[x]


@jit
def stars(
    ys: Array, xs: Array, peaks: Array, sigma: float, reach: float, slope_y: bool, slope_x: bool, out: Array
) -> None:
    """Add Gaussian stars with centres (`ys`, `xs`) and `peaks` to `out` (ny, nx), out to `reach` px.

    `slope_y`, `slope_x`: the derivative along that axis instead of the value.
    """
    ny, nx = out.shape
    profile = np.empty(int(2 * reach) + 3, np.float32)
    for i in range(ys.size):
        y0 = max(0, math.ceil(ys[i] - reach))
        y1 = min(ny, math.floor(ys[i] + reach) + 1)
        x0 = max(0, math.ceil(xs[i] - reach))
        x1 = min(nx, math.floor(xs[i] + reach) + 1)
        if y1 <= y0 or x1 <= x0:
            continue
        for k in range(x1 - x0):
            profile[k] = _gaussian(x0 + k - xs[i], sigma, slope_x)
        for y in range(y0, y1):
            value = np.float32(peaks[i] * _gaussian(y - ys[i], sigma, slope_y))
            row = out[y, x0:x1]
            for k in range(row.size):
                row[k] += value * profile[k]


@jit
def _gaussian(t: float, sigma: float, slope: bool) -> float:
    value = math.exp(-0.5 * t * t / (sigma * sigma))
    return -t / (sigma * sigma) * value if slope else value


@jit
def expose(
    electrons: Array,
    throughput: Array,
    dark: Array,
    normals: Array,
    photons: bool,
    chances: Array,
    others: Array,
    read_noise: float,
    gain: float,
    offset: float,
    low: float,
    high: float,
    whole: bool,
    state: Array,
    out: Array,
) -> None:
    """Pixels of a detector: Poisson of ``electrons * throughput + dark``, plus read noise (e- rms), in ADU.

    The images are (ny, nx); `normals` are standard normal numbers; `chances` and `others` are `poisson_tables`.
    `gain` is e-/ADU, `offset`, `low` and `high` (the clip) ADU; `whole` rounds to integers. Without `photons` the
    electrons arrive exactly. `state` (1,) uint64 is the random state, updated.
    """
    ny, nx = out.shape
    seed = state[0]
    read_variance = read_noise * read_noise
    per_electron = 1.0 / gain
    for y in range(ny):
        for x in range(nx):
            mean = float(electrons[y, x]) * throughput[y, x] + dark[y, x]
            z = float(normals[y, x])
            if not photons:
                value = mean + read_noise * z
            elif mean < EXACT_BELOW:
                seed, bits = _bits(seed)
                value = _poisson(mean, bits, chances, others) + read_noise * z
            else:
                # both noises in one number; the quadratic term gives it the skewness of the photons
                variance = mean + read_variance
                bend = mean / variance / 6.0
                sigma = math.sqrt(variance - 2.0 * bend * bend)
                value = mean + sigma * z + bend * (z * z - 1.0)
            value = value * per_electron + offset
            if whole:
                value = math.floor(value + 0.5)
            out[y, x] = min(max(value, low), high)
    state[0] = seed


@jit
def _bits(seed: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The next state, and 64 random bits."""
    seed = seed + GOLDEN
    z = (seed ^ (seed >> S30)) * MIX1
    z = (z ^ (z >> S27)) * MIX2
    return seed, z ^ (z >> S31)


@jit
def _poisson(mean: float, bits: np.uint64, chances: Array, others: Array) -> float:
    """An exact Poisson number for ``mean < EXACT_BELOW``: one of the tabulated mean below, one of the rest."""
    if mean <= 0.0:
        return 0.0
    table = int(mean * PER_ELECTRON)
    k = int(bits & LOW7)
    other = int(others[table, k])
    # arithmetic, not a branch, which would be mispredicted every other time
    keep = int(np.float32((bits >> S7) & LOW25) * UNIT25 < chances[table, k])
    k = other + keep * (k - other)
    rest = mean - table / PER_ELECTRON
    u = np.float64(bits >> S32) * UNIT32
    if u < 1.0 - rest:  # below exp(-rest), and far quicker
        return float(k)
    chance = math.exp(-rest)
    n = 0
    while u >= chance and n < OUTCOMES:
        u -= chance
        n += 1
        chance *= rest / n
    return float(k + n)


@jit
def poisson_tables(chances: Array, others: Array) -> None:
    """Alias tables (Walker 1977, doi 10.1145/355744.355749) of the Poisson numbers of mean ``i / PER_ELECTRON``.

    A number is k, uniform in 0 ... OUTCOMES - 1, with probability ``chances[i, k]`` (float32), else
    ``others[i, k]`` (int16); both are (EXACT_BELOW * PER_ELECTRON, OUTCOMES).
    """
    share = np.empty(OUTCOMES, np.float64)
    queue = np.empty(OUTCOMES, np.int64)  # too small ones from the left, too large ones from the right
    for i in range(chances.shape[0]):
        mean = i / PER_ELECTRON
        share[0] = OUTCOMES * math.exp(-mean)
        for k in range(1, OUTCOMES):
            share[k] = share[k - 1] * mean / k
        small, large = 0, OUTCOMES
        for k in range(OUTCOMES):
            if share[k] < 1.0:
                queue[small] = k
                small += 1
            else:
                large -= 1
                queue[large] = k
        while small > 0 and large < OUTCOMES:
            small -= 1
            k = queue[small]
            donor = queue[large]
            chances[i, k] = share[k]
            others[i, k] = donor
            share[donor] -= 1.0 - share[k]
            if share[donor] < 1.0:
                large += 1
                queue[small] = donor
                small += 1
        for n in range(small):  # what rounding left over
            chances[i, queue[n]] = 1.0
            others[i, queue[n]] = queue[n]
        for n in range(large, OUTCOMES):
            chances[i, queue[n]] = 1.0
            others[i, queue[n]] = queue[n]
