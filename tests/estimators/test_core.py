"""Saturated cores of stars, foretold from their flanks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenes import READ_NOISE

from rtreg import NoiseModel, Registrar
from rtreg.estimators.core import cores
from rtreg.estimators.pieces import at_once

SHAPE = (48, 64)
SKY = 20.0


def star(y0=23.3, x0=30.6, peak=9000.0, beta=math.inf, long=1.3):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    square = ((x - x0) / long) ** 2 + (y - y0) ** 2
    if math.isinf(beta):
        return SKY + peak * np.exp(-square / (2 * 1.4**2))
    return SKY + peak * (1 + square / (2 * beta * 1.4**2)) ** -beta


def saturated(image, at):
    return np.minimum(image, at).astype(np.float32), image < at


@pytest.mark.parametrize("at", [0.3, 0.5, 0.8])
def test_the_core_of_a_gaussian_star_is_foretold(at):
    truth = star()
    image, good = saturated(truth, SKY + at * 9000)
    (core,) = at_once(cores(image, good, SKY))
    np.testing.assert_array_equal(np.sort(core.where), np.flatnonzero(~good))
    np.testing.assert_allclose(core.values, truth.reshape(-1)[core.where], rtol=1e-3)


def test_what_has_no_flank_of_a_star_is_left_alone():
    image = np.full(SHAPE, SKY, np.float32)
    image[:, 30:] = 5000.0  # an edge, with dead pixels along it
    good = np.ones(SHAPE, bool)
    good[20:24, 28:32] = False
    assert at_once(cores(image, good, SKY)) == []


def test_scattered_dead_pixels_are_no_cores():
    image = star().astype(np.float32)
    good = np.ones(SHAPE, bool)
    good[20:28:2, 26:36:2] = False
    assert at_once(cores(image, good, SKY)) == []


@pytest.mark.parametrize(("beta", "least", "most"), [(math.inf, 0.88, 1.12), (4.0, 0.88, 1.35), (2.5, 0.88, 1.35)])
def test_a_saturated_star_is_measured_with_a_true_error_bar(beta, least, most):
    """With 150 trials of two axes the ratio is known to 4 %; that of a star with wings is on the safe side."""
    well = SKY + 4500
    model = NoiseModel(gain=1.0, read_noise=READ_NOISE, saturation=well)
    registrar = Registrar(np.minimum(star(beta=beta), well), noise=model, reference_frames=math.inf)
    rng = np.random.default_rng(7)
    scaled = []
    for _ in range(150):
        dx, dy = rng.uniform(-2, 2, 2)
        mean = star(23.3 + dy, 30.6 + dx, beta=beta)
        estimate = registrar.measure(np.minimum(rng.poisson(mean) + rng.normal(0, READ_NOISE, SHAPE), well))
        assert estimate.ok, estimate
        scaled.append((np.array(estimate.shift) - (dx, dy)) / estimate.sigma)
    assert least < 1.0 / np.sqrt(np.mean(np.square(scaled))) < most
