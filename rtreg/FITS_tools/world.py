"""Pixel offsets as world offsets, through the whole pixel scale matrix: rotation and skew included."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from astropy.wcs import WCS

from rtreg.FITS_tools.load_header import image_wcs

__all__ = ["WorldScale"]


class WorldScale(NamedTuple):
    """The linear part of an image's WCS at its reference pixel.

    Attributes
    ----------
    matrix : (2, 2) float64 array
        World units a pixel, (world axis, pixel axis): CD, or PC times CDELT, or CDELT turned by CROTA.
    units : (str, str)
        Units of the two world axes, "deg" on the sky; "" where the header names none.
    """

    matrix: npt.NDArray[np.float64]
    units: tuple[str, str]

    @classmethod
    def of(cls, header: Any) -> WorldScale:
        """The scale of a WCS, or of anything that `load_header` takes; without a WCS it is that of pixels."""
        wcs = header if isinstance(header, WCS) else image_wcs(header)
        first, second = (str(unit) for unit in wcs.wcs.cunit)
        return cls(np.asarray(wcs.pixel_scale_matrix, float), (first, second))

    @property
    def trivial(self) -> bool:
        """True where the world is the pixel grid: there is no WCS."""
        return not any(self.units) and np.array_equal(self.matrix, np.eye(2))

    def offset(self, dx: float, dy: float) -> tuple[float, float]:
        """World offset of a pixel offset (x, y), in the order of the world axes."""
        first, second = self.matrix @ (dx, dy)
        return float(first), float(second)

    def errors(self, covariance: npt.ArrayLike) -> tuple[float, float]:
        """1-sigma errors of the world offset; `covariance` is (2, 2), px², order (x, y). Never negative."""
        first, second = np.sqrt(np.diag(self.matrix @ np.asarray(covariance, float) @ self.matrix.T))
        return float(first), float(second)
