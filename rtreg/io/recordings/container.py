"""An MCAP file as it grows: the very bytes that the MCAP library writes, with nothing copied on the way.

At 512² and 500 Hz the library's three copies and two slow checksums of each frame are half a core. Small records are
still the library's; chunks, where the bytes are, are put together here and handed to the disk piece by piece.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import lz4.frame
import zstandard
from isal.isal_zlib import crc32
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Attachment,
    AttachmentIndex,
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Statistics,
    SummaryOffset,
)
from mcap.writer import LIBRARY_IDENTIFIER, MCAP0_MAGIC

from rtreg.io.wire import Buffer

__all__ = ["CHUNK_BYTES", "METHODS", "Container", "Output"]

CHUNK_BYTES: Final = 2**20  # what a kill may cost at most, besides the one message that fills it
METHODS: Final = {"none": "", "lz4": "lz4", "zstd": "zstd"}
LARGE: Final = 2**14  # bytes from which a part is cheaper to hand over than to copy
_MESSAGE: Final = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log and publish time
_CHUNK: Final = struct.Struct("<BQQQQI")  # opcode, length, start, end, size and CRC of the content
_LENGTH: Final = struct.Struct("<Q")


class Output(Protocol):
    """Where the file goes."""

    @property
    def size(self) -> int:
        """Bytes written."""

    def write(self, pieces: Sequence[Buffer]) -> None:
        """All of the pieces, one after the other, or OSError and nothing of them."""


class _Pieces:
    """Bytes in a row: what is large as it came, what is small together."""

    def __init__(self) -> None:
        self.size = 0
        self._small = bytearray()
        self.all: list[Buffer] = [self._small]

    def add(self, data: Buffer) -> None:
        if len(data) < LARGE:
            self._small += data
        else:
            self._small = bytearray()
            self.all += [data, self._small]
        self.size += len(data)

    def crc(self, crc: int = 0) -> int:
        """CRC-32, going on from that of what comes before."""
        for piece in self.all:
            crc = crc32(piece, crc)
        return crc


class _Chunk(_Pieces):
    """Messages, and the channels they are the first of, that go to the disk together."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[int] = []
        self.indices: dict[int, MessageIndex] = {}

    def message(self, channel: int, sequence: int, log_ns: int, sent_ns: int, parts: Sequence[Buffer]) -> None:
        index = self.indices.setdefault(channel, MessageIndex(channel, []))
        index.records.append((log_ns, self.size))
        self.times.append(log_ns)
        length = _MESSAGE.size - 9 + sum(map(len, parts))
        self.add(_MESSAGE.pack(Opcode.MESSAGE, length, channel, sequence, log_ns, sent_ns))
        for part in parts:
            self.add(part)


def _compressed(method: str, content: _Pieces) -> _Pieces:
    if not method:
        return content
    whole = b"".join(content.all)
    found = _Pieces()
    found.add(lz4.frame.compress(whole) if method == "lz4" else zstandard.compress(whole))
    return found


def _record(record: McapRecord) -> bytes:
    builder = RecordBuilder()
    record.write(builder)
    data: bytes = builder.end()  # type: ignore[no-untyped-call]
    return data


class Container:
    """One MCAP file that is being written.

    Parameters
    ----------
    disk : Output
        At its beginning.
    profile : str
        What the file says it holds.
    method : {"", "lz4", "zstd"}
        Compression of the chunks.

    Notes
    -----
    OSError when the disk refuses; what was in the chunk at hand is then lost. The mutable state is the chunk at hand,
    the CRC of all that was written, and what the summary will say. Parts of messages must not change until the chunk
    that they are in has been written. Format: https://mcap.dev/spec
    """

    def __init__(self, disk: Output, profile: str, method: str = "") -> None:
        self._disk, self._method = disk, method
        self._crc = 0
        self._chunk = _Chunk()
        self._channels: list[Channel] = []
        self._chunks: list[ChunkIndex] = []
        self._attachments: list[AttachmentIndex] = []
        self._notes: list[MetadataIndex] = []
        self._first: int | None = None
        self._last = 0
        self._counts: dict[int, int] = {}
        self._put(MCAP0_MAGIC, _record(Header(profile, LIBRARY_IDENTIFIER)))

    def channel(self, topic: str, encoding: str) -> int:
        """A new channel's number."""
        self._channels.append(Channel(len(self._channels) + 1, topic, encoding, {}, 0))
        self._chunk.add(_record(self._channels[-1]))
        return len(self._channels)

    def message(self, channel: int, sequence: int, log_ns: int, sent_ns: int, parts: Sequence[Buffer]) -> None:
        """Append a message whose data are `parts`, one after the other; a chunk that is full is written."""
        self._first = log_ns if self._first is None else min(self._first, log_ns)
        self._last = max(self._last, log_ns)
        self._counts[channel] = self._counts.get(channel, 0) + 1
        self._chunk.message(channel, sequence, log_ns, sent_ns, parts)
        if self._chunk.size > CHUNK_BYTES:
            self.flush()

    def attach(self, name: str, media_type: str, log_ns: int, data: bytes) -> None:
        """Append an attachment."""
        offset = self._disk.size
        record = _record(Attachment(log_ns, log_ns, name, media_type, data))
        self._put(record)
        self._attachments.append(
            AttachmentIndex(offset, len(record), log_ns, log_ns, len(data), name, media_type),
        )

    def note(self, name: str, values: Mapping[str, str]) -> None:
        """Append metadata."""
        offset = self._disk.size
        record = _record(Metadata(name, dict(values)))
        self._put(record)
        self._notes.append(MetadataIndex(offset, len(record), name))

    def flush(self) -> None:
        """Write the chunk at hand, unless there is no message in it."""
        chunk = self._chunk
        if not chunk.times:
            return
        content = _compressed(self._method, chunk)
        start, end, name = min(chunk.times), max(chunk.times), self._method.encode()
        length = _CHUNK.size - 9 + 4 + len(name) + 8 + content.size
        head = _CHUNK.pack(Opcode.CHUNK, length, start, end, chunk.size, chunk.crc())
        head += struct.pack("<I", len(name)) + name + _LENGTH.pack(content.size)
        begin = self._disk.size
        indices = {channel: _record(index) for channel, index in chunk.indices.items()}
        offsets, position = {}, begin + 9 + length
        for channel, index in indices.items():
            offsets[channel] = position
            position += len(index)
        listed = b"".join(indices.values())
        self._chunk = _Chunk()
        self._put(head, *content.all, listed)
        self._chunks.append(
            ChunkIndex(9 + length, begin, self._method, content.size, end, len(listed), offsets, start, chunk.size)
        )

    def finish(self) -> None:
        """Write the last chunk and the summary."""
        self.flush()
        self._put(_record(DataEnd(self._crc)))
        begin = self._disk.size
        groups: tuple[tuple[int, Sequence[McapRecord]], ...] = (
            (Opcode.SCHEMA, []),
            (Opcode.CHANNEL, self._channels),
            (Opcode.STATISTICS, [self._statistics()]),
            (Opcode.CHUNK_INDEX, self._chunks),
            (Opcode.ATTACHMENT_INDEX, self._attachments),
            (Opcode.METADATA_INDEX, self._notes),
        )
        summary, offsets = b"", b""
        for opcode, records in groups:
            group = b"".join(map(_record, records))
            offsets += _record(SummaryOffset(opcode, begin + len(summary), len(group)))
            summary += group
        footer = (begin, begin + len(summary))
        crc = crc32(_record(Footer(*footer, 0))[:-4], crc32(summary + offsets))
        self._put(summary, offsets, _record(Footer(*footer, crc)), MCAP0_MAGIC)

    def _statistics(self) -> Statistics:
        return Statistics(
            attachment_count=len(self._attachments),
            channel_count=len(self._channels),
            channel_message_counts=self._counts,
            chunk_count=len(self._chunks),
            message_count=sum(self._counts.values()),
            message_end_time=self._last,
            message_start_time=self._first or 0,
            metadata_count=len(self._notes),
            schema_count=0,
        )

    def _put(self, *pieces: Buffer) -> None:
        self._disk.write(pieces)
        for piece in pieces:
            self._crc = crc32(piece, self._crc)
