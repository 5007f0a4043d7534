"""What can be measured: images as the estimators take them from their callers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.errors import FrameError

Image = npt.NDArray[Any]

DTYPES = tuple(np.dtype(code) for code in ("u1", "u2", "i2", "i4", "f4", "f8"))
_READY = frozenset(DTYPES)


def as_pixels(image: npt.ArrayLike, name: str) -> Image:
    """`image` as a 2-D native array of a supported dtype, without a copy where that is possible.

    Raises `FrameError` naming `name`, the shape or the dtype. Masked arrays become float with NaN where masked.
    """
    if type(image) is np.ndarray and image.ndim == 2 and image.dtype in _READY and image.flags.c_contiguous:
        return image  # the frame path: nothing to do
    if isinstance(image, np.ma.MaskedArray):
        image = np.ma.filled(image.astype(np.float64), np.nan)
    pixels = np.asarray(image)
    if pixels.ndim != 2:
        raise FrameError(f"{name} has {pixels.ndim} dimensions {pixels.shape}: give one 2-D image (ny, nx)")
    native = pixels.dtype.newbyteorder("=")
    if native not in DTYPES:
        if pixels.dtype.kind in "iub":
            native = np.dtype(np.float64)
        else:
            known = ", ".join(dtype.name for dtype in DTYPES)
            raise FrameError(f"{name} has dtype {pixels.dtype}: convert it to one of {known}")
    return np.ascontiguousarray(pixels, native)
