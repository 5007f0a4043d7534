"""Products of neighbours against their slow twin."""

from __future__ import annotations

import math

import naive
import numpy as np
import pytest

from rtreg.kernels.neighbours import products


@pytest.mark.parametrize("shape", [(16, 16), (9, 23), (40, 3)])
def test_products_leave_out_what_has_no_data(shape):
    rng = np.random.default_rng(0)
    a, b = rng.normal(100.0, 3.0, (2, *shape)).astype(np.float32)
    a += 5.0 * b
    assert products(a, b) == pytest.approx(naive.neighbour_products(a, b), rel=1e-3, abs=1e-3)
    a[rng.uniform(size=shape) < 0.2] = b[2:4, 1] = np.nan
    assert products(a, b) == pytest.approx(naive.neighbour_products(a, b), rel=1e-3, abs=1e-3)


def test_without_data_there_is_no_product():
    nothing = np.full((8, 8), np.nan, np.float32)
    assert math.isnan(products(nothing, nothing))
