"""SER files: what is written is read back, the bytes are those of the format, and broken files are refused."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtreg.errors import FrameError
from rtreg.io.images import open_stack
from rtreg.io.ser import SerReader, SerWriter

T0 = 1_700_000_000_123_456_700  # UTC ns, a whole number of SER's ticks


def by_hand(pixels, ticks, *, flag=0, depth=None, colour=0, count=None):
    """The bytes of a SER file, field by field from the format's description."""
    n, ny, nx = pixels.shape
    head = b"LUCAM-RECORDER"
    for field in (0, colour, flag, nx, ny, depth or 8 * pixels.itemsize, n if count is None else count):
        head += struct.pack("<i", field)
    head += b"observer".ljust(40) + b"camera".ljust(40) + b"telescope".ljust(40)
    head += struct.pack("<qq", *(ticks[:1] or [0]) * 2)
    assert len(head) == 178
    return head + pixels.tobytes() + b"".join(struct.pack("<q", tick) for tick in ticks)


def frames(dtype, n=3):
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (n, 5, 7), dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_round_trip_keeps_pixels_times_and_order(tmp_path, dtype):
    path = tmp_path / "a.ser"
    pixels, times = frames(dtype), [T0, T0 + 100, None]
    writer = SerWriter(path, (5, 7), dtype)
    for image, t_ns in zip(pixels, times, strict=True):
        writer.write(image, t_ns)
    writer.close()
    writer.close()  # twice does no harm
    with open_stack(path) as stack:
        assert len(stack) == 3
        assert stack.dtype == dtype
        np.testing.assert_array_equal(list(stack), pixels)
        assert [stack.about(k).get("t_ns") for k in range(3)] == times


def test_the_bytes_are_those_of_the_format(tmp_path):
    path = tmp_path / "a.ser"
    pixels = frames(np.uint16)
    ticks = [(T0 + k * 100) // 100 + 719162 * 86400 * 10**7 for k in range(3)]  # 719162 days from the year 1 to 1970
    writer = SerWriter(path, (5, 7), np.uint16)
    for k, image in enumerate(pixels):
        writer.write(image, T0 + 100 * k)
    writer.close()
    expected = by_hand(pixels, ticks)
    assert path.read_bytes() == expected[:42] + bytes(120) + expected[162:]


def test_byte_order_depth_and_no_times(tmp_path):
    path = tmp_path / "a.ser"
    pixels = frames(np.uint16)
    path.write_bytes(by_hand(pixels.astype(">u2"), [], flag=1, depth=12))
    with open_stack(path) as stack:
        np.testing.assert_array_equal(list(stack), pixels)
        assert stack.dtype == np.dtype("=u2")
        assert stack.about(0) == {}


def test_a_time_is_kept_to_the_nearest_tick(tmp_path):
    writer = SerWriter(tmp_path / "a.ser", (5, 7), np.uint8)
    for t_ns in (T0 + 49, T0 + 50, -51):
        writer.write(frames(np.uint8)[0], t_ns)
    writer.close()
    reader = SerReader(tmp_path / "a.ser")
    assert [reader.time(k) for k in range(3)] == [T0, T0 + 100, -100]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": 8}, "Bayer RGGB"),
        ({"colour": 100}, "RGB"),
        ({"depth": 17}, "17 bits"),
        ({"count": 0}, "0 frames"),
        ({"count": -1}, "-1 frames"),
        ({"count": 4}, "cut off"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, change, said):
    path = tmp_path / "a.ser"
    path.write_bytes(by_hand(frames(np.uint8), [], **change))
    with pytest.raises(FrameError, match=said):
        open_stack(path)


def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path):
    path = tmp_path / "a.ser"
    pixels = frames(np.uint8)
    whole = by_hand(pixels, [10**17] * 3)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length == 178 + pixels.nbytes:  # without any times it is a good file
            np.testing.assert_array_equal(list(open_stack(path)), pixels)
        else:
            with pytest.raises(FrameError, match=r"a\.ser"):
                open_stack(path)


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=164, max_size=164), st.binary(max_size=100))
def test_no_header_makes_it_crash(tmp_path_factory, header, body):
    path = tmp_path_factory.mktemp("ser", numbered=True) / "a.ser"
    path.write_bytes(b"LUCAM-RECORDER" + header + body)
    try:
        with open_stack(path) as stack:
            for k in range(len(stack)):
                assert stack[k].shape == stack.shape
                stack.about(k)
    except FrameError:
        pass
    finally:
        path.unlink()
        path.parent.rmdir()


def test_a_dtype_that_ser_has_no_room_for(tmp_path):
    with pytest.raises(FrameError, match="float32"):
        SerWriter(tmp_path / "a.ser", (5, 7), np.float32)
