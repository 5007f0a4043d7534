"""The Bessel function against its integral."""

import naive
import numpy as np

from rtreg.kernels import bessel


def test_j1_over_x():
    x = np.concatenate([[0.0, 1e-12, 1e-7, 1e-3], np.geomspace(0.01, 2000, 60)])
    out = np.full(x.shape, np.nan)
    bessel.j1_over_x(x, out)
    np.testing.assert_allclose(out, naive.j1_over_x(x), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(out[:2], 0.5)
