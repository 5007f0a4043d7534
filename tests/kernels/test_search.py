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
    window = np.ix_(range(-half[0], half[0] + 1), range(-half[1], half[1] + 1))
    pairs = (weights * reference, frame), (weights, frame), (weights, frame**2)
    maps = [np.ascontiguousarray(correlation(a, b)[window]) for a, b in pairs]
    overlap = np.stack([correlation(w, ones)[window] for w in (weights, weights * reference, weights * reference**2)])
    out = np.empty((2 * half[0] + 1, 2 * half[1] + 1), np.float32)
    spectrum.explained(*maps, overlap, out)
    np.testing.assert_allclose(out, naive.explained(reference, weights, frame, *half), atol=2e-4)


def test_explained_is_nothing_where_nothing_is_common():
    maps = np.ones((3, 3, 3), np.float32)
    overlap = np.array([np.full((3, 3), 4.0), np.full((3, 3), 1.0), np.full((3, 3), 2.0)], np.float32)
    maps[1], maps[2], overlap[0, 1, 1] = 0.5, 3.0, 0.0
    out = np.full((3, 3), np.nan, np.float32)
    spectrum.explained(*maps, overlap, out)
    assert out[1, 1] == 0.0
    assert (np.delete(out, 4) > 0.0).all()


@pytest.mark.parametrize("half", [(2, 3), (3, 4)])
def test_window_is_about_shift_0(half):
    circular = np.arange(56, dtype=np.float32).reshape(7, 8)
    out = np.empty((2 * half[0] + 1, 2 * half[1] + 1), np.float32)
    spectrum.window(circular, out)
    assert (out == circular[np.ix_(range(-half[0], half[0] + 1), range(-half[1], half[1] + 1))]).all()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("shape", [(6, 9), (8, 8), (5, 11)])
def test_overlaps_sum_what_is_common(shape, sign):
    ny, nx = shape
    values = np.random.default_rng(11).normal(size=shape).astype(np.float32)
    out, table = np.empty((5, 9), np.float32), np.empty((ny + 1, nx + 1))
    spectrum.overlaps(values, sign, table, out)
    for j in range(5):
        for i in range(9):
            dy, dx = sign * (j - 2), sign * (i - 4)
            common = values[max(0, -dy) : ny - max(0, dy), max(0, -dx) : nx - max(0, dx)]
            assert out[j, i] == pytest.approx(common.sum(), abs=1e-5)


def test_highest_ignores_nan():
    values = np.full((5, 7), -1.0, np.float32)
    values[1, 2], values[3, 4], values[3, 6], values[4, 0] = np.nan, 2.0, 2.0, 2.0
    assert peak.highest(values) == (3, 4)
    assert peak.highest(np.full((2, 3), np.nan, np.float32)) == (0, 0)


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


@pytest.mark.parametrize("room", [5, 64])
def test_rivals_are_the_highest_maxima_apart_from_each_other(room):
    values = np.random.default_rng(4).normal(size=(23, 31)).astype(np.float32)
    values[0, 0] = 9.0  # on the border, too
    values[5, 5] = values[12, 20] = 8.0  # of equals the first
    heights, out = np.empty(room), np.empty((room, 2), np.int64)
    count = peak.rivals(values, 4.5, 2.5, heights, out)
    assert [tuple(place) for place in out[:count]] == naive.rivals(values, 4.5, 2.5, room)
    assert peak.rivals(-np.ones((4, 5), np.float32), 2.0, 2.0, heights, out) == 0
