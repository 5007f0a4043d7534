"""Corrections into moves: what may be acted on, and the device channel that both of its ends share.

The device lives in the camera process (`obey`); the actuator process decides (`Actuator`) and asks. When there is
nothing left that may be acted on, its watchdog takes the safe action of the configuration.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from rtreg.errors import ConfigError, DeviceError, WireError
from rtreg.io.feeds import Feed
from rtreg.io.sockets import DeviceClient
from rtreg.io.wire import Correction

LONGEST_TIMEOUT_MS = 60_000
CENTRE = (0.0, 0.0)

Safe = Literal["hold", "centre", "stop"]

__all__ = ["Actuator", "Decision", "Move", "Safe", "halt", "obey", "send", "where"]


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A move request: `u` (x, y) in `unit`, not to be acted on after `valid_until` (CLOCK_MONOTONIC ns)."""

    u: tuple[float, float]
    mode: Literal["absolute", "increment"]
    unit: str
    valid_until: int


class Decision(NamedTuple):
    """A move to make, or why there is none; neither when there is nothing to do.

    `halt`: stop the device instead, wherever it is. `alarm`: what the watchdog has to say, once.
    """

    move: Move | None = None
    refusal: str = ""
    halt: bool = False
    alarm: str = ""


class Actuator:
    """Decides which corrections are acted on: only valid ones of this host's clock, within limits, and none twice.

    Parameters
    ----------
    limit : float, optional
        Largest |u| on either axis that is passed on, in the correction's unit; in mode "increment" of each step.
    timeout_ms : int
        How long to wait for the device's answer, ms.
    watchdog_ms : float
        When no correction that may be acted on has come for so long, the safe action is taken, ms.
    safe : {"hold", "centre", "stop"}
        The safe action: "hold" leaves the device where it is, "centre" moves it to 0, and both go on with the next
        good correction; "stop" halts it and moves nothing more until this process is started again.
    host : str
        Whose CLOCK_MONOTONIC ours is. When a correction from another host expires cannot be told: it is refused.

    Notes
    -----
    The mutable state: where the device is by its last answer, None while that is not known; which frame the last
    increment answered; when the last good correction came, in which unit, and the safe action still to be taken. A
    command that is not finite says that there is no position yet: nothing to do. The watchdog waits for the first
    good correction, since a tracker may take a minute to start. Sans-IO.
    """

    def __init__(
        self,
        *,
        limit: float | None = None,
        timeout_ms: int = 800,
        watchdog_ms: float = 1000.0,
        safe: Safe = "hold",
        host: str = "",
    ) -> None:
        if limit is not None and not limit > 0:
            raise ConfigError(f"limit = {limit}: must be positive, or left out for none")
        if not 1 <= timeout_ms <= LONGEST_TIMEOUT_MS:
            raise ConfigError(f"timeout_ms = {timeout_ms}: ms, 1 to {LONGEST_TIMEOUT_MS}")
        if not 100 <= watchdog_ms <= LONGEST_TIMEOUT_MS:
            raise ConfigError(
                f"watchdog_ms = {watchdog_ms}: ms, 100 (how rarely a tracker may speak) to {LONGEST_TIMEOUT_MS}"
            )
        if safe not in get_args(Safe):
            raise ConfigError(f"safe = {safe!r}: one of {', '.join(get_args(Safe))}")
        self.limit, self.timeout_ms, self.safe, self.host = limit, timeout_ms, safe, host
        self.watchdog_ms, self._watchdog_ns = watchdog_ms, round(watchdog_ms * 1e6)
        self._obeyed: tuple[float, float] | None = None
        self._stepped: tuple[int, int] | None = None
        self._fed: int | None = None  # None: the watchdog sleeps
        self._unit = "px"
        self._owed: Safe | None = None
        self._stopped = False

    def __repr__(self) -> str:
        return f"<Actuator at {self._obeyed}, limit {self.limit}, when nothing may be acted on: {self.safe}>"

    def decide(self, correction: Correction, now_ns: int) -> Decision:
        """What to do about a correction at CLOCK_MONOTONIC `now_ns`; a move that it asks for is taken for sent."""
        command = correction.result.command
        refusal = self._refusal(correction, now_ns)
        if not refusal:
            self._feed(command.unit, now_ns)
        if not all(map(math.isfinite, command.u)) or self._done(correction):
            return Decision()
        if refusal:
            return Decision(refusal=refusal)
        self._obeyed = None  # until the device answers; without an answer it may have moved or not
        if command.mode == "increment":
            self._stepped = _frame(correction)
        valid_until = correction.delivery.valid_until
        return Decision(Move(u=command.u, mode=command.mode, unit=command.unit, valid_until=valid_until))

    def watch(self, now_ns: int) -> Decision:
        """The safe action, once nothing that may be acted on has come for `watchdog_ms`; until it has been taken."""
        alarm = ""
        if self._fed is not None and now_ns - self._fed > self._watchdog_ns:
            silent = (now_ns - self._fed) / 1e6
            alarm = f"no correction that may be acted on for {silent:.0f} ms: {self.safe}"
            self._fed, self._owed = None, self.safe
            self._stopped = self.safe == "stop"
        if self._owed == "centre":
            valid_until = now_ns + self.timeout_ms * 1_000_000
            return Decision(Move(u=CENTRE, mode="absolute", unit=self._unit, valid_until=valid_until), alarm=alarm)
        return Decision(halt=self._owed == "stop", alarm=alarm)

    def obeyed(self, move: Move) -> None:
        """The device has made `move`: in mode "absolute" it need not be sent again."""
        self._obeyed = move.u if move.mode == "absolute" else None
        self._owed = None

    def halted(self) -> None:
        """The device has been stopped."""
        self._owed, self._obeyed = None, None

    def _refusal(self, correction: Correction, now_ns: int) -> str:
        """Why this correction may not be acted on; empty when it may."""
        if self._stopped:
            return "stopped"
        if why := correction.refusal(self.host, now_ns):
            return why
        # a command that is not finite is none, and compares as within any limit
        beyond = self.limit is not None and max(map(abs, correction.result.command.u)) > self.limit
        return "beyond limit" if beyond else ""

    def _feed(self, unit: str, now_ns: int) -> None:
        self._fed, self._unit, self._owed = now_ns, unit, None

    def _done(self, correction: Correction) -> bool:
        """Whether the device is there already, or has made this step: an increment made twice is a wrong move."""
        command = correction.result.command
        if command.mode == "increment":
            return command.u == (0.0, 0.0) or _frame(correction) == self._stepped
        return command.u == self._obeyed


def _frame(correction: Correction) -> tuple[int, int]:
    return correction.result.epoch, correction.result.seq


def send(device: DeviceClient, move: Move, timeout_ms: int) -> tuple[float, float]:
    """Ask the device to make `move`; returns where it is then.

    Raises
    ------
    DeviceError
        It refused, did not answer, or answered what cannot be understood.
    """
    return _ask(device, "move", msgspec.structs.asdict(move), timeout_ms)


def halt(device: DeviceClient, timeout_ms: int) -> None:
    """Ask the device to stop where it is; raises like `send`."""
    _ask(device, "stop", {}, timeout_ms)


def where(device: DeviceClient, timeout_ms: int) -> tuple[float, float]:
    """Ask the device where it is, x first, in its own unit; raises like `send`."""
    return _ask(device, "where", {}, timeout_ms)


def _ask(device: DeviceClient, do: str, args: dict[str, Any], timeout_ms: int) -> tuple[float, float]:
    try:
        answer = device.ask(do, args, timeout_ms=timeout_ms)
    except WireError as error:
        raise DeviceError(str(error)) from None
    if not answer["ok"]:
        raise DeviceError(str(answer.get("error", "the device refused and gave no reason")))
    try:
        at = msgspec.convert(answer.get("at"), tuple[float, float])
    except msgspec.ValidationError as error:
        raise DeviceError(f"the device's answer to {do} is not understood: at: {error}") from None
    if not all(map(math.isfinite, at)):
        raise DeviceError(f"the device says that it is at {at}")
    return at


def obey(feed: Feed, body: dict[str, Any], now_ns: int) -> dict[str, Any]:
    """Do what a request on the device channel asks of `feed`, and return the answer's fields.

    Raises
    ------
    DeviceError
        The request is not understood or comes too late, or the device refuses.
    """
    match body.get("do"):
        case "where":
            return {"at": feed.where()}
        case "stop":
            return {"at": feed.stop()}
        case "move":
            try:
                move = msgspec.convert(body, Move)
            except msgspec.ValidationError as error:
                raise DeviceError(f"move not understood: {error}") from None
            if now_ns > move.valid_until:
                raise DeviceError(f"move came {(now_ns - move.valid_until) / 1e6:.1f} ms too late")
            return {"at": feed.move(move.u, move.mode, move.unit)}
        case other:
            raise DeviceError(f"no such request {str(other)[:40]!r}; there are move, stop and where")
