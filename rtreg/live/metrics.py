"""What a live process counts: every frame accounted for, and latencies as quantiles. No clock, no I/O."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from typing import Any, Final, Literal

import numpy as np

from rtreg.records import Delivery

__all__ = ["QUANTILES", "STAGES", "WINDOW", "Histogram", "Latencies", "Ledger", "Limiter"]

WINDOW: Final = 4096  # seqs remembered back from the highest: what came before them is not told from a duplicate
EPOCHS: Final = 4  # publisher starts remembered one by one; older ones only in the totals
QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p999": 0.999}

Outcome = Literal["corrected", "held", "rejected", "skipped"]
_MASK: Final = (1 << WINDOW) - 1
_MOST: Final = 2**63 - 1  # a hostile seq must not make a status that cannot be sent


class _Span:
    """The seqs of one publisher start: the first, the highest, and which of the last `WINDOW` were received."""

    __slots__ = ("bits", "first", "highest", "received")

    def __init__(self, seq: int) -> None:
        self.first = self.highest = seq
        self.received = 1
        self.bits = 1  # bit i: highest - i was received

    def snapshot(self) -> tuple[int, int, int, bytes]:
        return self.first, self.highest, self.received, self.bits.to_bytes(WINDOW // 8, "little")

    @classmethod
    def restored(cls, first: int, highest: int, received: int, bits: bytes) -> _Span:
        span = cls(highest)
        span.first, span.received, span.bits = first, received, int.from_bytes(bits, "little") & _MASK
        return span

    def knows(self, seq: int) -> bool:
        behind = self.highest - seq
        return 0 <= behind < WINDOW and bool(self.bits >> behind & 1)

    def is_restart(self, seq: int) -> bool:
        return self.highest - seq >= WINDOW

    def add(self, seq: int) -> None:
        ahead = seq - self.highest
        if ahead > 0:
            self.bits = (self.bits << ahead | 1) & _MASK if ahead < WINDOW else 1
            self.highest = seq
        else:
            self.bits |= 1 << -ahead
            self.first = min(self.first, seq)
        self.received += 1

    @property
    def lost(self) -> int:
        return self.highest - self.first + 1 - self.received


class Ledger:
    """The accounts of a stream of frames; they balance after every call, in constant memory.

    Per epoch ``span = received + lost``, where `span` is the highest seq less the first plus 1 and `received` counts
    unique (epoch, seq): a frame that comes late moves from `lost` to `received`. Then
    ``received = used + skipped + rejected`` and ``used = corrected + held``. Duplicates, and messages that cannot
    tell which frame they are (`unattributable`), are counted apart.

    A seq that falls back by `WINDOW` or more within an epoch is a publisher that restarted without a new epoch: a
    new span begins (counted in `epochs` like any other start).
    """

    def __init__(self) -> None:
        self._spans: OrderedDict[int, _Span] = OrderedDict()
        self._closed_lost = self._closed_received = 0
        self.epochs = 0
        self.corrected = self.skipped = self.duplicate = 0
        self.held: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.unattributable: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Ledger received {self.received}, lost {self.lost}, corrected {self.corrected}>"

    def snapshot(self) -> dict[str, Any]:
        """All of the accounts as plain data."""
        return {
            "spans": [[epoch, *span.snapshot()] for epoch, span in self._spans.items()],
            "closed": [self._closed_lost, self._closed_received],
            "counts": [self.epochs, self.corrected, self.skipped, self.duplicate],
            "reasons": [dict(self.held), dict(self.rejected), dict(self.unattributable)],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `snapshot`."""
        self._spans = OrderedDict((int(epoch), _Span.restored(*span)) for epoch, *span in state["spans"])
        self._closed_lost, self._closed_received = map(int, state["closed"])
        self.epochs, self.corrected, self.skipped, self.duplicate = map(int, state["counts"])
        self.held, self.rejected, self.unattributable = map(Counter, state["reasons"])

    def knows(self, epoch: int, seq: int) -> bool:
        """Whether this frame has been recorded already."""
        span = self._spans.get(epoch)
        return span is not None and span.knows(seq)

    def record(self, epoch: int, seq: int, outcome: Outcome, reason: str = "") -> bool:
        """Enter what became of a frame; False, and only counted as a duplicate, if it had been entered before."""
        if not self._receive(epoch, seq):
            self.duplicate += 1
            return False
        if outcome == "corrected":
            self.corrected += 1
        elif outcome == "skipped":
            self.skipped += 1
        else:
            (self.held if outcome == "held" else self.rejected)[reason] += 1
        return True

    def refuse(self, identity: tuple[int, int] | None, reason: str) -> None:
        """Enter a message that broke the protocol: as a rejected frame if it could tell which one it was."""
        if identity is None:
            self.unattributable[reason] += 1
        else:
            self.record(*identity, "rejected", reason)

    def _receive(self, epoch: int, seq: int) -> bool:
        span = self._spans.get(epoch)
        if span is not None and span.knows(seq):
            return False
        if span is not None and not span.is_restart(seq):
            span.add(seq)
            return True
        if span is not None or len(self._spans) >= EPOCHS:
            self._close(epoch if span is not None else next(iter(self._spans)))
        self._spans[epoch] = _Span(seq)
        self.epochs += 1
        return True

    def _close(self, epoch: int) -> None:
        """Keep only the totals of an epoch."""
        span = self._spans.pop(epoch)
        self._closed_lost += span.lost
        self._closed_received += span.received

    @property
    def received(self) -> int:
        """Unique frames that came, over all epochs."""
        return self._closed_received + sum(span.received for span in self._spans.values())

    @property
    def lost(self) -> int:
        """Frames that never came, over all epochs."""
        return self._closed_lost + sum(span.lost for span in self._spans.values())

    @property
    def used(self) -> int:
        """Frames that the engine saw."""
        return self.corrected + self.held.total()

    def counts(self) -> dict[str, Any]:
        """All counters as a plain map: numbers, and by reason where there are reasons."""
        return {
            "epochs": self.epochs,
            "span": min(self.received + self.lost, _MOST),
            "received": self.received,
            "lost": min(self.lost, _MOST),
            "duplicate": self.duplicate,
            "skipped": self.skipped,
            "used": self.used,
            "corrected": self.corrected,
            "rejected": dict(self.rejected),
            "held": dict(self.held),
            "unattributable": dict(self.unattributable),
        }


_SUB_BITS: Final = 6  # 64 buckets an octave: values to 1.6 %
_SUB: Final = 1 << _SUB_BITS
_TOP_NS: Final = (1 << 42) - 1  # 73 minutes; longer ones share the last bucket, the maximum stays exact


class Histogram:
    """Durations in log-linear buckets: exact to 128 ns, to 1.6 % above; constant memory, mergeable.

    The mutable state is `counts` (int64) and `max` (ns). One thread.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(_bucket(_TOP_NS) + 1, np.int64)
        self.max = 0

    def __repr__(self) -> str:
        return f"<Histogram of {self.total}, p50 {self.percentile(0.5):.0f} ns, max {self.max} ns>"

    def add(self, ns: int) -> None:
        """Count one duration, ns; a negative one (clocks that disagree) counts as 0."""
        if ns > self.max:
            self.max = ns
            ns = min(ns, _TOP_NS)
        elif ns < 0:
            ns = 0
        elif ns > _TOP_NS:
            ns = _TOP_NS
        shift = ns.bit_length() - _SUB_BITS - 1  # `_bucket`, written out: this is on the frame path
        self.counts[ns if shift <= 0 else (shift << _SUB_BITS) + (ns >> shift)] += 1

    @property
    def total(self) -> int:
        """How many durations were counted."""
        return int(self.counts.sum())

    def percentile(self, quantile: float) -> float:
        """The duration, ns, that the part `quantile` (0 to 1) of all stay at or below; NaN without any."""
        total = self.total
        if not total:
            return math.nan
        rank = max(1, math.ceil(quantile * total))
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank))
        return float(min(_upper(bucket), self.max))

    def merge(self, other: Histogram) -> None:
        """Add another's counts to these."""
        self.counts += other.counts
        self.max = max(self.max, other.max)

    def summary_us(self) -> dict[str, float]:
        """p50, p99, p999 and max, µs; NaN without any."""
        found = {name: self.percentile(quantile) / 1e3 for name, quantile in QUANTILES.items()}
        return {**found, "max": self.max / 1e3 if self.total else math.nan}


def _bucket(ns: int) -> int:
    shift = ns.bit_length() - _SUB_BITS - 1
    return ns if shift <= 0 else (shift << _SUB_BITS) + (ns >> shift)


def _upper(bucket: int) -> int:
    """The largest duration in a bucket, ns."""
    if bucket < 2 * _SUB:
        return bucket
    shift = (bucket >> _SUB_BITS) - 1
    return (((bucket - (shift << _SUB_BITS)) + 1) << shift) - 1


class Limiter:
    """Lets one event of a kind through per interval and counts those it held back."""

    def __init__(self, interval_ns: int = 1_000_000_000) -> None:
        self._interval = interval_ns
        self._last: dict[str, int] = {}
        self._held: Counter[str] = Counter()

    def admit(self, kind: str, now_ns: int) -> int | None:
        """How many were held back since the last one let through, or None to hold this one back too."""
        last = self._last.get(kind)
        if last is not None and now_ns - last < self._interval:
            self._held[kind] += 1
            return None
        self._last[kind] = now_ns
        return self._held.pop(kind, 0)


STAGES = ("transport", "queue", "process", "publish", "total")


class Latencies:
    """Histograms of the time that corrections spent in each of `STAGES`."""

    def __init__(self) -> None:
        self._stages = {name: Histogram() for name in STAGES}

    def add(self, delivery: Delivery) -> None:
        """Enter one correction; a stage with an unknown end (another host's clock, a tick) is left out."""
        d = delivery
        ends = ((d.sent, d.recv), (d.recv, d.start), (d.start, d.done), (d.done, d.out), (d.sent, d.out))
        for histogram, (begin, end) in zip(self._stages.values(), ends, strict=True):
            if begin and end:
                histogram.add(end - begin)

    def merge(self, other: Latencies) -> None:
        """Add another's corrections to these."""
        for name, histogram in self._stages.items():
            histogram.merge(other._stages[name])

    def summary_us(self) -> dict[str, dict[str, float]]:
        """p50, p99, p999 and max of each stage, microseconds; NaN where nothing is known."""
        return {name: histogram.summary_us() for name, histogram in self._stages.items()}
