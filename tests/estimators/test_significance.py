"""Where a noisy reference has something to follow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenes import NOISE, clean, make, noisy

from rtreg import Registrar, Shift
from rtreg.estimators.significance import significant


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
