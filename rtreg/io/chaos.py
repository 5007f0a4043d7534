"""What can happen to messages on their way, made to happen: at given rates, the same for the same seed. No sockets."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from dataclasses import dataclass, fields
from typing import Final

import msgspec

from rtreg.errors import ConfigError, WireError
from rtreg.io import wire

__all__ = ["Chaos", "Rates"]

_DELAY_NS: Final = 50_000_000  # the longest
_FREEZE_NS: Final = 400_000_000  # the longest
_BEHIND: Final = 3  # messages that overtake a reordered one, at most
_FLIPS: Final = 8  # bytes changed in a corrupt message, at most

Parts = list[bytes]


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How often each happens to a message, 0 to 1; `freeze` is the share of the time in which nothing comes out.

    Parameters
    ----------
    drop, duplicate : float
        It is gone; it comes twice.
    reorder, delay : float
        Up to three later ones come before it; it comes up to 50 ms late.
    corrupt : float
        Up to eight bytes of its header or its pixels are others.
    resize : float
        It is a smaller frame, or its pixels are cut short.
    freeze : float
        Nothing comes for up to 0.4 s; then all that waited comes at once.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    corrupt: float = 0.0
    resize: float = 0.0
    freeze: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            rate = getattr(self, field.name)
            if not 0 <= rate <= 1 or (field.name == "freeze" and rate == 1):
                raise ConfigError(f"{field.name} = {rate}: a share from 0 to 1, freeze below 1")


class Chaos:
    """Messages in, disturbed messages out, at times that are handed in (CLOCK_MONOTONIC ns).

    The mutable state is what waits to come out, when the next freeze begins and ends, and `done`: what has been done
    to how many.
    """

    def __init__(self, rates: Rates, seed: int, now_ns: int) -> None:
        self.done: Counter[str] = Counter(received=0, sent=0)
        self._rates, self._random = rates, random.Random(seed)
        self._number = itertools.count()  # of heap entries: two messages are not compared
        self._late: list[tuple[int, int, Parts]] = []  # (due, number, message)
        self._behind: list[tuple[int, Parts]] = []  # (how many go first, message)
        self._freeze = self._thaw = now_ns
        self._plan_freeze(now_ns)

    def put(self, parts: Parts, now_ns: int) -> None:
        """Take in a message."""
        self.done["received"] += 1
        if self._happens("drop"):
            return
        if self._happens("corrupt"):
            parts = self._corrupted(parts)
        if self._happens("resize"):
            parts = self._resized(parts)
        if self._happens("reorder"):
            self._behind.append((self._random.randint(1, _BEHIND), parts))
            return
        late = self._random.randrange(1, _DELAY_NS) if self._happens("delay") else 0
        self._queue(parts, now_ns + late)
        if self._happens("duplicate"):
            self._queue(parts, now_ns + late)
        self._let_behind(now_ns)

    def take(self, now_ns: int) -> list[Parts]:
        """What is due."""
        if now_ns >= self._thaw:
            self._plan_freeze(now_ns)
        if now_ns >= self._freeze:
            return []
        due = []
        while self._late and self._late[0][0] <= now_ns:
            due.append(heapq.heappop(self._late)[2])
        self.done["sent"] += len(due)
        return due

    def _happens(self, what: str) -> bool:
        happens = bool(self._random.random() < getattr(self._rates, what))
        self.done[what] += happens
        return happens

    def _queue(self, parts: Parts, due_ns: int) -> None:
        heapq.heappush(self._late, (due_ns, next(self._number), parts))

    def _let_behind(self, now_ns: int) -> None:
        """One more has gone before those that are to come later."""
        waiting = [(left - 1, parts) for left, parts in self._behind]
        self._behind = [(left, parts) for left, parts in waiting if left]
        for left, parts in waiting:
            if not left:
                self._queue(parts, now_ns)

    def _plan_freeze(self, now_ns: int) -> None:
        """The next freeze: so long, and after such a pause, that it takes its share of the time on average."""
        share = self._rates.freeze
        if not share:
            self._freeze = self._thaw = now_ns + 2**62
            return
        long = self._random.uniform(0.25, 1.0) * _FREEZE_NS
        self.done["freeze"] += 1
        self._freeze = now_ns + round(self._random.expovariate(share / (1 - share) / (0.625 * _FREEZE_NS)))
        self._thaw = self._freeze + round(long)

    def _corrupted(self, parts: Parts) -> Parts:
        which = self._random.randrange(1, len(parts)) if len(parts) > 1 else 0
        damaged = bytearray(parts[which])
        for _ in range(self._random.randint(1, _FLIPS) if damaged else 0):
            damaged[self._random.randrange(len(damaged))] ^= self._random.randint(1, 255)
        return [*parts[:which], bytes(damaged), *parts[which + 1 :]]

    def _resized(self, parts: Parts) -> Parts:
        """A frame of other size that is right in itself, or one whose pixels do not fill it."""
        if self._random.random() < 0.5 and len(parts) == 3:
            try:
                frame = wire.unpack_frame(parts)
            except WireError:
                pass
            else:
                ny, nx = (max(1, self._random.randint(n // 2, n)) for n in frame.pixels.shape)
                smaller = msgspec.structs.replace(frame, pixels=frame.pixels[:ny, :nx])
                return [bytes(part) for part in wire.pack_frame(smaller)]
        return [*parts[:-1], parts[-1][: self._random.randrange(len(parts[-1]) + 1)]]
