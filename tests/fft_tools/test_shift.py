"""Fourier shifts of what can be evaluated anywhere."""

import numpy as np
import pytest

from rtreg.fft_tools import shift, shift2d, shiftnd


def wave(shape, offset):
    """A periodic band-limited array, moved."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    parts = [np.cos(2 * np.pi * 2 * (x - d) / n + 0.7) for x, d, n in zip(axes, offset, shape, strict=True)]
    return 3 + sum(parts) + np.prod(np.broadcast_arrays(*parts), axis=0)


@pytest.mark.parametrize(
    ("shape", "offset"), [((9,), (1.3,)), ((8, 11), (0.4, -3.7)), ((12, 9), (-20.5, 2)), ((6, 7, 8), (0.5, -1.25, 2.1))]
)
@pytest.mark.parametrize("use_numpy_fft", [False, True])
def test_shiftnd_moves_the_content(shape, offset, use_numpy_fft):
    moved = shiftnd(wave(shape, np.zeros(len(shape))), offset, use_numpy_fft=use_numpy_fft)
    np.testing.assert_allclose(moved, wave(shape, offset), atol=1e-12)


def test_shift2d_takes_x_first():
    image = np.zeros((8, 10))
    image[2, 3] = 1
    assert np.unravel_index(shift2d(image, 4, 1).argmax(), image.shape) == (3, 7)
    np.testing.assert_allclose(shift2d(image, 0.3, -1.2), shiftnd(image, (-1.2, 0.3)))


def test_float32_stays():
    """Row 25: complex128 everywhere."""
    image = wave((8, 11), (0, 0)).astype(np.float32)
    assert shiftnd(image, (1, 2)).dtype == np.float32
    assert shiftnd(image, (1, 2), return_real=False).dtype == np.complex64
    assert shiftnd(image.astype(">f4"), (1, 2)).dtype == np.float32
    assert shiftnd(image.astype(np.int16), (1, 2)).dtype == np.float64


def test_phase_and_kinds_of_answer():
    image = wave((8, 11), (0, 0))
    turned = shiftnd(image, (0.25, 1.5), phase=0.4, return_real=False)
    np.testing.assert_allclose(turned, wave((8, 11), (0.25, 1.5)) * np.exp(-0.4j), atol=1e-12)
    np.testing.assert_allclose(shiftnd(image, (0.25, 1.5), phase=0.4), turned.real)
    np.testing.assert_allclose(shiftnd(image, (0.25, 1.5), 0.4, return_real=False, return_abs=True), np.abs(turned))


def test_bad_pixels_count_as_zero_and_the_input_is_left_alone():
    image = wave((8, 11), (0, 0))
    image[1, 1], image[2, 2] = np.nan, np.inf
    masked = np.ma.array(image, mask=np.zeros(image.shape, bool))
    masked[3, 3] = np.ma.masked
    clean = image.copy()
    clean[[1, 2, 3], [1, 2, 3]] = 0
    image.flags.writeable = False
    np.testing.assert_allclose(shiftnd(masked, (1.5, 0.5)), shiftnd(clean, (1.5, 0.5)))


def test_one_offset_an_axis():
    with pytest.raises(ValueError, match="1 offsets for an array of 2 axes"):
        shift.shiftnd(np.zeros((4, 4)), (1,))
    with pytest.raises(ValueError, match="2-D"):
        shift.shift2d(np.zeros(4), 1, 1)
