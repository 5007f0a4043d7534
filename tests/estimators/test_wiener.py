"""What of a noisy reference is scene: the filters, what they leave of noise, and the fits that rest on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenes import NOISE, bound, clean, make, noisy

from rtreg import Registrar, Shift, register
from rtreg.estimators.spline import CUBIC, QUINTIC
from rtreg.estimators.wiener import NoiseFilter

SHAPE = (96, 128)


def filter_for(kind="cells", frames=1, seed=0, **options):
    scene = make(kind, SHAPE, **options)
    reference = np.mean([noisy(scene, Shift(0, 0), np.random.default_rng(seed + k)) for k in range(frames)], axis=0)
    weights = (1.0 / (NOISE.variance(clean(scene)) * (1.0 + 1.0 / frames))).astype(np.float32)
    return NoiseFilter((reference - reference.mean()).astype(np.float32), weights, frames), scene, reference


def test_pure_noise_leaves_nothing_to_filter_by():
    rng = np.random.default_rng(1)
    for _ in range(10):
        noise = rng.normal(0.0, 7.0, SHAPE).astype(np.float32)
        assert NoiseFilter(noise, np.full(SHAPE, 1 / (2 * 49.0), np.float32), 1).empty


def test_a_denoised_reference_is_nearer_to_the_scene():
    noise_filter, scene, reference = filter_for(peak=60.0, background=10.0)
    assert not noise_filter.empty
    mean = np.float32(reference.mean())
    before, after = (
        np.sqrt(np.mean((image - clean(scene)) ** 2))
        for image in (reference, noise_filter.denoise((reference - mean).astype(np.float32)) + mean)
    )
    assert after < 0.5 * before


@pytest.mark.parametrize("spline", [CUBIC, QUINTIC], ids=["cubic", "quintic"])
@pytest.mark.parametrize("power", [2, 4])
def test_moments_are_what_is_left_of_white_noise(spline, power):
    """White noise through ``H^(power/2)``, and its slopes: their mean squares."""
    noise_filter, _, _ = filter_for(peak=60.0, background=10.0)
    rng = np.random.default_rng(2)
    sums = np.zeros(3)
    for _ in range(40):
        noise = rng.normal(size=SHAPE).astype(np.float32)
        for _ in range(power // 2):
            noise = noise_filter.smooth(noise)
        c, gy, gx = (np.empty_like(noise) for _ in range(3))
        spline.prefilter(noise, True, c)
        spline.gradients(c, gy, gx)
        inner = np.s_[32:-32, 32:-32]  # mirrored noise at the border is not white
        sums += [np.mean(image[inner] ** 2) / 40 for image in (noise, gy, gx)]
    np.testing.assert_allclose(sums, noise_filter.moments(spline.slope_response, power), rtol=0.15)


def test_spread_and_smooth_are_one_symmetric_filter():
    noise_filter, _, _ = filter_for(peak=60.0, background=10.0)
    rng = np.random.default_rng(3)
    a, b = np.zeros((2, *SHAPE), np.float32)
    a[40:56, 50:80], b[40:56, 50:80] = rng.normal(size=(2, 16, 30))
    assert np.vdot(noise_filter.spread(a), b) == pytest.approx(np.vdot(a, noise_filter.spread(b)), abs=1e-3)
    np.testing.assert_allclose(noise_filter.spread(a), noise_filter.smooth(a), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "peak", "frames"),
    [("cells", 150.0, 1), ("cells", 15.0, 16), ("stars", 150.0, 16), ("granulation", 100.0, 1)],
)
def test_at_the_bound_and_honest_with_a_reference_of_mostly_noise(kind, peak, frames):
    """Each trial has its own reference; without the filter these are 1.2 to 2 times the bound, or no answer at all.

    With 100 trials of two axes the rms is known to 5 %; at this noise the bound of both images together is 1.0 to 1.2
    times √(1 + 1/K) that of the frame.
    """
    scene = make(kind, SHAPE, peak=peak, background=10.0)
    rng = np.random.default_rng(4)
    n, scaled, over_bound = 100, [], []
    limit = np.array(bound(scene, Shift(0.4, -0.3))) * math.sqrt(1.0 + 1.0 / frames)
    for _ in range(n):
        reference = np.mean([noisy(scene, Shift(0, 0), rng) for _ in range(frames)], axis=0)
        estimate = register(reference, noisy(scene, Shift(0.4, -0.3), rng), noise=NOISE, reference_frames=frames)
        assert estimate.ok, estimate
        error = np.array([estimate.dx - 0.4, estimate.dy + 0.3])
        scaled.append(error / estimate.sigma)
        over_bound.append(error / limit)
    assert np.sqrt(np.mean(np.square(scaled))) == pytest.approx(1.0, abs=3 / math.sqrt(4 * n) + 0.04)
    assert np.sqrt(np.mean(np.square(over_bound))) <= 1.2 + 3 / math.sqrt(4 * n)


def test_a_reference_with_little_noise_is_not_filtered():
    scene = make("cells", SHAPE, peak=20000.0)
    reference = noisy(scene, Shift(0, 0), np.random.default_rng(5))
    assert Registrar(reference, noise=NOISE)._tracker.noise_filter is None
