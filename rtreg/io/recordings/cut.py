"""A part of a recording as one of its own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rtreg.io.recordings.layout import Item
from rtreg.io.recordings.reader import Recording
from rtreg.io.recordings.writer import RecordingWriter

__all__ = ["cut", "replayable_from"]

ALREADY_SENT_NS: Final = 500_000_000  # a frame may come before the checkpoint of a tracker that has yet to look at it


def replayable_from(recording: Recording, stream: str | None, asked_ns: int) -> int:
    """The last log time up to `asked_ns` from which the recording can be replayed; `asked_ns` if there is none."""
    found = None
    for item in recording.items("k", stream=stream, stop_ns=asked_ns + 1):
        found = item.log_ns
    return asked_ns if found is None else found - ALREADY_SENT_NS


def cut(recording: Recording, out: Path, items: Iterable[Item]) -> int:
    """Write `items` with the recording's attachments and metadata to a new file; how many there were.

    Raises `RecordingError` when `out` exists.
    """
    count = 0
    with RecordingWriter(out, metadata=recording.metadata) as writer:
        for name, data in recording.attachments.items():
            writer.attach(name, data)
        for item in items:
            topic = f"{item.kind}/{item.stream}/".encode("ascii")
            writer.add([topic, *item.parts[1:]], item.log_ns)
            count += 1
    return count
