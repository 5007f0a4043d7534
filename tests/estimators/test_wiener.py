"""What of a noisy reference is scene: the filters, what they leave of noise, and the fits that rest on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenes import NOISE, bound, clean, make, noisy

from rtreg import Registrar, Shift, register
from rtreg.estimators.noise_map import NoiseMap
from rtreg.estimators.pieces import at_once
from rtreg.estimators.spline import CUBIC, QUINTIC
from rtreg.estimators.templates import Templates
from rtreg.estimators.track import Tracker
from rtreg.estimators.wiener import filter_for
from rtreg.kernels import box, gauss_newton

SHAPE = (96, 128)


def filter_of(kind="cells", frames=1, seed=0, spline=CUBIC, **options):
    scene = make(kind, SHAPE, **options)
    reference = np.mean([noisy(scene, Shift(0, 0), np.random.default_rng(seed + k)) for k in range(frames)], axis=0)
    weights = (1.0 / (NOISE.variance(clean(scene)) * (1.0 + 1.0 / frames))).astype(np.float32)
    templates = at_once(spline.templates((reference - reference.mean()).astype(np.float32)))
    return at_once(filter_for(templates, weights, frames, spline)), scene, reference


def box_sums(image, reach):
    out = np.empty(image.shape, np.float32)
    box.box_sum(image, reach, out)
    return out


def test_pure_noise_leaves_nothing_to_filter_by():
    rng = np.random.default_rng(1)
    for _ in range(10):
        noise = rng.normal(0.0, 7.0, SHAPE).astype(np.float32)
        templates, weights = at_once(CUBIC.templates(noise)), np.full(SHAPE, 1 / (2 * 49.0), np.float32)
        assert at_once(filter_for(templates, weights, 1, CUBIC)) is None


def test_a_denoised_reference_is_nearer_to_the_scene():
    noise_filter, scene, reference = filter_of(peak=60.0, background=10.0)
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
    noise_filter, _, _ = filter_of(peak=60.0, background=10.0, spline=spline)
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
    np.testing.assert_allclose(sums, noise_filter.moments(power), rtol=0.15)


def test_spread_and_smooth_are_one_symmetric_filter():
    noise_filter, _, _ = filter_of(peak=60.0, background=10.0)
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


def test_stars_are_looked_at_and_the_sky_between_them_is_not():
    noise_filter, scene, _ = filter_of("stars", frames=4, peak=300.0, background=10.0)
    gy, gx = np.gradient(clean(scene))
    steep = np.hypot(gy, gx) > 20.0
    far = box_sums(np.hypot(gy, gx) > 0.5, 8) == 0
    assert np.count_nonzero(steep) > 30
    assert np.count_nonzero(far) > 500
    assert noise_filter.keep[steep].min() > 0.8
    assert noise_filter.keep[far].mean() < 0.02


def test_a_scene_that_is_the_same_everywhere_is_looked_at_everywhere():
    noise_filter, _, _ = filter_of("granulation", frames=1, peak=50.0, background=10.0)
    inner = noise_filter.keep[12:-12, 12:-12]
    assert inner.std() < 0.4 * inner.mean()


@pytest.mark.parametrize(("kind", "peak"), [("stars", 100.0), ("cells", 20.0), ("granulation", 60.0)])
def test_the_noise_of_the_reference_is_taken_out_of_the_normal_matrix(kind, peak):
    """On average over references, products with noisy slopes less the noise's are those with the scene's own."""
    scene = make(kind, SHAPE, peak=peak, background=10.0)
    rng = np.random.default_rng(6)
    truth = at_once(CUBIC.templates((clean(scene) - clean(scene).mean()).astype(np.float32)))
    ratios, noisy_ratios = [], []
    for _ in range(30):
        reference = noisy(scene, Shift(0, 0), rng).astype(np.float32)
        pixel_noise = NoiseMap(NOISE, SHAPE).of(reference, 1)
        tracker = Tracker(Templates(reference, np.ones(SHAPE, bool), pixel_noise, reference_frames=1))
        normal = tracker.prepare_for(0.0, 0.0).normal
        instruments, expected, raw = (
            tracker._scratch.instruments(tracker._scratch.layers(SHAPE)),
            np.empty((4, 4)),
            np.empty((4, 4)),
        )
        gauss_newton.gram(instruments, truth, truth[1], expected)
        gauss_newton.gram(instruments, tracker.templates.layers, truth[1], raw)
        ratios.append(np.diag(normal)[2:] / np.diag(expected)[2:])
        noisy_ratios.append(np.diag(raw)[2:] / np.diag(expected)[2:])
    assert np.mean(noisy_ratios) > 1.15  # otherwise there is nothing to be taken out
    np.testing.assert_allclose(np.mean(ratios, axis=0), 1.0, atol=0.06)


def test_a_reference_with_little_noise_is_not_filtered():
    scene = make("cells", SHAPE, peak=20000.0)
    reference = noisy(scene, Shift(0, 0), np.random.default_rng(5))
    assert Registrar(reference, noise=NOISE)._tracker.templates.noise_filter is None
