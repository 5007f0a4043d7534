"""Images from files, one at a time: FITS, TIFF, SER, HDF5, ``.npy``, PNG, recordings, and folders of them.

Formats differ in how they fail; here each failure is one `FrameError` that names the file and says what is wrong.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from rtreg.errors import FrameError, RtregError

__all__ = ["Stack", "file_of", "is_fits", "load_image", "open_stack"]

T = TypeVar("T")
R = TypeVar("R")
Image = npt.NDArray[Any]

_DTYPES = ("uint8", "uint16", "int16", "int32", "float32", "float64")


def _nothing(index: int) -> dict[str, Any]:
    """What a format says of an image that says nothing but the image."""
    return {}


class _Source(NamedTuple):
    """What a format has to offer: how many images, image i as it is stored, how to let go, what is known of image i."""

    length: int
    read: Callable[[int], Image]
    close: Callable[[], None]
    about: Callable[[int], dict[str, Any]] = _nothing


class Stack:
    """Images (ny, nx) of one shape and dtype, read from `path` when asked for: ``len(stack)``, ``stack[i]``.

    Each image is native-endian, C-contiguous and read-only. Made by `open_stack`; close it, or use it in a ``with``.

    Attributes
    ----------
    path : str
    shape : (int, int)
        Of one image, ``(ny, nx)``.
    dtype : numpy.dtype
    """

    def __init__(self, path: str, source: _Source) -> None:
        self.path = path
        self._source = source
        if source.length == 0:
            raise FrameError(f"{path} holds no image")
        first = self._read(0)
        self.shape: tuple[int, ...] = first.shape
        self.dtype = first.dtype

    def __len__(self) -> int:
        return self._source.length

    def __getitem__(self, index: int) -> Image:
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        image = self._read(index % len(self))
        if image.shape != self.shape or image.dtype != self.dtype:
            raise FrameError(
                f"{self.path}: image {index % len(self)} is {image.shape} {image.dtype}, "
                f"the first is {self.shape} {self.dtype}; all must be alike"
            )
        return image

    def about(self, index: int) -> dict[str, Any]:
        """What the file says of image `index`, under the keys of a frame's wire header: `t_ns`, `exp_ns`, `seq`, ..."""
        about = _try(f"{self.path}: what is said of image {index} cannot be read", self._source.about, index)
        t_ns = about.get("t_ns", 0) if isinstance(about, dict) else None
        if type(t_ns) is not int or abs(t_ns) >= 1 << 63:
            raise FrameError(f"{self.path}: the time of image {index} is {t_ns!r}; it must be whole ns since 1970")
        return about

    def _read(self, index: int) -> Image:
        return _image(self.path, _try(f"{self.path}: image {index} cannot be read", self._source.read, index))

    def __iter__(self) -> Iterator[Image]:
        return (self[index] for index in range(len(self)))

    def __enter__(self) -> Stack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; twice does no harm."""
        self._source.close()


def open_stack(path: str | Path) -> Stack:
    """Open a file of one or many images, or a folder of them, without reading it all.

    Parameters
    ----------
    path : str or Path
        FITS (the first HDU with a 2-D or 3-D image), TIFF (all pages), SER (grey), HDF5 (its one stack, or
        ``FILE.h5:/name``), a recording (``.mcap``, a folder of them, or ``FILE.mcap:/stream``), ``.npy`` (2-D or 3-D,
        memory-mapped), grey PNG, or a folder of such files, each with one image, in natural order: ``frame9`` before
        ``frame10``.

    Raises
    ------
    FrameError
        Nothing there, or no images of one shape and a supported dtype; the message names the file.
    """
    name = str(path)
    file, inside = _split(name)
    if not file.exists():
        raise FrameError(f"{file} does not exist")
    opener: Callable[..., _Source] = _opener(file)
    if inside is not None:
        opener = functools.partial(opener, inside=inside)
    source = _try(f"{name} cannot be read", opener, file)
    try:
        return Stack(name, source)
    except BaseException:
        source.close()
        raise


def load_image(path: str | Path) -> Image:
    """The one image (ny, nx) in a file that `open_stack` opens, native-endian and read-only.

    Raises
    ------
    FrameError
        As `open_stack`, or there is more than one image.
    """
    with open_stack(path) as stack:
        if len(stack) > 1:
            raise FrameError(f"{path} holds {len(stack)} images; one is needed here")
        return stack[0]


def file_of(path: str | Path) -> Path:
    """The file or folder that `open_stack` would read: the path without the name inside an HDF5 file."""
    return _split(str(path))[0]


def is_fits(path: str | Path) -> bool:
    """Whether `open_stack` takes this for a FITS file; by its name."""
    return Path(path).name.lower().endswith(tuple(suffix for suffix, opener in _OPENERS.items() if opener is _fits))


def _split(path: str) -> tuple[Path, str | None]:
    """A file, and the name inside of it: ``night.h5:/frames``, ``night.mcap:/cam``."""
    found = re.fullmatch(r"(.+\.(?:h5|hdf5|mcap)):(/.+)", path, re.IGNORECASE)
    return (Path(found[1]), found[2]) if found else (Path(path), None)


def _try(complaint: str, call: Callable[[T], R], argument: T) -> R:
    """Call into a file format's library, which may raise anything at a broken file."""
    try:
        return call(argument)
    except RtregError:
        raise
    except Exception as error:
        raise FrameError(f"{complaint}: {error}") from error


def _opener(path: Path) -> Callable[[Path], _Source]:
    if path.is_dir():
        return _recording if any(path.glob("*.mcap")) else _folder
    for suffix, opener in _OPENERS.items():
        if path.name.lower().endswith(suffix):
            return opener
    raise FrameError(f"{path} is not a kind of file that can be read; use one of {' '.join(_OPENERS)}")


def _image(path: str, image: Image) -> Image:
    """The image as the rest of rtreg wants it, or a `FrameError`."""
    if image.ndim != 2 or image.size == 0:
        raise FrameError(f"{path}: an image must be 2-D and not empty, this one is {image.shape}")
    if image.dtype.name not in _DTYPES:
        raise FrameError(f"{path}: dtype {image.dtype} is not supported; use one of {', '.join(_DTYPES)}")
    plain = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    plain.flags.writeable = False
    return plain


def _array(path: Path, array: Image) -> _Source:
    """A 2-D or 3-D array as one or many images."""
    if array.ndim not in (2, 3):
        raise FrameError(f"{path} must hold (ny, nx) or (frames, ny, nx), not {array.shape}")
    images = array if array.ndim == 3 else array[None]
    return _Source(len(images), images.__getitem__, lambda: None)


def _folder(path: Path) -> _Source:
    files = [entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith(".")]
    files = sorted((file for file in files if file.name.lower().endswith(tuple(_OPENERS))), key=_natural)
    if not files:
        raise FrameError(f"{path} is a folder without images; it needs files that end in {' '.join(_OPENERS)}")
    return _Source(len(files), lambda index: load_image(files[index]), lambda: None)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name.lower())]


# the libraries below are imported when a file needs them: astropy alone takes half a second


def _fits(path: Path) -> _Source:
    from rtreg.FITS_tools.cubes import Cube

    cube = Cube(path)
    return _Source(len(cube), cube.__getitem__, cube.close, cube.about)


def _npy(path: Path) -> _Source:
    return _array(path, np.load(path, mmap_mode="r", allow_pickle=False))


def _tiff(path: Path) -> _Source:
    import tifffile

    tiff = tifffile.TiffFile(path)
    try:
        if any("S" in series.axes for series in tiff.series):
            raise FrameError(f"{path} is a colour image; convert it to grey")
        if any(len(series.shape) > 3 for series in tiff.series):
            shapes = ", ".join(str(series.shape) for series in tiff.series)
            raise FrameError(f"{path} must hold (ny, nx) or (frames, ny, nx), not {shapes}")
        pages = [page for series in tiff.series for page in series.pages]
        about = _ome(tiff, len(pages))
        if len(tiff.series) == 1 and tiff.series[0].dataoffset is not None:
            # one block of raw data, of which the file may describe the first image only
            tiff.close()
            return _array(path, tifffile.memmap(path, mode="r"))._replace(about=about)
    except BaseException:
        tiff.close()
        raise
    return _Source(len(pages), lambda index: np.asarray(pages[index].asarray()), tiff.close, about)


def _ome(tiff: Any, count: int) -> Callable[[int], dict[str, Any]]:
    """What an OME-TIFF says of each of its images."""
    if not tiff.is_ome:
        return _nothing
    from rtreg.io.ome import facts_of

    return facts_of(tiff.ome_metadata, count).__getitem__


def _png(path: Path) -> _Source:
    from PIL import Image as pillow

    with pillow.open(path, formats=["PNG"]) as png:
        if png.mode not in ("L", "I", "I;16", "I;16B"):
            raise FrameError(f"{path} is a PNG of mode {png.mode}; convert it to grey, 8 or 16 bit")
        # some versions of the library read 16 bit into 32
        return _array(path, np.asarray(png, np.uint8 if png.mode == "L" else np.uint16))


def _ser(path: Path) -> _Source:
    from rtreg.io.ser import SerReader

    ser = SerReader(path)

    def about(index: int) -> dict[str, Any]:
        time = ser.time(index)
        return {} if time is None else {"t_ns": time}

    return _Source(len(ser), ser.__getitem__, lambda: None, about)


def _hdf5(path: Path, inside: str | None = None) -> _Source:
    from rtreg.io.hdf5 import Hdf5Reader

    file = Hdf5Reader(path, inside)
    return _Source(len(file), file.__getitem__, file.close, file.about)


def _recording(path: Path, inside: str = "") -> _Source:
    from rtreg.io import wire
    from rtreg.io.recordings.stack import RecordedFrames

    frames = RecordedFrames(path, inside.strip("/") or None)
    return _Source(
        len(frames),
        lambda index: wire.unpack_frame(frames[index].parts).pixels,
        frames.close,
        lambda index: wire.unpack_map(frames[index].parts[1]),
    )


_OPENERS: dict[str, Callable[[Path], _Source]] = {
    ".fits": _fits,
    ".fit": _fits,
    ".fts": _fits,
    ".fits.gz": _fits,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".ser": _ser,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".mcap": _recording,
    ".npy": _npy,
    ".png": _png,
}
