"""A FITS file as a stack of images, read one at a time, and written so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from rtreg.errors import FrameError
from rtreg.records import UNKNOWN_TIME

__all__ = ["Cube", "CubeWriter"]

_TABLE = "FRAMES"  # the extension with what is known of each frame
_BLOCK = 2880  # bytes: every part of a FITS file is filled up to a multiple
_BITPIX = {"uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "float32": -32, "float64": -64}
_UNSIGNED = np.uint16(0x8000)  # BZERO of uint16 stored as int16: the top bit, the other way round


class Cube:
    """The first HDU of a FITS file that holds a 2-D or 3-D image: ``len(cube)``, ``cube[i]``, `close`.

    Images are (ny, nx), with BZERO and BSCALE applied, in the byte order of the file. Only the image that is asked
    for is read.

    Raises
    ------
    FrameError
        No HDU holds a 2-D or 3-D image.
    OSError
        The file is not FITS, or cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        # not memory-mapped: the library cannot scale what it maps, and a section reads one image anyway
        self._file = fits.open(path, memmap=False, lazy_load_hdus=True)
        try:
            self._hdu = self._find(path)
        except BaseException:
            self._file.close()
            raise
        shape = self._hdu.shape
        self._count = 1 if len(shape) == 2 else int(shape[0])
        self._table = self._facts()

    def _find(self, path: str | Path) -> Any:
        shapes = []
        for hdu in self._file:
            if hdu.is_image and len(hdu.shape) in (2, 3):
                return hdu
            shapes.append(str(hdu.shape) if hdu.is_image and hdu.shape else "no image")
        raise FrameError(f"{path} holds no 2-D or 3-D image; its HDUs are: {', '.join(shapes)}")

    def _facts(self) -> Any:
        """The table of what is known of each frame, if `CubeWriter` wrote one; else None."""
        if len(self._hdu.shape) != 3:
            return None
        tables = (hdu.data for hdu in self._file[1:] if hdu.name == _TABLE and not hdu.is_image)
        table = next(tables, None)
        return table if table is not None and len(table) == self._count and "HEADER" in table.names else None

    def about(self, index: int) -> dict[str, Any]:
        """What is known of a frame, under the keys of the wire's header; of one image, its time by DATE-AVG or -OBS."""
        if self._table is not None:
            about: dict[str, Any] = json.loads(self._table["HEADER"][index])
            return about
        return _time(self._hdu.header) if self._count == 1 else {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> npt.NDArray[Any]:
        # a section reads and scales no more than it must; `data` would hold the whole cube in memory
        section = self._hdu.section
        image = section[:, :] if len(self._hdu.shape) == 2 else section[index, :, :]
        return np.asarray(image)

    def close(self) -> None:
        """Close the file; twice does no harm."""
        self._file.close()


def _time(header: fits.Header) -> dict[str, int]:
    """`t_ns` of an image: the middle of its exposure, as far as its header tells the beginning and the length."""
    if str(header.get("TIMESYS", "UTC")).strip().upper() != "UTC":
        return {}
    middle, begin, length = header.get("DATE-AVG"), header.get("DATE-OBS"), header.get("EXPTIME", 0.0)
    try:
        text, after = (middle, 0.0) if middle else (begin, length / 2)
        if not isinstance(text, str) or "T" not in text:
            return {}
        return {"t_ns": int(np.datetime64(text.strip().removesuffix("Z"), "ns").astype(np.int64)) + round(after * 1e9)}
    except (TypeError, ValueError, OverflowError):
        return {}


class CubeWriter:
    """Writes frames of one shape and dtype to a new FITS cube, and what is known of each to the table FRAMES in it.

    The table has the columns T_NS (mid-exposure, UTC ns since 1970), EXP_NS and HEADER (JSON).

    Parameters
    ----------
    path : str or Path
    shape : (ny, nx)
    dtype : uint8, int16, uint16, int32, float32 or float64
    """

    def __init__(self, path: str | Path, shape: tuple[int, int], dtype: npt.DTypeLike) -> None:
        self._path, self._shape, self._dtype = path, shape, np.dtype(dtype)
        self._facts: list[tuple[int, int, str]] = []
        self._file = open(path, "wb")  # noqa: SIM115 - closed by `close`
        self._file.write(self._header(0))

    def _header(self, count: int) -> bytes:
        """The header of a cube of so many frames; its length does not depend on how many."""
        ny, nx = self._shape
        cards = {"SIMPLE": True, "BITPIX": _BITPIX[self._dtype.name], "NAXIS": 3}
        cards |= {"NAXIS1": nx, "NAXIS2": ny, "NAXIS3": count, "EXTEND": True}
        if self._dtype == np.uint16:
            cards |= {"BZERO": 32768, "BSCALE": 1}
        return str(fits.Header(cards).tostring()).encode("ascii")

    def write(self, pixels: npt.NDArray[Any], t_ns: int | None, exp_ns: int, header: str) -> None:
        """Append a frame: its mid-exposure UTC ns, its exposure in ns, its header as JSON."""
        if self._dtype == np.uint16:
            pixels = (pixels ^ _UNSIGNED).view(np.int16)
        self._file.write(pixels.astype(pixels.dtype.newbyteorder(">")).data)
        self._facts.append((UNKNOWN_TIME if t_ns is None else t_ns, exp_ns, header))

    def close(self) -> None:
        """Fill up the last block, write how many frames there are and what is known of them, and close."""
        if self._file.closed:
            return
        self._file.write(bytes(-self._file.tell() % _BLOCK))
        self._file.seek(0)
        self._file.write(self._header(len(self._facts)))
        self._file.close()
        if not self._facts:
            return
        times, exposures, headers = zip(*self._facts, strict=True)
        columns = (
            fits.Column("T_NS", "K", unit="ns", null=UNKNOWN_TIME, array=np.asarray(times, np.int64)),
            fits.Column("EXP_NS", "K", unit="ns", array=np.asarray(exposures, np.int64)),
            fits.Column("HEADER", f"{max(map(len, headers))}A", array=np.asarray(headers)),
        )
        with fits.open(self._path, mode="append") as file:
            file.append(fits.BinTableHDU.from_columns(columns, name=_TABLE))
