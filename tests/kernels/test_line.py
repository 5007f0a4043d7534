"""The line of variance against signal."""

from __future__ import annotations

import naive
import numpy as np
import pytest

from rtreg.kernels import line


@pytest.mark.parametrize(("p", "q"), [(4.0, 0.5), (9.0, 0.0), (0.0, 2.0)])
def test_fit_is_the_weighted_least_squares_line(p, q):
    rng = np.random.default_rng(3)
    signals = np.sort(rng.uniform(0.0, 50.0, 12))
    counts = rng.integers(5, 4000, 12).astype(float)
    squares = (p + q * signals) * (1.0 + 0.02 * rng.normal(size=12))
    out = np.empty(3)
    line.fit_variance(counts, squares, signals, 4, out)
    np.testing.assert_allclose(out[:2], naive.variance_line(counts, squares, signals, 4), rtol=1e-9, atol=1e-12)
    assert (out[:2] >= 0.0).all()
    assert out[0] + 25.0 * out[1] == pytest.approx(p + 25.0 * q, rel=0.05)


def test_chance_is_the_scatter_of_the_growth_in_even_noise():
    """Half of even noise's fits see no growth at all (q = 0); so its scatter is that of the other half."""
    rng = np.random.default_rng(4)
    signals, counts = np.linspace(0.0, 10.0, 8), np.full(8, 200.0)
    found, out = [], np.empty(3)
    for _ in range(2000):
        line.fit_variance(counts, rng.chisquare(counts) / counts, signals, 2, out)
        found.append(out[1])
    positive = np.array([q for q in found if q > 0.0])
    assert len(positive) == pytest.approx(1000, abs=100)
    assert np.sqrt(np.mean(positive**2)) == pytest.approx(out[2], rel=0.1)
