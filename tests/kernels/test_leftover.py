"""Structure in a residual against sums written out pixel by pixel."""

from __future__ import annotations

import naive
import numpy as np
import pytest

from rtreg.kernels.leftover import leftover


def sums(frame, model, weights, dy, dx, level=0.5):
    out, rows = np.empty(4), np.empty((2, frame.shape[1]), np.float32)
    leftover(frame, model, weights, dy, dx, np.float32(level), rows, out)
    return out


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-5, 7), (-1, -11), (12, 0)])
@pytest.mark.parametrize("shape", [(16, 16), (13, 24), (24, 17)])
def test_leftover_sums_what_is_common(shape, shift):
    frame, model, weights = np.random.default_rng(2).normal(size=(3, *shape)).astype(np.float32)
    weights = np.maximum(weights, 0.0)
    model[2:4, 3:9] = np.nan
    np.testing.assert_allclose(
        sums(frame, model, weights, *shift), naive.leftover(frame, model, weights, *shift, 0.5), rtol=1e-4, atol=1e-4
    )


def test_nothing_in_common_leaves_nothing():
    frame, model, weights = np.ones((3, 12, 12), np.float32)
    np.testing.assert_array_equal(sums(frame, model, weights, 0, 12), 0.0)
    np.testing.assert_array_equal(sums(frame, model, weights, -12, 3), 0.0)


def test_noise_has_none_and_a_slope_has():
    rng = np.random.default_rng(4)
    frame, model, weights = rng.normal(size=(64, 64)).astype(np.float32), *np.zeros((2, 64, 64), np.float32)
    weights[:] = 1.0
    products, total, *_ = sums(frame, model, weights, 0, 0, 0.0)
    assert abs(products) < 4.0 * np.sqrt(2.0 * total)
    frame += np.linspace(-3.0, 3.0, 64, dtype=np.float32)
    products, _, _, square = sums(frame, model, weights, 0, 0, 0.0)
    assert products > 1.2 * square
