"""Zooming in on an extremum. Row 26: it imported matplotlib, and failed on flat images."""

import logging
import subprocess
import sys

import numpy as np
import pytest

from rtreg.iterative_zoom import centers_to_edges, iterative_zoom, iterative_zoom_1d

AT = (12.3, 20.7)


def bowl(shape, at=AT, height=1e5):
    """A periodic band-limited image with one minimum."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    return height * sum(1 - np.cos(2 * np.pi * (x - a) / n) for x, a, n in zip(axes, at, shape, strict=True))


@pytest.mark.parametrize("shape", [(30, 40), (31, 40), (30, 41), (31, 41)])
@pytest.mark.parametrize("zoomshape", [(10, 10), [11, 11], (10, 13)])
def test_the_minimum_is_found(shape, zoomshape):
    found = iterative_zoom(bowl(shape), mindiff=1e-4, zoomshape=zoomshape)
    np.testing.assert_allclose(found, AT, atol=1e-3)
    offset = iterative_zoom(bowl(shape), mindiff=1e-4, zoomshape=zoomshape, return_center=False)
    np.testing.assert_allclose(offset, np.array(found) - (np.array(shape) - 1) / 2)


def test_the_maximum_is_found():
    np.testing.assert_allclose(iterative_zoom(-bowl((30, 40)), 1e-4, minmax=np.max, zoomstep=3), AT, atol=1e-3)


@pytest.mark.parametrize("size", [30, 31])
def test_one_dimension(size):
    line = bowl((size,), AT[:1])
    np.testing.assert_allclose(iterative_zoom_1d(line, 1e-3), AT[:1], atol=1e-3)
    np.testing.assert_allclose(iterative_zoom_1d(line, 1e-3, return_center=False), [AT[0] - (size - 1) / 2], atol=1e-3)


def test_the_window_is_around_the_position():
    image = bowl((30, 40))
    window, factor, (y, x) = iterative_zoom(image, 1e-2, zoomshape=(11, 13), return_zoomed=True)
    assert window.shape == (11, 13)
    exact = 1e5 * (2 - np.cos(2 * np.pi * (y - AT[0]) / 30) - np.cos(2 * np.pi * (x - AT[1]) / 40))
    assert window[5, 6] == pytest.approx(exact, abs=1e-6)
    assert factor == 2.0 ** round(np.log2(factor))


@pytest.mark.parametrize("image", [np.zeros((6, 5)), np.full((5, 6), 1e6), np.full((1, 1), 3.0)])
def test_a_constant_image_has_a_plain_answer(image):
    assert iterative_zoom(image) == (0, 0)
    window, factor, offset = iterative_zoom(image, return_zoomed=True, return_center=False)
    np.testing.assert_array_equal(window, image)
    assert factor == 1
    assert offset == tuple(-(n - 1) / 2 for n in image.shape)
    assert iterative_zoom_1d(image[0]) == (0,)


def test_an_image_flatter_than_mindiff_is_not_zoomed():
    image = bowl((30, 40))
    window, factor, center = iterative_zoom(image, mindiff=1e9, return_zoomed=True)
    assert window is image
    assert factor == 1
    assert center == (12, 21)


def test_it_ends_when_positions_can_be_no_finer():
    np.testing.assert_allclose(iterative_zoom(bowl((30, 40), height=1e300), 1e-300), AT, atol=1e-6)


def test_impossible_input():
    holed = bowl((30, 40))
    holed[3, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        iterative_zoom(holed)
    for array in (np.zeros(4), np.zeros((0, 4))):
        with pytest.raises(ValueError, match="must be 2-D and not empty"):
            iterative_zoom(array)
    with pytest.raises(ValueError, match="zoomstep must be above 1"):
        iterative_zoom(np.eye(4), zoomstep=1)


def test_verbose_logs_and_prints_nothing(caplog, capsys):
    with caplog.at_level(logging.INFO, "rtreg"):
        iterative_zoom(bowl((30, 40)), verbose=True)
    assert "zoom factor 2" in caplog.text
    assert capsys.readouterr().out == ""


def test_centers_to_edges():
    np.testing.assert_allclose(centers_to_edges(np.array([1.0, 1.5, 2.0])), [0.75, 1.25, 1.75, 2.25])
    with pytest.raises(ValueError, match="two or more"):
        centers_to_edges([1.0])


def test_matplotlib_only_to_draw():
    code = """
import sys, numpy as np
from rtreg.iterative_zoom import iterative_zoom
image = 100 * np.hypot(*np.ogrid[-4:5, -4:6])
iterative_zoom(image)
assert "matplotlib" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_drawing_each_step():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    _, factor, _ = iterative_zoom(bowl((30, 40)), 10, ploteach=True, return_zoomed=True)
    assert len(plt.get_fignums()) == 1 + np.log2(factor) > 1
    plt.close("all")
