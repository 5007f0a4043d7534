"""The states a loop can get into, each as a machine: what starts it, what holds it, and what ends it in bounded time.

Time is the receive time of the frames, so that a replay decides alike. A machine's whole state is in `STATE`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from rtreg.records import Shift

NS = 1_000_000_000
FOLLOW = 0.02  # of a new value in the running level: slow against frames, fast against the seeing
ARMED_AFTER = 100  # frames that all differ: this camera has noise, and does not repeat a frame by chance
SAMPLED_ROWS = 8  # of a frame, to tell whether it is the one before: a few hundred noisy pixels are never alike
ASKED_LEAST = 1.0  # px: before the commands have asked for so much, nothing can be said of the answer
ASKED_MOST = 3.0  # px: no more is asked of a place that has not answered
ANSWER = 0.25  # of what was asked: less is no answer
SAME_PLACE = 1.0  # px
BANNED_FOR = 10.0  # time-outs: then a place that did not move is tried again


class Machine:
    """What the gates have in common: state that can be forgotten, put away and taken out."""

    STATE: tuple[str, ...] = ()

    def forget(self) -> None:
        """Start afresh, for a new reference."""
        raise NotImplementedError

    def snapshot(self) -> dict[str, Any]:
        """The state, plain."""
        return {name: getattr(self, name) for name in self.STATE}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `snapshot`."""
        for name in self.STATE:
            value = state[name]
            setattr(self, name, Shift(*map(float, value)) if isinstance(value, (list, tuple)) else value)


class Level(Machine):
    """A number that may drift but not leap: a leap is held, until it is over or has lasted for the time-out.

    The level from before the last leap that was believed is kept: when it comes back, it is believed at once, as the
    brightness of a star is when the cloud has passed.
    """

    STATE = ("level", "before", "since_ns")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The next value is the level."""
        self.level = self.before = math.nan
        self.since_ns: int | None = None

    def leaps(self, value: float, now_ns: int, timeout: float, *, low: float, high: float, least: float) -> bool:
        """Whether `value` is to be held: below `low` or above `high` times the level, or `least` if that is more."""
        if math.isnan(value) or math.isnan(self.level) or _within(value, self.level, low, high, least):
            self.since_ns = None
            return False
        if _within(value, self.before, low, high, least):
            self._believe(value)
            return False
        if self.since_ns is None:
            self.since_ns = now_ns
        if now_ns - self.since_ns < timeout * NS:
            return True
        self._believe(value)
        return False

    def _believe(self, value: float) -> None:
        self.level, self.before, self.since_ns = value, self.level, None

    def accept(self, value: float) -> None:
        """A value of a frame that passed: the level follows it slowly."""
        if math.isnan(self.level):
            self.level = value
        elif not math.isnan(value):
            self.level += FOLLOW * (value - self.level)


def _within(value: float, level: float, low: float, high: float, least: float) -> bool:
    return low * level <= value <= high * max(level, least)


class Signal(Machine):
    """Too little signal, from the first such frame until `confirm` good ones have come in a row."""

    STATE = ("low", "good")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nothing has been too low."""
        self.low, self.good = False, 0

    def is_low(self, good: bool, confirm: float) -> bool:
        """Whether a frame is to be held that by itself is good or not."""
        self.good = self.good + 1 if good else 0
        self.low = not good or (self.low and self.good < confirm)
        return self.low


class Jump(Machine):
    """A leap of the shift, until so many frames agree on the new place, or until the time-out if none agree."""

    STATE = ("last", "candidate", "seen", "since_ns")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The next shift is believed."""
        self.last: Shift | None = None
        self.candidate: Shift | None = None
        self.seen = 0
        self.since_ns: int | None = None

    def holds(self, shift: Shift, now_ns: int, timeout: float, *, reach: float, confirm: float) -> bool:
        """Whether a shift is too far from the last one that passed to be believed yet."""
        if self.last is None or distance(shift, self.last) <= reach:
            self.candidate, self.seen, self.since_ns = None, 0, None
            return False
        if self.since_ns is None:
            self.since_ns = now_ns
        agrees = self.candidate is not None and distance(shift, self.candidate) <= reach
        self.seen = self.seen + 1 if agrees else 1
        self.candidate = shift
        return self.seen < confirm and now_ns - self.since_ns < timeout * NS

    def accept(self, shift: Shift) -> bool:
        """A shift that passed; whether it was a jump that has been believed with it."""
        jumped = self.candidate is not None
        self.last, self.candidate, self.seen, self.since_ns = shift, None, 0, None
        return jumped


class Frozen(Machine):
    """A camera that repeats a frame: held until a different one comes.

    Cameras without noise (simulated ones) repeat themselves when nothing moves. So only a camera that has not done it
    before is suspected, and after the time-out one frame passes, for its command to move something; the next time-out
    is twice as long.
    """

    STATE = ("different", "since_ns", "wait_ns")

    def __init__(self) -> None:
        self.forget()
        self._sample = b""

    def forget(self) -> None:
        """Not suspected."""
        self.different = 0
        self.since_ns: int | None = None
        self.wait_ns = 0

    def holds(self, pixels: npt.NDArray[Any], now_ns: int, timeout: float) -> bool:
        """Whether a frame is a repetition that is to be held."""
        if not self._repeats(pixels):
            self.different = min(self.different + 1, ARMED_AFTER)
            self.since_ns = None
            return False
        if self.different < ARMED_AFTER:
            self.different = 0
            return False
        if self.since_ns is None:
            self.since_ns, self.wait_ns = now_ns, int(timeout * NS)
        if now_ns - self.since_ns < self.wait_ns:
            return True
        self.since_ns, self.wait_ns = now_ns, 2 * self.wait_ns
        return False

    def _repeats(self, pixels: npt.NDArray[Any]) -> bool:
        """Whether these pixels are those of the frame before; they are remembered for the next."""
        before, self._sample = self._sample, pixels[:: -(-pixels.shape[0] // SAMPLED_ROWS)].tobytes()
        return self._sample == before

    def snapshot(self) -> dict[str, Any]:
        """The state, and the pixels that are remembered."""
        return {**super().snapshot(), "sample": self._sample}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `snapshot`."""
        super().restore({name: state[name] for name in self.STATE})
        self._sample = bytes(state["sample"])


class Answer(Machine):
    """A place that was found anew must move when the mirror does: a hot pixel does not.

    A scene may move against the commands, too; so any motion of a pixel clears it, and of less the part that follows
    the commands. What is asked of it is bounded, until it has answered; a place that has not by the time-out is not
    followed, until it is tried again. `home` is where the image should be by now, if what was followed before is still
    there.
    """

    STATE = ("start", "fresh", "home", "asked", "since_ns", "banned", "banned_ns")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """No place is suspected."""
        self.start: Shift | None = None
        self.fresh = False  # found with this very frame: what was asked before it is no matter
        self.home = Shift(0.0, 0.0)
        self.asked = Shift(0.0, 0.0)
        self.since_ns = 0
        self.banned: Shift | None = None
        self.banned_ns = 0

    def suspect(self, shift: Shift, home: Shift, *, anew: bool) -> None:
        """This place was found, when the image was to be at `home`; `anew` even if another was suspected already."""
        if self.start is None:
            self.home = home
        if self.start is None or anew:
            self.start, self.asked, self.fresh = shift, Shift(0.0, 0.0), True

    def fails(self, shift: Shift, asked: Shift, now_ns: int, timeout: float) -> bool:
        """Whether to hold a frame that shows this shift, when so much was asked of the image since the last one, px."""
        if self.banned is not None and distance(shift, self.banned) <= SAME_PLACE:
            if now_ns - self.banned_ns < BANNED_FOR * timeout * NS:
                return True
            self.banned = None
            self.suspect(shift, self.home, anew=True)
        if self.start is None or self.fresh:
            self.fresh = False
            return False
        before = math.hypot(*self.asked)
        self.asked = Shift(self.asked.dx + asked.dx, self.asked.dy + asked.dy)
        self.home = Shift(self.home.dx + asked.dx, self.home.dy + asked.dy)
        if distance(shift, self.start) > SAME_PLACE:  # with or against what was asked: a hot pixel does neither
            self.start = None
            return False
        length = math.hypot(*self.asked)
        if length < ASKED_LEAST:
            return False
        along = (shift.dx - self.start.dx) * self.asked.dx + (shift.dy - self.start.dy) * self.asked.dy
        if along >= ANSWER * length * length:
            self.start = None
            return False
        if length < ASKED_MOST:
            return False
        if before < ASKED_MOST:
            self.since_ns = now_ns
        if now_ns - self.since_ns >= timeout * NS:
            self.banned, self.banned_ns, self.start = shift, now_ns, None
        return True

    def accept(self, shift: Shift) -> None:
        """A shift that passed: while another place is not followed, this is what is."""
        if self.banned is not None:
            self.home = shift


def distance(a: Shift, b: Shift) -> float:
    """Between two shifts, px."""
    return math.hypot(a.dx - b.dx, a.dy - b.dy)
