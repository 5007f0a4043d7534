"""Kernels for one pair of images against sums written out pixel by pixel."""

from __future__ import annotations

import naive
import numpy as np
import pytest

from rtreg.kernels import bspline, chi2, dft


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def lines(*shapes):
    return np.empty((chi2.LINES, max(max(s) for s in shapes) + 8), np.float32)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "f4", "f8"])
def test_survey_and_load(dtype):
    image = (100 * np.random.default_rng(1).random((9, 13))).astype(dtype)
    n, mean, low, high = chi2.survey(image)
    assert (n, low, high) == (image.size, image.min(), image.max())
    assert mean == pytest.approx(image.mean())
    out, bad = np.empty(image.shape, np.float32), np.empty(0, np.int32)
    assert chi2.load(image, mean, 0.5, out, bad) == 0
    np.testing.assert_allclose(out, (image - image.mean()) * 0.5, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_survey_and_load_find_what_is_not_finite(value):
    image = np.random.default_rng(1).random((6, 7))
    image[2, 3] = image[5, 0] = value
    n, mean, low, high = chi2.survey(image)
    good = image[np.isfinite(image)]
    assert (n, low, high) == (good.size, good.min(), good.max())
    assert mean == pytest.approx(good.mean())
    out, bad = np.empty(image.shape, np.float32), np.empty(2, np.int32)
    assert chi2.load(image, mean, 1.0, out, bad) == 2
    assert bad.tolist() == [17, 35]
    assert out[2, 3] == out[5, 0] == 0.0


def test_survey_of_nothing_good():
    n, mean, _, _ = chi2.survey(np.full((3, 3), np.nan))
    assert n == 0
    assert np.isnan(mean)


def test_slopes_are_the_derivatives_of_the_taps():
    for f in (0.0, 0.2, 0.5, 0.9):
        h = 1e-3
        expected = (np.array(bspline.taps(f + h), float) - bspline.taps(max(f - h, 0.0))) / (h + min(f, h))
        np.testing.assert_allclose(chi2.slopes(f), expected, atol=2e-3)


@pytest.mark.parametrize(
    ("jy", "jx", "pad", "fy", "fx", "margin", "slope", "stride"),
    [
        (0, 0, 0, 0.3, -0.4, 1, 0.0, 1),
        (3, -2, 0, -0.6, 0.7, 0, 0.0, 1),
        (2, 2, 4, 0.0, 0.0, 0, 0.05, 1),
        (-1, 4, 3, -0.99, 0.99, 0, 0.02, 2),
    ],
)
def test_moments(jy, jx, pad, fy, fx, margin, slope, stride):
    shape = (14, 17)
    reference, coefficients = random(18, 21, seed=2), random(shape[0] + 2 * pad, shape[1] + 2 * pad, seed=3)
    weights = np.abs(random(*shape, seed=4))
    weights[3, 5] = 0.0
    out = np.empty(chi2.SUMS)
    scale, offset, floor = 0.8, 0.3, float(reference.min())
    chi2.moments(
        reference, jy, jx, weights, coefficients, pad, fy, fx, margin,
        scale, offset, floor, slope, stride, True, lines(shape), out,
    )  # fmt: skip
    expected = naive.pair_moments(
        reference.astype(float), jy, jx, weights, coefficients.astype(float), pad, fy, fx, margin,
        scale, offset, floor, slope, stride,
    )  # fmt: skip
    assert out[-1] > 20
    np.testing.assert_allclose(out, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_moments_without_the_matrix_leaves_its_sums_alone():
    shape = (14, 17)
    reference, coefficients, weights = random(18, 21, seed=2), random(*shape, seed=3), np.abs(random(*shape, seed=4))
    place = reference, 2, 2, weights, coefficients, 0, 0.3, -0.4, 1
    first, second = np.empty(chi2.SUMS), np.full(chi2.SUMS, -7.0)
    chi2.moments(*place, 0.8, 0.3, 0.0, 0.0, 1, True, lines(shape), first)
    chi2.moments(*place, 0.8, 0.3, 0.0, 0.0, 1, False, lines(shape), second)
    with_residual = np.isin(np.arange(chi2.SUMS), (4, 9, 14, 19, 27, 28, 29))
    np.testing.assert_allclose(second[with_residual], first[with_residual])
    assert (second[~with_residual] == -7.0).all()


def test_moments_with_one_row_of_weights_for_all():
    shape = (14, 17)
    reference, coefficients = random(18, 21, seed=2), random(*shape, seed=3)
    row = np.abs(random(1, 17, seed=4))
    sums = []
    for weights in (row, np.repeat(row, 14, axis=0)):
        out = np.empty(chi2.SUMS)
        chi2.moments(
            reference, 2, 2, weights, coefficients, 0, 0.3, -0.4, 1, 0.8, 0.3, 0.0, 0.0, 1, True, lines(shape), out
        )
        sums.append(out)
    np.testing.assert_array_equal(*sums)


def test_moments_where_nothing_is_in_common():
    out = np.ones(chi2.SUMS)
    image = random(10, 10)
    chi2.moments(image, 9, 0, image, image, 0, 0.0, 0.0, 0, 1.0, 0.0, 0.0, 0.0, 1, True, lines((10, 10)), out)
    assert not out.any()


@pytest.mark.parametrize(("y0", "x0", "margin"), [(0.0, 0.0, 0), (2.3, -1.6, 0), (-3.7, 4.2, 1)])
def test_chi2_and_noise_by_signal(y0, x0, margin):
    frame, weights, coefficients = random(12, 15, seed=5), np.abs(random(12, 15, seed=6)), random(14, 13, seed=7)
    weights[4, 6] = 0.0
    slope, low = 0.1, -3.0
    square, used, signals, squares = 0.0, 0, [], []
    for y in range(12):
        for x in range(15):
            first = int(np.floor(y + y0)) - 1, int(np.floor(x + x0)) - 1
            if min(first) < margin or first[0] + 3 >= 14 - margin or first[1] + 3 >= 13 - margin:
                continue
            if weights[y, x] > 0:
                model = naive.spline_value(coefficients.astype(float), y + y0, x + x0)
                r = frame[y, x] - 0.7 * model - 0.2
                used += 1
                square += weights[y, x] * r * r / (1 + slope * (model - low))
                signals.append(max(model - low, 0.0))
                squares.append(r * r)
    out, table = np.empty(2), np.empty((3, 8))
    scratch = lines((14, 15))
    chi2.chi2(frame, weights, coefficients, y0, x0, margin, 0.7, 0.2, low, slope, scratch, out)
    assert out[1] == used > 10
    assert out[0] == pytest.approx(square, rel=1e-4)
    chi2.noise_by_signal(frame, weights, coefficients, y0, x0, margin, 0.7, 0.2, low, 3.0, 1, scratch, table)
    bins = np.minimum(7, (8 * np.sqrt(np.minimum(np.array(signals) / 6.0, 1.0))).astype(int))
    for row, values in zip(table, (np.ones(used), squares, signals), strict=True):
        np.testing.assert_allclose(row, np.bincount(bins, values, 8), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("wrap", [False, True])
def test_blot(wrap):
    weights = np.ones((6, 7), np.float32)
    chi2.blot(weights, np.array([0, 20], np.int32), 2, -1, wrap)  # pixels (0, 0) and (2, 6), to (2, -1) and (4, 5)
    expected = np.ones((6, 7))
    expected[3:6, 4:7] = 0.0
    expected[1:4, 0] = 0.0
    if wrap:
        expected[1:4, 5:7] = 0.0
    np.testing.assert_array_equal(weights, expected)


@pytest.mark.parametrize(("fy", "fx"), [(0.0, 0.0), (0.3, -0.6), (-0.5, 0.2), (1.0, -1.0)])
def test_move_weights(fy, fx):
    weights = np.random.default_rng(8).uniform(0.5, 2, (8, 9)).astype(np.float32)
    weights[3, 4] = 0.0
    out = np.empty_like(weights)
    chi2.move_weights(weights, fy, fx, out)
    with np.errstate(divide="ignore"):
        variance = np.pad(1.0 / weights.astype(float), 1, mode="edge")
    for y in range(8):
        for x in range(9):
            total = 0.0
            for j, a in ((0, 1 - abs(fy)), (int(np.copysign(1, fy)), abs(fy))):
                for i, b in ((0, 1 - abs(fx)), (int(np.copysign(1, fx)), abs(fx))):
                    if a * b > 1e-9:
                        total += a * b * variance[1 + y + j, 1 + x + i]
            assert out[y, x] == pytest.approx(1.0 / total, rel=1e-4)


def test_solve():
    sums = np.random.default_rng(9).normal(size=chi2.SUMS)
    inverse, step = np.empty((4, 4)), np.empty(4)
    assert chi2.solve(sums, inverse, step)
    products = sums[:20].reshape(4, 5)
    matrix = products[:, :4] * [1, 1, -1, -1]
    np.testing.assert_allclose(inverse @ matrix, np.eye(4), atol=1e-10)
    np.testing.assert_allclose(step, np.linalg.solve(matrix, products[:, 4]))
    assert not chi2.solve(np.zeros(chi2.SUMS), inverse, step)
    assert not chi2.solve(np.full(chi2.SUMS, np.nan), inverse, step)


# -- correlation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("shape", [(12, 15), (9, 8), (10, 10)])
@pytest.mark.parametrize("half", [False, True])
def test_correlation_anywhere(shape, half, dtype):
    rng = np.random.default_rng(10)
    reference, frame = rng.normal(size=shape), rng.normal(size=shape)
    transform = np.fft.rfft2 if half else np.fft.fft2
    cross = np.conj(transform(reference)) * transform(frame) / reference.size
    cross[0, 0] = 0.0
    if half:
        cross[:, 1:] *= 2.0
    cross = cross.astype(dtype)
    along = [np.empty((3, n), cross.real.dtype) for n in cross.shape]

    def at(dy, dx):
        dft.phases(shape[0], cross.shape[0], dy, along[0])
        dft.phases(shape[1], cross.shape[1], dx, along[1])
        out = np.empty(6)
        dft.correlation(cross, *along, out)
        return out

    h = 1e-2
    for dy, dx in ((0.0, 0.0), (1.3, -2.6)):
        c = at(dy, dx)
        assert c[0] == pytest.approx(naive.correlation_at(reference, frame, dy, dx), rel=1e-4, abs=1e-3)
        if dtype == np.complex64:
            continue  # differences need more digits
        np.testing.assert_allclose(
            c[1:3],
            (np.array([at(dy + h, dx)[0], at(dy, dx + h)[0]]) - [at(dy - h, dx)[0], at(dy, dx - h)[0]]) / (2 * h),
            rtol=1e-2,
            atol=1e-2,
        )
        np.testing.assert_allclose(c[3:5], (at(dy + h, dx)[1:3] - at(dy - h, dx)[1:3]) / (2 * h), rtol=1e-2, atol=1e-2)
        np.testing.assert_allclose(c[4:], (at(dy, dx + h)[1:3] - at(dy, dx - h)[1:3]) / (2 * h), rtol=1e-2, atol=1e-2)
