"""Reading recordings: a file, or the files of a folder as one, in the order in which the messages came."""

from __future__ import annotations

import contextlib
import io
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Self

from mcap.opcode import Opcode
from mcap.records import AttachmentIndex, Channel, ChunkIndex, Message, MetadataIndex
from mcap.stream_reader import StreamReader

from rtreg.errors import RecordingError, WireError
from rtreg.io import wire
from rtreg.io.recordings.layout import KINDS, Item, Kind, item, kind_of
from rtreg.io.recordings.scan import (
    UNREADABLE,
    Damage,
    Place,
    end_of,
    entries_of,
    messages_of,
    read_attachment,
    read_metadata,
    scan,
)
from rtreg.records import Frame

__all__ = ["Recording", "files_of", "mapped"]

SUFFIX: Final = ".mcap"


@dataclass
class _Index:
    """Where everything is in one file."""

    chunks: list[tuple[int, int]] = field(default_factory=list)  # begin and end of the record
    attachments: list[tuple[int, int]] = field(default_factory=list)
    metadata: list[tuple[int, int]] = field(default_factory=list)
    channels: dict[int, str] = field(default_factory=dict)  # id -> topic
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)  # chunk's begin -> first and last log time
    counts: dict[str, int] = field(default_factory=dict)  # topic -> messages
    indexed: dict[int, dict[int, int]] = field(default_factory=dict)  # chunk's begin -> channel -> its message index
    damage: list[Damage] = field(default_factory=list)


def mapped(path: Path) -> memoryview:
    """The bytes of a file, mapped into memory; `RecordingError` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError:  # an empty file cannot be mapped
        return memoryview(b"")
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from None


class _File:
    """One file, mapped into memory: its index, and its chunks when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = mapped(path)
        summary = end_of(self.data)
        self.closed = summary > 0
        self.index = self._from_summary(summary) if summary else self._from_scan()

    def close(self) -> None:
        self.data.release()

    def _from_summary(self, begin: int) -> _Index:
        index = _Index()
        try:
            for record in StreamReader(io.BytesIO(self.data[begin:]), skip_magic=True).records:
                if isinstance(record, ChunkIndex):
                    at = record.chunk_start_offset
                    index.chunks.append((at, at + record.chunk_length))
                    index.spans[at] = (record.message_start_time, record.message_end_time)
                    index.indexed[at] = record.message_index_offsets
                elif isinstance(record, AttachmentIndex):
                    index.attachments.append((record.offset, record.offset + record.length))
                elif isinstance(record, MetadataIndex):
                    index.metadata.append((record.offset, record.offset + record.length))
                elif isinstance(record, Channel):
                    index.channels[record.id] = record.topic
                elif (counts := getattr(record, "channel_message_counts", None)) is not None:
                    index.counts = {index.channels[key]: count for key, count in counts.items()}
        except UNREADABLE as error:
            raise RecordingError(f"{self.path}: its index cannot be read: {error}; try `rtreg rec recover`") from None
        return index

    def _from_scan(self) -> _Index:
        index = _Index()
        for found in scan(self.data):
            if isinstance(found, Damage):
                index.damage.append(found)
            elif found.opcode == Opcode.CHUNK:
                self._enter_chunk(index, found)
            elif found.opcode == Opcode.ATTACHMENT:
                index.attachments.append((found.begin, found.end))
            elif found.opcode == Opcode.METADATA:
                index.metadata.append((found.begin, found.end))
        if not (index.chunks or index.attachments or index.metadata):
            raise RecordingError(f"{self.path}: nothing in it is of an rtreg recording")
        return index

    def _enter_chunk(self, index: _Index, found: Place) -> None:
        times = []
        for record in messages_of(self.data, found.begin, found.end):
            if isinstance(record, Channel):
                index.channels[record.id] = record.topic
            else:
                topic = index.channels.get(record.channel_id)
                if topic is not None:
                    index.counts[topic] = index.counts.get(topic, 0) + 1
                times.append(record.log_time)
        index.chunks.append((found.begin, found.end))
        index.spans[found.begin] = (min(times, default=0), max(times, default=0))

    def messages(self, start: int | None, stop: int | None) -> Iterator[tuple[str, Message]]:
        """Topic and message, in the order of the file, logged from `start` to before `stop`."""
        for begin, end in self.index.chunks:
            first, last = self.index.spans[begin]
            if (start is not None and last < start) or (stop is not None and first >= stop):
                continue
            for topic, record in self.chunk(begin, end):
                if (start is None or record.log_time >= start) and (stop is None or record.log_time < stop):
                    yield topic, record

    def chunk(self, begin: int, end: int) -> list[tuple[str, Message]]:
        """Topic and message of what is in one chunk."""
        found = []
        for record in self._chunk(begin, end):
            if isinstance(record, Channel):
                self.index.channels.setdefault(record.id, record.topic)
            else:
                topic = self.index.channels.get(record.channel_id)
                if topic is None:
                    raise RecordingError(
                        f"{self.path}: at byte {begin}: of which stream is lost; `rtreg rec recover` finds it out"
                    )
                found.append((topic, record))
        return found

    def count(self, begin: int, end: int, topic: str) -> int:
        """How many messages of a topic are in one chunk: from its index where it has one, else by reading it."""
        if begin not in self.index.indexed:
            return sum(name == topic for name, _ in self.chunk(begin, end))
        offsets = (at for channel, at in self.index.indexed[begin].items() if self.index.channels.get(channel) == topic)
        try:
            return sum(entries_of(self.data, at) for at in offsets)
        except UNREADABLE as error:
            raise RecordingError(f"{self.path}: the index of the chunk at byte {begin}: {error}") from None

    def _chunk(self, begin: int, end: int) -> list[Message | Channel]:
        try:
            return messages_of(self.data, begin, end)
        except UNREADABLE as error:
            raise RecordingError(f"{self.path}: at byte {begin}: {error}; `rtreg rec recover` saves the rest") from None


def files_of(path: str | Path) -> list[Path]:
    """The file, or the recordings of the folder, oldest (by name) first. RecordingError if there is none."""
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise RecordingError(f"{path}: no such file or folder")
        return [path]
    found = sorted(path.glob(f"*{SUFFIX}"))
    if not found:
        raise RecordingError(f"{path}: no {SUFFIX} files in this folder")
    return found


class Recording:
    """A recording to read: a file, or a folder of the files that one recording was split into.

    A file that was cut short is read as far as it is good (`closed` is False then); damage inside a closed file is a
    `RecordingError` when it is come upon.

    Parameters
    ----------
    path : str or Path
        A file, or a folder with the ``.mcap`` files of one recording.

    Examples
    --------
    >>> with Recording("night.mcap") as recording:  # doctest: +SKIP
    ...     for frame in recording.frames():
    ...         print(frame.seq, frame.pixels.mean())
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._files = [_File(found) for found in files_of(path)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Recording {self.path}: {', '.join(f'{k} {n}' for k, n in sorted(self.counts.items()))}>"

    def close(self) -> None:
        """Let go of the files. Frames that were read stay good: they are copies."""
        for file in self._files:
            with contextlib.suppress(BufferError):
                file.close()

    @property
    def files(self) -> list[Path]:
        """The files, in order."""
        return [file.path for file in self._files]

    @property
    def closed(self) -> bool:
        """Whether every file was closed by its writer."""
        return all(file.closed for file in self._files)

    @property
    def damage(self) -> dict[Path, list[Damage]]:
        """Of the files that were not closed: what was passed over."""
        return {file.path: file.index.damage for file in self._files if file.index.damage}

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many messages each topic has, such as ``{"f/cam/": 1000}``."""
        total: dict[str, int] = {}
        for file in self._files:
            for topic, count in file.index.counts.items():
                total[topic] = total.get(topic, 0) + count
        return total

    @property
    def streams(self) -> list[str]:
        """Names of the streams."""
        return sorted({kind_of(topic)[1] for topic in self.counts})

    @property
    def span_ns(self) -> tuple[int, int]:
        """Log times of the first and the last message, UTC ns; (0, 0) without any."""
        spans = [span for file in self._files for span in file.index.spans.values()]
        return (min(s for s, _ in spans), max(e for _, e in spans)) if spans else (0, 0)

    @cached_property
    def metadata(self) -> dict[str, dict[str, str]]:
        """All metadata by name; of one name in several files the last."""
        found = {}
        for file in self._files:
            for begin, end in file.index.metadata:
                record = self._good(file, read_metadata, begin, end)
                found[record.name] = record.metadata
        return found

    @cached_property
    def attachments(self) -> Mapping[str, bytes]:
        """All attachments by name; of one name in several files the first."""
        found: dict[str, bytes] = {}
        for file in self._files:
            for begin, end in file.index.attachments:
                record = self._good(file, read_attachment, begin, end)
                found.setdefault(record.name, record.data)
        return found

    def items(
        self,
        kinds: str = "".join(KINDS),
        *,
        stream: str | None = None,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[Item]:
        """Messages in the order in which they came.

        Parameters
        ----------
        kinds : str
            Letters of the topics wanted, of "fcoksp".
        stream : str, optional
            Of this stream only.
        start_ns, stop_ns : int, optional
            Logged from `start_ns` to before `stop_ns`, UTC ns; see `span_ns`.

        Raises
        ------
        RecordingError
            The file is damaged here.
        """
        for file in self._files:
            for topic, record in file.messages(start_ns, stop_ns):
                kind, name = kind_of(topic)
                if kind in kinds and stream in (None, name):
                    yield item(topic, record.log_time, record.data)

    def frames(self, stream: str | None = None, **limits: Any) -> Iterator[Frame]:
        """The frames, as `items`; `recv_mono_ns` is when the recorder got one, on the clock of its log times."""
        for found in self.items("f", stream=stream, **limits):
            yield self._unpacked(wire.unpack_frame, found.parts, found.log_ns)

    def corrections(self, stream: str | None = None, **limits: Any) -> Iterator[wire.Correction]:
        """The corrections, as `items`."""
        for found in self.items("c", stream=stream, **limits):
            yield self._unpacked(wire.unpack_correction, found.parts)

    def chunks(self, topic: str) -> list[tuple[Callable[[], list[tuple[str, Message]]], int]]:
        """What reads each chunk of every file that has messages of `topic`, and how many it has, in order."""
        found: list[tuple[Callable[[], list[tuple[str, Message]]], int]] = []
        for file in self._files:
            for begin, end in file.index.chunks:
                if count := file.count(begin, end, topic):
                    found.append((partial(file.chunk, begin, end), count))
        return found

    def one_stream(self, name: str | None = None, kinds: str = "".join(KINDS)) -> str:
        """`name` if it is a stream of this recording; without a name the only one. RecordingError otherwise."""
        known: list[Kind | str] = [s for s in self.streams if any(f"{kind}/{s}/" in self.counts for kind in kinds)]
        if name is None and len(known) == 1:
            return known[0]
        said = f"stream {name!r} is not in it" if name else "name one of its streams"
        if name in known:
            return str(name)
        raise RecordingError(f"{self.path}: {said}; it has {', '.join(known) or 'none'}")

    def _unpacked(self, unpack: Any, *arguments: Any) -> Any:
        try:
            return unpack(*arguments)
        except WireError as error:
            raise RecordingError(f"{self.path}: a message breaks the wire protocol: {error}") from None

    @staticmethod
    def _good(file: _File, read: Any, begin: int, end: int) -> Any:
        try:
            return read(file.data, begin, end)
        except UNREADABLE as error:
            raise RecordingError(f"{file.path}: at byte {begin}: {error}; `rtreg rec recover` saves the rest") from None
