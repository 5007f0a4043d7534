"""Pixels that are not the scene: left out when they are there, and nothing is lost when they are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenes import NOISE, READ_NOISE, bound, clean, make, noisy

from rtreg import NoiseModel, Registrar, Shift, Verdict

CASES = [("star", 300.0), ("stars", 1000.0), ("cells", 150.0), ("granulation", 500.0)]
SHIFT = Shift(0.4, -0.7)


def cosmic_ray(frame, rng):
    """A streak of one to three pixels, 100 sigma each."""
    y, x = (int(rng.integers(0, n - 3)) for n in frame.shape)
    hit = frame[y, x : x + int(rng.integers(1, 4))]
    hit += 100.0 * np.sqrt(np.maximum(hit, 0.0) + READ_NOISE**2)


def satellite(frame, rng):
    """A line across the frame, 10 to 30 sigma bright."""
    y0, y1 = rng.uniform(0, frame.shape[0], 2)
    for x in range(frame.shape[1]):
        y = int(y0 + (y1 - y0) * x / frame.shape[1])
        frame[y, x] += rng.uniform(10, 30) * math.sqrt(max(frame[y, x], 0.0) + READ_NOISE**2)


def over_bound_and_sigma(scene, spoil, n=120, **options):
    rng = np.random.default_rng(1)
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf, **options)
    limit, errors, sigmas = np.array(bound(scene, SHIFT)), [], []
    for _ in range(n):
        frame = noisy(scene, SHIFT, rng)
        spoil(frame, rng)
        estimate = registrar.measure(frame)
        assert estimate.ok, estimate
        errors.append((estimate.dx - SHIFT.dx, estimate.dy - SHIFT.dy))
        sigmas.append(estimate.sigma)
    rms = np.sqrt(np.mean(np.square(errors / limit)))
    return rms, np.sqrt(np.mean(np.square(np.array(errors) / sigmas)))


@pytest.mark.parametrize(
    ("kind", "peak", "spoil"),
    # not a satellite with one star: where it crosses that, nothing else tells the two apart
    [(*case, cosmic_ray) for case in CASES] + [(*case, satellite) for case in CASES[1:]],
)
def test_outliers_hardly_matter_and_the_error_bar_stays_true(kind, peak, spoil):
    rms, over_sigma = over_bound_and_sigma(make(kind, (64, 64), peak=peak), spoil, robust=True)
    assert rms <= 1.3
    assert over_sigma == pytest.approx(1.0, abs=3 / math.sqrt(480) + 0.06)


@pytest.mark.parametrize(("kind", "peak"), [*CASES, ("stars", 20_000.0)])
def test_nothing_is_lost_on_clean_frames(kind, peak):
    scene = make(kind, (64, 64), peak=peak)
    (plain, _), (robust, _) = (over_bound_and_sigma(scene, lambda *_: None, robust=r) for r in (False, True))
    assert robust <= 1.02 * plain  # the same frames: 1.05 would be 90 % of the efficiency


def test_without_it_a_cosmic_ray_moves_the_answer_and_is_often_told():
    scene, rng = make("granulation", (64, 64), peak=500.0), np.random.default_rng(1)
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf)
    limit, hit = np.array(bound(scene, SHIFT)), []
    for k in range(120):
        frame = noisy(scene, SHIFT, rng)
        if k % 2:
            frame[tuple(rng.integers(10, 54, 2))] += 4000.0
        estimate = registrar.measure(frame)
        if k % 2:
            hit.append((*(np.subtract(estimate.shift, SHIFT) / limit), estimate.flags))
        else:
            assert estimate.ok
    assert np.sqrt(np.mean(np.square([h[:2] for h in hit]).astype(float))) > 1.5
    assert sum(Verdict.MISFIT in flags for *_, flags in hit) >= 15  # every other row is asked


def test_the_work_image_is_clean_and_the_frame_is_not_written_to():
    scene = make("cells", (64, 64), peak=500.0)
    rng = np.random.default_rng(2)
    frame = noisy(scene, SHIFT, rng)
    frame[30, 31] = 1e5
    before = frame.copy()
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf, robust=True)
    for _ in range(2):  # acquired, then tracked
        assert registrar.measure(frame).ok
        assert registrar.work[30, 31] == pytest.approx(clean(scene, SHIFT)[30, 31], abs=20.0)
    np.testing.assert_array_equal(frame, before)


def test_a_cosmic_ray_is_not_taken_for_the_star():
    """Without noise constants, searched for on every frame: the ray is brighter than the star."""
    star = make("star", (64, 64), peak=200.0)
    rng = np.random.default_rng(3)
    registrar = Registrar(clean(star), noise=NoiseModel(), reference_frames=math.inf, robust=True, method="fft")
    for _ in range(30):
        frame = noisy(star, SHIFT, rng)
        frame[tuple(rng.integers(2, 62, 2))] += 3000.0
        estimate = registrar.measure(frame)
        assert estimate.ok, estimate
        assert math.hypot(estimate.dx - SHIFT.dx, estimate.dy - SHIFT.dy) < 1.0
