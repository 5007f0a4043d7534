"""How wire messages lie in an MCAP file: their channels, and their parts as one blob, the map and then the payload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgpack

from rtreg.errors import RecordingError
from rtreg.io.wire import HEADER_BYTES, Buffer

__all__ = ["KINDS", "PROFILE", "Item", "Kind", "carried_over", "item", "kind_of"]

Kind = Literal["f", "c", "o", "k", "s", "p"]

PROFILE: Final = "rtreg"
KINDS: Final[dict[Kind, str]] = {
    "f": "frame",
    "c": "correction",
    "o": "order",
    "k": "checkpoint",
    "s": "status",
    "p": "pending frame",
}
_PAYLOAD: Final = frozenset("fkp")  # kinds that have a third part


class Item(NamedTuple):
    """One message of a recording.

    `kind` is the topic's letter: "f" frame, "c" correction, "o" order, tick or intake, "k" checkpoint, "s" status; and
    "p" a frame that had come before the file began, and that the tracker had not yet looked at: in the file before, if
    there is one, it is an "f".
    `log_ns` is when the recorder got it, UTC ns by a clock that does not step; `parts` is what `rtreg.io.wire` unpacks.
    """

    kind: Kind
    stream: str
    log_ns: int
    parts: list[Buffer]


def carried_over(parts: Sequence[Buffer]) -> list[Buffer]:
    """A frame's parts as those of a pending frame."""
    return [b"p" + bytes(parts[0])[1:], *parts[1:]]


def kind_of(topic: str) -> tuple[Kind, str]:
    """Kind and stream of a topic, ``f/cam/``; RecordingError if it is none of ours."""
    letter, _, rest = topic.partition("/")
    if letter not in KINDS or not rest.endswith("/"):
        raise RecordingError(f"topic {topic[:60]!r} is not one of rtreg's")
    return letter, rest[:-1]


def item(topic: str, log_ns: int, data: bytes) -> Item:
    """A message of the file as an `Item`; RecordingError if it cannot be taken apart."""
    kind, stream = kind_of(topic)
    view = memoryview(data)
    parts: list[Buffer] = [f"{'f' if kind == 'p' else kind}/{stream}/".encode("ascii", "replace"), view]
    if kind in _PAYLOAD:
        split = _end_of_map(view)
        parts[1:] = [view[:split], view[split:]]
    return Item(kind, stream, log_ns, parts)


def _end_of_map(view: memoryview) -> int:
    """Where the map ends that `view` begins with: MessagePack says so itself."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(view[: HEADER_BYTES + 1])
    try:
        unpacker.skip()
    except (ValueError, msgpack.UnpackException) as error:
        raise RecordingError(f"a message does not begin with a MessagePack map: {error}") from None
    return int(unpacker.tell())
