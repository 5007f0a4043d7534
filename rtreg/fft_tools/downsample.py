"""Block averages."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.fft_tools._arrays import whole

__all__ = ["downsample", "downsample_1d", "downsample_axis", "downsample_cube"]

Array = npt.NDArray[Any]
Estimator = Callable[..., Array]


def _mean(blocks: Array, axis: int) -> Array:
    """Mean of what is not NaN; NaN where nothing is left, without a warning: that is the answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean: Array = np.nanmean(blocks, axis=axis)
    return mean


def downsample(myarr: npt.ArrayLike, factor: int, estimator: Estimator = _mean) -> Array:
    """One pixel for each block of ``factor x factor`` pixels of an image; rows and columns left over are dropped.

    Parameters
    ----------
    myarr : (ny, nx) array_like
        Masked pixels count as NaN.
    factor : int
        Side of a block, pixels.
    estimator : callable
        ``estimator(pixels, axis=0)`` makes the answer of the pixels of a block, for all blocks at once. By default
        the mean of those that are not NaN.

    Returns
    -------
    (ny // factor, nx // factor) ndarray

    Raises
    ------
    ValueError
        If `myarr` is not 2-D, or `factor` is no whole number from 1 to its smaller side.
    """
    return _blocks(_values(myarr, 2), factor, (0, 1), estimator)


def downsample_cube(myarr: npt.ArrayLike, factor: int, ignoredim: int = 0) -> Array:
    """`downsample` each image of a cube; `ignoredim` is the axis that counts the images, and stays.

    Raises
    ------
    ValueError
        If `myarr` is not 3-D, or `factor` does not fit.
    """
    values = _values(myarr, 3)
    stays = range(3)[ignoredim]  # so that -1 is the last axis, and 3 an IndexError
    return _blocks(values, factor, tuple(axis for axis in range(3) if axis != stays), _mean)


def downsample_1d(myarr: npt.ArrayLike, factor: int, estimator: Estimator = _mean) -> Array:
    """`downsample` for a 1-D array.

    Raises
    ------
    ValueError
        If `myarr` is not 1-D, or `factor` does not fit.
    """
    return _blocks(_values(myarr, 1), factor, (0,), estimator)


def downsample_axis(
    myarr: npt.ArrayLike, factor: int, axis: int, estimator: Estimator = _mean, truncate: bool = False
) -> Array:
    """One element for each `factor` elements along one axis of an array.

    Parameters
    ----------
    myarr : array_like
        Any number of axes; masked elements count as NaN.
    factor : int
        Elements a block.
    axis : int
        Along which axis.
    estimator : callable
        As in `downsample`.
    truncate : bool
        Drop an incomplete block at the end. Otherwise it is filled up with NaN, which the default estimator ignores.

    Returns
    -------
    ndarray
        As `myarr` in shape, but for the axis.

    Raises
    ------
    ValueError
        If `factor` is no whole number from 1 to the length of the axis.
    """
    values = _values(myarr)
    size = values.shape[axis]
    missing = -size % whole(factor, "factor")
    if missing and not truncate:
        width = [(0, 0)] * values.ndim
        width[axis] = (0, missing)
        values = np.pad(values.astype(np.result_type(values, np.float32)), width, constant_values=np.nan)
    return _blocks(values, factor, (range(values.ndim)[axis],), estimator)


def _values(data: npt.ArrayLike, ndim: int | None = None) -> Array:
    values: Array = np.ma.getdata(data)
    if ndim is not None and values.ndim != ndim:
        raise ValueError(f"the array must be {ndim}-D, not {values.ndim}-D")
    mask = np.ma.getmask(data)
    return values if mask is np.ma.nomask else np.where(mask, np.nan, values)


def _blocks(values: Array, factor: int, axes: tuple[int, ...], estimator: Estimator) -> Array:
    """The estimate of each block of `factor` elements along each of `axes`."""
    factor = whole(factor, "factor")
    if any(values.shape[axis] < factor for axis in axes):
        raise ValueError(f"factor {factor} is larger than the array, which is of shape {values.shape}")
    values = values[
        tuple(slice(n - n % factor) if axis in axes else slice(None) for axis, n in enumerate(values.shape))
    ]
    split: list[int] = []  # each of the axes becomes two: the block, and the element within it
    inner: list[int] = []
    for axis, n in enumerate(values.shape):
        split += [n // factor, factor] if axis in axes else [n]
        if axis in axes:
            inner.append(len(split) - 1)
    blocks = np.moveaxis(values.reshape(split), inner, range(len(inner)))
    return np.asarray(estimator(blocks.reshape(-1, *blocks.shape[len(inner) :]), axis=0))
