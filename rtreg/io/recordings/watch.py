"""What a recorder understands of the messages it records: whether any are missing, where a file can begin, and when
something has happened that is worth keeping. Sans-IO."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from rtreg.errors import WireError
from rtreg.io import wire
from rtreg.io.recordings.backlog import Message
from rtreg.io.recordings.layout import Kind, kind_of
from rtreg.records import Checkpoint, Event, Frame, Intake, Order, State, Verdict

__all__ = ["Watch"]

MOST_PENDING: Final = 256  # frames not yet mentioned by a tracker; without one, all of them
MOST_PENDING_BYTES: Final = 64 * 2**20


class Watch:
    """Follows one stream.

    Attributes
    ----------
    lacks_checkpoint : bool
        Whether what comes from here on cannot be replayed until a checkpoint comes.
    gaps : int
        How often events were missing.
    pending : deque of Message
        Frames that the tracker has not yet said anything about: a file that begins at a checkpoint needs them too.
    """

    def __init__(self) -> None:
        self.lacks_checkpoint = True
        self.gaps = 0
        self.pending: deque[Message] = deque()
        self._identities: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._last_n: int | None = None
        self._state: State | None = None
        self.checkpoint: Checkpoint | None = None

    def see(self, message: Message) -> tuple[Kind, str]:
        """Take note of a message: its kind, and what has happened, "" if nothing: "lost", "jump" or "mark".

        Raises
        ------
        WireError
            The message breaks the protocol; it is not to be recorded.
        """
        parts = message.parts
        letter = chr(parts[0][0]) if len(parts[0]) else ""
        if letter == "f":
            self._frame(wire.unpack_frame(parts), message)
        elif letter == "o":
            return "o", self._event(wire.unpack_event(parts))
        elif letter == "c":
            return "c", self._correction(wire.unpack_correction(parts))
        elif letter == "k":
            self.checkpoint = wire.unpack_checkpoint(parts)
            self._last_n, self.lacks_checkpoint = self.checkpoint.n, False
        elif letter == "s":
            wire.unpack_status(parts)
        else:
            raise WireError("topic", f"topic {bytes(parts[0][:40])!r} is none to record")
        kind, _ = kind_of(bytes(parts[0]).decode("ascii", "replace"))
        return kind, ""

    def missed(self) -> None:
        """Frames have been dropped: what follows cannot be replayed without a new checkpoint."""
        self.lacks_checkpoint = True

    def _frame(self, frame: Frame, message: Message) -> None:
        self.pending.append(message)
        self._identities.append((frame.epoch, frame.seq))
        self._bytes += _size(message.parts)
        while len(self.pending) > MOST_PENDING or self._bytes > MOST_PENDING_BYTES:
            self._forget()

    def _forget(self) -> None:
        self._identities.popleft()
        self._bytes -= _size(self.pending.popleft().parts)

    def _event(self, event: Event) -> str:
        if self._last_n is not None and event.n != self._last_n + 1:
            self.gaps += 1
            self.lacks_checkpoint = True
        self._last_n = event.n
        if isinstance(event, Intake) and event.frame is not None and event.frame[:2] in self._identities:
            while self._identities and self._identities[0] != event.frame[:2]:
                self._forget()
            self._forget()
        return "mark" if isinstance(event, Order) and event.do == "mark" else ""

    def _correction(self, correction: wire.Correction) -> str:
        before, self._state = self._state, correction.result.state
        if Verdict.JUMP in correction.result.verdict:
            return "jump"
        return "lost" if self._state is State.LOST and before is not State.LOST else ""


def _size(parts: Sequence[Any]) -> int:
    return sum(len(part) for part in parts)
