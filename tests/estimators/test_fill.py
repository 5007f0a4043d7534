"""Bad pixels of a reference: foretold by their neighbours, and what is left of doubt counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenes import READ_NOISE, clean, make, noisy

from rtreg import NoiseModel, Registrar, Shift
from rtreg.estimators.fill import fill
from rtreg.estimators.pieces import at_once
from rtreg.kernels import prepare


def spoiled(image, good):
    out, bad = image.copy(), np.flatnonzero(~good).astype(np.int32)
    out.reshape(-1)[bad] = 0.0
    prepare.patch(out, bad, bad.size, np.zeros(image.shape, bool))
    return out


@pytest.mark.parametrize("kind", ["stars", "cells", "granulation"])
def test_filled_pixels_are_much_nearer_than_the_mean_of_neighbours(kind):
    image = clean(make(kind, (96, 96)))
    good = np.random.default_rng(0).uniform(size=image.shape) >= 0.05
    patched = spoiled(image, good)
    filled = patched.copy()
    doubt = at_once(fill(filled, good))
    before, after = (np.sqrt(np.mean((i - image)[~good] ** 2)) for i in (patched, filled))
    assert after < 0.2 * before
    np.testing.assert_array_equal(filled[good], image[good])
    assert (np.abs(filled - image)[~good] < 4.0 * np.sqrt(doubt[~good]) + 0.01 * np.ptp(image)).all()


def test_where_nothing_is_near_nothing_is_foretold():
    image = clean(make("cells", (64, 64)))
    good = np.ones(image.shape, bool)
    good[:, :30] = False
    patched = spoiled(image, good)
    filled = patched.copy()
    at_once(fill(filled, good))
    np.testing.assert_array_equal(filled[:, :20], patched[:, :20])


@pytest.mark.parametrize(
    ("kind", "peak"), [("cells", 1000.0), ("granulation", 1000.0), ("star", 300.0), ("stars", 20_000.0)]
)
def test_dead_pixels_in_reference_and_frames_are_in_the_error_bar(kind, peak):
    """Five in a hundred pixels never work. The error of 150 frames is known to 4 %."""
    scene = make(kind, (64, 64), peak=peak)
    rng = np.random.default_rng(1)
    dead = rng.uniform(size=scene.shape) < 0.05
    model = NoiseModel(gain=1.0, read_noise=READ_NOISE, mask=dead)
    registrar = Registrar(np.where(dead, 0.0, clean(scene)), noise=model, reference_frames=math.inf)
    scaled = []
    for _ in range(150):
        shift = Shift(*rng.uniform(-2, 2, 2))
        estimate = registrar.measure(np.where(dead, 0.0, noisy(scene, shift, rng)))
        assert estimate.ok, estimate
        scaled += [(estimate.dx - shift.dx) / estimate.sigma.dx, (estimate.dy - shift.dy) / estimate.sigma.dy]
    assert np.sqrt(np.mean(np.square(scaled))) == pytest.approx(1.0, abs=3 / math.sqrt(600) + 0.1)
