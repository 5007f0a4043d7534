"""The last seconds in memory, to be kept when something happens: messages in, a consistent cut of them out. Sans-IO."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from rtreg.io.recordings.backlog import Message
from rtreg.io.recordings.layout import carried_over

__all__ = ["Ring"]


class _Segment:
    """Messages from one checkpoint to the next."""

    def __init__(self, began: int) -> None:
        self.began = began
        self.messages: list[Message] = []
        self.nbytes = 0

    def add(self, message: Message) -> None:
        self.messages.append(message)
        self.nbytes += sum(len(part) for part in message.parts)


class Ring:
    """Keeps at least the last `seconds`, in segments that each begin at a checkpoint, so that any cut can be replayed.

    Parameters
    ----------
    seconds : float
        What there must be before the moment of a dump.
    budget : int
        Bytes of messages; beyond it the oldest segments go, however young.

    Notes
    -----
    The mutable state is the segments, and `short`: how often one had to go for the budget.
    """

    def __init__(self, seconds: float, budget: int) -> None:
        self._span, self._budget = round(seconds * 1e9), budget
        self._segments: deque[_Segment] = deque()
        self.short = 0

    def __repr__(self) -> str:
        return f"<Ring of {len(self._segments)} segments, {self.nbytes} bytes>"

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(segment.nbytes for segment in self._segments)

    def wants_checkpoint(self, now: int) -> bool:
        """Whether the segment at hand has become half as long as the ring."""
        return bool(self._segments) and now - self._segments[-1].began >= self._span // 2

    def begin(self, now: int, pending: Iterable[Message]) -> None:
        """The next message is a checkpoint: begin a segment, with the frames that the tracker has yet to look at."""
        self._segments.append(_Segment(now))
        for message in pending:
            self._segments[-1].add(Message(carried_over(message.parts), message.mono_ns))

    def add(self, message: Message) -> None:
        """Append a message, and forget what is old enough."""
        if not self._segments:
            self._segments.append(_Segment(message.mono_ns))
        self._segments[-1].add(message)
        while len(self._segments) > 1 and self._segments[1].began <= message.mono_ns - self._span:
            self._segments.popleft()
        while len(self._segments) > 1 and self.nbytes > self._budget:
            self._segments.popleft()
            self.short += 1
        if self.nbytes > self._budget:
            self._segments[0] = _Segment(message.mono_ns)  # one segment alone is too much: begin again
            self.short += 1

    def cut(self) -> list[Message]:
        """All that is held, and forget it."""
        messages = [message for segment in self._segments for message in segment.messages]
        self._segments.clear()
        return messages
