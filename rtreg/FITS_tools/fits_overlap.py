"""The header of the area of sky that two FITS images share, or cover together."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import pixel_to_pixel

from rtreg.errors import FrameError
from rtreg.FITS_tools.load_header import image_wcs, load_header
from rtreg.FITS_tools.projection import header_shape

__all__ = ["fits_overlap", "header_overlap"]

# every card that has a say in where pixels lie
_WCS_CARDS = re.compile(
    r"WCSAXES|(CRPIX|CRVAL|CDELT|CROTA|CTYPE|CUNIT)\d+|(CD|PC)\d+_\d+|P[VS]\d+_\d+|LONPOLE|LATPOLE|RADESYS|RADECSYS"
    r"|EQUINOX|EPOCH|(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)|(CPDIS|CPERR|D2IM\w*|DP|DQ)\d*(\..*)?"
)
_BORDER = 33  # points along each side of an image; curved sides bulge by less than 1/1000 of a chord between them


def fits_overlap(file1: Any, file2: Any, **kwargs: Any) -> fits.Header:
    """The header of the area that two FITS images cover together, or share.

    Parameters
    ----------
    file1, file2 : str, Path, HDU, HDUList, Header or header text
        Two images; only their headers are read.
    **kwargs
        ``overlap`` and ``max_separation``, as in `header_overlap`.

    Returns
    -------
    astropy.io.fits.Header
        As of `header_overlap`.
    """
    return header_overlap(load_header(file1), load_header(file2), **kwargs)


def header_overlap(
    hdr1: Any, hdr2: Any, max_separation: float = 180, overlap: Literal["union", "intersection"] = "union"
) -> fits.Header:
    """The header of the smallest unrotated image that holds the area two images cover together, or share.

    The projection and the celestial frame are those of `hdr1`, the pixels as fine as the finer of the two; sides run
    along longitude and latitude. Sizes are measured on the projected sky, so right ascension is scaled by cos(dec),
    images on either side of longitude 0 are neighbours, and images in two celestial frames (RA, l) are compared in
    that of `hdr1`.

    Parameters
    ----------
    hdr1, hdr2 : Header, or anything else that `load_header` takes
        Each with NAXIS1, NAXIS2 and a WCS of two axes.
    max_separation : float
        Largest angle between the two images' centres on the sky, degrees; images further apart are refused. The
        default refuses none.
    overlap : {"union", "intersection"}
        Which area. Images that share none have an intersection with NAXIS1 or NAXIS2 of 0.

    Returns
    -------
    astropy.io.fits.Header
        `hdr1` with its WCS and NAXIS1, NAXIS2 replaced; CRPIX lies at the middle of the area.

    Raises
    ------
    ValueError
        `overlap` is neither of the two; the images are more than `max_separation` apart; or (`FrameError`) a header
        gives no size, or the projection of `hdr1` cannot show both images at once.
    """
    if overlap not in ("union", "intersection"):
        raise ValueError(f"overlap = {overlap!r} must be 'union' or 'intersection'")
    headers = load_header(hdr1), load_header(hdr2)
    wcs1, wcs2 = (image_wcs(header) for header in headers)
    borders = [_border(header_shape(header)) for header in headers]
    _check_separation(wcs1, wcs2, borders, max_separation)
    grid = _unrotated(wcs1, wcs2)
    # twice: the second time with the reference point in the middle of the area, where distortion is least
    for _ in range(2):
        low, high = _box(grid, (wcs1, wcs2), borders, overlap)
        middle = (low + high) / 2
        grid.wcs.crval = grid.wcs_pix2world([middle], 0)[0]
        grid.wcs.set()
    low, high = _box(grid, (wcs1, wcs2), borders, overlap)
    # a thousandth of a pixel is round-off, not another row of pixels
    size = np.ceil(np.maximum(high - low, 0) - 1e-3).astype(int)
    grid.wcs.crpix = grid.wcs.crpix - ((low + high) / 2 - (size - 1) / 2)
    return _header(headers[0], grid, size)


def _border(shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Points along the outer edge of an image's pixels: (2, n), x first, counted from 0."""
    ny, nx = shape
    along = np.linspace(0, 1, _BORDER)
    low, high = np.zeros_like(along), np.ones_like(along)
    x = np.concatenate([along, high, along, low])
    y = np.concatenate([low, along, high, along])
    return np.array([x * nx - 0.5, y * ny - 0.5])


def _unrotated(wcs1: WCS, wcs2: WCS) -> WCS:
    """A WCS like the first, without rotation and distortion, with the finer of the two pixel scales."""
    matrix1, matrix2 = (np.asarray(wcs.pixel_scale_matrix, float) for wcs in (wcs1, wcs2))
    grid = WCS(naxis=2)
    grid.wcs.ctype = [_undistorted(ctype) for ctype in wcs1.wcs.ctype]
    grid.wcs.cunit = wcs1.wcs.cunit
    grid.wcs.crval = wcs1.wcs.crval
    # the reference pixel is at 0, 0; where the image begins is known only when its area is
    grid.wcs.crpix = [1.0, 1.0]
    grid.wcs.cdelt = _signs(matrix1) * np.minimum(*(np.hypot.reduce(matrix, axis=1) for matrix in (matrix1, matrix2)))
    grid.wcs.radesys, grid.wcs.equinox = wcs1.wcs.radesys, wcs1.wcs.equinox
    if not any(ctype.endswith("TPV") for ctype in wcs1.wcs.ctype):
        grid.wcs.set_pv(wcs1.wcs.get_pv())
    grid.wcs.set()
    return grid


def _undistorted(ctype: str) -> str:
    return ctype.removesuffix("-SIP").replace("-TPV", "-TAN")


def _signs(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Signs of the steps along both axes that keep the image's handedness: y as it points, x to match."""
    # round-off of a rotation by 90 degrees is no direction
    y = -1.0 if matrix[1, 1] < -1e-9 * np.abs(matrix).max() else 1.0
    return np.array([y * np.sign(np.linalg.det(matrix)), y])


def _box(
    grid: WCS, both: tuple[WCS, WCS], borders: list[npt.NDArray[np.float64]], overlap: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lower and upper corner (x, y) of the area on the grid, px from 0, out to the pixels' edges."""
    seen = [np.array(pixel_to_pixel(wcs, grid, *border)) for wcs, border in zip(both, borders, strict=True)]
    if not all(np.isfinite(points).all() for points in seen):
        raise FrameError(
            f"the projection {grid.wcs.ctype[0]} cannot show both images at once; they lie too far apart, "
            "or an image reaches beyond its own projection"
        )
    low = np.array([points.min(axis=1) for points in seen])
    high = np.array([points.max(axis=1) for points in seen])
    if overlap == "union":
        return low.min(axis=0), high.max(axis=0)
    return low.max(axis=0), high.min(axis=0)


def _check_separation(wcs1: WCS, wcs2: WCS, borders: list[npt.NDArray[np.float64]], limit: float) -> None:
    if not (wcs1.has_celestial and wcs2.has_celestial):
        return
    centres = [wcs.pixel_to_world(*border.mean(axis=1)) for wcs, border in zip((wcs1, wcs2), borders, strict=True)]
    apart = float(centres[0].separation(centres[1]).deg)
    if apart > limit:
        raise ValueError(f"the images are {apart:.4g} degrees apart, more than max_separation = {limit:g}")


def _header(header: fits.Header, grid: WCS, size: npt.NDArray[np.int_]) -> fits.Header:
    """`header` with the grid for its WCS."""
    new = header.copy()
    for key in list(new):
        if _WCS_CARDS.fullmatch(key):
            new.remove(key, ignore_missing=True, remove_all=True)
    new.update(grid.to_header(relax=True))
    new["NAXIS1"], new["NAXIS2"] = int(size[0]), int(size[1])
    return new
