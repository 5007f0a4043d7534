"""An image on another header's pixels, or on finer or coarser pixels of its own."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from rtreg.errors import FrameError
from rtreg.FITS_tools.load_header import load_data, load_header
from rtreg.FITS_tools.projection import header_shape, project_to_header

__all__ = ["hcongrid", "zoom_fits"]

_SIP_TERM = re.compile(r"(A|B|AP|BP)_(\d+)_(\d+)")


def hcongrid(
    image: npt.NDArray[Any], header1: Any, header2: Any, preserve_bad_pixels: bool = True, **kwargs: Any
) -> npt.NDArray[np.float64]:
    """Interpolate an image from one header's pixels onto another's.

    Parameters
    ----------
    image : (ny, nx) array
        On the pixels of `header1`. Never written to.
    header1, header2 : Header, or anything else that `load_header` takes
        From and to; NAXIS1 and NAXIS2 of `header2` give the shape.
    preserve_bad_pixels : bool
        Where an NaN or inf pixel had a part in the result, or there was no pixel, the result is NaN. If False, bad
        pixels count as 0, and so does what lies outside of the image.
    **kwargs
        How to interpolate, as in `project_to_header`; above all ``order``, 0 to 3.

    Returns
    -------
    (ny, nx) float64 array
        Surface brightness is kept, not flux: no factor for the size of pixels.

    Raises
    ------
    ImportError
        reproject is not installed.
    FrameError
        The image is not 2-D or `header2` gives no shape.
    """
    bad = ~np.isfinite(image)
    if bad.any():
        image = np.where(bad, np.nan if preserve_bad_pixels else 0.0, image)
    projected = project_to_header((image, load_header(header1)), header2, **kwargs)
    return projected if preserve_bad_pixels else np.nan_to_num(projected, copy=False, nan=0.0)


def zoom_fits(fitsfile: Any, scalefactor: float, preserve_bad_pixels: bool = True, **kwargs: Any) -> fits.PrimaryHDU:
    """Resample a FITS image to `scalefactor` times as many pixels a side, and keep its WCS true.

    Parameters
    ----------
    fitsfile : str, Path, HDU, HDUList or (data, header) tuple
        The image, (ny, nx).
    scalefactor : float
        Above 1, finer pixels; below 1, coarser ones, which are interpolated, not averaged.
    preserve_bad_pixels : bool
        As in `hcongrid`.
    **kwargs
        How to interpolate, as in `project_to_header`.

    Returns
    -------
    astropy.io.fits.PrimaryHDU
        float64 image of round(ny * scalefactor), round(nx * scalefactor) pixels (at least 1) that begins at the same
        corner of the sky, and the header of `fitsfile` with the WCS on the new pixels.

    Raises
    ------
    ImportError
        reproject is not installed.
    FrameError
        `scalefactor` is not a finite positive number, or the distortion of the image is a table.
    """
    if not (np.isfinite(scalefactor) and scalefactor > 0):
        raise FrameError(f"scalefactor = {scalefactor} must be a positive number")
    image, header = load_data(fitsfile), load_header(fitsfile)
    header["NAXIS1"], header["NAXIS2"] = image.shape[::-1]
    zoomed = _zoomed_header(header, scalefactor)
    return fits.PrimaryHDU(hcongrid(image, header, zoomed, preserve_bad_pixels, **kwargs), zoomed)


def _zoomed_header(header: fits.Header, factor: float) -> fits.Header:
    """The same sky on pixels 1/factor as large; the outer corner of the first pixel stays where it is."""
    if any(key.startswith(("CPDIS", "D2IM")) for key in header):
        raise FrameError("the WCS has a distortion table, which cannot be scaled; project to a header without one")
    new = header.copy()
    for key in ("BSCALE", "BZERO", "BLANK"):
        new.remove(key, ignore_missing=True)
    ny, nx = header_shape(header)
    new["NAXIS1"], new["NAXIS2"] = (max(1, round(size * factor)) for size in (nx, ny))
    linear = [key for key in header if re.fullmatch(r"CD\d_[12]", key)]
    for axis in (1, 2):
        # pixel 1 has its middle at 1 and its outer corner at 0.5
        new[f"CRPIX{axis}"] = (header.get(f"CRPIX{axis}", 0.0) - 0.5) * factor + 0.5
        if not linear:
            new[f"CDELT{axis}"] = header.get(f"CDELT{axis}", 1.0) / factor
    for key in linear:
        new[key] = header[key] / factor
    _scale_sip(new, factor)
    return new


def _scale_sip(header: fits.Header, factor: float) -> None:
    """SIP polynomials of pixels are polynomials of the new pixels (Shupe et al. 2005)."""
    for key in list(header):
        term = _SIP_TERM.fullmatch(key)
        if term:
            header[key] *= factor ** (1 - int(term[2]) - int(term[3]))
