"""An MCAP file of ours beside the MCAP library's own, of the same messages: the same bytes."""

from __future__ import annotations

import io

import pytest
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer

from rtreg.io.recordings.container import CHUNK_BYTES, LARGE, METHODS, Container

TYPES = {"none": CompressionType.NONE, "lz4": CompressionType.LZ4, "zstd": CompressionType.ZSTD}


class Memory:
    """A disk of ours."""

    def __init__(self):
        self.data = b""

    @property
    def size(self):
        return len(self.data)

    def write(self, pieces):
        self.data += b"".join(pieces)


def messages(n, seed=1):
    """Parts large and small, on three channels, out of order in time now and then."""
    for k in range(n):
        size = (0, 7, LARGE - 1, LARGE, 300_000, CHUNK_BYTES + 1)[k % 6]
        yield k % 3, 1000 + k - 5 * (k % 7 == 0), [b"map %d" % k, bytes([k % 251]) * size][: 1 + k % 2]


def library(kind, n):
    """The library's file."""
    file = io.BytesIO()
    writer = Writer(file, chunk_size=CHUNK_BYTES, compression=TYPES[kind], enable_data_crcs=True)
    writer.start("profile")
    writer.add_metadata("about", {"a": "1", "b": "zwei"})
    channels = {}
    for k, (channel, time, parts) in enumerate(messages(n)):
        if channel not in channels:
            channels[channel] = writer.register_channel(f"c{channel}", "msgpack", 0)
        writer.add_message(channels[channel], time, b"".join(parts), time + 1, k)
        if k == 9:
            writer.add_attachment(5, 5, "a.bin", "application/x", b"attached")
        if k % 17 == 16:
            writer.flush()
    writer.finish()
    return file.getvalue()


def ours(kind, n):
    """The same by `Container`."""
    disk = Memory()
    container = Container(disk, "profile", METHODS[kind])
    container.note("about", {"a": "1", "b": "zwei"})
    channels = {}
    for k, (channel, time, parts) in enumerate(messages(n)):
        if channel not in channels:
            channels[channel] = container.channel(f"c{channel}", "msgpack")
        container.message(channels[channel], k, time, time + 1, parts)
        if k == 9:
            container.attach("a.bin", "application/x", 5, b"attached")
        if k % 17 == 16:
            container.flush()
    container.finish()
    return disk.data


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("n", [0, 1, 60])
def test_file_is_the_librarys_byte_for_byte(kind, n):
    assert ours(kind, n) == library(kind, n)


def test_the_librarys_reader_finds_every_message_and_checksum():
    reader = make_reader(io.BytesIO(ours("none", 60)), validate_crcs=True)
    read = [(message.sequence, message.data) for _, _, message in reader.iter_messages(log_time_order=False)]
    assert read == [(k, b"".join(parts)) for k, (_, _, parts) in enumerate(messages(60))]
