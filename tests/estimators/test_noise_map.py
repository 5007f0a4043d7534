"""What noise pixels have, learnt from frames alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenes import NOISE, READ_NOISE, clean, make, noisy

from rtreg import Registrar, Shift
from rtreg.estimators.noise_map import LEARNT_FROM, NoiseMap
from rtreg.noise import NoiseModel

UNKNOWN = NoiseModel()


@pytest.mark.parametrize("kind", ["stars", "cells", "granulation"])
def test_the_first_guess_is_near_the_noise(kind):
    """From one noisy image: within a third of the truth for most of its pixels."""
    scene = make(kind, (128, 128), peak=2000.0)
    image = noisy(scene, Shift(0, 0), np.random.default_rng(0))
    noise = NoiseMap(UNKNOWN, image.shape)
    noise.guess(image, np.ones(image.shape, bool), 1.0)
    ratio = noise.of(clean(scene), math.inf).total / (clean(scene) + READ_NOISE**2)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.33)


def test_nothing_is_guessed_from_a_reference_without_noise_or_when_the_detector_is_known():
    image, good = clean(make("cells", (64, 64))), np.ones((64, 64), bool)
    for model, frames in ((UNKNOWN, math.inf), (NOISE, 1.0)):
        noise = NoiseMap(model, image.shape)
        noise.guess(image, good, frames)
        assert noise.line is None
    constant = NoiseMap(UNKNOWN, image.shape)
    constant.guess(np.ones((64, 64), np.float32), good, 1.0)
    assert not constant.known
    assert (constant.of(image, 1.0).total == 1.0).all()


@pytest.mark.parametrize("frames", [math.inf, 16])
@pytest.mark.parametrize("kind", ["star", "stars", "cells"])
def test_the_line_is_learnt_from_the_first_frames(kind, frames):
    """A star's 20 bright pixels know their own noise to 30 %; the fit drew them to itself, and 16 frames average it."""
    scene = make(kind, (64, 64), peak=5000.0)
    rng = np.random.default_rng(1)
    reference = clean(scene)
    if frames == 16:
        reference = np.mean([noisy(scene, Shift(0, 0), rng) for _ in range(16)], axis=0)
    registrar = Registrar(reference, reference_frames=frames)
    for _ in range(LEARNT_FROM + 2):
        assert registrar.measure(noisy(scene, Shift(*rng.uniform(-1, 1, 2)), rng)).ok
    assert not registrar._noise_map.learning
    quiet, slope = registrar._noise_map.line
    assert slope == pytest.approx(1.0, abs=0.2)
    darkest = float(np.percentile(clean(scene), 1.0))
    assert quiet == pytest.approx(darkest + READ_NOISE**2, rel=0.15)


@pytest.mark.parametrize("kind", ["star", "stars"])
def test_one_frame_of_a_star_and_nothing_known_still_has_a_true_error_bar(kind):
    """One noisy reference, one frame: all noise is learnt from their difference."""
    scene = make(kind, (64, 64), peak=2000.0, background=10.0)
    rng = np.random.default_rng(2)
    errors, sigmas = [], []
    for _ in range(150):
        registrar = Registrar(noisy(scene, Shift(0, 0), rng))
        shift = Shift(*rng.uniform(-1, 1, 2))
        estimate = registrar.measure(noisy(scene, shift, rng))
        assert estimate.ok, estimate
        errors.append((estimate.dx - shift.dx, estimate.dy - shift.dy))
        sigmas.append(estimate.sigma)
    ratio = np.sqrt(np.mean(np.square(sigmas)) / np.mean(np.square(errors)))
    assert ratio == pytest.approx(1.0, abs=3 / math.sqrt(600) + 0.1)


@pytest.mark.parametrize("peak", [60.0, 600.0])
def test_pixels_that_only_noise_makes_bright_do_not_flatten_the_line(peak):
    """One noisy reference, one frame: what is bright in their mean is not so by the noise of their difference."""
    scene = make("stars", (64, 64), peak=peak, background=10.0)
    rng, lines = np.random.default_rng(3), []
    for _ in range(25):
        registrar = Registrar(noisy(scene, Shift(0, 0), rng))
        assert registrar.measure(noisy(scene, Shift(*rng.uniform(-1, 1, 2)), rng)).ok
        lines.append(registrar._noise_map.line[1])
    assert np.mean(lines) == pytest.approx(1.0, abs=0.12)
