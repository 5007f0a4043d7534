"""A recording file record by record, damaged or not: what is good, where it is, and which bytes are neither.

MCAP frames each record by an opcode and a length. Chunks and attachments have a checksum of their own, so whatever
follows a damaged stretch can be found again: by looking for the next place where one of them begins and its checksum
agrees. Nothing that is found here is trusted before that.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import lz4.frame
import zstandard
from isal.isal_zlib import crc32
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, Chunk, Message, Metadata
from mcap.stream_reader import breakup_chunk

from rtreg.errors import RecordingError
from rtreg.io.recordings.disk import BLOCK
from rtreg.io.wire import MAX_FRAME_BYTES, Buffer

__all__ = [
    "MAGIC",
    "UNREADABLE",
    "Damage",
    "Place",
    "end_of",
    "entries_of",
    "messages_of",
    "read_attachment",
    "read_metadata",
    "scan",
]

MAGIC: Final = b"\x89MCAP0\r\n"
LARGEST_CHUNK: Final = MAX_FRAME_BYTES + 2**24
PREFIX: Final = struct.Struct("<BQ")  # opcode, length of what follows
FOOTER: Final = struct.Struct("<BQQQI")
MESSAGE_INDEX: Final = struct.Struct("<BQHI")  # opcode, length, channel, bytes of entries
INDEX_ENTRY: Final = 16  # bytes: log time and offset of a message
CHUNK_HEAD: Final = struct.Struct("<QQQII")  # start, end, size and CRC of the content, length of the method's name
# what the library's readers raise on bytes that are not what they should be
UNREADABLE: Final = (
    McapError, RecordingError, ValueError, KeyError, IndexError, struct.error, OverflowError, MemoryError, RuntimeError,
    zstandard.ZstdError,
)  # fmt: skip
_CANDIDATE: Final = re.compile(rb"[\x06\x09\x0c][\s\S]{4}\0{4}", re.DOTALL)


class Place(NamedTuple):
    """A good record: its opcode, and where it begins and ends in the file, prefix included."""

    opcode: int
    begin: int
    end: int


class Damage(NamedTuple):
    """Bytes of the file that are no good record, and what is wrong with them."""

    begin: int
    end: int
    what: str


def scan(data: Buffer) -> Iterator[Place | Damage]:
    """The data section of a file from its first record on: good records, and what lies between them.

    Ends after the record that ends the data section (which is yielded), or with a `Damage` where the file breaks off.
    """
    position, size = len(MAGIC), len(data)
    if bytes(data[:position]) != MAGIC:
        yield Damage(0, min(position, size), "the file does not begin like an MCAP file")
    while position < size and not _is_filling(data, position):
        fault, end = _judge(data, position)
        if not fault:
            opcode = data[position]
            yield Place(opcode, position, end)
            position = end
            if opcode == Opcode.DATA_END:
                return
            continue
        following = _next_good(data, position + 1)
        yield Damage(position, following, fault)
        position = following
    yield Damage(size, size, "the file breaks off: it was never closed")


def _is_filling(data: Buffer, position: int) -> bool:
    """Whether all that follows is zeros, and less than a block of them: a file that was not closed ends so."""
    return len(data) - position < BLOCK and not any(data[position:])


def _judge(data: Buffer, position: int) -> tuple[str, int]:
    """What is wrong with the record at `position` ("" if nothing), and where it ends."""
    size = len(data)
    if position + PREFIX.size > size:
        return "a record is cut short", size
    opcode, length = PREFIX.unpack_from(data, position)
    end = position + PREFIX.size + length
    if end > size:
        return "a record is cut short, or its length is wrong", size
    try:
        if opcode == Opcode.CHUNK:
            messages_of(data, position, end)
        elif opcode == Opcode.ATTACHMENT:
            read_attachment(data, position, end)
        elif opcode == Opcode.METADATA:
            read_metadata(data, position, end)
        elif opcode == Opcode.DATA_END:
            if length != 4:
                return "the end of the data has a wrong length", end
        elif opcode == Opcode.MESSAGE_INDEX:
            # without a checksum, a wrong length would swallow good chunks
            if length < 6 or length != 6 + MESSAGE_INDEX.unpack_from(data, position)[3]:
                return "an index of messages has a wrong length", end
        elif opcode == Opcode.HEADER:
            if length != _length_of_header(data, position + PREFIX.size):
                return "the header has a wrong length", end
        else:
            return f"a record of unknown kind {opcode}", end
    except UNREADABLE as error:
        return f"a {Opcode(opcode).name.lower()} is damaged: {error}", end
    return "", end


def _length_of_header(data: Buffer, position: int) -> int:
    """Bytes of the two texts, each with its length before it, that a header is."""
    (profile,) = struct.unpack_from("<I", data, position)
    (library,) = struct.unpack_from("<I", data, position + 4 + profile)
    return 8 + int(profile) + int(library)


def _next_good(data: Buffer, position: int) -> int:
    """Where the next record begins that proves itself by its checksum or its exact length; the end if none does."""
    while True:
        found = _CANDIDATE.search(data, position)
        if found is None:
            return _end_of_data(data, position)
        if not _judge(data, found.start())[0]:
            return found.start()
        position = found.start() + 1


def _end_of_data(data: Buffer, position: int) -> int:
    """Where the data section ends, if the file has its footer; else where the file ends."""
    footer = end_of(data)
    begin = footer - PREFIX.size - 4
    if footer and begin >= position and data[begin] == Opcode.DATA_END:
        return begin
    return len(data)


def end_of(data: Buffer) -> int:
    """Where the summary begins, if the file has one whose checksum agrees; else 0."""
    footer = len(data) - len(MAGIC) - FOOTER.size
    if footer < len(MAGIC) or bytes(data[footer + FOOTER.size :]) != MAGIC:
        return 0
    opcode, length, summary, _, crc = FOOTER.unpack_from(data, footer)
    if opcode != Opcode.FOOTER or length != FOOTER.size - PREFIX.size or not len(MAGIC) <= summary <= footer:
        return 0
    return summary if crc32(data[summary : footer + FOOTER.size - 4]) == crc else 0


def entries_of(data: Buffer, begin: int) -> int:
    """How many messages the message index record at `begin` lists; raises one of `UNREADABLE`."""
    opcode, _, _, size = MESSAGE_INDEX.unpack_from(data, begin)
    if opcode != Opcode.MESSAGE_INDEX or size % INDEX_ENTRY:
        raise RecordingError(f"no message index at byte {begin}")
    return int(size // INDEX_ENTRY)


def messages_of(data: Buffer, begin: int, end: int) -> list[Message | Channel]:
    """Messages and channels of the chunk record at `begin`, checked against its checksum.

    Raises
    ------
    one of `UNREADABLE`
        When the record is not a chunk, or not as it was written.
    """
    head = begin + PREFIX.size
    start, stop, size, crc, method = CHUNK_HEAD.unpack_from(data, head)
    body = head + CHUNK_HEAD.size + method + 8
    if method > 8 or body > end or size > LARGEST_CHUNK:
        raise RecordingError(f"a chunk of {size} bytes, its method's name {method} long")
    name = bytes(data[body - 8 - method : body - 8]).decode("ascii")
    if struct.unpack_from("<Q", data, body - 8)[0] != end - body:
        raise RecordingError("the chunk's content is not as long as it says")
    content = _inflated(name, data[body:end], size)
    if crc == 0 or crc32(content) != crc:
        raise RecordingError("the chunk's checksum does not agree")
    chunk = Chunk("", content, stop, start, 0, size)
    return [record for record in breakup_chunk(chunk) if isinstance(record, (Message, Channel))]


def _inflated(method: str, data: Buffer, size: int) -> bytes:
    if method == "":
        content = bytes(data)
    elif method == "lz4":
        content = lz4.frame.decompress(data)
    elif method == "zstd":
        content = zstandard.decompress(data, size)
    else:
        raise RecordingError(f"unknown compression {method!r}")
    if len(content) != size:
        raise RecordingError(f"a chunk of {size} bytes has {len(content)}")
    return content


def read_attachment(data: Buffer, begin: int, end: int) -> Attachment:
    """The attachment record at `begin`, checked against its checksum; raises one of `UNREADABLE`."""
    (crc,) = struct.unpack_from("<I", data, end - 4)
    if crc32(data[begin + PREFIX.size : end - 4]) != crc:
        raise RecordingError("the attachment's checksum does not agree")
    found: Attachment = Attachment.read(_stream(data, begin, end))
    return found


def read_metadata(data: Buffer, begin: int, end: int) -> Metadata:
    """The metadata record at `begin`, which must fill its length exactly; raises one of `UNREADABLE`."""
    stream = _stream(data, begin, end)
    found: Metadata = Metadata.read(stream)
    if stream.count != end - begin - PREFIX.size:
        raise RecordingError("the metadata is not as long as it says")
    return found


def _stream(data: Buffer, begin: int, end: int) -> ReadDataStream:
    return ReadDataStream(io.BytesIO(data[begin + PREFIX.size : end]))
