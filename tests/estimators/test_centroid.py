"""The centroid's contract: at the bound on one star, honest, and never an answer where the fit must look.

Fixed seeds. With n trials the rms of both axes together is known to 1/sqrt(4 n).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenes import NOISE, READ_NOISE, bound, clean, make, noisy

from rtreg import NoiseModel, Registrar, Shift, Verdict, register
from rtreg.estimators import centroid

HOME = Shift(0.37, -0.21)
TRIALS = 300
SPREAD = 3.0 / math.sqrt(4 * TRIALS)


def star(**options):
    return make("star", (64, 64), **{"fwhm": 3.5, "peak": 3000.0, "background": 80.0, **options})


def by_centroid(reference, **options):
    return Registrar(reference, **{"noise": NOISE, "reference_frames": math.inf, "method": "centroid", **options})


def glances(registrar):
    """Whether the last frame was measured without being looked at as a whole."""
    return not registrar._exposure.looked


def there(shift):
    return Shift(HOME.dx + shift.dx, HOME.dy + shift.dy)


def compare(scene, registrar, scale=1.0, seed=5):
    """rms over the bound, rms over the reported sigma, coverage; all frames measured by the star alone."""
    rng = np.random.default_rng(seed)
    over_bound, over_sigma = [], []
    registrar.measure(noisy(scene, HOME, rng))
    for k in range(TRIALS):
        if k % 30 == 0:
            shift = Shift(*rng.uniform(-1.0, 1.0, 2))
            limit = np.array(bound(scene, shift)) * scale
        estimate = registrar.measure(noisy(scene, there(shift), rng))
        assert estimate.ok, estimate
        error = np.subtract(estimate.shift, shift)
        over_bound.append(error / limit)
        over_sigma.append(error / estimate.sigma)
    z = np.array(over_sigma)
    return np.sqrt(np.mean(np.square(over_bound))), np.sqrt(np.mean(z * z)), np.mean(np.abs(z) < 1)


@pytest.mark.parametrize("peak", [100.0, 1000.0, 20000.0])
@pytest.mark.parametrize("noise", [NOISE, None], ids=["known noise", "unknown noise"])
def test_at_the_bound_and_honest(peak, noise):
    scene = star(peak=peak)
    registrar = by_centroid(clean(scene, HOME), noise=noise)
    over_bound, over_sigma, covered = compare(scene, registrar)
    assert glances(registrar)
    assert 1.0 - SPREAD <= over_bound <= 1.05 + SPREAD
    assert abs(over_sigma - 1.0) <= SPREAD + (0.03 if noise else 0.06)
    assert abs(covered - 0.683) <= 3.0 * math.sqrt(0.683 * 0.317 / (2 * TRIALS)) + 0.02


def test_noise_is_learnt_from_whole_frames_before_the_star_alone_is_looked_at():
    """A window is too small to tell how noise grows with the light: its error bar was 11 % too small at 20 000 e-."""
    scene, rng = star(peak=20000.0), np.random.default_rng(2)
    registrar = by_centroid(clean(scene, HOME), noise=None)
    alone = []
    for _ in range(25):
        assert registrar.measure(noisy(scene, HOME, rng)).ok
        alone.append(glances(registrar))
    assert not any(alone[:10])
    assert all(alone[20:])


@pytest.mark.parametrize("frames", [1, 16])
def test_the_references_noise_is_in_the_error_bar(frames):
    scene, rng = star(), np.random.default_rng(8)
    z = []
    for _ in range(TRIALS):
        mean = clean(scene, HOME).astype(float)
        reference = rng.poisson(frames * mean) / frames + rng.normal(0, READ_NOISE / math.sqrt(frames), mean.shape)
        registrar = by_centroid(reference.astype(np.float32), reference_frames=frames)
        registrar.measure(noisy(scene, HOME, rng))
        estimate = registrar.measure(noisy(scene, HOME, rng))
        assert glances(registrar)
        z.append(np.divide(estimate.shift, estimate.sigma))
    assert abs(np.sqrt(np.mean(np.square(z))) - 1.0) <= SPREAD + 0.04


@pytest.mark.parametrize("shape", ["round", "long", "lopsided", "with wings"])
def test_the_error_bar_is_that_of_the_star_as_it_is(shape):
    """Stars are no Gaussians: no bias from that, and still an honest error bar."""
    rng = np.random.default_rng(4)

    def exposed(shift):
        y, x = np.mgrid[:48, :48]
        v, u = y - 23.3 - shift.dy, x - 24.1 - shift.dx
        r = (u / 2.2) ** 2 + (v / 1.4) ** 2 if shape == "long" else (u * u + v * v) / 1.7**2
        image = (1 + 0.5 * r) ** -2.5 if shape == "with wings" else np.exp(-0.5 * r)
        if shape == "lopsided":
            image = image + 0.3 * np.exp(-0.5 * ((u - 2) ** 2 + (v - 1) ** 2) / 1.7**2)
        return 4000.0 * image + 50.0

    registrar = by_centroid(exposed(Shift(0, 0)))
    z = []
    for _ in range(TRIALS):
        shift = Shift(*rng.uniform(-1.0, 1.0, 2))
        mean = exposed(shift)
        estimate = registrar.measure(rng.poisson(mean) + rng.normal(0, READ_NOISE, mean.shape))
        assert estimate.ok
        z.append(np.subtract(estimate.shift, shift) / estimate.sigma)
    assert glances(registrar)
    assert abs(np.sqrt(np.mean(np.square(z))) - 1.0) <= SPREAD + 0.04
    assert np.all(np.abs(np.mean(z, axis=0)) <= 3.0 / math.sqrt(TRIALS))


@pytest.mark.parametrize("fwhm", [2.0, 3.5, 6.0])
def test_no_bias_over_the_fraction_of_a_pixel(fwhm):
    scene = star(fwhm=fwhm, peak=20000.0)
    registrar = by_centroid(clean(scene, HOME))
    registrar.measure(clean(scene, HOME))
    for f in np.linspace(-1.0, 1.0, 17):
        shift = Shift(f, 0.2 - 0.7 * f)
        estimate = registrar.measure(clean(scene, there(shift)))
        assert glances(registrar)
        assert estimate.dx == pytest.approx(shift.dx, abs=0.001)
        assert estimate.dy == pytest.approx(shift.dy, abs=0.001)


def test_photometry_is_that_of_the_fit():
    scene = star()
    frame = 0.7 * clean(scene, there(Shift(0.4, 0.3))) + 25.0
    ours, fit = (by_centroid(clean(scene, HOME), method=method) for method in ("centroid", "auto"))
    for registrar in (ours, fit):
        registrar.measure(clean(scene, HOME))
    a, b = ours.measure(frame), fit.measure(frame)
    assert glances(ours)
    assert a.scale == pytest.approx(b.scale, abs=1e-3)
    assert a.offset == pytest.approx(b.offset, abs=0.2)


# -- what it leaves to the fit, or to nobody --------------------------------------------------------------------------


@pytest.fixture
def locked():
    scene = star()
    registrar = by_centroid(clean(scene, HOME), noise=NoiseModel(gain=1.0, read_noise=READ_NOISE, saturation=30000.0))
    assert registrar.measure(clean(scene, HOME)).ok
    assert registrar.measure(clean(scene, HOME)).ok
    assert glances(registrar)
    return scene, registrar


@pytest.mark.parametrize("bad", [np.nan, 40000.0], ids=["NaN", "saturated"])
def test_bad_pixels_in_the_star_are_left_to_the_fit(locked, bad):
    scene, registrar = locked
    frame = noisy(scene, there(Shift(0.5, -0.4)), np.random.default_rng(0))
    frame[31:33, 32] = bad
    estimate = registrar.measure(frame)
    assert not glances(registrar)
    assert estimate.ok
    assert np.all(np.abs(np.subtract(estimate.shift, (0.5, -0.4))) < 5 * np.array(estimate.sigma))


@pytest.mark.parametrize("shift", [Shift(12.3, -9.8), Shift(-15.0, 15.5)])
def test_a_jump_is_searched_for(locked, shift):
    scene, registrar = locked
    estimate = registrar.measure(clean(scene, there(shift)))
    assert estimate.ok
    assert estimate.dx == pytest.approx(shift.dx, abs=0.01)
    assert estimate.dy == pytest.approx(shift.dy, abs=0.01)


def test_a_cloud_is_seen_through_with_a_wider_error_bar(locked):
    scene, registrar = locked
    sharp = registrar.measure(clean(scene, HOME)).sigma.dx
    for dimming in (0.3, 0.1, 0.1):  # the first two look like another star, and are looked at with more care
        estimate = registrar.measure(dimming * (clean(scene, HOME) - 80.0) + 80.0)
        assert estimate.ok
        assert estimate.scale == pytest.approx(dimming, abs=0.01)
    assert glances(registrar)
    assert estimate.sigma.dx > 4 * sharp


@pytest.mark.parametrize(
    ("frame", "flag"),
    [
        (np.full((64, 64), 80.0), Verdict.DARK),
        (np.full((64, 64), np.nan), Verdict.NAN),
        (np.random.default_rng(3).normal(80.0, 10.0, (64, 64)), Verdict.LOW_SNR),
        (np.random.default_rng(3).normal(80.0, 1000.0, (64, 64)), Verdict.LOW_SNR),
    ],
    ids=["constant", "NaN", "sky", "noise"],
)
def test_garbage_has_no_answer(locked, frame, flag):
    _, registrar = locked
    for _ in range(3):
        estimate = registrar.measure(frame)
        assert not estimate.ok
        assert flag in estimate.flags


def test_a_neighbour_is_not_the_star(locked):
    """The star leaves the frame and a fainter one comes to where it was: not an answer of the star's."""
    scene, registrar = locked
    faint = clean(star(peak=300.0), there(Shift(2.0, 1.0)))
    registrar.measure(clean(scene, there(Shift(25.0, 0.0))) + faint - 80.0)
    assert not glances(registrar)


@pytest.mark.parametrize("kind", ["granulation", "cells"])
def test_without_a_star_the_fit_is_taken(kind):
    scene = make(kind, (64, 64))
    registrar = by_centroid(clean(scene))
    for shift in (Shift(0.3, 0.1), Shift(0.5, -0.2), Shift(0.1, 0.4)):
        estimate = registrar.measure(clean(scene, shift))
        assert estimate.ok
        assert estimate.shift == pytest.approx(shift, abs=0.002)
    assert not glances(registrar)
    assert "no star" in registrar.last_transition


def test_noise_is_no_star():
    rng = np.random.default_rng(0)
    for _ in range(50):
        image = rng.normal(100.0, 10.0, (64, 64)).astype(np.float32)
        ones = np.ones((64, 64), np.float32)
        noise = centroid.PixelNoise(100 * ones, 0 * ones, 0.0)
        assert centroid.find_star(image, ones > 0, noise, 1.0) is None


def test_a_new_reference_has_its_own_star(locked):
    scene, registrar = locked
    registrar.set_reference(clean(scene, there(Shift(1.5, -2.0))), reference_frames=math.inf)
    estimate = registrar.measure(clean(scene, HOME))
    assert glances(registrar)
    assert estimate.shift == pytest.approx((-1.5, 2.0), abs=0.002)


def test_work_is_the_whole_frame_all_the_same(locked):
    scene, registrar = locked
    frame = clean(scene, there(Shift(0.2, 0.1)))
    registrar.measure(frame)
    assert glances(registrar)
    np.testing.assert_array_equal(registrar.work, frame)


def test_frames_may_be_read_only_integers_of_any_layout(locked):
    scene, registrar = locked
    frame = clean(scene, there(Shift(0.25, -0.5))).round().astype(np.uint16)
    frame.flags.writeable = False
    for image in (frame, np.asfortranarray(frame), frame.astype(">i4")):
        assert registrar.measure(image).shift == pytest.approx((0.25, -0.5), abs=0.005)
        assert glances(registrar)


def test_in_one_shot_it_is_the_search_and_the_fit():
    scene = star()
    estimate = register(clean(scene), clean(scene, Shift(3.2, -1.7)), method="centroid")
    assert estimate.ok
    assert estimate.shift == pytest.approx((3.2, -1.7), abs=0.002)
