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


def project(frame, templates, blocks, order, dy, dx):
    """The kernel, with the templates' rows as it wants them, and its twin with whole images."""
    blocks = np.array(blocks, np.int64)
    rows = np.concatenate([np.arange(*block) for block in blocks])
    out = np.empty(3)
    column = np.empty(gauss_newton.BLOCK + 2 * frame.shape[1], np.float32)
    gauss_newton.project(frame, blocks, np.ascontiguousarray(templates[:, rows]), order, dy, dx, column, out)
    kept = np.zeros_like(templates)
    kept[:, rows] = templates[:, rows]
    return out, naive.project(frame, kept, order, dy, dx)


@pytest.mark.parametrize("order", [3, 5])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("shape", [(16, 16), (13, 24), (24, 11)])
def test_project_is_the_sum_of_products(shape, shift, dtype, order):
    frame = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    templates, top, bottom = templates_for(shape, order, *shift)
    out, expected = project(frame, templates, [(top, bottom)], order, *shift)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("order", [3, 5])
@pytest.mark.parametrize("dtype", ["f4", "i2"])
def test_project_looks_at_the_rows_of_its_blocks_alone(order, dtype):
    frame = np.random.default_rng(1).normal(size=(220, 12)).astype(np.float32)
    templates, top, bottom = templates_for(frame.shape, order, 0.4, -1.6)
    templates = (100.0 * templates).astype(dtype)
    for blocks in ([(top, bottom)], [(top, top + 4), (20, 21), (100, 200), (bottom - 3, bottom)]):
        out, expected = project(frame, templates, blocks, order, 0.4, -1.6)
        np.testing.assert_allclose(out, expected, atol=2.0, rtol=1e-5)


def test_gram_and_combine():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 4, 9, 14)).astype(np.float32)
    weight = rng.uniform(size=(9, 14)).astype(np.float32)
    out = np.empty((4, 4))
    gauss_newton.gram(a, b, weight, out)
    np.testing.assert_allclose(out, np.einsum("iyx,jyx,yx->ij", a, b, weight), atol=1e-3)
    matrix = rng.normal(size=(3, 4))
    combined = np.empty((3, 5, 14), np.float32)
    gauss_newton.combine(matrix, a, np.array([(1, 4), (6, 8)]), combined)
    np.testing.assert_allclose(combined, np.einsum("ki,iyx->kyx", matrix, a[:, [1, 2, 3, 6, 7]]), atol=1e-5)


def test_quantise_rounds_so_that_columns_sum_to_nothing():
    images = np.random.default_rng(3).normal(size=(3, 40, 30)).astype(np.float32)
    images[:, :, 7] = 0.0
    images[2] = 0.0
    out, gains = np.empty(images.shape, np.int16), np.empty(3)
    gauss_newton.quantise(images, out, gains)
    error = out * gains[:, None, None] - images
    assert np.abs(error).max(axis=(1, 2)) == pytest.approx(gains * [1, 1, 0], abs=1.05 * gains.max())
    assert (np.abs(error.sum(axis=1)) < 0.51 * gains[:, None] + 1e-5).all()
    assert not out[:, :, 7].any()
    assert not out[2].any()


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
