"""The frames of a recording by their number, so that a stretch in its middle can be read without what is before it."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

from rtreg.io import wire
from rtreg.io.recordings.layout import Item, item
from rtreg.io.recordings.reader import Recording

__all__ = ["RecordedFrames"]


class RecordedFrames:
    """``len(frames)``, ``frames[i]``: the frame messages of one stream, in the order in which they came.

    Parameters
    ----------
    path : str or Path
        A file, or a folder with the files of one recording.
    stream : str, optional
        Which stream; needed where several have frames.

    Raises
    ------
    RecordingError
        No recording, no such stream, or damage where it is read.
    """

    def __init__(self, path: str | Path, stream: str | None = None) -> None:
        self._recording = Recording(path)
        try:
            self.stream = self._recording.one_stream(stream, "f")
        except BaseException:
            self._recording.close()
            raise
        self._topic = wire.topic("f", self.stream).decode("ascii")
        self._chunks = self._recording.chunks(self._topic)
        self._ends = list(accumulate(count for _, count in self._chunks))
        self._held = -1  # the chunk whose frames are in memory: the next one asked for is mostly in the same
        self._items: list[Item] = []

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Item:
        held = bisect_right(self._ends, index)
        if held != self._held:
            chunk, _ = self._chunks[held]
            self._items = [
                item(topic, record.log_time, record.data) for topic, record in chunk() if topic == self._topic
            ]
            self._held = held
        return self._items[index - self._ends[held]]

    def close(self) -> None:
        """Let go of the files; twice does no harm."""
        self._items = []
        self._held = -1
        self._recording.close()
