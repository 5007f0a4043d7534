"""`chi2_shift` and its kin: right where the seed is wrong (rows of the porting table), honest errors, any input."""

from __future__ import annotations

import copy
import logging
import math
import warnings

import numpy as np
import pytest
from scipy import stats
from shifted import cells, field, periodic, star, unusual

from rtreg.chi2_shifts import chi2_shift, chi2_shift_iterzoom, chi2map_to_errors, chi2n_map

FINDERS = [chi2_shift, chi2_shift_iterzoom]
BOUNDARIES = [None, "wrap", "constant", "reflect", "nearest"]
TRUTH = (5.3, -2.7)  # dx, dy


def noisy(image, sigma, seed=1):
    return image + np.random.default_rng(seed).normal(0, sigma, image.shape)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", [(64, 64), (65, 63), (37, 64), (101, 100), (128, 96)])
@pytest.mark.parametrize("finder", FINDERS)
def test_known_shifts(finder, shape, boundary):
    """Rows 1 and 2: iterzoom works, and agrees with chi2_shift on even and odd sizes."""
    a, b = field(shape, margin=14), field(shape, TRUTH, margin=14)
    dx, dy, ex, ey = finder(a, noisy(b, 1.0), 1.0, boundary=boundary)
    assert abs(dx - TRUTH[0]) < 5 * ex < 0.2
    assert abs(dy - TRUTH[1]) < 5 * ey < 0.2


@pytest.mark.parametrize("upsample_factor", [50, 100, 200, 300, "auto"])
@pytest.mark.parametrize("n", [64, 128])
def test_row_3_any_upsample_factor_gives_the_same_answer(n, upsample_factor):
    a, b = star((n, n), (30, 33)), star((n, n), (30.37, 32.6))
    dx, dy, (x, y, chi2) = chi2_shift(a, noisy(b, 1.0), 1.0, upsample_factor, return_error=False, return_chi2array=True)
    assert dx == pytest.approx(-0.4, abs=0.05)
    assert dy == pytest.approx(0.37, abs=0.05)
    k = np.unravel_index(np.argmin(chi2), chi2.shape)
    step = x[0, 1] - x[0, 0]
    assert abs(-x[k] - dx) <= 0.51 * step
    assert abs(-y[k] - dy) <= 0.51 * step


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_row_19_pixels_with_unusable_errors_do_not_count(bad):
    a, b = field((64, 64)), field((64, 64), (3.0, 1.5))
    b[20:30, 20:30] = 5000.0
    err = np.ones((64, 64))
    err[20:30, 20:30] = bad
    before = copy.deepcopy(err)
    dx, dy, ex, _ = chi2_shift(a, noisy(b, 1.0), err)
    assert dx == pytest.approx(3.0, abs=5 * ex)
    assert dy == pytest.approx(1.5, abs=5 * ex)
    np.testing.assert_array_equal(err, before)


@pytest.mark.parametrize("which", ["first", "second"])
@pytest.mark.parametrize("err", [None, 1.0])
def test_row_20_nan_pixels_are_masked_out(which, err):
    pedestal = 1000.0  # where the seed reads 0 for NaN, it sees a hole that does not move
    a, b = field((96, 96)) + pedestal, noisy(field((96, 96), (3.4, 1.2)), 1.0) + pedestal
    (a if which == "first" else b)[40:60, 30:50] = np.nan
    dx, dy, ex, ey = chi2_shift(a, b, err)
    assert abs(dx - 3.4) < 5 * ex < 0.2
    assert abs(dy - 1.2) < 5 * ey < 0.2


def test_row_21_bright_stars_reach_the_bound():
    """Poisson noise with its true error for every pixel; the seed is at 5-7 times the bound."""
    rng = np.random.default_rng(2)
    a = star((64, 64), (30, 31), width=(1.27, 1.27), height=20_000.0) + 50.0
    errors = []
    for _ in range(60):
        at = rng.uniform(-1, 1, 2)
        mean = star((64, 64), (30 + at[1], 31 + at[0]), width=(1.27, 1.27), height=20_000.0) + 50.0
        dx, dy, ex, ey = chi2_shift(a, rng.poisson(mean), np.sqrt(mean))
        errors.append(((dx - at[0]) / ex, (dy - at[1]) / ey))
    assert ex < 0.004
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(1.0, abs=0.2)  # 120 samples: 3 sigma


@pytest.mark.parametrize("shift", [(-0.7, 1.2), (1.0, 0.0), (2.4, -3.3)])
def test_row_22_new_content_at_the_border_biases_nothing(shift):
    a, b = cells(peak=4000.0), cells(shift, peak=4000.0)
    dx, dy, _, _ = chi2_shift(a, noisy(b, 20.0))
    assert dx == pytest.approx(shift[0], abs=0.01)
    assert dy == pytest.approx(shift[1], abs=0.01)
    wx, wy, _, _ = chi2_shift(a, noisy(b, 20.0), boundary="wrap")
    assert math.hypot(wx - shift[0], wy - shift[1]) > 0.05, "circular is what it says, edges and all"


@pytest.mark.parametrize(
    ("boundary", "mode"), [("constant", "constant"), ("reflect", "symmetric"), ("nearest", "edge")]
)
def test_row_22_boundaries_do_what_they_say(boundary, mode):
    """Content that goes on in one way past the border is found right by that boundary, and wrong by the others."""
    texture = periodic((40, 40), seed=3)
    wide = np.pad(texture, 12, mode=mode)
    frame = wide[12 - 4 : 52 - 4, 12 - 6 : 52 - 6]  # exactly im1 as `boundary` continues it, moved by (6, 4)
    maps = {name: chi2n_map(texture, frame, 1.0, name) for name in BOUNDARIES}
    centre = (39 // 2 - 4, 39 // 2 - 6)
    assert maps[boundary][centre] == pytest.approx(0.0, abs=1e-6)
    for other in {"wrap", "constant", "reflect", "nearest"} - {boundary}:
        assert maps[other][centre] > 1.0
    dx, dy, _, _ = chi2_shift(texture, noisy(frame, 0.01), 0.01, boundary=boundary)
    assert (dx, dy) == pytest.approx((6.0, 4.0), abs=0.01)


def test_wrap_uses_what_comes_back_on_the_other_side():
    a = periodic((48, 50), seed=4)
    b = periodic((48, 50), (20.3, -17.6), seed=4)
    dx, dy, ex, _ = chi2_shift(a, noisy(b, 0.1), 0.1, boundary="wrap")
    assert (dx, dy) == pytest.approx((20.3, -17.6), abs=5 * ex)
    common = chi2_shift(a, noisy(b, 0.1), 0.1)[2]
    assert common > 1.2 * ex  # half the pixels say less


@pytest.mark.parametrize("boundary", [None, "wrap"])
@pytest.mark.parametrize("sigma", [2.0, 10.0, 30.0])
@pytest.mark.parametrize("given", ["err", "array", "nothing"])
def test_row_23_errors_are_calibrated(given, sigma, boundary):
    a = field((64, 64), stars=20)
    rng = np.random.default_rng(7)
    err = {"err": sigma, "array": np.full(a.shape, sigma), "nothing": None}[given]
    errors, sigmas = [], []
    for _ in range(120):
        shift = rng.uniform(-1, 1, 2)
        b = field((64, 64), shift, stars=20) + rng.normal(0, sigma, a.shape)
        dx, dy, ex, ey = chi2_shift(a, b, err, boundary=boundary)
        errors += [dx - shift[0], dy - shift[1]]
        sigmas += [ex, ey]
    ratio = np.sqrt(np.mean(np.square(sigmas)) / np.mean(np.square(errors)))
    assert ratio == pytest.approx(1.0, abs=0.1 + 3 / math.sqrt(480))


def test_row_23_errors_scale_with_the_unit_of_the_data_only_when_told():
    a, b = field((64, 64)), noisy(field((64, 64), TRUTH), 2.0)
    plain = chi2_shift(a, b)
    for factor in (1e-17, 1e9):
        np.testing.assert_allclose(chi2_shift(a * factor, b * factor), plain, rtol=1e-3)
        np.testing.assert_allclose(chi2_shift(a * factor, b * factor, 2.0 * factor), chi2_shift(a, b, 2.0), rtol=1e-3)
    assert chi2_shift(a, b, 4.0)[2] == pytest.approx(2 * chi2_shift(a, b, 2.0)[2], rel=1e-3)


def test_noise_in_both_images_biases_nothing():
    a, b = field((64, 64), stars=20), field((64, 64), (0.5, 0.3), stars=20)
    rng = np.random.default_rng(8)
    found = np.array([chi2_shift(a + rng.normal(0, 8, a.shape), b + rng.normal(0, 8, a.shape)) for _ in range(80)])
    spread = found[:, :2].std(axis=0)
    assert np.abs(found[:, :2].mean(axis=0) - (0.5, 0.3)) == pytest.approx(0.0, abs=4 * spread.max() / math.sqrt(80))
    assert np.median(found[:, 2:]) / spread.mean() == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("upsample_factor", [100.5, 0, -3, "often", None, math.nan])
def test_row_24_upsample_factor_is_checked(upsample_factor):
    a = field((32, 32), stars=3)
    with pytest.raises(ValueError, match="upsample_factor"):
        chi2_shift(a, a, upsample_factor=upsample_factor)


@pytest.mark.parametrize("finder", FINDERS)
@pytest.mark.parametrize(
    ("image", "why"),
    [
        (np.zeros((32, 32)), "constant"),
        (np.full((32, 32), 7), "constant"),
        (np.full((32, 32), np.nan), "no good pixel"),
    ],
)
def test_row_18_images_without_content_give_nan_and_say_why(finder, image, why):
    with pytest.warns(RuntimeWarning, match=why):
        answer = finder(image, field((32, 32), stars=3), return_chi2array=True)
    assert np.isnan(answer[:4]).all()
    assert np.isnan(answer[4][2]).all()


def test_noise_alone_is_no_match_and_its_error_is_the_range():
    rng = np.random.default_rng(3)
    with pytest.warns(RuntimeWarning, match="no significant match"):
        _, _, ex, ey = chi2_shift(rng.normal(size=(60, 80)), rng.normal(size=(60, 80)))
    assert (ex, ey) == pytest.approx((80 / math.sqrt(12), 60 / math.sqrt(12)))


def test_an_exact_copy_has_no_error_of_zero():
    a = field((64, 64))
    dx, dy, ex, ey = chi2_shift(a, a)
    assert (dx, dy) == pytest.approx((0.0, 0.0), abs=1e-5)
    assert ex != 0
    assert ey != 0


@pytest.mark.parametrize("name", list(unusual(np.ones((16, 16)))))
def test_any_form_of_image(name):
    plain_a, plain_b = (np.rint(30 * field((48, 56), s)) for s in ((0, 0), (2.0, -3.0)))
    a, b = unusual(plain_a)[name], unusual(plain_b)[name]
    before = copy.deepcopy((a, b))
    dx, dy, _, _ = chi2_shift(a, b)
    assert (dx, dy) == pytest.approx((2.0, -3.0), abs=0.02)
    chi2n_map(a, b)
    for now, then in zip((a, b), before, strict=True):
        np.testing.assert_array_equal(np.ma.getdata(now), np.ma.getdata(then))


@pytest.mark.parametrize(
    ("shapes", "why"),
    [
        (((32, 32), (32, 33)), "same shape"),
        (((40, 1), (40, 1)), "8 x 8"),
        (((1, 40), (1, 40)), "8 x 8"),
        (((32,), (32,)), "2-D"),
    ],
)
def test_shapes_that_cannot_be_are_refused(shapes, why):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=why):
        chi2_shift(*(rng.normal(size=s) for s in shapes))


def test_tiny_images():
    a, b = star((8, 8), (4, 4), width=(1.2, 1.2)), star((8, 8), (4.4, 3.7), width=(1.2, 1.2))
    for boundary in ("wrap", None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            dx, dy, _, _ = chi2_shift(a, noisy(b, 0.1), boundary=boundary)
        assert (dx, dy) == pytest.approx((-0.3, 0.4), abs=0.15)


@pytest.mark.parametrize("err", [0.0, math.nan, math.inf, np.ones((3, 3))])
def test_errors_without_meaning_are_refused(err):
    with pytest.raises(ValueError, match="err"):
        chi2_shift(field((32, 32), stars=3), field((32, 32), stars=3), err)


def test_unknown_boundary_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="nearest"):
        chi2_shift(field((32, 32)), field((32, 32)), boundary="mirror")


def test_huge_images_want_to_be_asked_for():
    huge = np.broadcast_to(np.float32(0.0), (9000, 9000))
    with pytest.raises(ValueError, match="allow_huge"):
        chi2_shift(huge, huge)


def test_verbose_logs_and_prints_nothing(caplog, capsys):
    with caplog.at_level(logging.INFO, "rtreg.chi2_shifts"):
        chi2_shift(field((32, 32)), field((32, 32), (1, 1)), verbose=True)
    assert caplog.records
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("returns", "length"), [((True, True), 5), ((True, False), 4), ((False, True), 3), ((False, False), 2)]
)
@pytest.mark.parametrize("finder", FINDERS)
def test_optional_returns_keep_their_place(finder, returns, length):
    a, b = field((40, 48), margin=8), field((40, 48), (1, 2), margin=8)
    answer = finder(a, noisy(b, 1.0), 1.0, return_error=returns[0], return_chi2array=returns[1])
    assert isinstance(answer, list)
    assert len(answer) == length
    assert answer[:2] == pytest.approx([1, 2], abs=0.2)
    if returns[1]:
        x, y, chi2 = answer[-1]
        assert x.shape == y.shape == chi2.shape


def test_chi2_array_rises_as_the_errors_say():
    a, b = field((64, 64)), noisy(field((64, 64), TRUTH), 3.0)
    for boundary in BOUNDARIES:
        _, _, ex, ey, (x, _, chi2) = chi2_shift(a, b, 3.0, boundary=boundary, return_chi2array=True)
        errors = chi2map_to_errors(chi2, 1 / (x[0, 1] - x[0, 0]), nfitted=1)
        np.testing.assert_allclose(errors, [ex, ex, ey, ey], rtol=0.05)
        assert chi2.min() / a.size == pytest.approx(1.0, abs=0.3)


def test_iterzoom_array_has_the_shape_and_the_sign_it_promises():
    a, b = field((64, 64)), noisy(field((64, 64), TRUTH), 3.0)
    dx, dy, _, _, (x, y, chi2) = chi2_shift_iterzoom(a, b, 3.0, return_chi2array=True, rezoom_shape=[60, 80])
    assert chi2.shape == (60, 80)
    k = np.unravel_index(np.argmin(chi2), chi2.shape)
    assert (x[k], y[k]) == pytest.approx((dx, dy), abs=abs(x[0, 1] - x[0, 0]))


# -- maps -------------------------------------------------------------------------------------------------------------


def naive_map(a, b, err, boundary):
    """chi² at every shift, one by one."""
    ny, nx = a.shape
    mode = {"wrap": "wrap", "constant": "constant", "reflect": "symmetric", "nearest": "edge"}
    if boundary is None:
        wide = np.pad(a, ((ny, ny), (nx, nx)), constant_values=np.nan)
    else:
        wide = np.pad(a, ((ny, ny), (nx, nx)), mode=mode[boundary])
    weights = np.broadcast_to(1.0 / np.asarray(err, float) ** 2, b.shape)
    out = np.empty(a.shape)
    for j in range(ny):
        for i in range(nx):
            dy, dx = (ny - 1) // 2 - j, (nx - 1) // 2 - i
            moved = wide[ny - dy : 2 * ny - dy, nx - dx : 2 * nx - dx]
            seen = np.isfinite(moved) & np.isfinite(b)
            total = np.sum(weights[np.isfinite(b)])
            out[j, i] = np.sum((weights * (b - moved) ** 2)[seen]) * total / np.sum(weights[seen])
    return out


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", [(12, 13), (9, 10)])
@pytest.mark.parametrize("nan", [False, True])
def test_map_is_what_a_loop_gives(shape, boundary, nan):
    rng = np.random.default_rng(5)
    a, b, err = rng.normal(size=shape), rng.normal(size=shape), rng.uniform(0.5, 2, shape)
    if nan:
        b[3, 4] = np.nan
    expected = naive_map(a, b, err, boundary)
    chi2, term1, term2, term3 = chi2n_map(a, b, err, boundary, return_all=True)
    np.testing.assert_allclose(chi2, expected, rtol=1e-9)
    np.testing.assert_allclose(term1 + term2 + term3, chi2, rtol=1e-9)
    np.testing.assert_allclose(chi2n_map(a, b, err, boundary, reduced=True), expected / (a.size - 2), rtol=1e-9)
    np.testing.assert_allclose(chi2n_map(a, b, err, boundary, use_numpy_fft=True), expected, rtol=1e-9)


@pytest.mark.parametrize("shape", [(20, 20), (21, 21), (20, 21)])
def test_map_has_its_minimum_at_the_centre_minus_the_shift(shape):
    a = np.random.default_rng(6).normal(size=shape)
    chi2, _, _, term3 = chi2n_map(a, np.roll(a, (3, 5), (0, 1)), 1.0, "wrap", return_all=True)
    assert np.unravel_index(np.argmin(chi2), shape) == ((shape[0] - 1) // 2 - 3, (shape[1] - 1) // 2 - 5)
    assert isinstance(term3, float)


@pytest.mark.parametrize("nsigma", [1, 2, 3, 9])
@pytest.mark.parametrize("nfitted", [1, 2, 3, 5])
def test_map_to_errors_is_exact_for_a_parabola(nsigma, nfitted):
    level = stats.chi2.isf(2 * stats.norm.sf(nsigma), nfitted)
    y, x = np.indices((81, 91)) / 10.0
    sx, sy = 2.5 / math.sqrt(level), 1.75 / math.sqrt(level)
    chi2 = 50 + ((x - 4.53) / sx) ** 2 + ((y - 4.01) / sy) ** 2
    errors = chi2map_to_errors(chi2, 10.0, nsigma, nfitted)
    np.testing.assert_allclose(errors, [2.5, 2.5, 1.75, 1.75], rtol=0.002)


def test_map_to_errors_is_nan_where_the_contour_leaves_the_map():
    y, x = np.indices((40, 40)) / 10.0
    low_x, high_x, low_y, high_y = chi2map_to_errors((x - 0.3) ** 2 + (y - 2.0) ** 2, 10.0, nfitted=1)
    assert math.isnan(low_x)
    assert (high_x, low_y, high_y) == pytest.approx((1.0, 1.0, 1.0), abs=0.01)


def test_one_star_on_a_large_frame_is_not_lost_between_rows():
    a, b = (
        np.zeros((2048, 256)) + star((2048, 256), at, width=(1.2, 1.2), height=500.0) for at in ((50, 60), (52.3, 59))
    )
    dx, dy, ex, ey = chi2_shift(a, noisy(b, 1.0))
    assert abs(dx + 1.0) < 5 * ex < 0.05
    assert abs(dy - 2.3) < 5 * ey < 0.05
