"""Smoothing. Row 28: `smooth` never ran, nor did the boxcar and Airy kernels."""

import logging

import naive
import numpy as np
import pytest

from rtreg.fft_tools import smooth
from rtreg.fft_tools.smooth_tools import make_kernel

KINDS = ["gaussian", "boxcar", "tophat", "brickwall", "airy", "trapezoid"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nwidths", [4, 5, 6.5])
def test_smoothing_shifts_nothing_and_keeps_the_sum(kind, nwidths):
    image = np.zeros((41, 60))
    image[20, 30] = 1
    smoothed, kernel = smooth(image, 3, kind, trapslope=0.3, nwidths=nwidths, return_kernel=True)
    y, x = np.indices(image.shape)
    assert smoothed.shape == image.shape
    assert (smoothed * y).sum() / smoothed.sum() == pytest.approx(20, abs=1e-6)
    assert (smoothed * x).sum() / smoothed.sum() == pytest.approx(30, abs=1e-6)
    assert smoothed.sum() == pytest.approx(1)
    assert kernel.sum() == pytest.approx(1)


def test_gaussian():
    image = np.random.default_rng(12).random((24, 30))
    kernel = make_kernel((11, 11), 2)
    np.testing.assert_allclose(smooth(image, 2, nwidths=6), naive.correlate(image, kernel[::-1, ::-1], "fill"))
    np.testing.assert_allclose(
        smooth(image, 2, nwidths=6, psf_pad=False)[8:-8, 8:-8], smooth(image, 2, nwidths=6)[8:-8, 8:-8]
    )


def test_edges_darken_only_where_nothing_is_beyond_them():
    """What weights that fall off towards the edges are made of."""
    ones = np.ones((40, 40))
    dark = smooth(ones, 5)
    assert dark[20, 20] == pytest.approx(1, abs=1e-3)
    assert 0.2 < dark[0, 0] < 0.35
    np.testing.assert_allclose(smooth(ones, 5, psf_pad=False), 1)
    np.testing.assert_allclose(smooth(ones, 5, boundary="reflect"), 1)


@pytest.mark.parametrize("shape", [(5, 7), (3, 40), (1, 1)])
def test_images_smaller_than_the_kernel(shape):
    assert smooth(np.ones(shape), 5).shape == shape


def test_nan_pixels_stay_or_are_smoothed_over():
    image = np.full((20, 20), 7.0)
    image[5, 5] = np.nan
    masked = np.ma.array(np.where(np.isnan(image), 0, image), mask=np.isnan(image))
    for holed in (image, masked):
        kept = smooth(holed, 2, psf_pad=False)
        assert np.isnan(kept).sum() == 1
        assert kept[5, 6] < 7
        np.testing.assert_allclose(smooth(holed, 2, psf_pad=False, interp_nan=True), 7)
    assert np.isnan(image[5, 5])


def test_float32_stays():
    assert smooth(np.ones((9, 9), np.float32), 1).dtype == np.float32


def test_downsampling_goes_with_it():
    small, kernel = smooth(np.ones((20, 20)), 2, nwidths=4, psf_pad=False, downsample=True, return_kernel=True)
    np.testing.assert_allclose(small, np.ones((10, 10)))
    assert kernel.shape == (3, 3)
    assert smooth(np.ones((20, 20)), 2, downsample=True, downsample_factor=5).shape == (4, 4)


def test_it_says_what_it_does_when_asked(caplog):
    with caplog.at_level(logging.INFO, "rtreg.fft_tools"):
        smooth(np.ones((8, 8)), 1, silent=False)
    assert "gaussian kernel of shape (7, 7)" in caplog.text


@pytest.mark.parametrize("shape", [(8,), (7, 9), (4, 5, 6)])
def test_kernels_of_any_shape(shape):
    for kind in KINDS:
        kernel = make_kernel(shape, 1.5, kind, trapslope=1)
        assert kernel.shape == shape
        assert kernel.sum() == pytest.approx(1)
        assert make_kernel(shape, 1.5, kind, trapslope=1, normalize_kernel=np.max).max() == pytest.approx(1)
    assert make_kernel(shape, force_odd=True).shape == tuple(n - 1 + n % 2 for n in shape)


def test_boxcar():
    np.testing.assert_array_equal(make_kernel((6,), 3, "boxcar", normalize_kernel=False), [0, 0, 1, 1, 1, 0])
    np.testing.assert_array_equal(make_kernel((3,), 9, "boxcar", normalize_kernel=False), [1, 1, 1])


def test_airy():
    kernel = make_kernel((41,), 2.5, "airy", normalize_kernel=False)
    np.testing.assert_allclose(kernel, naive.j1_over_x(np.abs(np.arange(41) - 20) / 2.5), atol=1e-13)
    assert kernel[20] == 0.5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kerneltype": "gauss"}, "kerneltype 'gauss' is none of gaussian"),
        ({"kernelwidth": 0}, "must be positive"),
        ({"kerneltype": "trapezoid"}, "trapslope"),
    ],
)
def test_kernels_that_cannot_be_made(options, says):
    with pytest.raises(ValueError, match=says):
        make_kernel((8, 8), **options)
