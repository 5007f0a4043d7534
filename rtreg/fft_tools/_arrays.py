"""What the public functions of this package do with whatever array they are given."""

from __future__ import annotations

import operator
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def split(data: npt.ArrayLike) -> tuple[Array, npt.NDArray[np.bool_]]:
    """The values in a floating-point dtype and native byte order, and where they are NaN, infinite or masked.

    float32 and complex64 are kept; everything else becomes float64 or complex128. The values may be `data` itself.
    """
    values = np.ma.getdata(data)
    single = values.dtype.newbyteorder("=") in (np.float16, np.float32, np.complex64)
    dtype = np.dtype(np.float32 if single else np.float64)
    if values.dtype.kind == "c":
        dtype = np.result_type(dtype, np.complex64)
    values = np.asarray(values, dtype)
    bad = ~np.isfinite(values)
    mask = np.ma.getmask(data)
    if mask is not np.ma.nomask:
        bad |= mask
    return values, bad


def filled(data: npt.ArrayLike, fill: float) -> Array:
    """The values of `split` with `fill` in the bad pixels; `data` is not written to, but may be what is returned."""
    values, bad = split(data)
    return np.where(bad, values.dtype.type(fill), values) if bad.any() else values


def whole(number: Any, name: str, least: int = 1) -> int:
    """`number` as an int, for callers that come with 4.0 where they mean 4; ValueError if it is none or too small."""
    if isinstance(number, SupportsIndex):
        value = operator.index(number)
    else:
        value = int(number)
        if value != number:
            raise ValueError(f"{name} must be a whole number, not {number!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {number!r}")
    return value
