"""Writing one recording file: small chunks, each with its checksum, handed to the system as soon as it is full."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, Self

from mcap.writer import CompressionType, Writer

from rtreg.errors import RecordingError
from rtreg.io.recordings.layout import PROFILE, join
from rtreg.io.wire import Buffer

__all__ = ["CHUNK_BYTES", "Compression", "RecordingWriter"]

Compression = Literal["none", "lz4", "zstd"]
CHUNK_BYTES: Final = 2**20  # what a kill may cost at most, besides the one frame that fills it
_METHODS: Final = {
    "none": CompressionType.NONE,
    "lz4": CompressionType.LZ4,
    "zstd": CompressionType.ZSTD,
}


class _Disk:
    """A file without a buffer of ours: what was written survives this process."""

    def __init__(self, path: Path) -> None:
        # "x": a recording is never overwritten
        self._file = open(path, "xb", buffering=0)  # noqa: SIM115 (closed by `close`)
        self.size = 0
        self.failed = False

    def write(self, data: bytes) -> int:
        """All of `data`, or OSError and nothing of it: a full disk first takes a part, and only then says no."""
        view, start = memoryview(data), self.size
        try:
            while view:
                written = self._file.write(view)
                view = view[written:]
        except OSError:
            self.failed = True
            with contextlib.suppress(OSError):
                self._file.truncate(start)
                self._file.seek(start)
            raise
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """Nothing is held back."""

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class RecordingWriter:
    """One recording file that is being written.

    Parameters
    ----------
    path : Path
        Must not exist.
    compression : {"none", "lz4", "zstd"}
        Of the chunks.
    metadata : mapping of str to mapping of str to str
        What is known before the first message, by name.

    Raises
    ------
    RecordingError
        The file exists or cannot be made.

    Notes
    -----
    Each method but `close` raises OSError when the disk refuses. What was in the chunk at hand is then lost, the file
    ends with the last whole one and has no index: it is read as one that was cut short. One thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        compression: Compression = "none",
        metadata: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.path = path
        try:
            self._disk = _Disk(path)
        except FileExistsError:
            raise RecordingError(f"{path} exists already; recordings are not overwritten: choose another") from None
        except OSError as error:
            raise RecordingError(f"{path}: {error.strerror}") from None
        self._writer = Writer(
            self._disk,  # type: ignore[arg-type]  # it asks for no more than write, tell and flush
            chunk_size=CHUNK_BYTES,
            compression=_METHODS[compression],
            enable_data_crcs=True,  # so that a check sees damage even where no chunk has it
        )
        self._channels: dict[bytes, int] = {}
        self._counts: dict[bytes, int] = {}
        self._open = True
        self._writer.start(PROFILE)
        for name, values in (metadata or {}).items():
            self.note(name, values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RecordingWriter {self.path}, {self.size} bytes, {sum(self._counts.values())} messages>"

    @property
    def size(self) -> int:
        """Bytes in the file so far."""
        return self._disk.size

    def add(self, parts: Sequence[Buffer], log_ns: int, sent_ns: int | None = None) -> None:
        """Append a message of the wire, ``[topic, map]`` or ``[topic, map, payload]``, got at `log_ns` (UTC ns)."""
        topic = bytes(parts[0])
        channel = self._channels.get(topic) or self._register(topic)
        self._counts[topic] += 1
        self._writer.add_message(
            channel, log_ns, join(parts), log_ns if sent_ns is None else sent_ns, self._counts[topic] & 0xFFFFFFFF
        )

    def attach(self, name: str, data: bytes, media_type: str = "application/octet-stream", *, log_ns: int = 0) -> None:
        """Append an attachment."""
        self._writer.add_attachment(log_ns, log_ns, name, media_type, data)

    def note(self, name: str, values: Mapping[str, str]) -> None:
        """Append metadata."""
        self._writer.add_metadata(name, dict(values))

    def flush(self) -> None:
        """End the chunk at hand: what has been added until now survives us."""
        self._writer.flush()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Write the last chunk and the index, and let the disk have all of it."""
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(OSError):
            if not self._disk.failed:
                self._writer.finish()  # type: ignore[no-untyped-call]
            self._disk.sync()
        self._disk.close()

    def _register(self, topic: bytes) -> int:
        channel = self._writer.register_channel(topic.decode("ascii"), "msgpack", 0)
        self._channels[topic] = channel
        self._counts[topic] = 0
        return channel
