"""SER, the raw video format of planetary and solar cameras: a header, the frames, a trailer of their times.

The layout is that of "SER format description version 3" (H. Wilkens, G. Hahn, 2014). One thing follows practice and
not the document: LittleEndian = 0 means little-endian pixels, since the first programs had it the wrong way round and
those that came later keep to them.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg.errors import FrameError

__all__ = ["SerReader", "SerWriter"]

_HEADER = struct.Struct("<14s7i40s40s40s2q")
_MAGIC = b"LUCAM-RECORDER"
_LARGEST = 65536  # px along a side: beyond what any camera has, a header says nonsense
_EPOCH = 621_355_968_000_000_000  # ticks of 100 ns from the year 1 to 1970
_COLOURS = {8: "Bayer RGGB", 9: "Bayer GRBG", 10: "Bayer GBRG", 11: "Bayer BGGR", 100: "RGB", 101: "BGR"}


class _Header(NamedTuple):
    magic: bytes
    camera: int
    colour: int
    big_endian: int
    width: int
    height: int
    depth: int
    frames: int
    observer: bytes = b""
    instrument: bytes = b""
    telescope: bytes = b""
    local_time: int = 0
    utc_time: int = 0


class SerReader:
    """A SER file, memory-mapped: ``len(ser)``, ``ser[i]`` (ny, nx) uint8 or uint16 as stored, `time`.

    Raises
    ------
    FrameError
        It is no SER file, it is in colour, or it was cut off; the message says which.
    """

    def __init__(self, path: str | Path) -> None:
        size = Path(path).stat().st_size
        with open(path, "rb") as file:
            head = file.read(_HEADER.size)
        if len(head) < _HEADER.size or not head.startswith(_MAGIC):
            raise FrameError(f"{path} is no SER file: it does not begin with {_MAGIC.decode()}")
        header = _Header(*_HEADER.unpack(head))
        dtype = _dtype(path, header)
        shape = (header.height, header.width)
        body = header.frames * header.height * header.width * dtype.itemsize
        rest = size - _HEADER.size - body
        if rest < 0:
            raise FrameError(f"{path} was cut off: {header.frames} frames need {-rest} bytes more than there are")
        if 0 < rest < 8 * header.frames:
            raise FrameError(f"{path} was cut off: {rest} bytes of its {8 * header.frames} bytes of times are there")
        self._frames = np.memmap(path, dtype, "r", _HEADER.size, (header.frames, *shape))
        timed = header.frames if rest else 0
        self._ticks: npt.NDArray[np.int64] = np.fromfile(path, "<i8", timed, offset=_HEADER.size + body)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> npt.NDArray[Any]:
        return np.asarray(self._frames[index])

    def time(self, index: int) -> int | None:
        """UTC ns since 1970 of a frame, in steps of 100 ns; None where the file does not say."""
        if not len(self._ticks) or not self._ticks[index] > 0:
            return None
        time = (int(self._ticks[index]) - _EPOCH) * 100
        return time if abs(time) < 1 << 63 else None


def _dtype(path: str | Path, header: _Header) -> np.dtype[Any]:
    """dtype of the pixels, after a look at what the header says of them."""
    if header.colour:
        colour = _COLOURS.get(header.colour, f"of colour type {header.colour}")
        raise FrameError(f"{path} is {colour}; convert it to grey")
    if not (0 < header.width <= _LARGEST and 0 < header.height <= _LARGEST):
        raise FrameError(f"{path} says that its frames are {header.width} x {header.height}: its header is broken")
    if not 1 <= header.depth <= 16:
        raise FrameError(f"{path} says that its pixels have {header.depth} bits; 1 to 16 can be read")
    if header.frames < 1:
        raise FrameError(f"{path} says that it holds {header.frames} frames: it was not closed, or is empty")
    if header.depth <= 8:
        return np.dtype("u1")
    return np.dtype(">u2" if header.big_endian else "<u2")


class SerWriter:
    """Writes frames of one shape, uint8 or uint16, with their times, to a new SER file.

    Parameters
    ----------
    path : str or Path
    shape : (ny, nx)
    dtype : uint8 or uint16

    Raises
    ------
    FrameError
        A dtype or size that SER has no room for.
    """

    def __init__(self, path: str | Path, shape: tuple[int, int], dtype: npt.DTypeLike) -> None:
        kind = np.dtype(dtype)
        if kind not in (np.uint8, np.uint16):
            raise FrameError(f"SER holds uint8 and uint16 pixels, not {kind}; use FITS, TIFF or HDF5")
        if max(shape) > _LARGEST:
            raise FrameError(f"frames of {shape} are too large for SER: at most {_LARGEST} px along a side")
        self._dtype = kind.newbyteorder("<")
        self._shape = shape
        self._ticks: list[int] = []
        self._file = open(path, "wb")  # noqa: SIM115 - closed by `close`
        self._file.write(self._header())

    def _header(self) -> bytes:
        ny, nx = self._shape
        first = next((ticks for ticks in self._ticks if ticks), 0)
        depth = 8 * self._dtype.itemsize
        # without a start time readers take it that there is no trailer; of the local time zone nothing is known
        count = len(self._ticks)
        return _HEADER.pack(*_Header(_MAGIC, 0, 0, 0, nx, ny, depth, count, local_time=first, utc_time=first))

    def write(self, pixels: npt.NDArray[Any], t_ns: int | None, exp_ns: int = 0, header: str = "") -> None:
        """Append a frame; its UTC time is kept to 100 ns, and as 0 where it is None. There is no room for the rest."""
        self._file.write(np.ascontiguousarray(pixels, self._dtype).data)
        self._ticks.append(0 if t_ns is None else _EPOCH + (t_ns + 50) // 100)

    def close(self) -> None:
        """Write times and header, and close; a file that was not closed says that it holds no frames."""
        if self._file.closed:
            return
        self._file.write(np.asarray(self._ticks, "<i8").tobytes())
        self._file.seek(0)
        self._file.write(self._header())
        self._file.close()
