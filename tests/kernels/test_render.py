"""The kernels of the simulated camera against their slow twins, and its Poisson numbers against the distribution."""

import naive
import numpy as np
import pytest
from scipy import stats

from rtreg.kernels import render


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (8, 12), (11, 15)])
@pytest.mark.parametrize(("my", "mx"), [(0, 0), (-3, 5), (4, -7), (-101, 1000)])
def test_texture_reads_six_samples_each_way_round_the_torus(shape, my, mx):
    rng = np.random.default_rng(1)
    phases = rng.standard_normal((2, 2, 13, 17)).astype(np.float32)
    taps_y, taps_x = rng.standard_normal((2, 6)).astype(np.float32)
    out = np.full(shape, np.nan, np.float32)
    render.texture(phases, my, mx, taps_y, taps_x, out)
    np.testing.assert_allclose(out, naive.texture(phases, my, mx, taps_y, taps_x, shape), atol=2e-5)


def test_stars_are_added_where_they_are_and_cut_at_the_border():
    ys, xs = np.array([3.25, -2.0, 40.0, 11.5]), np.array([-1.5, 9.75, 4.0, 20.25])
    peaks = np.array([100.0, 50.0, 1e6, 7.0])
    out = np.full((12, 21), 5, np.float32)
    render.stars(ys, xs, peaks, 1.3, 7.8, False, False, out)
    seen = np.array([0, 1, 3])  # the third is out of reach
    np.testing.assert_allclose(out, 5 + naive.stars(ys[seen], xs[seen], peaks[seen], 1.3, out.shape), atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1])
def test_star_slope_is_the_derivative(axis):
    at, step = np.array([6.3, 5.1]), 1e-3
    slope = np.zeros((12, 11), np.float32)
    render.stars(at[:1], at[1:], np.array([10.0]), 1.5, 9.0, axis == 0, axis == 1, slope)
    low, high = at.copy(), at.copy()
    low[axis] += step / 2
    high[axis] -= step / 2
    twin = (
        naive.stars(high[:1], high[1:], [10.0], 1.5, slope.shape)
        - naive.stars(low[:1], low[1:], [10.0], 1.5, slope.shape)
    ) / step
    np.testing.assert_allclose(slope, twin, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_expose_without_photon_noise_is_the_arithmetic_of_a_detector(dtype):
    rng = np.random.default_rng(2)
    images = rng.uniform(0, 400, (4, 9, 8)).astype(np.float32)
    images[1] /= 400
    images[3] = rng.standard_normal((9, 8))
    out = np.empty((9, 8), dtype)
    _expose(images, out, photons=False, read_noise=5.0, gain=2.0, offset=3.0, low=0.0, high=200.0)
    np.testing.assert_array_equal(out, naive.expose(*images, 5.0, 2.0, 3.0, 0.0, 200.0))
    assert (out == 200).any()


@pytest.mark.parametrize("mean", [0.01, 0.3, 2.0, 9.9, 20.13, 29.99])
def test_few_photons_are_poisson_number_by_number(mean):
    counts = np.bincount(_photons(mean, 400_000).astype(int))
    expected = counts.sum() * stats.poisson.pmf(np.arange(len(counts)), mean)
    likely = expected > 20
    chi2 = np.sum((counts - expected)[likely] ** 2 / expected[likely])
    assert chi2 < stats.chi2.isf(1e-4, likely.sum())


@pytest.mark.parametrize("mean", [30.01, 100.0, 20_000.0])
def test_many_photons_have_the_mean_variance_and_skewness_of_poisson(mean):
    numbers = _photons(mean, 1_000_000)
    assert numbers.mean() == pytest.approx(mean, abs=4.5 * np.sqrt(mean / 1e6))
    assert numbers.var() == pytest.approx(mean, rel=0.0065)
    assert stats.skew(numbers) == pytest.approx(mean**-0.5, abs=0.011)


def test_no_light_gives_no_photons():
    assert not _photons(0.0, 1000).any()


def test_each_pixel_has_its_own_photons():
    numbers = _photons(5.0, 200_000)
    for lag in (1, 2, 7):
        assert abs(np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]) < 0.01


def _photons(mean, count):
    images = np.zeros((4, 1, count), np.float32)
    images[0], images[1] = mean, 1
    images[3] = np.random.default_rng(3).standard_normal(count)
    out = np.empty((1, count))
    _expose(images, out, photons=True, read_noise=0.0, gain=1.0, offset=0.0, low=-np.inf, high=np.inf)
    return out[0]


def _expose(images, out, *, photons, read_noise, gain, offset, low, high):
    shape = (int(render.EXACT_BELOW * render.PER_ELECTRON), render.OUTCOMES)
    chances, others = np.empty(shape, np.float32), np.empty(shape, np.int16)
    render.poisson_tables(chances, others)
    whole = out.dtype.kind != "f"
    state = np.array([7], np.uint64)
    render.expose(*images, photons, chances, others, read_noise, gain, offset, low, high, whole, state, out)
