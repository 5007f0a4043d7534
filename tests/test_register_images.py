"""`register_images` and `dftregistration`: right where the seed is wrong (rows of the porting table), any input."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from shifted import cells, field, periodic, unusual

from rtreg.fft_tools import shiftnd
from rtreg.register_images import dftregistration, register_images

TRUTH = (5.3, -2.7)  # dx, dy


def noisy(image, sigma, seed=1):
    return image + np.random.default_rng(seed).normal(0, sigma, image.shape)


@pytest.mark.parametrize("use_numpy_fft", [False, True])
@pytest.mark.parametrize("shape", [(64, 64), (65, 63), (37, 64), (101, 100)])
def test_known_shifts(shape, use_numpy_fft):
    a, b = field(shape, margin=14), field(shape, TRUTH, margin=14)
    assert register_images(a, b, 100, use_numpy_fft=use_numpy_fft) == pytest.approx(TRUTH, abs=0.011)
    assert register_images(a, b) == [5.0, -3.0]


@pytest.mark.parametrize("shift", [(20.25, -17.5), (31.0, 0.0), (-0.5, 0.5)])
@pytest.mark.parametrize("shape", [(64, 64), (65, 63), (64, 63)])
def test_periodic_images_may_move_far(shape, shift):
    a, b = periodic(shape, seed=2), periodic(shape, shift, seed=2)
    assert register_images(a, b, 1000) == pytest.approx(shift, abs=0.0011)


def test_row_13_registered_image_lies_on_the_first_with_its_sign():
    a, b = field((64, 60)) - 40.0, field((64, 60), TRUTH) - 40.0
    *_, registered = register_images(a, b, 1000, return_registered=True)
    assert registered.shape == a.shape
    assert np.isrealobj(registered)
    assert np.abs(registered - a).max() < 1.0  # of 200: what rounding to 1/1000 px and the border leave
    assert registered.min() < -30.0


def test_row_14_maxoff_is_in_pixels_of_the_image():
    a, b = field((64, 64)), field((64, 64), (5.25, 0.0))
    assert register_images(a, b, 100, maxoff=6) == pytest.approx((5.25, 0.0), abs=0.011)
    far = field((64, 64), (20.0, 0.0), margin=22) * 3 + field((64, 64), (1.0, 0.0), margin=22)
    assert register_images(field((64, 64), margin=22), far, maxoff=6) == [1.0, 0.0]
    assert register_images(field((64, 64), margin=22), far) == [20.0, 0.0]


@pytest.mark.parametrize("usfac", [2.5, 0, -1, math.nan, "ten", None])
def test_row_15_usfac_is_a_whole_number(usfac):
    with pytest.raises(ValueError, match="usfac"):
        register_images(field((32, 32), stars=3), field((32, 32), stars=3), usfac)


def test_row_16_minus_the_answer_aligns():
    a, b = field((64, 64)), field((64, 64), TRUTH)
    dx, dy = register_images(a, b, 1000)
    assert np.abs(shiftnd(b, (-dy, -dx)) - a).max() < 1.0
    assert np.abs(shiftnd(b, (dy, dx)) - a).max() > 50.0


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("sigma", [2.0, 10.0])
def test_row_17_error_is_a_real_sigma(sigma, both):
    rng = np.random.default_rng(4)
    a = field((64, 64), stars=20)
    errors, sigmas = [], []
    for _ in range(150):
        shift = rng.uniform(-1, 1, 2)
        b = field((64, 64), shift, stars=20) + rng.normal(0, sigma, a.shape)
        dx, dy, ex, ey = register_images(a + rng.normal(0, sigma, a.shape) * both, b, 10_000, return_error=True)
        errors += [dx - shift[0], dy - shift[1]]
        sigmas += [ex, ey]
    ratio = np.sqrt(np.mean(np.square(sigmas)) / np.mean(np.square(errors)))
    assert ratio == pytest.approx(1.0, abs=0.1 + 3 / math.sqrt(600))


def test_row_17_rounding_is_part_of_the_error():
    a, b = field((64, 64)), noisy(field((64, 64), TRUTH), 0.01)
    for usfac in (1, 10):
        _, _, ex, ey = register_images(a, b, usfac, return_error=True)
        assert (ex, ey) == pytest.approx((1 / usfac / math.sqrt(12),) * 2, rel=0.01)


@pytest.mark.parametrize("image", [np.zeros((32, 32)), np.ones((32, 32)), np.full((32, 32), np.nan)])
def test_row_18_images_without_content_give_nan_and_say_why(image):
    with pytest.warns(RuntimeWarning, match="constant|no good pixel"):
        answer = register_images(image, field((32, 32), stars=3), 10, return_error=True, return_registered=True)
    assert np.isnan(answer[:4]).all()
    assert np.isnan(answer[4]).all()


def test_noise_alone_is_no_match_and_its_error_is_the_range():
    rng = np.random.default_rng(3)
    with pytest.warns(RuntimeWarning, match="no significant match"):
        _, _, ex, _ = register_images(rng.normal(size=(60, 60)), rng.normal(size=(60, 60)), 100, return_error=True)
    assert ex == pytest.approx(60 / math.sqrt(12), rel=1e-3)


@pytest.mark.parametrize("shift", [(1.0, 0.0), (-0.7, 1.2)])
def test_new_content_at_the_border_biases_nothing(shift):
    a, b = cells(peak=4000.0), cells(shift, peak=4000.0)
    assert register_images(a, noisy(b, 10.0), 1000) == pytest.approx(shift, abs=0.01)


def test_nan_pixels_are_masked_out():
    a, b = field((64, 64), stars=20) + 1000.0, field((64, 64), TRUTH, stars=20) + 1000.0
    b[30:33, 40:42] = np.nan
    assert register_images(a, b, 100) == pytest.approx(TRUTH, abs=0.1)


@pytest.mark.parametrize("name", list(unusual(np.ones((16, 16)))))
def test_any_form_of_image(name):
    plain_a, plain_b = (np.rint(30 * field((48, 56), s)) for s in ((0, 0), (2.0, -3.0)))
    a, b = unusual(plain_a)[name], unusual(plain_b)[name]
    before = copy.deepcopy((a, b))
    dx, dy, registered = register_images(a, b, 100, return_registered=True)
    assert (dx, dy) == pytest.approx((2.0, -3.0), abs=0.03)
    assert registered.shape == (48, 56)
    for now, then in zip((a, b), before, strict=True):
        np.testing.assert_array_equal(np.ma.getdata(now), np.ma.getdata(then))


@pytest.mark.parametrize(("shape", "shift"), [((1, 50), (3.0, 0.0)), ((50, 1), (0.0, 3.0)), ((8, 8), (1.0, 2.0))])
def test_thin_and_tiny_images(shape, shift):
    a = np.random.default_rng(5).normal(size=shape)
    b = np.roll(a, (int(shift[1]), int(shift[0])), (0, 1))
    assert register_images(a, b, 10) == pytest.approx(shift, abs=1e-9)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="same shape"):
        register_images(np.ones((20, 20)), np.ones((20, 21)))


@pytest.mark.parametrize("maxoff", [0, -2, math.inf, math.nan])
def test_maxoff_is_checked(maxoff):
    with pytest.raises(ValueError, match="maxoff"):
        register_images(field((32, 32)), field((32, 32)), maxoff=maxoff)


@pytest.mark.parametrize("phase", [1.0, 1j, np.exp(2.2j)])
@pytest.mark.parametrize("shape", [(64, 64), (33, 46)])
def test_dftregistration_has_the_other_order_and_sign(shape, phase):
    a, b = periodic(shape, seed=6), periodic(shape, (3.4, -5.2), seed=6)
    first, second = np.fft.fft2(a), np.fft.fft2(b) * phase
    row, column, error, _, back = dftregistration(first, second, 1000, return_error=True, return_registered=True)
    assert (row, column) == pytest.approx((5.2, -3.4), abs=0.0011)
    assert error == pytest.approx(1 / 1000 / math.sqrt(12), rel=0.1)
    assert np.abs(np.fft.ifft2(back) - a).max() < 0.02 * np.ptp(a)


def test_dftregistration_error_is_a_real_sigma():
    rng = np.random.default_rng(9)
    a = periodic((40, 40), seed=6)
    errors, sigmas = [], []
    for _ in range(150):
        b = periodic((40, 40), (0.3, 0.2), seed=6) + rng.normal(0, 3.0, a.shape)
        row, column, *both = dftregistration(np.fft.fft2(a), np.fft.fft2(b), 10_000, return_error=True)
        errors += [row + 0.2, column + 0.3]
        sigmas += both
    ratio = np.sqrt(np.mean(np.square(sigmas)) / np.mean(np.square(errors)))
    assert ratio == pytest.approx(1.0, abs=0.1 + 3 / math.sqrt(600))


@pytest.mark.parametrize("image", [np.zeros((16, 16)), np.full((16, 16), np.nan)])
def test_dftregistration_without_content(image):
    with pytest.warns(RuntimeWarning, match="constant|not finite"):
        answer = dftregistration(np.fft.fft2(image), np.fft.fft2(image), return_error=True, return_registered=True)
    assert np.isnan(answer[:4]).all()
    assert np.isnan(answer[4]).all()
