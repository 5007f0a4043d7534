"""Fourier interpolation, windows on a finer grid and upsampled transforms, against the sum of all waves."""

import naive
import numpy as np
import pytest

from rtreg.fft_tools import dftups, scale, upsample, upsample_image, zoom


@pytest.fixture
def rng():
    return np.random.default_rng(4)


@pytest.mark.parametrize("shape", [(7,), (8,), (5, 6), (3, 4, 5), (2, 3, 2, 3)])
@pytest.mark.parametrize("use_numpy_fft", [False, True])
def test_interpolation_on_any_number_of_axes(rng, shape, use_numpy_fft):
    """Row 29: an IndexError on every call."""
    data = rng.random(shape)
    positions = [np.array([-0.5, 1.25, n - 0.1, n + 3.0])[: 2 + axis] for axis, n in enumerate(shape)]
    options = {"use_numpy_fft": use_numpy_fft, "return_real": False}
    values = scale.fourier_interpnd(data, positions, **options)
    for index in np.ndindex(values.shape):
        truth = naive.fourier_value(data, [p[i] for p, i in zip(positions, index, strict=True)])
        assert values[index] == pytest.approx(truth, abs=1e-12)
    np.testing.assert_allclose(scale.fourier_interpnd(data, positions), values.real, atol=1e-12)
    grid = np.array(np.meshgrid(*positions, indexing="ij"))
    np.testing.assert_allclose(scale.fourier_interpnd(data, grid, **options), values)


def test_pixels_come_back(rng):
    data = rng.random((5, 6)).astype(np.float32)
    same = scale.fourier_interp2d(data, np.indices(data.shape))
    assert same.dtype == np.float32
    np.testing.assert_allclose(same, data, atol=1e-6)


def test_positions_in_other_units(rng):
    data = rng.random(9)
    np.testing.assert_allclose(
        scale.fourier_interp1d(data, np.array([10.0, 12.5, 14.0]), data_x=10 + 0.5 * np.arange(9)), data[[0, 5, 8]]
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: scale.fourier_interp1d(np.zeros(4), np.zeros((2, 2))),
        lambda: scale.fourier_interp1d(np.zeros((2, 2)), np.zeros(4)),
        lambda: scale.fourier_interp1d(np.zeros(4), np.zeros(2), data_x=np.arange(3)),
        lambda: scale.fourier_interp1d(np.zeros(4), np.zeros(2), data_x=np.arange(4)[::-1]),
        lambda: scale.fourier_interp2d(np.zeros(4), [np.zeros(2)]),
        lambda: scale.fourier_interp2d(np.zeros((4, 4)), [np.zeros(2)]),
        lambda: scale.fourier_interpnd(np.zeros((4, 4)), [np.zeros(2), np.zeros((2, 2))]),
        lambda: zoom.zoom1d(np.zeros((2, 2))),
        lambda: zoom.zoom1d(np.zeros(4), usfac=0),
        lambda: zoom.zoom1d(np.zeros(4), outsize=2.5),
        lambda: zoom.zoomnd(np.zeros((4, 4)), offsets=(1,)),
        lambda: zoom.zoom_on_pixel(np.zeros((4, 4)), (1,)),
        lambda: zoom.zoom_on_pixel(np.zeros((4, 4)), (1, 1), outshape=(2,)),
        lambda: upsample.dftups(np.zeros(4)),
        lambda: upsample.dftups1d(np.zeros((4, 4))),
        lambda: upsample.upsample_image(np.zeros(4)),
    ],
)
def test_what_does_not_fit_is_a_clear_error(call):
    with pytest.raises(ValueError, match=r"1-D|2-D|axes|shape|increase|positive|whole number|data_x"):
        call()


@pytest.mark.parametrize("shape", [(8, 9), (9, 8)])
@pytest.mark.parametrize("outshape", [(5, 7), (6, 1), 4])
def test_zoom_on_pixel_has_the_pixel_in_its_middle(rng, shape, outshape):
    """Row 3: where the window is said to be, and where it is, are the same for even sizes."""
    data = rng.random(shape)
    (ys, xs), zoomed = zoom.zoom_on_pixel(data, (2, 5.5), usfac=3, outshape=outshape, return_xouts=True)
    assert zoomed.shape == ys.shape == ((4, 4) if outshape == 4 else outshape)
    assert ys.mean() == pytest.approx(2)
    assert xs.mean() == pytest.approx(5.5)
    assert ys[1, 0] - ys[0, 0] == pytest.approx(1 / 3)
    for j, i in np.ndindex(zoomed.shape):
        assert zoomed[j, i] == pytest.approx(naive.fourier_value(data, (ys[j, i], xs[j, i])).real, abs=1e-12)


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize(
    ("convention", "middle"), [(float, {8: 3.5, 9: 4}), (np.floor, {8: 3, 9: 4}), (np.ceil, {8: 4, 9: 4})]
)
def test_middle_conventions(rng, size, convention, middle):
    data = rng.random((size, size))
    (ys, xs), zoomed = zoom.zoomnd(data, (1, -2), convention, usfac=2, outshape=(3, 3), return_xouts=True)
    assert (ys[1, 1], xs[1, 1]) == (middle[size] + 1, middle[size] - 2)
    if middle[size] % 1 == 0:
        assert zoomed[1, 1] == pytest.approx(data[int(middle[size]) + 1, int(middle[size]) - 2])


def test_zoom_in_three_dimensions(rng):
    """Not possible in the seed."""
    data = rng.random((4, 5, 6))
    positions, zoomed = zoom.zoomnd(data, usfac=2, return_xouts=True)
    assert positions.shape == (3, 4, 5, 6)
    assert zoomed[1, 2, 3] == pytest.approx(naive.fourier_value(data, positions[:, 1, 2, 3]).real)


def test_zoom1d(rng):
    data = rng.random(9)
    x, zoomed = zoom.zoom1d(data, 2, outsize=3, offset=1.0, return_xouts=True)
    np.testing.assert_allclose(x, [4.5, 5, 5.5])
    assert zoomed[1] == pytest.approx(data[5])
    np.testing.assert_allclose(zoom.zoom1d(data, 2, outsize=3, offset=1.0, return_real=False).real, zoomed)


@pytest.mark.parametrize("shape", [(8, 9), (9, 8), (1, 6)])
def test_dftups_is_the_padded_transform(rng, shape):
    spectrum = np.fft.fft2(rng.random(shape)) * np.exp(1j * rng.random(shape))
    padded = np.zeros((3 * shape[0], 3 * shape[1]), complex)
    rows, columns = (np.fft.fftfreq(n, 1 / n).astype(int) for n in shape)
    padded[np.ix_(rows, columns)] = spectrum
    whole = np.fft.fft2(padded)
    for function in (dftups, upsample.odddftups):
        np.testing.assert_allclose(function(spectrum, 3 * shape[0], 3 * shape[1], 3), whole, atol=1e-10)
        window = function(spectrum, 2, 3, usfac=3, roff=1, coff=-2)
        np.testing.assert_allclose(window, whole[np.ix_([-1, 0], [2, 3, 4])], atol=1e-10)
    x, line = upsample.dftups1d(spectrum[0], 3, 4, offset=2, return_xouts=True)
    np.testing.assert_allclose(x, np.array([2, 3, 4, 5]) / 3)
    np.testing.assert_allclose(line, dftups(spectrum[:1], 1, 4, 3, coff=-2)[0], atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_upsampled_images_are_real(rng, dtype):
    """Row 30: complex128."""
    image = (100 * rng.random((5, 6))).astype(dtype)
    fine = upsample_image(image, 3)
    assert fine.shape == (15, 18)
    assert fine.dtype == (np.float32 if dtype == np.float32 else np.float64)
    np.testing.assert_allclose(fine[::3, ::3], image, atol=1e-4)
    shifted = upsample_image(image, 3, output_size=(15, 18), xshift=3, yshift=-6)
    np.testing.assert_allclose(shifted[::3, ::3], np.roll(image, (-2, 1), (0, 1)), atol=1e-4)
    assert upsample_image(image, 3, output_size=4).shape == (4, 4)
