"""Structure without noise: products of neighbouring pixels."""

from __future__ import annotations

import numpy as np
import pytest

from rtreg.estimators.pieces import at_once
from rtreg.live.structure import likeness, structure
from rtreg.records import Shift
from rtreg.simulate import Scene

NOISE = np.random.default_rng(0).normal(size=(2, 128, 128)).astype(np.float32)


def clean(seed):
    return 0.01 * Scene("granulation", (128, 128), seed=seed, peak=5000.0).render(Shift(0.0, 0.0)).copy()


def test_structure_is_the_scenes_variance_and_not_the_noises():
    scene = clean(0)
    assert structure(scene + NOISE[0]) == pytest.approx(structure(scene), rel=0.05)
    assert structure(scene) == pytest.approx(scene.var(), rel=0.15)
    assert abs(structure(NOISE[0])) < 0.03


def test_hot_pixels_are_no_structure():
    image = np.zeros((64, 64), np.float32)
    image[10::20, 7::20] = 1000.0
    assert abs(structure(image)) < 0.01 * image.var()


def test_pixels_without_data_are_left_out():
    scene = clean(0)
    holed = scene.copy()
    holed[:40] = np.nan
    assert structure(holed) == pytest.approx(structure(scene[40:]), rel=1e-5)


def test_likeness_is_1_for_the_same_scene_and_0_for_another():
    scene, other = clean(0), clean(1)
    assert at_once(likeness(scene + NOISE[0], 0.3 * scene + 50.0)) == pytest.approx(1.0, abs=0.02)
    assert at_once(likeness(scene, other)) < 0.2
    half = at_once(likeness(scene + other, scene))
    assert 0.3 < half < 0.7
    assert at_once(likeness(scene, np.zeros_like(scene))) == 0.0
