"""One way to call every shift finder: what each takes and returns differs, and is sorted out here."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy.typing as npt

__all__ = ["Measured", "measure"]

#: optional returns that would stand where the errors are, and of which these functions return none
_EXTRA_RETURNS = ("return_chi2array", "return_registered")

Method = Callable[..., Any]


class Measured(NamedTuple):
    """A shift and its 1-sigma errors, px; errors are NaN where the finder gives none."""

    dx: float
    dy: float
    ex: float
    ey: float


def measure(
    method: Method,
    image1: npt.NDArray[Any],
    image2: npt.NDArray[Any],
    err: npt.NDArray[Any] | float | None,
    options: Mapping[str, Any],
) -> Measured:
    """The shift of `image2` against `image1` by a shift finder of rtreg, or by any function of two images.

    The error image goes where the finder's signature has room for it: ``err`` (chi2_shift, chi2_shift_iterzoom) or
    ``errim2`` (cross_correlation_shifts). ``return_error`` is asked for where it exists.

    Raises
    ------
    ValueError
        There is an error image, and the finder takes none (register_images).
    TypeError
        The finder does not take one of the `options`; none is dropped in silence.
    """
    takes = inspect.signature(method).parameters
    arguments = dict(options)
    _refuse_unknown(method, takes, arguments)
    if err is not None:
        arguments[_room_for_errors(method, takes)] = err
    if "return_error" in takes:
        arguments["return_error"] = True
    dx, dy, *rest = method(image1, image2, **arguments)
    ex, ey = rest[:2] if len(rest) >= 2 else (math.nan, math.nan)
    return Measured(float(dx), float(dy), abs(float(ex)), abs(float(ey)))


def _room_for_errors(method: Method, takes: Mapping[str, inspect.Parameter]) -> str:
    for name in ("err", "errim2"):
        if name in takes:
            return name
    raise ValueError(f"{_name(method)} takes no error image; leave it out, or use chi2_shift_iterzoom or chi2_shift")


def _refuse_unknown(method: Method, takes: Mapping[str, inspect.Parameter], options: Mapping[str, Any]) -> None:
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
    for name in options:
        if name in _EXTRA_RETURNS:
            raise TypeError(f"{name!r} cannot be returned from here; call {_name(method)} on the matched images")
        if name not in takes and not open_ended:
            raise TypeError(f"{name!r} is an option neither of {_name(method)} nor of the projection")


def _name(method: Method) -> str:
    return getattr(method, "__name__", repr(method))
