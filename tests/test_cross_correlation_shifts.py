"""`cross_correlation_shifts` and `second_derivative`: right where the seed is wrong, honest errors, any input."""

from __future__ import annotations

import copy
import logging
import math

import numpy as np
import pytest
from shifted import cells, field, periodic, star, unusual

from rtreg.cross_correlation_shifts import cross_correlation_shifts, second_derivative

TRUTH = (5.3, -2.7)  # dx, dy


def noisy(image, sigma, seed=1):
    return image + np.random.default_rng(seed).normal(0, sigma, image.shape)


@pytest.mark.parametrize("gaussfit", [False, True])
@pytest.mark.parametrize("shape", [(64, 64), (99, 99), (100, 101), (37, 64)])
def test_row_4_odd_sizes(shape, gaussfit):
    """Row 10 too: the Gaussian fit is built in."""
    a, b = field(shape, margin=14), field(shape, TRUTH, margin=14)
    assert cross_correlation_shifts(a, b, gaussfit=gaussfit) == pytest.approx(TRUTH, abs=0.05 if gaussfit else 1e-3)


def test_row_5_maxoff():
    a, b = field((64, 64)), field((64, 64), (5.25, 0.0))
    assert cross_correlation_shifts(a, b, maxoff=6) == pytest.approx((5.25, 0.0), abs=1e-3)
    far = field((64, 64), (20.0, 0.0), margin=22) * 3 + field((64, 64), (1.0, 0.0), margin=22)
    assert cross_correlation_shifts(field((64, 64), margin=22), far, maxoff=6) == pytest.approx((1.0, 0.0), abs=0.5)
    with pytest.raises(ValueError, match="maxoff"):
        cross_correlation_shifts(a, b, maxoff=-1)


@pytest.mark.parametrize("gaussfit", [False, True])
@pytest.mark.parametrize("angle", [0.0, math.pi / 2, math.pi / 4, -math.pi / 4])
def test_rows_6_and_7_elongated_structure(angle, gaussfit):
    a = star((64, 64), (30, 31), width=(6.0, 1.5), angle=angle)
    b = star((64, 64), (30.2, 31.3), width=(6.0, 1.5), angle=angle)
    assert cross_correlation_shifts(a, b, gaussfit=gaussfit) == pytest.approx((0.3, 0.2), abs=0.01)


def test_rows_6_and_7_second_derivative():
    y, x = np.indices((9, 11)).astype(float)
    dxx, dyy, dxy = second_derivative(1.5 * x * x - 2.5 * y * y + 0.75 * x * y)
    inner = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(dxx[inner], 3.0)
    np.testing.assert_allclose(dyy[inner], -5.0)
    np.testing.assert_allclose(dxy[inner], 0.75)
    for out in (dxx, dyy, dxy):
        assert not out[[0, -1]].any()
        assert not out[:, [0, -1]].any()


@pytest.mark.parametrize("boundary", [None, "wrap"])
@pytest.mark.parametrize("shift", [31, 32, -31, 31.5])
def test_row_8_peak_at_the_border_of_the_map(shift, boundary):
    a, b = periodic((64, 64), seed=2), periodic((64, 64), (shift, 0.0), seed=2)
    dx, dy = cross_correlation_shifts(a, b, boundary=boundary)
    assert (dx - shift + 32) % 64 == pytest.approx(32, abs=1e-4)
    assert dy == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("flux", [1.0, 100.0])
@pytest.mark.parametrize("given", ["errors", "residuals"])
@pytest.mark.parametrize("both", [False, True])
def test_row_9_errors_are_calibrated_in_any_unit(flux, given, both):
    rng = np.random.default_rng(4)
    a = flux * field((64, 64), stars=20)
    sigma = 10.0 * flux
    err1 = np.full(a.shape, sigma) if both and given == "errors" else None
    err2 = sigma if given == "errors" else None
    errors, sigmas = [], []
    for _ in range(150):
        shift = rng.uniform(-1, 1, 2)
        b = flux * field((64, 64), shift, stars=20) + rng.normal(0, sigma, a.shape)
        first = a + rng.normal(0, sigma, a.shape) * both
        dx, dy, ex, ey = cross_correlation_shifts(first, b, err1, err2, return_error=True)
        errors += [dx - shift[0], dy - shift[1]]
        sigmas += [ex, ey]
    ratio = np.sqrt(np.mean(np.square(sigmas)) / np.mean(np.square(errors)))
    assert ratio == pytest.approx(1.0, abs=0.1 + 3 / math.sqrt(600))


def test_row_9_the_errors_given_are_used():
    a, b = field((64, 64)), noisy(field((64, 64), TRUTH), 1.0)
    for boundary in ("wrap", "reflect"):
        one, two = (
            cross_correlation_shifts(a, b, None, np.full(a.shape, e), return_error=True, boundary=boundary)[2]
            for e in (1.0, 2.0)
        )
        both = cross_correlation_shifts(a, b, 1.0, 1.0, return_error=True, boundary=boundary)[2]
        assert two == pytest.approx(2 * one, rel=1e-3)
        assert both == pytest.approx(math.sqrt(2) * one, rel=0.05)


def test_row_11_example_of_the_documentation():
    im1 = np.zeros([10, 10])
    im2 = np.zeros([10, 10])
    im1[4, 3] = 1
    im2[5, 5] = 1
    xoff, yoff = cross_correlation_shifts(im1, im2)
    im1_aligned_to_im2 = np.roll(np.roll(im1, round(xoff), 1), round(yoff), 0)
    assert np.abs(im1_aligned_to_im2 - im2).sum() == 0


@pytest.mark.parametrize("image", [np.zeros((32, 32)), np.ones((32, 32)), np.full((32, 32), np.nan)])
def test_row_18_images_without_content_give_nan_and_say_why(image):
    with pytest.warns(RuntimeWarning, match="constant|no good pixel"):
        assert np.isnan(cross_correlation_shifts(image, field((32, 32)), return_error=True)).tolist() == [True] * 4


@pytest.mark.parametrize("shift", [(1.0, 0.0), (-0.7, 1.2)])
def test_new_content_at_the_border_biases_nothing(shift):
    a, b = cells(peak=4000.0), noisy(cells(shift, peak=4000.0), 10.0)
    dx, dy, ex, _ = cross_correlation_shifts(a, b, return_error=True)
    assert (dx, dy) == pytest.approx(shift, abs=0.01)
    assert 0 < ex < 0.01
    wrapped = cross_correlation_shifts(a, b, boundary="wrap")
    assert np.hypot(*(np.array(wrapped) - shift)) > 0.05, "circular is what it says, edges and all"
    with_errors = cross_correlation_shifts(a, b, 1e-3, 10.0, return_error=True)
    assert with_errors[:2] == pytest.approx(shift, abs=0.01)


def test_noise_alone_is_no_match_and_its_error_is_the_range():
    rng = np.random.default_rng(3)
    with pytest.warns(RuntimeWarning, match="no significant match"):
        *_, ex, ey = cross_correlation_shifts(rng.normal(size=(60, 80)), rng.normal(size=(60, 80)), return_error=True)
    assert (ex, ey) == pytest.approx((80 / math.sqrt(12), 60 / math.sqrt(12)))


@pytest.mark.parametrize("name", list(unusual(np.ones((16, 16)))))
def test_any_form_of_image(name):
    plain_a, plain_b = (np.rint(30 * field((48, 56), s)) for s in ((0, 0), (2.0, -3.0)))
    a, b = unusual(plain_a)[name], unusual(plain_b)[name]
    before = copy.deepcopy((a, b))
    answer = cross_correlation_shifts(a, b, a if name != "list" else None, return_error=True)
    assert answer[:2] == pytest.approx((2.0, -3.0), abs=0.03)
    for now, then in zip((a, b), before, strict=True):
        np.testing.assert_array_equal(np.ma.getdata(now), np.ma.getdata(then))


@pytest.mark.parametrize(("shape", "shift"), [((1, 50), (3.0, 0.0)), ((50, 1), (0.0, 3.0)), ((8, 8), (1.0, 2.0))])
def test_thin_and_tiny_images(shape, shift):
    a = np.random.default_rng(5).normal(size=shape)
    b = np.roll(a, (int(shift[1]), int(shift[0])), (0, 1))
    assert cross_correlation_shifts(a, b) == pytest.approx(shift, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"image2": np.ones((20, 21))}, "same shape"),
        ({"boundary": "mirror"}, "boundary"),
        ({"errim2": np.ones((3, 3)), "return_error": True}, "errors"),
        ({"errim1": 0.0, "return_error": True}, "errors"),
    ],
)
def test_arguments_without_meaning_are_refused(arguments, why):
    image = field((20, 20), stars=3, margin=8)
    with pytest.raises(ValueError, match=why):
        cross_correlation_shifts(**({"image1": image, "image2": image} | arguments))
    with pytest.raises(TypeError, match="crop"):
        cross_correlation_shifts(image, image, crop=True)


def test_verbose_logs_and_prints_nothing(caplog, capsys):
    with caplog.at_level(logging.INFO, "rtreg.cross_correlation_shifts"):
        cross_correlation_shifts(field((32, 32)), field((32, 32), (1, 1)), verbose=True)
    assert caplog.records
    assert capsys.readouterr() == ("", "")
