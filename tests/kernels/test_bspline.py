"""B-spline kernels against dense matrices and the definition of the spline."""

from __future__ import annotations

import naive
import numpy as np
import pytest

from rtreg.kernels import bspline

SHAPES = [(64, 64), (37, 64), (101, 100), (9, 16), (5, 3), (1, 9), (9, 1), (2, 2)]


def noise_image(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def coefficients_of(image, mirror=True):
    out = np.empty(image.shape, np.float32)
    bspline.prefilter(image, mirror, out)
    return out


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_prefilter_solves_the_spline_equations(shape, mirror):
    image = noise_image(shape)
    np.testing.assert_allclose(coefficients_of(image, mirror), naive.prefilter(image, mirror), atol=2e-5)


def test_prefilter_may_work_in_place():
    image = noise_image((37, 64))
    expected = coefficients_of(image)
    bspline.prefilter(image, True, image)
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8"])
def test_prefilter_takes_every_dtype(dtype):
    image = np.arange(8 * 11).reshape(8, 11).astype(dtype)
    np.testing.assert_allclose(coefficients_of(image), naive.prefilter(image, True), atol=2e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_smooth_undoes_the_zero_prefilter_away_from_the_cut(shape):
    c = noise_image(shape)
    out = np.empty(shape, np.float32)
    bspline.smooth(c, out)
    np.testing.assert_allclose(out, naive.smooth(c), atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_the_splines_own(shape):
    c = noise_image(shape)
    gy, gx = np.empty(shape, np.float32), np.empty(shape, np.float32)
    bspline.gradients(c, gy, gx)
    expected_y, expected_x = naive.gradients(c)
    np.testing.assert_allclose(gy, expected_y, atol=1e-5)
    np.testing.assert_allclose(gx, expected_x, atol=1e-5)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.7), (1.5, 2.25), (-1.0, 0.0), (-0.5, 3.0), (40.0, 0.0)])
@pytest.mark.parametrize("shape", [(16, 16), (9, 12), (1, 9), (2, 2)])
def test_sample_reads_the_spline_and_fills_outside(shape, shift):
    c = noise_image(shape)
    out = np.empty(shape, np.float32)
    bspline.sample(c, *shift, np.float32(np.nan), out)
    np.testing.assert_allclose(out, naive.sample(c, *shift, np.nan), atol=1e-5)


def test_taps_are_the_spline_at_the_four_neighbours():
    for f in np.linspace(0.0, 0.999, 9):
        np.testing.assert_allclose(bspline.taps(f), naive.beta3(f - np.arange(-1, 3)), atol=1e-7)


def test_the_quintics_taps_are_the_spline_at_the_six_neighbours():
    for f in np.linspace(0.0, 0.999, 9):
        np.testing.assert_allclose(bspline.taps5(f), naive.beta5(f - np.arange(-2, 4)), atol=1e-7)


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("shape", [(16, 12), (9, 20), (5, 3), (1, 9)])
def test_convolve_is_the_sum_over_the_filters(shape, mirror):
    rng = np.random.default_rng(3)
    along_y, along_x = rng.normal(size=5).astype(np.float32), rng.normal(size=7).astype(np.float32)
    image, out = noise_image(shape), np.empty(shape, np.float32)
    bspline.convolve(image, along_y, along_x, mirror, out)
    np.testing.assert_allclose(out, naive.convolve(image, along_y, along_x, mirror), atol=1e-5)
