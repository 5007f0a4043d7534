"""Sums and running means of aligned frames against their slow twins."""

from __future__ import annotations

import naive
import numpy as np

from rtreg.kernels import stacking


def test_add_takes_in_what_has_data():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(9, 21)).astype(np.float32)
    image[rng.uniform(size=image.shape) < 0.3] = np.nan
    total, count = rng.normal(size=image.shape).astype(np.float32), np.full(image.shape, 3.0, np.float32)
    expected = total + np.nan_to_num(image), count + np.isfinite(image)
    before = total.copy(), count.copy()
    stacking.add(image, 1, total, count)
    np.testing.assert_allclose((total, count), expected, rtol=1e-6)
    stacking.add(image, -1, total, count)
    np.testing.assert_allclose((total, count), before, atol=1e-6)


def test_merge():
    rng = np.random.default_rng(1)
    shape, frames, memory = (12, 19), 6, 16.0
    count = rng.integers(0, frames + 1, shape).astype(np.float32)
    total = (count * rng.normal(5.0, 1.0, shape)).astype(np.float32)
    mean, seen = rng.normal(5.0, 1.0, shape).astype(np.float32), rng.uniform(0.0, 16.0, shape).astype(np.float32)
    seen[:3] = 0.0
    expected = naive.merged(total, count, frames, 0.3, memory, 8.0, mean, seen)
    image = np.empty(shape, np.float32)
    stacking.merge(total, count, frames, 0.3, memory, 8.0, mean, seen, image)
    for found, wanted in zip((mean, seen, image), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4)
