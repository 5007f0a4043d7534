"""Structure kernels against their slow twins."""

from __future__ import annotations

import naive
import numpy as np
import pytest

from rtreg.kernels import box

SHAPES = [(16, 16), (9, 23), (3, 40), (1, 12), (12, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_energy(shape):
    rng = np.random.default_rng(0)
    image = rng.normal(size=shape).astype(np.float32)
    variance = rng.uniform(0.5, 2.0, shape).astype(np.float32)
    good = rng.uniform(size=shape) > 0.2
    out = np.empty(shape, np.float32)
    box.gradient_energy(image, variance, good, out)
    np.testing.assert_allclose(out, naive.gradient_energy(image, variance, good), rtol=1e-4, atol=1e-6)


def test_gradient_energy_of_noise_is_one():
    image = np.random.default_rng(1).normal(0.0, 3.0, (300, 300)).astype(np.float32)
    out = np.empty(image.shape, np.float32)
    box.gradient_energy(image, np.full(image.shape, 9.0, np.float32), np.ones(image.shape, bool), out)
    assert out.mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("reach", [1, 4, 30])
@pytest.mark.parametrize("shape", SHAPES)
def test_box_sum(shape, reach):
    rng = np.random.default_rng(2)
    out = np.empty(shape, np.float32)
    for image in (rng.normal(size=shape).astype(np.float32), rng.uniform(size=shape) > 0.5):
        box.box_sum(image, reach, out)
        np.testing.assert_allclose(out, naive.box_sum(image, reach), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(16, 16), (9, 23), (3, 40)])
def test_shrink(shape):
    rng = np.random.default_rng(3)
    image = (10.0 * rng.normal(size=shape)).astype(np.float32)
    variance = rng.uniform(5.0, 20.0, shape).astype(np.float32)
    out = np.empty(shape, np.float32)
    box.shrink(image, variance, out)
    np.testing.assert_allclose(out, naive.shrink(image, variance), rtol=1e-4, atol=1e-4)
