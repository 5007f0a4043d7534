"""Images onto the pixels of another header, by the package reproject (extra ``fits``)."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy import wcs as astropy_wcs
from astropy.wcs import WCS

from rtreg.errors import FrameError
from rtreg.FITS_tools.load_header import image_wcs, load_data, load_header

__all__ = ["OPTIONS", "check_options", "header_shape", "project_to_header", "same_pixels"]

#: keyword arguments of reproject that choose how to interpolate; `quiet` is the seed's, and has nothing to silence
OPTIONS = frozenset({"order", "roundtrip_coords", "block_size", "parallel", "dask_method", "quiet"})


def project_to_header(fitsfile: Any, header: Any, **kwargs: Any) -> npt.NDArray[np.float64]:
    """Interpolate an image onto the pixels that a header describes.

    Parameters
    ----------
    fitsfile : str, Path, HDU, HDUList or (data, header) tuple
        The image, (ny, nx), with its WCS.
    header : Header, or anything else that `load_header` takes
        The WCS to project to; its NAXIS1 and NAXIS2 give the shape, unless `shape_out` does.
    **kwargs
        How `reproject.reproject_interp` interpolates: ``order`` ("nearest-neighbor", "bilinear" (default),
        "biquadratic", "bicubic"), ``roundtrip_coords``, ``block_size``, ``parallel``, ``dask_method``; and
        ``shape_out``, (ny, nx). ``quiet`` is accepted and has no effect.

    Returns
    -------
    (ny, nx) float64 array
        NaN where the image has no data.

    Raises
    ------
    ImportError
        reproject is not installed.
    FrameError
        The image is not 2-D, or neither the header nor `shape_out` gives a shape.
    TypeError
        An option that is not one of these.
    """
    target = load_header(header)
    shape = kwargs.pop("shape_out", None) or header_shape(target)
    check_options(kwargs)
    kwargs.pop("quiet", None)
    # not at the top: readers of headers and cubes need no kernels
    from rtreg.estimators.pixels import as_pixels

    reproject = _reproject()
    source = as_pixels(load_data(fitsfile), "the image to project"), image_wcs(fitsfile)
    projected, _ = reproject.reproject_interp(source, image_wcs(target), shape_out=shape, **kwargs)
    return np.asarray(projected, np.float64)


def same_pixels(first: Any, second: Any) -> bool:
    """Whether two headers lay the same pixels on the world, so that a projection would change nothing.

    False when in doubt: distortions are not compared.
    """
    one, two = (image_wcs(header) for header in (first, second))
    if _distorted(one) or _distorted(two):
        return False
    # dates and the observer's position do not move pixels
    return bool(one.wcs.compare(two.wcs, astropy_wcs.WCSCOMPARE_ANCILLARY))


def _distorted(wcs: WCS) -> bool:
    return any(part is not None for part in (wcs.sip, wcs.cpdis1, wcs.cpdis2, wcs.det2im1, wcs.det2im2))


def check_options(options: Iterable[str]) -> None:
    """Raise `TypeError` at the first name that is none of `OPTIONS`."""
    for name in options:
        if name not in OPTIONS:
            raise TypeError(f"{name!r} is no option of a projection; there are {', '.join(sorted(OPTIONS))}")


def header_shape(header: Any) -> tuple[int, int]:
    """(ny, nx) as a header states it, or `FrameError`."""
    try:
        return int(header["NAXIS2"]), int(header["NAXIS1"])
    except KeyError:
        raise FrameError("the header has no NAXIS1 and NAXIS2, which give the shape of its image; add them") from None


def _reproject() -> ModuleType:
    """The package reproject, imported when it is needed: it brings dask and scipy along."""
    try:
        import reproject
    except ImportError as error:
        raise ImportError(
            "projecting one image onto another's pixels needs the package reproject; "
            "install rtreg with its extra: pip install 'rtreg[fits]'"
        ) from error
    return reproject  # type: ignore[no-any-return]
