"""The kernels of the search: spectra, explained fractions, peaks."""

from __future__ import annotations

import naive
import numpy as np
import pytest

from rtreg.kernels import peak, spectrum


def test_bin_down_is_the_mean_of_blocks_and_drops_the_rest():
    image = np.random.default_rng(0).normal(size=(13, 18)).astype(np.float32)
    out = np.empty((3, 4), np.float32)
    spectrum.bin_down(image, 4, out)
    np.testing.assert_allclose(out, image[:12, :16].reshape(3, 4, 4, 4).mean((1, 3)), atol=1e-6)


@pytest.mark.parametrize("shape", [(9, 12), (8, 8)])
def test_explained_is_the_masked_correlation_coefficient(shape):
    rng = np.random.default_rng(1)
    reference, frame = rng.normal(size=(2, *shape)).astype(np.float32)
    weights = rng.uniform(size=shape).astype(np.float32) * (rng.uniform(size=shape) > 0.2)
    half = (shape[0] // 2, shape[1] // 2)
    padded = (shape[0] + half[0], shape[1] + half[1])

    def correlation(a, b):  # sum_x a(x) b(x + d), by transforms in double precision
        fa, fb = np.fft.rfft2(a, padded), np.fft.rfft2(b, padded)
        out = np.empty_like(fa)
        spectrum.correlate(fa, fb, out)
        return np.fft.irfft2(out, padded).astype(np.float32)

    ones = np.ones(shape)
    maps = [correlation(a, b) for a, b in ((weights * reference, frame), (weights, frame), (weights, frame**2))]
    window = np.ix_(range(-half[0], half[0] + 1), range(-half[1], half[1] + 1))
    overlap = np.stack([correlation(w, ones)[window] for w in (weights, weights * reference, weights * reference**2)])
    out = np.empty((2 * half[0] + 1, 2 * half[1] + 1), np.float32)
    spectrum.explained(*maps, overlap, *half, out)
    np.testing.assert_allclose(out, naive.explained(reference, weights, frame, *half), atol=2e-4)


def test_highest_ignores_nan():
    values = np.full((5, 7), -1.0, np.float32)
    values[1, 2], values[3, 4] = np.nan, 2.0
    assert peak.highest(values) == (3, 4)


def test_refine_finds_the_vertex_of_a_quadratic():
    y, x = np.mgrid[:9, :11].astype(float)
    values = 5.0 - 0.3 * (y - 4.2) ** 2 - 0.2 * (x - 6.4) ** 2 + 0.1 * (y - 4.2) * (x - 6.4)
    out = np.zeros(3)
    peak.refine(values, 4, 6, out)
    np.testing.assert_allclose(out, [0.2, 0.4, 5.0], atol=1e-12)


def test_refine_at_the_border_stays_on_it():
    values = np.zeros((4, 5))
    values[0] = [0, 1, 2, 1, 0]
    out = np.zeros(3)
    peak.refine(values, 0, 2, out)
    np.testing.assert_allclose(out, [0.0, 0.0, 2.0])


def test_second_is_the_next_local_maximum_outside_the_footprint():
    y, x = np.mgrid[:41, :41]
    values = 10 * np.exp(-((y - 20) ** 2 + (x - 20) ** 2) / 30.0) + 4 * np.exp(-((y - 8) ** 2 + (x - 30) ** 2) / 6.0)
    assert peak.second(values, 20, 20, 5.0, 5.0) == (8, 30)
    assert peak.second(10 * np.exp(-((y - 20) ** 2 + (x - 20) ** 2) / 30.0), 20, 20, 5.0, 5.0) == (-1, -1)
