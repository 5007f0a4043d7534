"""Calibration and bad pixels."""

from __future__ import annotations

import naive
import numpy as np
import pytest

from rtreg.kernels import bspline, prepare

NONE = np.empty((0, 0), np.float32)
NO_MASK = np.empty((0, 0), bool)


def run(pixels, *, offset=0.0, dark=NONE, inverse_flat=NONE, mask=NO_MASK, saturation=np.inf, capacity=1000):
    work = np.empty(pixels.shape, np.float32)
    bad = np.empty(capacity, np.int32)
    arguments = np.float32(offset), dark, inverse_flat, mask, np.float32(saturation)
    counts = prepare.prepare(pixels, *arguments, work, bad)
    other, listed = np.empty_like(work), np.empty_like(bad)
    assert prepare.prepare_frame(pixels, *arguments, other, listed) == counts
    np.testing.assert_array_equal(other, work)
    np.testing.assert_array_equal(listed[: counts[0]], bad[: counts[0]])
    return work, bad, counts


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("with_images", [False, True])
def test_prepare_calibrates_and_lists_bad_pixels(dtype, with_images):
    rng = np.random.default_rng(0)
    shape = (11, 14)
    pixels = rng.integers(0, 120, shape).astype(dtype)
    if pixels.dtype.kind == "f":
        pixels[2, 3], pixels[4, 5], pixels[6, 7] = np.nan, np.inf, -np.inf
    options = {"offset": 10.0, "saturation": 115.0}
    if with_images:
        options["dark"] = rng.uniform(0, 5, shape).astype(np.float32)
        options["inverse_flat"] = rng.uniform(0.5, 2, shape).astype(np.float32)
        options["mask"] = rng.uniform(size=shape) < 0.1
    work, bad, counts = run(pixels, **options)
    arguments = {"dark": NONE, "inverse_flat": NONE, "mask": NO_MASK, **options}
    expected, expected_bad, expected_counts = naive.prepare(pixels, **arguments)
    np.testing.assert_allclose(work, expected, rtol=1e-6, atol=1e-4)
    assert counts == tuple(expected_counts)
    np.testing.assert_array_equal(np.sort(bad[: counts[0]]), expected_bad)


@pytest.mark.parametrize("dtype", ["u2", "f4"])
@pytest.mark.parametrize("with_images", [False, True])
def test_gather_is_prepare_seen_through_tiles(dtype, with_images):
    rng = np.random.default_rng(2)
    shape, height, width = (30, 40), 5, 7
    pixels = rng.integers(0, 120, shape).astype(dtype)
    if dtype == "f4":
        pixels[6, 8] = np.nan
    images = {}
    if with_images:
        images["dark"] = rng.uniform(0, 5, shape).astype(np.float32)
        images["inverse_flat"] = rng.uniform(0.5, 2, shape).astype(np.float32)
        images["mask"] = rng.uniform(size=shape) < 0.05
    work, bad, _ = run(pixels, offset=10.0, saturation=115.0, **images)
    is_bad = np.zeros(shape, bool)
    is_bad.flat[bad[: int(run(pixels, offset=10.0, saturation=115.0, **images)[2][0])]] = True
    tiles = np.array([(5, 6), (-2, 20), (27, 36), (0, -3)], np.int64)  # the last three reach over the border
    strip = np.empty((height, len(tiles) * width), np.float32)
    listed = np.empty(strip.size, np.int32)
    options = {"dark": NONE, "inverse_flat": NONE, "mask": NO_MASK, **images}
    counts = prepare.gather(pixels, np.float32(10.0), *options.values(), np.float32(115.0), tiles, strip, listed)
    y = (tiles[:, 0, None] + np.arange(height)).clip(0, shape[0] - 1)
    x = (tiles[:, 1, None] + np.arange(width)).clip(0, shape[1] - 1)
    expected, expected_bad = (
        np.hstack([image[np.ix_(v, u)] for v, u in zip(y, x, strict=True)]) for image in (work, is_bad)
    )
    np.testing.assert_allclose(strip, expected, rtol=1e-6, atol=1e-4)
    np.testing.assert_array_equal(np.sort(listed[: counts[0]]), np.flatnonzero(expected_bad))


def test_more_bad_pixels_than_listed_are_still_counted():
    pixels = np.full((8, 8), np.nan, np.float32)
    _, _, counts = run(pixels, capacity=5)
    assert counts == (64, 64, 0)


def test_patch_fills_from_good_neighbours():
    pixels = np.full((9, 9), 7.0, np.float32)
    pixels[4, 4] = pixels[0, 0] = np.nan
    work, bad, (n_bad, _, _) = run(pixels)
    is_bad = np.zeros((9, 9), bool)
    prepare.patch(work, bad, n_bad, is_bad)
    np.testing.assert_allclose(work, 7.0)
    assert not is_bad.any()


def test_patch_of_a_hole_without_neighbours_takes_the_mean():
    pixels = np.full((15, 15), 3.0, np.float32)
    pixels[2:13, 2:13] = np.nan
    work, bad, (n_bad, _, _) = run(pixels)
    prepare.patch(work, bad, n_bad, np.zeros((15, 15), bool))
    np.testing.assert_allclose(work, 3.0, rtol=1e-6)


def test_repatch_predicts_from_the_reference():
    rng = np.random.default_rng(1)
    c = rng.normal(size=(16, 16)).astype(np.float32)
    dy, dx = 0.7, -1.3
    model = naive.sample(c, -dy, -dx, np.nan) * 1.5 + 2.0
    work = np.zeros((16, 16), np.float32)
    bad = np.array([8 * 16 + 7, 3 * 16 + 9, 0], np.int32)  # the corner has no four taps: it stays
    fy, fx = -dy - np.floor(-dy), -dx - np.floor(-dx)
    prepare.repatch(work, bad, 3, c, 1.5, 2.0, dy, dx, bspline.taps(fy), bspline.taps(fx))
    np.testing.assert_allclose(work[8, 7], model[8, 7], rtol=1e-5)
    np.testing.assert_allclose(work[3, 9], model[3, 9], rtol=1e-5)
    assert work[0, 0] == 0.0
