"""Both orders of spline: their filters undo each other, and their slopes are slopes."""

from __future__ import annotations

import numpy as np
import pytest

from rtreg.estimators.spline import CUBIC, QUINTIC

BOTH = pytest.mark.parametrize("spline", [CUBIC, QUINTIC], ids=["cubic", "quintic"])


@BOTH
def test_coefficients_smoothed_are_the_image(spline):
    image = np.zeros((64, 70), np.float32)
    image[24:40, 24:46] = np.random.default_rng(0).normal(size=(16, 22))  # the tails die out before the border
    c, back = np.empty_like(image), np.empty_like(image)
    spline.prefilter(image, False, c)
    spline.smooth(c, back)
    np.testing.assert_allclose(back, image, atol=2e-5)


@BOTH
@pytest.mark.parametrize("wave", [0.3, 1.0, 2.5])
def test_the_slope_of_a_wave_is_what_the_response_says(spline, wave):
    x = np.arange(128.0)
    image = np.repeat(np.sin(wave * x)[None], 40, axis=0).astype(np.float32)
    c, gy, gx = (np.empty_like(image) for _ in range(3))
    spline.prefilter(image, True, c)
    spline.gradients(c, gy, gx)
    expected = np.broadcast_to(spline.slope_response(wave) * np.cos(wave * x), image.shape)
    np.testing.assert_allclose(gx[:, 40:-40], expected[:, 40:-40], atol=1e-4)
    np.testing.assert_allclose(gy, 0.0, atol=1e-5)


def test_the_quintic_is_nearer_to_the_true_slope():
    wave = np.linspace(0.1, 2.0, 20)
    cubic, quintic = (np.abs(spline.slope_response(wave) - wave) for spline in (CUBIC, QUINTIC))
    assert (quintic < cubic).all()
