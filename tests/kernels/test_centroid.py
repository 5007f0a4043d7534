"""Centroid kernels against sums written out, and against stars whose centre is known."""

from __future__ import annotations

import naive
import numpy as np
import pytest

from rtreg.kernels import centroid, gauss_newton
from rtreg.kernels.prepare import Calibration

WIDTH, QUIET, SLOPE, GROUND = 1.6, 30.0, 0.7, 12.0
PLAIN = Calibration()


def gaussian(shape, y, x, height=900.0, ground=GROUND, width=WIDTH):
    v, u = np.mgrid[: shape[0], : shape[1]]
    return ground + height * np.exp(-0.5 * ((v - y) ** 2 + (u - x) ** 2) / width**2)


def star(share=0.0, height=900.0, ref_y=10.0, ref_x=10.0):
    return np.array([WIDTH, QUIET, SLOPE, ref_y, ref_x, height, GROUND, share])


@pytest.mark.parametrize(("a", "b"), [(900.0, 12.0), (50.0, -20.0), (1e5, 1e4)])
@pytest.mark.parametrize("shape", [(15, 15), (9, 13)])
def test_moments_are_the_sums(shape, a, b):
    patch = (gaussian(shape, 4.3, 6.1) + np.random.default_rng(0).normal(0, 5, shape)).astype(np.float32)
    out = np.empty(14)
    centroid.moments(patch, 4.6, 5.7, star(), a, b, np.empty((2, 15), np.float32), out)
    expected = naive.star_moments(patch, 4.6, 5.7, WIDTH, QUIET, SLOPE, GROUND, a, b)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_a_step_from_anywhere_near_is_a_step_to_the_centre():
    patch = gaussian((15, 15), 7.3, 6.6).astype(np.float32)
    sums, state = np.empty(14), np.zeros(11)
    state[centroid.Y], state[centroid.X], state[centroid.B] = 6.4, 7.7, GROUND
    white = star()
    white[centroid.SLOPE] = 0.0  # then window and star are alike, and their product is half way
    centroid.moments(patch, 6.4, 7.7, white, 0.0, GROUND, np.empty((2, 15), np.float32), sums)
    assert centroid.step(sums, white, state)
    assert state[centroid.Y] == pytest.approx(7.3, abs=0.1)
    assert state[centroid.X] == pytest.approx(6.6, abs=0.1)
    assert state[centroid.STEP] == pytest.approx(np.hypot(0.9, 1.1), abs=0.1)


def test_no_star_no_step():
    sums, state = np.empty(14), np.zeros(11)
    for patch in (np.full((15, 15), 5.0, np.float32), -gaussian((15, 15), 7.0, 7.0).astype(np.float32)):
        centroid.moments(patch, 7.0, 7.0, star(), 900.0, 0.0, np.empty((2, 15), np.float32), sums)
        assert not centroid.step(sums, star(), state)


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_misfit_is_chi2_against_the_references_star(share):
    n, pad = 15, 3
    rng = np.random.default_rng(1)
    rest = rng.normal(0, 5, (n + 2 * pad, n + 2 * pad)).astype(np.float32)
    y, x = 7.2, 7.4
    patch = (gaussian((n, n), y, x, 1170.0, 1.3 * GROUND + 8.0) + rng.normal(0, 6, (n, n))).astype(np.float32)
    state = np.zeros(11)
    state[centroid.A], state[centroid.B] = 1170.0, 1.3 * GROUND + 8.0
    scratch = np.empty((2, n), np.float32), np.empty((n, n), np.float32)
    centroid.misfit(patch, y, x, star(share), rest, *scratch, state)
    model = gaussian((n, n), y, x) + naive.sample(rest, 10.0 - y, 10.0 - x, np.nan)[:n, :n]
    expected = naive.star_misfit(patch, model, 1.3, 8.0, GROUND, QUIET, SLOPE, share)
    assert state[centroid.CHI2] == pytest.approx(expected, rel=1e-4)


def found(pixels, y, x, calibration=PLAIN):
    """How `measure` ends, and the state it leaves, started at (y, x)."""
    n, pad = 15, 3
    rest = np.zeros((n + 2 * pad, n + 2 * pad), np.float32)
    state = np.zeros(11)
    state[: centroid.B + 1] = y, x, 900.0, GROUND
    patch, model = np.empty((2, n, n), np.float32)
    ended = centroid.measure(
        pixels, *calibration, star(), rest, 12, 4.0, patch, np.empty(n * n, np.int32), model,
        np.empty((2, n), np.float32), np.zeros(14), state,
    )  # fmt: skip
    return ended, state


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8"])
def test_the_star_is_found_in_raw_pixels(dtype):
    height = 200.0 if dtype == "u1" else 3000.0
    pixels = gaussian((40, 52), 20.4, 30.7, height).round().astype(dtype)
    ended, state = found(pixels, 22.0, 29.0)
    assert ended == gauss_newton.CONVERGED
    assert state[centroid.Y] == pytest.approx(20.4, abs=0.005)
    assert state[centroid.X] == pytest.approx(30.7, abs=0.005)
    assert state[centroid.A] == pytest.approx(height, rel=0.005)


def test_calibration_is_of_the_windows_own_pixels():
    rng = np.random.default_rng(2)
    dark, flat = rng.uniform(0, 50, (40, 52)), rng.uniform(0.8, 1.2, (40, 52))
    raw = (gaussian((40, 52), 20.4, 30.7) * flat + dark + 100.0).astype(np.float32)
    calibration = Calibration(np.float32(100), dark.astype(np.float32), (1 / flat).astype(np.float32))
    ended, state = found(raw, 20.0, 31.0, calibration)
    assert ended == gauss_newton.CONVERGED
    assert state[centroid.Y] == pytest.approx(20.4, abs=1e-4)
    assert state[centroid.X] == pytest.approx(30.7, abs=1e-4)


def test_what_it_will_not_answer():
    clean = gaussian((40, 52), 20.4, 30.7)
    broken = clean.copy()
    broken[21, 31] = np.nan
    masked = np.zeros(clean.shape, bool)
    masked[14, 25] = True
    assert found(broken, 20.0, 31.0)[0] == centroid.BAD
    assert found(clean, 20.0, 31.0, PLAIN._replace(mask=masked))[0] == centroid.BAD
    assert found(clean, 20.0, 31.0, PLAIN._replace(saturation=np.float32(800)))[0] == centroid.BAD  # saturated
    assert found(clean, 20.0, 45.0)[0] == gauss_newton.LEFT  # the window leaves the frame
    assert found(clean, 24.9, 30.7)[0] == gauss_newton.LEFT  # farther than its reach
    assert found(np.full((40, 52), 7.0), 20.0, 31.0)[0] == gauss_newton.FAILED
