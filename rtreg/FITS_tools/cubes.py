"""A FITS file as a stack of images, read one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from rtreg.errors import FrameError

__all__ = ["Cube"]


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

    def _find(self, path: str | Path) -> Any:
        shapes = []
        for hdu in self._file:
            if hdu.is_image and len(hdu.shape) in (2, 3):
                return hdu
            shapes.append(str(hdu.shape) if hdu.is_image and hdu.shape else "no image")
        raise FrameError(f"{path} holds no 2-D or 3-D image; its HDUs are: {', '.join(shapes)}")

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
