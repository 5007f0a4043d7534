"""Block averages. Row 27: but for `downsample`, none of them ran."""

import numpy as np
import pytest

from rtreg.fft_tools import downsample as tools


def test_image():
    image = np.arange(5 * 7, dtype=float).reshape(5, 7)
    image[0, 0] = np.nan
    image[2:4, 2:4] = np.nan
    blocks = tools.downsample(image, 2)
    assert blocks.shape == (2, 3)
    assert blocks[0, 0] == np.mean([1, 7, 8])
    assert np.isnan(blocks[1, 1])
    assert blocks[1, 2] == np.mean(image[2:4, 4:6])


def test_estimator():
    image = np.ones((6, 6))
    np.testing.assert_array_equal(tools.downsample(image, 3, estimator=np.sum), np.full((2, 2), 9))
    np.testing.assert_array_equal(tools.downsample(image, 3, np.max), np.ones((2, 2)))


@pytest.mark.parametrize("ignoredim", [0, 1, 2, -1])
def test_cube(ignoredim):
    cube = np.random.default_rng(5).random((6, 6, 6))
    small = tools.downsample_cube(cube, 3, ignoredim)
    images = np.moveaxis(cube, ignoredim, 0)
    expected = np.stack([tools.downsample(image, 3) for image in images])
    np.testing.assert_allclose(small, np.moveaxis(expected, 0, ignoredim))


def test_line():
    np.testing.assert_array_equal(tools.downsample_1d(np.array([1, 3, 5, 7, 9]), 2), [2, 6])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_axis(axis):
    image = np.moveaxis(np.outer(np.arange(10), np.ones(4)), 0, axis)
    filled = np.moveaxis(tools.downsample_axis(image, 3, axis), axis, 0)
    np.testing.assert_array_equal(filled, np.outer([1, 4, 7, 9], np.ones(4)))
    cut = np.moveaxis(tools.downsample_axis(image, 3, axis, truncate=True), axis, 0)
    np.testing.assert_array_equal(cut, np.outer([1, 4, 7], np.ones(4)))
    np.testing.assert_array_equal(tools.downsample_axis(image, 1, axis), image)


def test_masked_pixels_are_left_out():
    line = np.ma.array([1, 99, 5, 7], mask=[False, True, False, False])
    np.testing.assert_array_equal(tools.downsample_1d(line, 2), [1, 6])


@pytest.mark.parametrize("factor", [0, -1, 2.5, 5])
def test_impossible_factors(factor):
    with pytest.raises(ValueError, match="factor"):
        tools.downsample(np.ones((4, 4)), factor)


def test_wrong_number_of_axes():
    for function in (tools.downsample, tools.downsample_cube):
        with pytest.raises(ValueError, match="-D"):
            function(np.ones(4), 2)
