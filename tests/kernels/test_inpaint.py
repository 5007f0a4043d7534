"""Inpainting against the linear equations it solves."""

from __future__ import annotations

import naive
import numpy as np

from rtreg.kernels import inpaint


def test_inpaint_solves_for_the_bad_pixels():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(14, 17)).astype(np.float32)
    filters = rng.normal(size=(3, 3))
    kernel = naive.autocorrelation(filters) + 2.0 * np.eye(5)[2][:, None] * np.eye(5)[2]
    bad = np.array([3 * 17 + 4, 3 * 17 + 5, 7 * 17 + 9, 8 * 17 + 9, 13 * 17 + 16], np.int32)
    expected = naive.inpaint(image, bad, kernel)
    out = image.copy()
    inpaint.inpaint(out, bad, bad.size, kernel.astype(np.float32), 200)
    np.testing.assert_allclose(out, expected, atol=1e-3)
    good = np.ones(image.size, bool)
    good[bad] = False
    np.testing.assert_array_equal(out.reshape(-1)[good], image.reshape(-1)[good])


def test_spread_is_a_convolution_of_single_pixels():
    rng = np.random.default_rng(1)
    shape = (11, 9)
    where = np.array([0, 8, 40, 41, 90, 98], np.int32)
    values = rng.uniform(1.0, 2.0, where.size).astype(np.float32)
    response = np.array([0.1, 0.3, 1.0, 0.3, 0.1], np.float32)
    image = np.zeros(shape)
    image.flat[where] = values
    expected = sum(
        response[j] * response[i] * np.pad(image, 2)[4 - j : 4 - j + shape[0], 4 - i : 4 - i + shape[1]]
        for j in range(5)
        for i in range(5)
    )
    out = np.zeros(shape, np.float32)
    inpaint.spread(values, where, response, out)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
