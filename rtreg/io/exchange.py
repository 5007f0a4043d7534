"""Recorded frames to the files of other programs and back: FITS cube, SER, OME-TIFF, HDF5.

Pixels, order and times come back as they were (SER: times to 100 ns), and but for SER the whole header of each frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from rtreg.errors import ConfigError, FrameError, WireError
from rtreg.io import wire
from rtreg.io.images import Stack
from rtreg.io.recordings import Item

__all__ = ["FRAME_SUFFIXES", "FrameWriter", "frame_writer", "frames_to_file", "messages_of_stack"]

Message = list[wire.Buffer]
_LARGEST_TIME = 1 << 63


class FrameWriter(Protocol):
    """What each format offers."""

    def write(self, pixels: npt.NDArray[Any], t_ns: int | None, exp_ns: int, header: str) -> None:
        """Append a frame: its mid-exposure UTC ns, its exposure in ns, its header as JSON."""
        ...

    def close(self) -> None:
        """Complete the file."""
        ...


def _fits(path: Path, shape: tuple[int, int], dtype: npt.DTypeLike, count: int) -> FrameWriter:
    from rtreg.FITS_tools.cubes import CubeWriter

    return CubeWriter(path, shape, dtype)


def _ser(path: Path, shape: tuple[int, int], dtype: npt.DTypeLike, count: int) -> FrameWriter:
    from rtreg.io.ser import SerWriter

    return SerWriter(path, shape, dtype)


def _ome(path: Path, shape: tuple[int, int], dtype: npt.DTypeLike, count: int) -> FrameWriter:
    from rtreg.io.ome import OmeWriter

    return OmeWriter(path, shape, dtype, count)


def _hdf5(path: Path, shape: tuple[int, int], dtype: npt.DTypeLike, count: int) -> FrameWriter:
    from rtreg.io.hdf5 import Hdf5Writer

    return Hdf5Writer(path, shape, dtype)


_WRITERS: dict[str, Callable[[Path, tuple[int, int], npt.DTypeLike, int], FrameWriter]] = {
    ".fits": _fits,
    ".ser": _ser,
    ".ome.tif": _ome,
    ".ome.tiff": _ome,
    ".tif": _ome,
    ".tiff": _ome,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
}
FRAME_SUFFIXES = tuple(_WRITERS)


def frame_writer(path: Path, shape: tuple[int, int], dtype: npt.DTypeLike, count: int) -> FrameWriter:
    """A new file of frames, in the format that its name says.

    Parameters
    ----------
    path : Path
    shape : (ny, nx)
    dtype : dtype
    count : int
        How many frames there will be at most.

    Raises
    ------
    ConfigError, FrameError
        No such format, its library is missing, or it has no room for such pixels.
    """
    for suffix, open_writer in _WRITERS.items():
        if path.name.lower().endswith(suffix):
            return open_writer(path, shape, dtype, count)
    raise ConfigError(f"{path} cannot be written: frames go into files that end in {', '.join(FRAME_SUFFIXES)}")


def frames_to_file(frames: Iterable[Item], path: Path, count: int) -> Iterator[int]:
    """Write recorded frames to a new file; yields after each how many there are.

    Raises
    ------
    FrameError
        There are none, or not all are of one shape and dtype.
    """
    writer, like, done = None, None, 0
    try:
        for found in frames:
            header, frame = wire.unpack_map(found.parts[1]), wire.unpack_frame(found.parts)
            pixels = frame.pixels
            if writer is None:
                like = (pixels.shape, pixels.dtype)
                writer = frame_writer(path, (pixels.shape[0], pixels.shape[1]), pixels.dtype, count)
            if like != (pixels.shape, pixels.dtype):
                raise FrameError(
                    f"frame {frame.seq} is {pixels.shape} {pixels.dtype}, those before are {like}; cut there"
                )
            known = abs(frame.t_ns) < _LARGEST_TIME
            writer.write(pixels, frame.t_ns if known else None, frame.exp_ns, json.dumps(header, default=repr))
            done += 1
            yield done
        if writer is None:
            raise FrameError(f"{path} is not written: there are no frames")
    finally:
        if writer is not None:
            writer.close()


def messages_of_stack(
    stack: Stack, *, stream: str | None, epoch: int, rate_hz: float | None, start_ns: int
) -> Iterator[tuple[int, Message]]:
    """The images of a file as frame messages, each with its UTC ns.

    Parameters
    ----------
    stack : Stack
    stream : str, optional
        Name of the stream; by default what the file says, or else "cam".
    epoch : int
        Of frames of which the file does not say it.
    rate_hz : float, optional
        Of frames whose time the file does not say; the first is at `start_ns`.
    start_ns : int

    Raises
    ------
    ConfigError
        A time is not known, and no rate is given.
    FrameError
        What the file says of a frame cannot be.
    """
    for index in range(len(stack)):
        pixels, about = stack[index], stack.about(index)
        if "t_ns" not in about:
            if rate_hz is None:
                raise ConfigError(f"{stack.path} does not say when image {index} was taken; give its frames a --rate")
            about["t_ns"] = start_ns + round(index * 1e9 / rate_hz)
        header = {"stream": "cam", "epoch": epoch, "seq": index, **about}
        header |= {"v": wire.VERSION, "kind": "frame", "shape": pixels.shape, "dtype": pixels.dtype.str}
        if stream is not None:
            header["stream"] = stream
        try:
            parts: Message = [wire.topic("f", str(header["stream"])), wire.pack_map(header), pixels.tobytes()]
            wire.unpack_frame(parts)
        except (WireError, TypeError, ValueError) as error:
            raise FrameError(f"{stack.path}: what it says of image {index} cannot be: {error}") from None
        yield int(about["t_ns"]), parts
