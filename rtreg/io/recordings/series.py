"""A recording as it grows: one file, or one after the other, never more than the disk can spare."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rtreg.errors import RecordingError
from rtreg.io.options import RecorderOptions
from rtreg.io.recordings.backlog import Message
from rtreg.io.recordings.layout import carried_over
from rtreg.io.recordings.writer import RecordingWriter

__all__ = ["Series", "free_bytes"]

MIB, GIB = 2**20, 2**30
SUFFIX = ".mcap"


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written in a folder."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class Series:
    """The files of one recording, written one after the other: ``night.mcap``, or ``night_0001.mcap`` and so on.

    Parameters
    ----------
    path : Path
        The file's name; with rotation that of all files, each with its number.
    options : RecorderOptions
    metadata : mapping
        What each file says of itself.
    utc_minus_mono_ns : int
        What makes log times of CLOCK_MONOTONIC ones.

    Notes
    -----
    The mutable state is the file at hand and when it and its chunk were begun. OSError when the disk refuses.
    """

    def __init__(
        self,
        path: Path,
        options: RecorderOptions,
        metadata: Mapping[str, Mapping[str, str]],
        utc_minus_mono_ns: int,
    ) -> None:
        self._path = path if path.suffix == SUFFIX else path.with_suffix(path.suffix + SUFFIX)
        self._options, self._metadata, self._clock = options, metadata, utc_minus_mono_ns
        self._number = 0
        self._began = self._flushed = 0
        self._attachments: dict[str, bytes] = {}
        self.files: list[Path] = []
        self.written = 0
        self._writer: RecordingWriter | None = None

    @property
    def rotates(self) -> bool:
        """Whether there may be more than one file."""
        return bool(self._options.rotate_mib or self._options.rotate_s)

    def due(self, now: int) -> bool:
        """Whether the file at hand is as large or as old as it may become."""
        large, old = self._options.rotate_mib * MIB, self._options.rotate_s * 1e9
        size = self._writer.size if self._writer else 0
        return bool((large and size >= large) or (old and self._writer and now - self._began >= old))

    def begin(self, now: int, pending: Iterable[Message] = ()) -> Path:
        """Close the file at hand and begin the next one; `pending` frames of the last one are carried over."""
        self.close()
        self._make_room()
        self._number += 1
        path = self._path.with_stem(f"{self._path.stem}_{self._number:04d}") if self.rotates else self._path
        self._writer = RecordingWriter(path, compression=self._options.compression, metadata=self._metadata)
        self.files.append(path)
        self._began = self._flushed = now
        for name, data in self._attachments.items():
            self._writer.attach(name, data)
        for message in pending:
            self.add(Message(carried_over(message.parts), message.mono_ns))
        return path

    def add(self, message: Message) -> None:
        """Append a message."""
        assert self._writer is not None
        self._writer.add(message.parts, message.mono_ns + self._clock)
        self.written += 1

    def attach(self, attachments: Mapping[str, bytes]) -> None:
        """Append attachments; each file that follows begins with them too."""
        fresh = {name: data for name, data in attachments.items() if name not in self._attachments}
        self._attachments |= fresh
        for name, data in fresh.items():
            assert self._writer is not None
            self._writer.attach(name, data)

    def note(self, name: str, values: Mapping[str, Any]) -> None:
        """Append metadata."""
        if self._writer is not None:
            self._writer.note(name, {key: str(value) for key, value in values.items()})

    def tend(self, now: int) -> None:
        """End a chunk that is old enough, so that a kill costs no more than that."""
        if self._writer is not None and now - self._flushed >= self._options.chunk_s * 1e9:
            self._flushed = now
            self._writer.flush()

    def check_space(self) -> None:
        """Raise `RecordingError` when the disk has less than the floor left."""
        free, floor = free_bytes(self._path.parent), self._options.floor_gib * GIB
        if free < floor:
            raise RecordingError(
                f"the disk of {self._path.parent} has {free / GIB:.2f} GiB left, the floor is {floor / GIB:.2f} GiB"
            )

    def close(self) -> None:
        """End the file at hand well."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _make_room(self) -> None:
        """Delete the oldest files of this name while they are more than may be kept, with the one to come."""
        keep = self._options.keep_gib * GIB
        if not keep:
            return
        name = re.compile(rf"{re.escape(self._path.stem)}_\d{{4,}}{re.escape(SUFFIX)}")
        mine = sorted(path for path in self._path.parent.glob(f"*{SUFFIX}") if name.fullmatch(path.name))
        sizes = {path: path.stat().st_size for path in mine}
        while mine and sum(sizes.values()) + self._options.rotate_mib * MIB > keep:
            oldest = mine.pop(0)
            del sizes[oldest]
            with contextlib.suppress(FileNotFoundError):
                oldest.unlink()
