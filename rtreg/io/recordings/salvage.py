"""What is in a file that may be damaged: a check that says what is lost, and a recovery that keeps the rest."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from isal.isal_zlib import crc32
from mcap.opcode import Opcode
from mcap.records import Channel

from rtreg.errors import RecordingError, WireError
from rtreg.io import wire
from rtreg.io.recordings.layout import Item, item
from rtreg.io.recordings.reader import Recording, mapped
from rtreg.io.recordings.scan import (
    PREFIX,
    UNREADABLE,
    Damage,
    end_of,
    messages_of,
    read_attachment,
    read_metadata,
    scan,
)
from rtreg.io.recordings.writer import RecordingWriter

__all__ = ["Findings", "Good", "check", "good_parts", "recover"]

Progress = Callable[[int, int], None]
_NOT_CLOSED: Final = "the file breaks off: it was never closed"


class Good(NamedTuple):
    """A part of a file that is as it was written: one of a message, an attachment (name, media type, data, time), or
    metadata (name, values)."""

    message: Item | None = None
    attachment: tuple[str, str, bytes, int] | None = None
    metadata: tuple[str, dict[str, str]] | None = None


@dataclass
class Findings:
    """What a check found.

    `damage` is the bytes that are no good record; `gaps` are the frames that are missing on either side of it, by
    stream: (epoch, first, last). `missing` is by how many messages a topic falls short of what the file's own index
    says. `closed` is whether the file has that index.
    """

    size: int = 0
    closed: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    attachments: list[str] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    gaps: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    missing: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    wrong_data_crc: bool = False

    @property
    def whole(self) -> bool:
        """Whether all is as it was written."""
        return self.closed and not (self.damage or self.refused or self.wrong_data_crc or self.missing)

    @property
    def lost_bytes(self) -> int:
        """Bytes that are no good record."""
        return sum(found.end - found.begin for found in self.damage)

    def lines(self) -> list[str]:
        """What there is to say, for people."""
        lines = [f"{count} messages of {topic}" for topic, count in sorted(self.counts.items())]
        if self.whole:
            return [*lines, "whole: every record and every checksum is as it was written"]
        for found in self.damage:
            extent = f"bytes {found.begin} to {found.end}: " if found.end > found.begin else ""
            lines.append(f"{extent}{found.what}")
        lines += [f"lost: {count} messages of {topic}" for topic, count in sorted(self.missing.items())]
        for stream, gaps in self.gaps.items():
            lines += [f"frames of {stream} not in it: {first} to {last} (epoch {epoch})" for epoch, first, last in gaps]
        lines += [f"{count} messages break the wire protocol: {reason}" for reason, count in self.refused.items()]
        if self.wrong_data_crc and not self.damage:
            lines.append("a byte outside messages and attachments has changed: nothing of them is lost")
        if not self.closed and not self.damage:
            lines.append(_NOT_CLOSED)
        return lines


def good_parts(data: memoryview, findings: Findings | None = None, progress: Progress | None = None) -> Iterator[Good]:
    """All of a file that is as it was written, in its order; what is not goes into the findings."""
    findings = Findings() if findings is None else findings
    channels: dict[int, str] = {}
    for found in scan(data):
        if progress is not None:
            progress(found.end, len(data))
        if isinstance(found, Damage):
            findings.damage.append(found)
        elif found.opcode == Opcode.CHUNK:
            yield from _of_chunk(data, found.begin, found.end, channels, findings)
        elif found.opcode == Opcode.ATTACHMENT:
            attachment = read_attachment(data, found.begin, found.end)
            findings.attachments.append(attachment.name)
            yield Good(attachment=(attachment.name, attachment.media_type, attachment.data, attachment.log_time))
        elif found.opcode == Opcode.METADATA:
            metadata = read_metadata(data, found.begin, found.end)
            yield Good(metadata=(metadata.name, metadata.metadata))
        elif found.opcode == Opcode.DATA_END:
            findings.wrong_data_crc = not _agrees(data, found.begin, found.end)


def _of_chunk(data: memoryview, begin: int, end: int, channels: dict[int, str], findings: Findings) -> Iterator[Good]:
    for record in messages_of(data, begin, end):
        if isinstance(record, Channel):
            channels[record.id] = record.topic
            continue
        try:
            topic = channels.get(record.channel_id) or _topic_of(record.data)
            yield Good(message=item(topic, record.log_time, record.data))
        except (RecordingError, WireError) as error:
            findings.refused[getattr(error, "reason", "layout")] += 1


def _topic_of(data: bytes) -> str:
    """The topic of a message whose channel was lost: its map says kind and stream."""
    head = item("f/x/", 0, data).parts[1]
    body = wire.unpack_map(head)
    letters = {"frame": "f", "correction": "c", "checkpoint": "k", "status": "s"}
    return f"{letters.get(str(body.get('kind')), 'o')}/{wire.stream_name(str(body.get('stream')))}/"


def _agrees(data: memoryview, begin: int, end: int) -> bool:
    """Whether the checksum of all records agrees with them; a writer may leave it out, as 0."""
    crc = int.from_bytes(data[begin + PREFIX.size : end], "little")
    return crc in (0, crc32(data[:begin]))


class _Seqs:
    """Which frames are missing in between, by stream. The mutable state is the last of each epoch."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int], int] = {}
        self.gaps: dict[str, list[tuple[int, int, int]]] = {}

    def add(self, found: Item) -> None:
        frame = wire.unpack_frame(found.parts)
        key = (found.stream, frame.epoch)
        last = self._last.get(key)
        if last is not None and frame.seq > last + 1:
            self.gaps.setdefault(found.stream, []).append((frame.epoch, last + 1, frame.seq - 1))
        self._last[key] = max(frame.seq, last if last is not None else 0)


def check(path: Path, progress: Progress | None = None) -> Findings:
    """Read all of a file and say what is not as it was written; `RecordingError` only if there is no such file."""
    data = mapped(path)
    findings, seqs = Findings(size=len(data)), _Seqs()
    findings.closed = end_of(data) > 0
    for good in good_parts(data, findings, progress):
        if good.message is None:
            continue
        found = good.message
        try:
            _look_at(found, seqs)
            findings.counts[f"{found.kind}/{found.stream}/"] += 1
        except WireError as error:
            findings.refused[error.reason] += 1
    findings.gaps = seqs.gaps
    if findings.closed:
        findings.missing = _short_of_index(path, findings.counts)
    elif not findings.damage:
        findings.damage.append(Damage(len(data), len(data), "the index is damaged; the messages are not"))
    return findings


def _look_at(found: Item, seqs: _Seqs) -> None:
    unpack: dict[str, Callable[[Any], object]] = {
        "c": wire.unpack_correction,
        "o": wire.unpack_event,
        "k": wire.unpack_checkpoint,
        "s": wire.unpack_status,
        "p": wire.unpack_frame,
    }
    if found.kind == "f":
        seqs.add(found)
    else:
        unpack[found.kind](found.parts)


def _short_of_index(path: Path, counts: Counter[str]) -> Counter[str]:
    """By how much each topic falls short of what the index says."""
    try:
        with Recording(path) as recording:
            return Counter({t: n - counts[t] for t, n in recording.counts.items() if n > counts[t]})
    except UNREADABLE:
        return Counter()


def recover(path: Path, out: Path, progress: Progress | None = None) -> Findings:
    """Write what is good of `path` to a new file, read that again, and compare.

    Returns
    -------
    Findings
        What was wrong with the old file.

    Raises
    ------
    RecordingError
        `out` exists, nothing in `path` is good, or the new file does not hold what was written to it.
    """
    data, findings, digest = mapped(path), Findings(), hashlib.sha256()
    findings.size, findings.closed = len(data), end_of(data) > 0
    messages = 0
    with RecordingWriter(out) as writer:
        for good in good_parts(data, findings, progress):
            if good.message is not None:
                _copy(writer, good.message)
                _hash(digest, good.message)
                messages += 1
            elif good.attachment is not None:
                name, media_type, content, log_ns = good.attachment
                writer.attach(name, content, media_type, log_ns=log_ns)
            elif good.metadata is not None:
                writer.note(*good.metadata)
        lost = {"from": path.name, "lost_bytes": str(findings.lost_bytes), "messages": str(messages)}
        writer.note("recovered", lost)
    if not messages:
        out.unlink()
        raise RecordingError(f"{path}: no message in it is good; nothing was written")
    again = hashlib.sha256()
    with Recording(out) as recording:
        for found in recording.items():
            _hash(again, found)
    if again.digest() != digest.digest():
        raise RecordingError(f"{out} does not hold what was written to it: is the disk good?")
    return findings


def _copy(writer: RecordingWriter, found: Item) -> None:
    topic = f"{found.kind}/{found.stream}/".encode("ascii")
    writer.add([topic, *found.parts[1:]], found.log_ns)


def _hash(digest: Any, found: Item) -> None:
    digest.update(f"{found.kind} {found.stream} {found.log_ns} ".encode())
    for part in found.parts[1:]:
        digest.update(part)
