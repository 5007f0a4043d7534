"""What has been received and is not yet written: a queue between two threads, within a budget of bytes."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["Backlog", "Message"]


class Message(NamedTuple):
    """A message as it came: its parts, of which the first is the topic, and when, CLOCK_MONOTONIC ns."""

    parts: Sequence[Any]
    mono_ns: int


class Backlog:
    """Messages that wait to be written.

    Frames that would exceed the budget are dropped and counted: the disk decides how fast a recorder is, and memory
    must not fill up for it. Of what is small nothing is dropped, for without orders frames cannot be replayed.

    Parameters
    ----------
    budget : int
        Bytes of frames that may wait.

    Notes
    -----
    One thread puts, one takes. The mutable state, under the lock: the queue, the bytes of frames in it, the drops.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._ready = threading.Condition()
        self._queue: deque[tuple[Message, int]] = deque()
        self._waiting = 0
        self._dropped: Counter[str] = Counter()

    def put(self, message: Message, size: int, *, frame: bool, stream: str = "") -> bool:
        """Add a message of `size` bytes; False if it is a frame that there is no room for."""
        with self._ready:
            if frame and self._queue and self._waiting + size > self._budget:
                self._dropped[stream] += 1
                return False
            counted = size if frame else 0
            self._queue.append((message, counted))
            self._waiting += counted
            self._ready.notify()
        return True

    def take(self, timeout_s: float, most: int = 64) -> list[Message]:
        """Up to `most` messages in their order; none if nothing came within `timeout_s`."""
        with self._ready:
            if not self._queue:
                self._ready.wait(timeout_s)
            taken = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
            self._waiting -= sum(size for _, size in taken)
        return [message for message, _ in taken]

    def dropped(self) -> Counter[str]:
        """Frames dropped since the last time this was asked, by stream."""
        with self._ready:
            found, self._dropped = self._dropped, Counter()
        return found

    def __len__(self) -> int:
        return len(self._queue)
