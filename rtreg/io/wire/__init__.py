"""The rtreg wire protocol, version 1: records to message parts and back. No sockets here.

Every message is ``[topic][map]``, a frame ``[topic][map][pixels]``; maps are MessagePack with short text keys. What
comes in is not trusted: sizes, nesting and types are checked before anything is made of them, dtypes come from a
closed list, and each refusal is a `WireError` whose `reason` is a counter's name. Unknown keys are ignored, so that
a newer sender can say more.
"""

from __future__ import annotations

from rtreg.io.wire.bodies import DTYPES, HEADER_BYTES, MAX_FRAME_BYTES, VERSION, Buffer, Correction, stream_name, topic
from rtreg.io.wire.frames import unpack_frame
from rtreg.io.wire.maps import unpack_answer, unpack_map
from rtreg.io.wire.packing import pack_checkpoint, pack_correction, pack_event, pack_frame, pack_map, pack_status
from rtreg.io.wire.unpacking import unpack_checkpoint, unpack_correction, unpack_event, unpack_status

__all__ = [
    "DTYPES",
    "HEADER_BYTES",
    "MAX_FRAME_BYTES",
    "VERSION",
    "Buffer",
    "Correction",
    "pack_checkpoint",
    "pack_correction",
    "pack_event",
    "pack_frame",
    "pack_map",
    "pack_status",
    "stream_name",
    "topic",
    "unpack_answer",
    "unpack_checkpoint",
    "unpack_correction",
    "unpack_event",
    "unpack_frame",
    "unpack_map",
    "unpack_status",
]
