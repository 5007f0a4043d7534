"""Two FITS images on the same pixels, and how far one lies from the other, in pixels and on the sky."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy import stats
from astropy.io import fits

from rtreg.chi2_shifts import chi2_shift_iterzoom
from rtreg.cross_correlation_shifts import cross_correlation_shifts
from rtreg.estimators.align import align
from rtreg.estimators.pixels import as_pixels
from rtreg.FITS_tools.load_header import load_data, load_header
from rtreg.FITS_tools.methods import measure
from rtreg.FITS_tools.projection import OPTIONS, check_options, header_shape, project_to_header, same_pixels
from rtreg.FITS_tools.world import WorldScale

__all__ = ["cross_correlation_shifts_FITS", "match_fits", "project_to_header", "register_fits"]

Image = npt.NDArray[Any]


def match_fits(
    fitsfile1: Any,
    fitsfile2: Any,
    header: Any = None,
    sigma_cut: float | bool | None = False,
    use_mad_std: bool = True,
    return_header: bool = False,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """Two images on the same pixels: the second projected onto the first's, or both onto those of `header`.

    Parameters
    ----------
    fitsfile1, fitsfile2 : str, Path, HDU, HDUList or (data, header) tuple
        Reference and offset image, each (ny, nx) with a WCS. Where both have the same WCS and shape nothing is
        projected, so that neither a WCS nor reproject is needed then.
    header : Header, or anything else that `load_header` takes
        Project both images to these pixels.
    sigma_cut : bool or float
        Set to 0 all pixels that are not this many standard deviations above 0, in both images.
    use_mad_std : bool
        Standard deviation from the median absolute deviation instead of the sum of squares.
    return_header : bool
        Also return the header of the pixels both images are on.
    **kwargs
        How to interpolate, as in `project_to_header`.

    Returns
    -------
    image1, image2 : (ny, nx) arrays
        Native byte order; NaN where there is no data.
    header : astropy.io.fits.Header, only if `return_header`

    Raises
    ------
    ImportError
        A projection is needed and reproject is not installed.
    FrameError
        An image is not 2-D.
    """
    check_options(kwargs)
    if header is None:
        target, image1 = load_header(fitsfile1), as_pixels(load_data(fitsfile1), "image 1")
    else:
        target = load_header(header)
        image1 = _onto(fitsfile1, target, header_shape(target), kwargs)
    image2 = _onto(fitsfile2, target, image1.shape, kwargs)
    if sigma_cut:
        image1, image2 = _significant(image1, image2, float(sigma_cut), use_mad_std)
    return (image1, image2, target) if return_header else (image1, image2)


def register_fits(
    fitsfile1: Any,
    fitsfile2: Any,
    errfile: Any = None,
    return_error: bool = True,
    register_method: Callable[..., Any] = chi2_shift_iterzoom,
    return_cropped_images: bool = False,
    return_shifted_image: bool = False,
    return_header: bool = False,
    sigma_cut: float | bool | None = None,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """How far the content of one FITS image lies from that of another, once both are on the same pixels.

    What is left after `match_fits` is the error of one WCS against the other.

    Parameters
    ----------
    fitsfile1, fitsfile2 : str, Path, HDU, HDUList or (data, header) tuple
        Reference and offset image, (ny, nx).
    errfile : str, Path, HDU, HDUList, (data, header) tuple, array or float
        1-sigma errors of image 2, in its units. They are projected along with it; an array without a header lies on
        the pixels of `fitsfile2`. 0, NaN and inf mask a pixel. Not for `register_images`, which takes no errors.
    register_method : function
        `chi2_shift_iterzoom` (default), `chi2_shift`, `register_images`, `cross_correlation_shifts`, or any function
        of two images that returns dx, dy (, ex, ey).
    return_error, return_cropped_images, return_shifted_image, return_header : bool
        What to return besides the offsets.
    sigma_cut : bool or float
        As in `match_fits`.
    **kwargs
        ``header`` and ``use_mad_std`` go to `match_fits`; ``order``, ``roundtrip_coords``, ``block_size``,
        ``parallel`` and ``dask_method`` to the projection; all others to `register_method`.

    Returns
    -------
    xoff, yoff : float
        Pixel offset on the matched pixels, x first: positive when the content of image 2 lies at larger x, y.
    xoff_wcs, yoff_wcs : float
        The same offset in world units (degrees on the sky; CUNIT elsewhere), in the order of the world axes: the whole
        pixel scale matrix times (xoff, yoff), so rotation is honoured. On the sky it is an angle on the tangent plane:
        along longitude it includes cos(latitude), positive east for RA; along latitude positive north. To correct the
        WCS of image 2, take it off CRVAL: ``CRVAL1 -= xoff_wcs / cos(CRVAL2)``, ``CRVAL2 -= yoff_wcs``.
    exoff, eyoff, exoff_wcs, eyoff_wcs : float, only if `return_error`
        1-sigma errors of the four, in the same units, never negative; those of the world offset are propagated through
        the matrix. NaN where the method gives none.
    image1, image2 : (ny, nx) arrays, only if `return_cropped_images`
        The matched images that were measured.
    shifted_image2 : (ny, nx) float32 array, only if `return_shifted_image`
        Image 2 as measured, with its content moved onto image 1's; NaN where there is no data.
    header : astropy.io.fits.Header, only if `return_header`
        Of the pixels both images are on.

    Raises
    ------
    ImportError
        A projection is needed and reproject is not installed.
    TypeError
        An option that neither the method nor the projection takes.
    ValueError
        An error image with a method that takes none, or images that are not 2-D (`FrameError`).
    """
    chosen = {name: kwargs.pop(name) for name in ("header", "use_mad_std") if name in kwargs}
    projection = {name: kwargs.pop(name) for name in OPTIONS & kwargs.keys()}
    image1, image2, header = match_fits(
        fitsfile1, fitsfile2, sigma_cut=sigma_cut, return_header=True, **chosen, **projection
    )
    err = None if errfile is None else _errors(errfile, fitsfile2, header, image2.shape, projection)
    dx, dy, ex, ey = measure(register_method, image1, image2, err, kwargs)
    scale = WorldScale.of(header)
    returns: tuple[Any, ...] = (dx, dy, *scale.offset(dx, dy))
    if return_error:
        returns += (ex, ey, *scale.errors(np.diag([ex**2, ey**2])))
    if return_cropped_images:
        returns += (image1, image2)
    if return_shifted_image:
        returns += (align(image2, (dx, dy)),)
    if return_header:
        returns += (header,)
    return returns


def cross_correlation_shifts_FITS(
    fitsfile1: Any,
    fitsfile2: Any,
    return_cropped_images: bool = False,
    sigma_cut: float | bool = False,
    verbose: bool = False,
    register_method: Callable[..., Any] = cross_correlation_shifts,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """How far the content of one FITS image lies from that of another, by cross-correlation.

    `register_fits` with another default method, without errors.

    Parameters
    ----------
    fitsfile1, fitsfile2 : str, Path, HDU, HDUList or (data, header) tuple
        Reference and offset image, (ny, nx); the second is projected onto the pixels of the first.
    return_cropped_images : bool
        Also return the images that were measured.
    sigma_cut : bool or float
        As in `match_fits`, with the plain standard deviation.
    verbose : bool
        Passed on to a method that takes it.
    register_method : function
        As in `register_fits`.
    **kwargs
        As in `register_fits`.

    Returns
    -------
    xoff, yoff : float
        Pixel offset, x first: positive when the content of image 2 lies at larger x, y.
    xoff_wcs, yoff_wcs : float
        The same in world units (degrees on the sky), signs and axes as in `register_fits`.
    image1, image2 : (ny, nx) arrays, only if `return_cropped_images`

    Raises
    ------
    ImportError, TypeError, ValueError
        As `register_fits`.
    """
    if verbose and "verbose" in inspect.signature(register_method).parameters:
        kwargs["verbose"] = True
    return register_fits(
        fitsfile1,
        fitsfile2,
        return_error=False,
        register_method=register_method,
        return_cropped_images=return_cropped_images,
        sigma_cut=sigma_cut,
        **{"use_mad_std": False, **kwargs},
    )


def _onto(source: Any, target: fits.Header, shape: tuple[int, ...], options: dict[str, Any]) -> Image:
    """An image on the pixels of `target`; interpolated only if it is not on them already."""
    image, own = as_pixels(load_data(source), "image"), load_header(source)
    if image.shape == shape and same_pixels(own, target):
        return image
    return project_to_header((image, own), target, shape_out=shape, **options)


def _errors(errfile: Any, fitsfile2: Any, target: fits.Header, shape: tuple[int, ...], options: dict[str, Any]) -> Any:
    """The errors of image 2 on the matched pixels."""
    if isinstance(errfile, int | float):
        return float(errfile)
    errors = as_pixels(load_data(errfile), "the error image")
    own = load_header(fitsfile2 if isinstance(errfile, np.ndarray) else errfile)
    # NaN spreads when it is interpolated; a 0 would make its neighbours' errors too small instead
    errors = np.where((errors > 0) & np.isfinite(errors), errors, np.nan)
    return _onto((errors, own), target, shape, options)


def _significant(image1: Image, image2: Image, sigmas: float, use_mad_std: bool) -> tuple[Image, Image]:
    """Both images with 0 wherever they are not significant."""

    def cut(image: Image) -> Image:
        deviation = stats.mad_std(image, ignore_nan=True) if use_mad_std else np.nanstd(image)
        # a product, not a choice: NaN stays NaN
        return image * (image > deviation * sigmas)

    cut1, cut2 = cut(image1), cut(image2)
    if not (_present(cut1) & _present(cut2)).any():
        warnings.warn(f"sigma_cut = {sigmas:g} leaves nothing in common; the whole images are used", stacklevel=3)
        return image1, image2
    return cut1, cut2


def _present(image: Image) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isfinite(image) & (image != 0))
