"""Checkpoints as bytes: plain data and arrays as MessagePack, and nothing that could run.

A checkpoint is what a tracker knew between two frames, so that a recording that begins there can be replayed. It may
come from anywhere: what is read is plain data, dtypes come from a closed list, and whoever restores from it checks
shapes.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

import msgpack
import numpy as np

from rtreg.errors import WireError

__all__ = ["pack", "unpack"]

Buffer = bytes | bytearray | memoryview

_ARRAY: Final = "__array__"
_DTYPES: Final = MappingProxyType(
    {name: np.dtype(name) for name in ("|b1", "|u1", "<u2", "<i2", "<i4", "<i8", "<f4", "<f8")}
)


def pack(value: dict[str, Any]) -> bytes:
    """Plain data with arrays in it as bytes. Raises `WireError` "dtype" for an array that has no place in one."""
    packed: bytes = msgpack.packb(value, default=_plain)
    return packed


def unpack(data: Buffer) -> dict[str, Any]:
    """What `pack` was given; tuples come back as lists, arrays read-only.

    Raises
    ------
    WireError
        reason "checkpoint": not what `pack` makes.
    """
    try:
        value = msgpack.unpackb(data, object_hook=_array, strict_map_key=False)
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise WireError("checkpoint", f"not a checkpoint: {error}") from None
    if not isinstance(value, dict):
        raise WireError("checkpoint", f"a map was expected, not {type(value).__name__}")
    return value


def _plain(value: object) -> Any:
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        if array.dtype.str not in _DTYPES:
            raise WireError("dtype", f"a checkpoint has no place for an array of {array.dtype}")
        return {_ARRAY: [array.dtype.str, list(value.shape), array.tobytes()]}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a checkpoint has no place for a {type(value).__name__}")


def _array(found: dict[Any, Any]) -> Any:
    if _ARRAY not in found:
        return found
    name, shape, content = found[_ARRAY]
    return np.frombuffer(content, _DTYPES[name]).reshape([int(n) for n in shape])
