"""What is in a recording, in numbers: streams, rates, gaps, states, latencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from rtreg.errors import RecordingError, WireError
from rtreg.io import wire
from rtreg.io.recordings.layout import Item
from rtreg.io.recordings.reader import Recording
from rtreg.live.metrics import Latencies
from rtreg.records import Intake, Order

__all__ = ["describe"]


class _Stream:
    """What one stream amounts to. The mutable state is the counts so far."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.states: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.orders: Counter[str] = Counter()
        self.latencies = Latencies()
        self.lost = self.gaps = self.event_gaps = self.used = self.skipped = 0
        self.longest_ns = 0
        self._seq: dict[int, int] = {}
        self._n: int | None = None
        self._frame_ns: tuple[int, int] | None = None  # log times of the first and of the last frame

    def add(self, item: Item) -> None:
        if item.kind == "f":
            self._frame(item)
        elif item.kind == "c":
            self._correction(wire.unpack_correction(item.parts))
        elif item.kind == "o":
            self._event(item)
        elif item.kind == "k":
            self._n = wire.unpack_checkpoint(item.parts).n
        self.counts[item.kind] += 1

    def _frame(self, item: Item) -> None:
        frame = wire.unpack_frame(item.parts)
        ny, nx = frame.pixels.shape
        self.kinds[f"{nx}x{ny} {frame.pixels.dtype}"] += 1
        last = self._seq.get(frame.epoch)
        if last is not None and frame.seq > last + 1:
            self.lost += frame.seq - last - 1
            self.gaps += 1
        self._seq[frame.epoch] = frame.seq
        first, before = self._frame_ns or (item.log_ns, item.log_ns)
        self.longest_ns = max(self.longest_ns, item.log_ns - before)
        self._frame_ns = first, item.log_ns

    def _correction(self, correction: wire.Correction) -> None:
        self.states[str(correction.result.state)] += 1
        self.reasons.update(correction.result.verdict.reasons)
        self.latencies.add(correction.delivery)

    def _event(self, item: Item) -> None:
        event = wire.unpack_event(item.parts)
        if self._n is not None and event.n != self._n + 1:
            self.event_gaps += 1
        self._n = event.n
        if isinstance(event, Order):
            self.orders[event.do] += 1
        elif isinstance(event, Intake):
            self.used += event.frame is not None
            self.skipped += len(event.skipped)

    def plain(self) -> dict[str, Any]:
        first, last = self._frame_ns or (0, 0)
        seconds = (last - first) / 1e9
        return {
            "frames": self.counts["f"],
            "kinds": dict(self.kinds),
            "rate_hz": (self.counts["f"] - 1) / seconds if seconds > 0 else float("nan"),
            "epochs": len(self._seq),
            "lost": self.lost,
            "gaps": self.gaps,
            "longest_silence_s": self.longest_ns / 1e9,
            "corrections": self.counts["c"],
            "states": dict(self.states),
            "reasons": dict(self.reasons),
            "looked_at": self.used,
            "skipped": self.skipped,
            "orders": dict(self.orders),
            "event_gaps": self.event_gaps,
            "checkpoints": self.counts["k"],
            "latency_us": self.latencies.summary_us(),
        }


def describe(recording: Recording, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """All of it as plain data; raises `RecordingError` where the recording is damaged."""
    streams: dict[str, _Stream] = {}
    total = sum(recording.counts.values())
    for done, item in enumerate(recording.items("fcoks"), 1):
        try:
            streams.setdefault(item.stream, _Stream()).add(item)
        except WireError as error:
            raise RecordingError(f"{recording.path}: a message breaks the wire protocol: {error}") from None
        if progress is not None and done % 256 == 0:
            progress(done, total)
    begin, end = recording.span_ns
    return {
        "files": [str(path) for path in recording.files],
        "bytes": sum(path.stat().st_size for path in recording.files),
        "closed": recording.closed,
        "begin_ns": begin,
        "seconds": (end - begin) / 1e9,
        "messages": total,
        "attachments": {name: len(data) for name, data in recording.attachments.items()},
        "metadata": recording.metadata,
        "streams": {name: stream.plain() for name, stream in sorted(streams.items())},
    }
