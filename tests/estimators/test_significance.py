"""Where a noisy reference has something to follow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenes import NOISE, clean, make, noisy

from rtreg import Registrar, Shift
from rtreg.estimators.significance import lever, significant


def test_a_star_is_kept_and_the_dark_round_it_is_not():
    star = make("star", (128, 128), peak=1000.0)
    rng = np.random.default_rng(0)
    frame = noisy(star, Shift(0, 0), rng)
    good = np.ones(frame.shape, bool)
    keep = significant(frame, NOISE.variance(frame), good)
    y, x = np.unravel_index(np.argmax(clean(star)), frame.shape)
    assert keep[y - 3 : y + 4, x - 3 : x + 4].all()
    assert keep.mean() < 0.15


@pytest.mark.parametrize("kind", ["granulation", "cells"])
def test_structure_everywhere_keeps_everything_that_carries_it(kind):
    scene = make(kind, (96, 96))
    frame = noisy(scene, Shift(0, 0), np.random.default_rng(1))
    variance = NOISE.variance(frame)
    keep = significant(frame, variance, np.ones(frame.shape, bool))
    gy, gx = np.gradient(clean(scene))
    information = (gy**2 + gx**2) / variance
    assert information[keep].sum() >= 0.97 * information.sum()


def test_of_nothing_but_noise_little_is_kept_or_all_and_nothing_bad():
    rng = np.random.default_rng(2)
    for _ in range(10):
        frame = rng.normal(100.0, 5.0, (64, 64)).astype(np.float32)
        good = np.ones(frame.shape, bool)
        good[::3, ::5] = False
        keep = significant(frame, np.full(frame.shape, 25.0, np.float32), good)
        assert not (keep & ~good).any()
        assert keep.mean() < 0.15 or (keep == good).all()


def test_a_faint_star_in_one_noisy_reference_is_measured_with_an_honest_error_bar():
    """Peak 1000 e- in 128 x 128 dark pixels: with them, the reference's noise would drown the star."""
    star = make("star", (128, 128), peak=1000.0, fwhm=5.0)
    rng = np.random.default_rng(3)
    scaled = []
    for _ in range(120):
        registrar = Registrar(noisy(star, Shift(0, 0), rng), noise=NOISE, reference_frames=1)
        shift = Shift(*rng.uniform(-1, 1, 2))
        estimate = registrar.measure(noisy(star, shift, rng))
        assert estimate.ok, estimate
        scaled += [(estimate.dx - shift.dx) / estimate.sigma.dx, (estimate.dy - shift.dy) / estimate.sigma.dy]
    assert np.sqrt(np.mean(np.square(scaled))) == pytest.approx(1.0, abs=3 / math.sqrt(2 * len(scaled)) + 0.04)


# -- levers -----------------------------------------------------------------------------------------------------------


def waves(a=0.0, b=0.0, size=48, seed=5):
    """A texture without an edge, grown and turned exactly about its first pixel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size].astype(float)
    u, v = np.einsum("ij,jyx->iyx", np.linalg.inv([[1 + a, -b], [b, 1 + a]]), [x, y])
    image = np.full((size, size), 500.0)
    for _ in range(30):
        angle, k, phase = rng.uniform(0, 6.28), 6.28 / rng.uniform(7, 25), rng.uniform(0, 6.28)
        image += 40 * np.cos(k * (np.cos(angle) * u + np.sin(angle) * v) + phase)
    return image


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_lever_is_what_the_fit_measures_of_a_picture_that_grows_or_turns(seed):
    registrar = Registrar(waves(seed=seed), noise=NOISE, reference_frames=math.inf)
    registrar.measure(waves(seed=seed))
    expected = registrar.lever()
    h = 2e-3
    for column, (a, b) in enumerate([(h, 0.0), (0.0, h)]):
        got = registrar.measure(waves(a, b, seed=seed))
        np.testing.assert_allclose(np.divide(got.shift, h), expected[:, column], atol=1.0)  # of 20 to 25 px


def test_the_lever_of_a_star_is_its_place():
    y, x = np.mgrid[:48, :48]
    star = 50 + 3000 * np.exp(-((x - 19.3) ** 2 + (y - 27.8) ** 2) / 5)
    place = [[19.3, -27.8], [27.8, 19.3]]
    np.testing.assert_allclose(Registrar(star, noise=NOISE, reference_frames=math.inf).lever(), place, atol=0.2)
    rng = np.random.default_rng(0)
    exposure = rng.poisson(star) + rng.normal(0, 5, star.shape)
    np.testing.assert_allclose(Registrar(exposure, noise=NOISE).lever(), place, atol=0.5)


def test_where_there_is_no_structure_the_lever_is_that_of_the_middle():
    good = np.ones((20, 30), bool)
    flat = np.full(good.shape, 7.0, np.float32)
    expected = [[14.5, -9.5], [9.5, 14.5]]
    np.testing.assert_array_equal(lever(flat, flat, good, noisy=False), expected)
