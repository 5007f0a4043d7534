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
MOST_EPOCHS: Final = 8
PATIENCE_NS: Final = 500_000_000  # word of a frame and the frame come by different ways


class Watch:
    """Follows one stream.

    Attributes
    ----------
    lacks_checkpoint : bool
        Whether what comes from here on cannot be replayed until a checkpoint comes.
    gaps : int
        How often events were missing.
    lost : int
        Frames that never came, by their numbers.
    missing : int
        Frames that the tracker used and that never came.
    pending : deque of Message
        Frames that the tracker has not yet said anything about: a file that begins at a checkpoint needs them too.
    """

    def __init__(self) -> None:
        self.lacks_checkpoint = True
        self.gaps = self.lost = self.missing = 0
        self._highest: dict[int, int] = {}  # seq, by epoch
        self._awaited: deque[tuple[tuple[int, int], int]] = deque()  # frames that came here later than word of them
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
            return "o", self._event(wire.unpack_event(parts), message.mono_ns)
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
        self._count(frame)
        if self._awaited and any(frame.epoch == epoch and frame.seq == seq for (epoch, seq), _ in self._awaited):
            self._awaited = deque(item for item in self._awaited if item[0] != (frame.epoch, frame.seq))
            return
        self.pending.append(message)
        self._identities.append((frame.epoch, frame.seq))
        self._bytes += _size(message.parts)
        while len(self.pending) > MOST_PENDING or self._bytes > MOST_PENDING_BYTES:
            self._forget()

    def _count(self, frame: Frame) -> None:
        highest = self._highest.get(frame.epoch)
        if highest is not None:
            self.lost += max(0, frame.seq - highest - 1)
        if highest is None and len(self._highest) >= MOST_EPOCHS:
            self._highest.pop(next(iter(self._highest)))
        self._highest[frame.epoch] = max(frame.seq, highest if highest is not None else 0)

    def _forget(self) -> None:
        self._identities.popleft()
        self._bytes -= _size(self.pending.popleft().parts)

    def _event(self, event: Event, now: int) -> str:
        while self._awaited and now - self._awaited[0][1] > PATIENCE_NS:
            self._awaited.popleft()
            self.missing += 1
            self.lacks_checkpoint = True
        if self._last_n is not None and event.n != self._last_n + 1:
            self.gaps += 1
            self.lacks_checkpoint = True
        self._last_n = event.n
        if isinstance(event, Intake) and event.frame is not None:
            self._taken(event.frame[:2], now)
        return "mark" if isinstance(event, Order) and event.do == "mark" else ""

    def _taken(self, identity: tuple[int, int], now: int) -> None:
        """The tracker has looked at a frame, and will not look at any before it."""
        if identity not in self._identities:
            self._awaited.append((identity, now))
            return
        while self._identities[0] != identity:
            self._forget()
        self._forget()

    def _correction(self, correction: wire.Correction) -> str:
        before, self._state = self._state, correction.result.state
        if Verdict.JUMP in correction.result.verdict:
            return "jump"
        return "lost" if self._state is State.LOST and before is not State.LOST else ""


def _size(parts: Sequence[Any]) -> int:
    return sum(len(part) for part in parts)
