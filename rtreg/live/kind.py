"""What kind of frames a stream has: strays of another kind are refused, a stream that has changed is recognised."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtreg.errors import FrameError
from rtreg.estimators.pixels import DTYPES
from rtreg.records import Frame

CHANGED_AFTER = 5  # frames of another kind in a row: no longer strays, the stream has changed
_DTYPES = {dtype.str: dtype for dtype in DTYPES}  # never np.dtype of what is stored
_NAMES = ("roi", "bin", "gain", "read_noise", "offset", "saturation")  # and before them shape and dtype

Geometry = tuple[Any, ...]


class Kind:
    """Shape, dtype, region, binning and detector constants of a stream's frames.

    Notes
    -----
    The mutable state: the geometry, another one that frames have had since the last that fitted, and how many had it.
    """

    def __init__(self) -> None:
        self._geometry: Geometry = ()
        self._other: Geometry = ()
        self._others = 0

    def __str__(self) -> str:
        return _described(self._geometry) if self._geometry else "unknown"

    def changes(self, frame: Frame) -> bool:
        """Whether with this frame the stream is of another kind than it was.

        Raises
        ------
        FrameError
            For a stray of another kind, until `CHANGED_AFTER` in a row agree with each other.
        """
        pixels, constants = frame.pixels, (frame.gain, frame.read_noise, frame.offset, frame.saturation)
        geometry = (pixels.shape, pixels.dtype, frame.roi, frame.bin, *constants)  # in the order of `_NAMES`
        if geometry == self._geometry or not self._geometry:
            self._geometry, self._others = geometry, 0
            return False
        self._others = self._others + 1 if geometry == self._other else 1
        self._other = geometry
        if self._others < CHANGED_AFTER:
            raise FrameError(f"frame is {_described(geometry)} but the stream is {_described(self._geometry)}")
        self._geometry, self._others = geometry, 0
        return True

    def constants(self) -> Frame:
        """A frame without pixels that has the stream's detector constants."""
        return Frame(pixels=np.empty((0, 0)), **dict(zip(_NAMES, self._geometry[2:], strict=bool(self._geometry))))

    def snapshot(self) -> dict[str, Any]:
        """The mutable state as plain data."""
        return {"geometry": _plain(self._geometry), "other": _plain(self._other), "others": self._others}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `snapshot`."""
        self._geometry, self._other = _geometry(state["geometry"]), _geometry(state["other"])
        self._others = int(state["others"])


def _described(geometry: Geometry) -> str:
    """A frame's kind for people: shape and dtype, and what else there is."""
    more = [f"{name} {value}" for name, value in zip(_NAMES, geometry[2:], strict=True) if value is not None]
    return " ".join([str(geometry[0]), str(geometry[1]), *more])


def _plain(geometry: Geometry) -> list[Any]:
    """A geometry as plain data."""
    return [*geometry[:1], *(dtype.str for dtype in geometry[1:2]), *geometry[2:]]


def _geometry(plain: list[Any]) -> Geometry:
    """The geometry that `_plain` was given."""
    if not plain:
        return ()
    shape, dtype, roi, binning, *constants = plain
    pairs = (None if pair is None else tuple(pair) for pair in (roi, binning))
    return (tuple(shape), _DTYPES[str(dtype)], *pairs, *constants)
