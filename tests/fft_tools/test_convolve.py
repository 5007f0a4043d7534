"""Convolution, correlation and the choice of transforms."""

import naive
import numpy as np
import pytest

from rtreg import fft
from rtreg.errors import ConfigError
from rtreg.fft_tools import correlate2d, fast_ffts, get_ffts
from rtreg.fft_tools.convolve_nd import convolvend

NAN = np.nan
SHAPES = [((5, 6), (5, 6)), ((6, 5), (6, 5)), ((4, 7), (3, 3)), ((4, 4), (6, 7)), ((7, 3), (4, 6)), ((1, 5), (5, 1))]


@pytest.mark.parametrize(
    ("first", "second", "boundary"),
    [(*shapes, boundary) for shapes in SHAPES for boundary in ("fill", "nearest", "reflect")]
    + [(*shapes, "wrap") for shapes in SHAPES if shapes[0] == shapes[1]],
)
@pytest.mark.parametrize("use_numpy_fft", [False, True])
def test_correlation_is_the_sum_of_products(first, second, boundary, use_numpy_fft):
    rng = np.random.default_rng(6)
    im1, im2 = rng.random(first), rng.random(second)
    options = {"fill_value": 0.7} if boundary == "fill" else {}
    answer = correlate2d(im1, im2, boundary=boundary, use_numpy_fft=use_numpy_fft, **options)
    np.testing.assert_allclose(answer, naive.correlate(im1, im2, boundary, 0.7), atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 8), (9, 9), (8, 9)])
def test_where_the_peak_is(shape):
    im1, im2 = np.zeros(shape), np.zeros(shape)
    im1[2, 3] = 1
    im2[3, 5] = 1
    peak = np.unravel_index(correlate2d(im1, im2).argmax(), shape)
    assert peak == ((shape[0] - 1) // 2 - 1, (shape[1] - 1) // 2 - 2)


def test_names_of_boundaries():
    rng = np.random.default_rng(7)
    im1, im2 = rng.random((6, 5)), rng.random((6, 5))
    for one, other in (("nearest", "extend"), ("fill", "constant"), ("fill", None)):
        np.testing.assert_array_equal(correlate2d(im1, im2, boundary=one), correlate2d(im1, im2, boundary=other))
    with pytest.raises(ConfigError, match="boundary 'mirror' is none of 'wrap'"):
        correlate2d(im1, im2, boundary="mirror")


def test_padding_makes_room():
    im1, im2 = np.zeros((8, 8)), np.zeros((8, 8))
    im1[0, 0] = im2[7, 0] = 1
    assert correlate2d(im1, im2, boundary="fill").max() == pytest.approx(0, abs=1e-12)
    assert correlate2d(im1, im2, boundary="fill", psf_pad=False, fft_pad=False).max() == pytest.approx(1)
    for name in ("psf_pad", "fft_pad"):
        with pytest.raises(ConfigError, match=f"'wrap' is circular and leaves no room for {name}"):
            correlate2d(im1, im2, **{name: True})
        correlate2d(im1, im2, **{name: False})


@pytest.mark.parametrize("name", ["return_fft", "fftshift", "pad", "crop", "normalize_kernel"])
def test_other_keywords_are_refused_by_name(name):
    """Row 38: documented, but gone."""
    with pytest.raises(TypeError, match=f"'{name}'.*psf_pad, fft_pad, nan_treatment, fill_value, preserve_nan"):
        correlate2d(np.ones((4, 4)), np.ones((4, 4)), **{name: True})


def test_nan_pixels():
    rng = np.random.default_rng(8)
    im1, im2 = rng.random((6, 7)), rng.random((6, 7))
    holed, bad = im1.copy(), np.zeros(im1.shape, bool)
    bad[2, 3] = True
    holed[bad] = np.nan
    zeroed = np.where(bad, 0, im1)
    np.testing.assert_allclose(correlate2d(holed, im2), naive.correlate(zeroed, im2, "wrap"))
    np.testing.assert_allclose(correlate2d(np.ma.array(im1, mask=bad), im2), naive.correlate(zeroed, im2, "wrap"))
    twos = naive.correlate(np.where(bad, 2, im1), im2, "wrap")
    np.testing.assert_allclose(correlate2d(holed, im2, fill_value=2.0), twos)
    share = naive.correlate(1.0 - bad, im2, "wrap") / im2.sum()
    interpolated = naive.correlate(zeroed, im2, "wrap") / share
    np.testing.assert_allclose(correlate2d(holed, im2, nan_treatment="interpolate"), interpolated)
    assert np.isnan(correlate2d(holed, im2, preserve_nan=True)).sum() == 1
    assert np.isnan(correlate2d(holed, im2, preserve_nan=True)[2, 3])
    np.testing.assert_allclose(correlate2d(im2, holed), naive.correlate(im2, zeroed, "wrap"))
    with pytest.raises(ValueError, match="sums up to zero"):
        correlate2d(holed, im2 - im2.mean(), nan_treatment="interpolate")
    with pytest.raises(ConfigError, match="nan_treatment is 'drop'"):
        correlate2d(holed, im2, nan_treatment="drop")
    assert np.isnan(holed[bad]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16, np.complex64, np.complex128])
def test_kinds_of_numbers(dtype):
    """Row 25: complex128 everywhere."""
    rng = np.random.default_rng(9)
    im1, im2 = ((100 * rng.random((2, 6, 5))).astype(dtype)) * (1 + (2j if np.dtype(dtype).kind == "c" else 0))
    answer = correlate2d(im1, im2)
    single = im1.dtype in (np.float32, np.complex64)
    assert answer.dtype == (np.float32 if single else np.float64)
    truth = naive.correlate(np.real(im1), np.real(im2), "wrap") + naive.correlate(np.imag(im1), np.imag(im2), "wrap")
    np.testing.assert_allclose(answer, truth, rtol=1e-5 if single else 1e-12)


def test_threads_and_the_choice_of_library_are_honoured(monkeypatch):
    """Row 25: both had no effect."""
    monkeypatch.setattr(fft, "_cache", fft._Cache())
    image = np.random.default_rng(10).random((37, 53))
    correlate2d(image, image, use_numpy_fft=True)
    assert not [plan for plan in fft.cached_plans() if plan.shape == (37, 53)]
    correlate2d(image, image, nthreads=2)
    assert {plan.kind for plan in fft.cached_plans() if plan.shape == (37, 53) and plan.threads == 2} == {
        "rfftn",
        "irfftn",
    }
    assert get_ffts(use_numpy_fft=True) == (np.fft.fftn, np.fft.ifftn)
    assert fast_ffts.has_fftw
    forward, inverse = get_ffts(nthreads=2)
    np.testing.assert_allclose(inverse(forward(image)), image)
    assert ("fftn", 2) in {(plan.kind, plan.threads) for plan in fft.cached_plans()}


# -- convolvend: row 31, it never ran; the first eight are the examples of its documentation -------------------------


@pytest.mark.parametrize(
    ("array", "kernel", "options", "answer"),
    [
        ([1, 0, 3], [1, 1, 1], {}, [1, 4, 3]),
        ([1, NAN, 3], [1, 1, 1], {"quiet": True}, [1, 4, 3]),
        ([1, 0, 3], [0, 1, 0], {}, [1, 0, 3]),
        ([1, 2, 3], [1], {}, [1, 2, 3]),
        ([1, NAN, 3], [0, 1, 0], {"interpolate_nan": True}, [1, 0, 3]),
        ([1, NAN, 3], [0, 1, 0], {"interpolate_nan": True, "min_wt": 1e-8}, [1, NAN, 3]),
        ([1, NAN, 3], [1, 1, 1], {"interpolate_nan": True}, [1, 4, 3]),
        (
            [1, NAN, 3],
            [1, 1, 1],
            {"interpolate_nan": True, "normalize_kernel": True, "ignore_edge_zeros": True},
            [1, 2, 3],
        ),
        ([1, 0, 3], [1, 1, 1], {"boundary": "wrap"}, [4, 4, 4]),
        ([1, 0, 3], [1, 1, 1], {"boundary": "nearest"}, [2, 4, 6]),
        ([1, 2, 4], [1, 1, 1], {"boundary": "reflect"}, [4, 7, 10]),
        ([1, 0, 3], [1, 1, 1], {"fill_value": 10}, [11, 4, 13]),
        ([1, 0, 3], [1, 1, 1], {"boundary": None}, [1, 4, 3]),
        ([3, 0, 3], [2, 2, 2], {"normalize_kernel": np.max}, [3, 6, 3]),
        ([1, 0, 0, 0], [1, 2, 3], {}, [2, 3, 0, 0]),
        ([3, NAN, 6], [2, 2, 2], {"normalize_kernel": np.sum, "interpolate_nan": True}, [1.5, 4.5, 3]),
    ],
)
def test_convolvend(array, kernel, options, answer):
    np.testing.assert_allclose(convolvend(array, kernel, **options), answer, atol=1e-12)
    np.testing.assert_allclose(convolvend(array, kernel, use_numpy_fft=True, **options), answer, atol=1e-12)


def test_convolution_in_three_dimensions():
    array, kernel = np.zeros((16, 16, 16)), np.zeros((16, 16, 16))
    array[7, 7, 7] = array[7, 0, 7] = 1
    kernel[6:11, 6:11, 6:11] = 1 / 125
    smooth = convolvend(array, kernel)
    assert smooth[7, 0, 7] == pytest.approx(1 / 125)
    assert smooth[7, 7, 7] == pytest.approx(1 / 125)
    assert convolvend(array, kernel, ignore_edge_zeros=True)[7, 0, 7] == pytest.approx(1 / 75)


def test_nan_that_counts_as_zero_is_warned_of():
    with pytest.warns(UserWarning, match="NaN pixels count as 0"):
        convolvend([1, NAN, 3], [1, 1, 1])


def test_spectra_and_padded_answers():
    image, kernel = np.random.default_rng(11).random((2, 8, 8))
    spectrum = convolvend(image, kernel, boundary="wrap", return_fft=True, fftshift=False)
    plain = np.fft.fft2(image) * np.fft.fft2(np.fft.ifftshift(kernel))
    np.testing.assert_allclose(spectrum, plain)
    np.testing.assert_allclose(convolvend(image, kernel, boundary="wrap", return_fft=True), np.fft.fftshift(plain))
    assert convolvend(image, kernel, return_fft=True).shape == (8, 8)
    assert convolvend(image, kernel, return_fft=True, crop=False, fft_pad=False).shape == (12, 12)
    assert convolvend(image, kernel, crop=False, fft_pad=False).shape == (12, 12)


def test_axes_must_agree():
    with pytest.raises(ValueError, match="2 axes and the kernel 1"):
        convolvend(np.ones((3, 3)), np.ones(3))
    with pytest.raises(ValueError, match="2-D images"):
        correlate2d(np.ones(3), np.ones((3, 3)))
