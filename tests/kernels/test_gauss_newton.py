"""Gauss-Newton kernels against sums written out pixel by pixel."""

from __future__ import annotations

import naive
import numpy as np
import pytest

from rtreg.kernels import gauss_newton

SHIFTS = [(0.0, 0.0), (0.3, -0.4), (-1.2, 2.7), (3.5, -3.01)]


def templates_for(shape, order, dy, dx, seed=0):
    """Random templates, zero where a tap would leave the frame."""
    reach = order // 2
    t = np.random.default_rng(seed).normal(size=(3, *shape)).astype(np.float32)
    my, mx = int(np.floor(dy)), int(np.floor(dx))
    top, bottom = max(0, reach - my), min(shape[0], shape[0] - reach - 1 - my)
    left, right = max(0, reach - mx), min(shape[1], shape[1] - reach - 1 - mx)
    t[:, :top] = t[:, bottom:] = 0.0
    t[:, :, :left] = t[:, :, right:] = 0.0
    return t, top, bottom


@pytest.mark.parametrize("order", [3, 5])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("shape", [(16, 16), (13, 24), (24, 11)])
def test_project_is_the_sum_of_products(shape, shift, dtype, order):
    frame = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    templates, top, bottom = templates_for(shape, order, *shift)
    out = np.empty(3)
    column = np.empty(gauss_newton.BLOCK + 2 * shape[1], np.float32)
    gauss_newton.project(frame, templates, order, top, bottom, *shift, column, out)
    expected = naive.project(frame, templates, order, top, bottom, *shift)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("order", [3, 5])
def test_project_is_right_across_many_blocks(order):
    shape = (300, 70)
    frame = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    templates, top, bottom = templates_for(shape, order, 0.4, -1.6)
    out = np.empty(3)
    column = np.empty(gauss_newton.BLOCK + 2 * shape[1], np.float32)
    gauss_newton.project(frame, templates, order, top, bottom, 0.4, -1.6, column, out)
    np.testing.assert_allclose(out, naive.project(frame, templates, order, top, bottom, 0.4, -1.6), atol=2e-2)


def test_gram_and_combine():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 4, 9, 14)).astype(np.float32)
    weight = rng.uniform(size=(9, 14)).astype(np.float32)
    out = np.empty((4, 4))
    gauss_newton.gram(a, b, weight, out)
    np.testing.assert_allclose(out, np.einsum("iyx,jyx,yx->ij", a, b, weight), atol=1e-3)
    matrix = rng.normal(size=(3, 4))
    combined = np.empty((3, 9, 14), np.float32)
    gauss_newton.combine(matrix, a, combined)
    np.testing.assert_allclose(combined, np.einsum("ki,iyx->kyx", matrix, a), atol=1e-5)


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("shape", [(16, 16), (13, 24)])
def test_residual_on_the_frames_own_pixels(shape, shift, stride):
    rng = np.random.default_rng(3)
    frame, c = rng.normal(size=(2, *shape)).astype(np.float32)
    weights = rng.uniform(size=shape).astype(np.float32)
    weights[5, 6] = 0.0
    out = np.empty(4)
    column = np.empty(shape[1], np.float32)
    gauss_newton.residual(frame, c, weights, 1.3, 0.2, *shift, stride, column, out)
    np.testing.assert_allclose(out, naive.residual(frame, c, weights, 1.3, 0.2, *shift, stride), rtol=1e-4, atol=1e-3)


def test_lost_information_counts_only_pixels_in_the_window():
    rng = np.random.default_rng(4)
    templates = rng.normal(size=(4, 10, 12)).astype(np.float32)
    weights = rng.uniform(size=(10, 12)).astype(np.float32)
    bad = np.array([3 * 12 + 4, 9 * 12 + 11, 5 * 12 + 6], np.int32)
    out = np.empty((4, 4))
    gauss_newton.lost_information(bad, 3, templates, weights, 1, -2, 1, 9, 1, 11, out)
    expected = np.zeros((4, 4))
    for y, x in ((3 - 1, 4 + 2), (5 - 1, 6 + 2)):  # the corner falls outside
        expected += weights[y, x] * np.outer(templates[:, y, x], templates[:, y, x])
    np.testing.assert_allclose(out, expected, rtol=1e-6)
