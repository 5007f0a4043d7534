"""Maps as they arrive, which nobody trusts: their size, their nesting, their types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgpack
import msgspec

from rtreg.errors import WireError
from rtreg.io.wire.bodies import HEADER_BYTES, MAX_NESTING, VERSION, Body, Buffer, Identity, Letter, T, topic

_LIMITS: Final = {
    "max_str_len": 4096,
    "max_bin_len": 4096,
    "max_array_len": 4096,
    "max_map_len": 1024,
    "max_ext_len": 0,
}
_PATH_KEY: Final = re.compile(r"at `\$\.(\w+)")
_CONSTANTS: Final = frozenset({"gain", "read_noise", "offset", "saturation"})
_COUNTED_KEYS: Final = frozenset({"kind", "stream", "shape", "dtype"})


def _nests_within(items: Iterable[object], limit: int) -> bool:
    """Whether the containers among `items` nest at most `limit` deep; a plain loop, since every frame pays for it."""
    for item in items:
        if type(item) is dict:
            if limit < 1 or not _nests_within(item.values(), limit - 1):
                return False
        elif type(item) is list and (limit < 1 or not _nests_within(item, limit - 1)):
            return False
    return True


def _unpack(body: Buffer) -> Body:
    """A map within the limits of size and nesting; WireError "header" if it is not one."""
    if len(body) > HEADER_BYTES:
        raise WireError("header", f"map of {len(body)} bytes; at most {HEADER_BYTES}")
    try:
        value = msgpack.unpackb(body, **_LIMITS)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError("header", f"not a MessagePack map: {error}") from None
    if not isinstance(value, dict):
        raise WireError("header", f"a map was expected, not {type(value).__name__}")
    if not _nests_within(value.values(), MAX_NESTING - 1):
        raise WireError("header", f"nested deeper than {MAX_NESTING}")
    return value


def unpack_map(body: Buffer) -> Body:
    """A version-1 map within the limits of size and nesting; its keys are not checked yet.

    Raises
    ------
    WireError
        reason "header" (not a map, too large, too deep, not MessagePack) or "version".
    """
    value = _unpack(body)
    if value.get("v") != VERSION:
        raise WireError("version", f"protocol version {str(value.get('v'))[:20]!r}; this is {VERSION}")
    return value


def unpack_answer(body: Buffer) -> Body:
    """An answer to a control or device request: a map with ``ok`` true or false; raises `WireError`."""
    value = _unpack(body)
    if not isinstance(value.get("ok"), bool):
        raise WireError("header", "an answer must say ok: true or false")
    return value


def _identity(body: Body) -> Identity | None:
    """(epoch, seq) if the body tells them, so that a refused frame can still be accounted for."""
    epoch, seq = body.get("epoch"), body.get("seq")
    if type(epoch) is int and type(seq) is int and epoch >= 0 and seq >= 0:
        return epoch, seq
    return None


def convert(body: Body, kind: type[T]) -> T:
    """`body` as `kind`, or a WireError whose reason is the key at fault if that is one we count."""
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        found = _PATH_KEY.search(str(error))
        key = found.group(1) if found else "header"
        reason = "constants" if key in _CONSTANTS else key if key in _COUNTED_KEYS else "header"
        raise WireError(reason, str(error), _identity(body)) from None


def check_parts(parts: Sequence[Buffer], count: int) -> None:
    if len(parts) != count:
        raise WireError("parts", f"{len(parts)} parts; {count} were expected")


def check_topic(part: Buffer, letter: Letter, stream: str, identity: Identity | None = None) -> None:
    if part != topic(letter, stream):
        raise WireError("stream", f"topic {bytes(part[:64])!r} is not that of {stream!r}", identity)
