"""Writing one recording file: small chunks, each with its checksum, handed to the system as soon as it is full."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from rtreg.errors import RecordingError
from rtreg.io.recordings.container import CHUNK_BYTES, METHODS, Container
from rtreg.io.recordings.disk import Disk
from rtreg.io.recordings.layout import PROFILE
from rtreg.io.wire import Buffer

__all__ = ["CHUNK_BYTES", "Compression", "RecordingWriter"]

Compression = Literal["none", "lz4", "zstd"]


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
    Each method raises OSError when the disk refuses. What was in the chunk at hand is then lost, the file
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
            self._disk = Disk(path)
        except FileExistsError:
            raise RecordingError(f"{path} exists already; recordings are not overwritten: choose another") from None
        except OSError as error:
            raise RecordingError(f"{path}: {error.strerror}") from None
        self._writer = Container(self._disk, PROFILE, METHODS[compression])
        self._channels: dict[bytes, int] = {}
        self._counts: dict[bytes, int] = {}
        self._open = True
        for name, values in (metadata or {}).items():
            self.note(name, values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with contextlib.suppress(*([] if kind is None else [OSError])):  # what went wrong first is told
            self.close()

    def __repr__(self) -> str:
        return f"<RecordingWriter {self.path}, {self.size} bytes, {sum(self._counts.values())} messages>"

    @property
    def size(self) -> int:
        """Bytes in the file so far."""
        return self._disk.size

    def add(self, parts: Sequence[Buffer], log_ns: int, sent_ns: int | None = None) -> None:
        """Append a message of the wire, ``[topic, map]`` or ``[topic, map, payload]``, got at `log_ns` (UTC ns).

        The parts must not change until they are on the disk: after `flush`, or `close`.
        """
        topic = bytes(parts[0])
        channel = self._channels.get(topic) or self._register(topic)
        self._counts[topic] += 1
        sequence = self._counts[topic] & 0xFFFFFFFF
        self._writer.message(channel, sequence, log_ns, log_ns if sent_ns is None else sent_ns, parts[1:])

    def attach(self, name: str, data: bytes, media_type: str = "application/octet-stream", *, log_ns: int = 0) -> None:
        """Append an attachment."""
        self._writer.attach(name, media_type, log_ns, data)

    def note(self, name: str, values: Mapping[str, str]) -> None:
        """Append metadata."""
        self._writer.note(name, values)

    def flush(self) -> None:
        """End the chunk at hand: what has been added until now survives us."""
        self._writer.flush()

    def close(self) -> None:
        """Write the last chunk and the index, and let the disk have all of it."""
        if not self._open:
            return
        self._open = False
        try:
            if not self._disk.failed:
                self._writer.finish()
        finally:
            self._disk.close()

    def _register(self, topic: bytes) -> int:
        channel = self._writer.channel(topic.decode("ascii"), "msgpack")
        self._channels[topic] = channel
        self._counts[topic] = 0
        return channel
