"""Headers, images and pixel scales from whatever a caller has at hand: files, HDUs, headers, header text, arrays."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from rtreg.errors import FrameError

__all__ = ["get_cd", "image_wcs", "load_data", "load_header"]

_BLOCK = 2880  # bytes; FITS files are made of these


def load_header(header: Any) -> fits.Header:
    """The header of an image, given in any of the ways below; always a copy.

    Parameters
    ----------
    header : str, Path, file object, HDU, HDUList, Header, mapping or (data, header) tuple
        A string is the name of a FITS file, the name of a text file with one card a line, or header text itself:
        cards of 80 characters, or one a line. Of a FITS file or an HDU list, the header of the HDU whose image
        `load_data` takes: the first that holds one, or else the first.

    Returns
    -------
    astropy.io.fits.Header

    Raises
    ------
    FileNotFoundError
        The string is neither header text nor the name of a file.
    FrameError
        There is no header in this: an array, or a text file without cards.
    OSError
        The file is neither text nor FITS.
    """
    if isinstance(header, tuple):
        header = header[1]
    if isinstance(header, WCS):
        return _wcs_header(header)
    if isinstance(header, Mapping | fits.Header):
        return fits.Header(header, copy=True)
    if isinstance(header, fits.HDUList):
        return _choose(header).header.copy()
    if isinstance(getattr(header, "header", None), fits.Header):
        return header.header.copy()
    if isinstance(header, str) and _is_text(header):
        return _from_text(header)
    if isinstance(header, str | os.PathLike):
        return _from_file(header)
    if hasattr(header, "read"):
        with fits.open(header, memmap=False) as hdus:
            return _choose(hdus).header.copy()
    raise FrameError(f"there is no FITS header in {type(header).__name__}; give a file, an HDU or a header")


def load_data(data: Any) -> npt.NDArray[Any]:
    """The image given as an array, a file, an HDU, an HDU list or a (data, header) tuple.

    Parameters
    ----------
    data : array, str, Path, file object, HDU, HDUList or (data, header) tuple
        An array is returned as it is. Of a FITS file or an HDU list, the first HDU that holds an image counts.

    Returns
    -------
    array
        (ny, nx) or what the HDU holds, BSCALE and BZERO applied, in the byte order of the source.

    Raises
    ------
    FileNotFoundError
        No such file.
    FrameError
        There is no image in this.
    """
    if isinstance(data, tuple):
        data = data[0]
    if isinstance(data, np.ndarray):
        return data
    if isinstance(data, str | os.PathLike) or hasattr(data, "read"):
        # not memory-mapped: the array must outlive the file
        with fits.open(data, memmap=False) as hdus:
            return _image(_choose(hdus), data)
    return _image(_choose(data) if isinstance(data, fits.HDUList) else data, data)


def get_cd(wcs: Any, n: int = 1) -> float:
    """How far the world coordinate moves for one pixel along pixel axis `n`.

    Parameters
    ----------
    wcs : astropy.wcs.WCS, or anything that `load_header` takes
        CD matrix, CDELT with or without CROTA, or PC matrix.
    n : int
        Pixel axis, counted from 1 as FITS does: 1 is x.

    Returns
    -------
    float
        World units (degrees on the sky) a pixel. With rotation, the length of the step; its sign is that of the
        step's component along world axis `n`, or of its largest component where it has none (90 degrees).
        Never None.
    """
    if not isinstance(wcs, WCS):
        wcs = image_wcs(wcs)
    step = np.asarray(wcs.pixel_scale_matrix, float)[:, n - 1]
    length = float(np.hypot.reduce(step))
    # cos(90 deg) is 6e-17, and its sign is noise
    leading = step[n - 1] if abs(step[n - 1]) > 1e-9 * length else step[np.argmax(np.abs(step))]
    return float(np.copysign(length, leading))


def image_wcs(header: Any) -> WCS:
    """The WCS of an image's two axes, from anything that `load_header` takes."""
    with warnings.catch_warnings():
        # it says so at every old spelling of a date or a unit that it understood
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(load_header(header), naxis=2)


def _choose(hdus: fits.HDUList) -> Any:
    """The first HDU that holds an image, or else the first."""
    return next((hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS", 0) > 0), hdus[0])


def _image(hdu: Any, source: Any) -> npt.NDArray[Any]:
    image = getattr(hdu, "data", None)
    if not isinstance(image, np.ndarray) or image.dtype.names is not None:
        name = source if isinstance(source, str | os.PathLike) else type(source).__name__
        raise FrameError(f"there is no image in {name}; give a file, an HDU or an array that holds one")
    return image


def _is_text(text: str) -> bool:
    """Header text, not a file name: more than one line, or a card's value indicator in column 9."""
    return "\n" in text or text[8:10] == "= "


def _from_text(text: str) -> fits.Header:
    lines = text.splitlines()
    cards = "\n".join(line.rstrip() for line in lines if line.strip()) if len(lines) > 1 else text
    return fits.Header.fromstring(cards, sep="\n" if len(lines) > 1 else "")


def _from_file(path: str | os.PathLike[str]) -> fits.Header:
    # opened here, since the library leaves a file open that it cannot read
    with open(path, "rb") as file:
        if _begins_as_text(file.read(_BLOCK)):
            file.seek(0)
            text = file.read().decode("ascii", errors="replace")
            if not any(line[8:10] == "= " for line in text.splitlines()):
                raise FrameError(f"{path} is neither a FITS file nor the text of a header")
            return _from_text(text)
        file.seek(0)
        with fits.open(file, memmap=False) as hdus:
            return _choose(hdus).header.copy()


def _begins_as_text(head: bytes) -> bool:
    """Lines of text; a FITS file begins with a whole block without line ends, a compressed one is not ASCII."""
    return head.isascii() and (b"\n" in head or len(head) < _BLOCK)


def _wcs_header(wcs: WCS) -> fits.Header:
    header = wcs.to_header(relax=True)
    for axis, size in enumerate(wcs.pixel_shape or (), 1):
        header[f"NAXIS{axis}"] = size
    return header
