"""The accounts round the engine: which frames to look at, what became of each, and how long it took. No sockets."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from rtreg.errors import FrameError, RtregError
from rtreg.live.engine import Engine
from rtreg.live.metrics import Latencies, Ledger
from rtreg.records import (
    NAN,
    Command,
    Delivery,
    Estimate,
    Frame,
    Intake,
    Order,
    Reception,
    ReferenceInfo,
    Result,
    State,
    Tick,
    Verdict,
)

_LARGEST_SEQ: Final = 2**64 - 1  # what the wire holds
_MOST: Final = 2**63 - 1


class Bookkeeper:
    """The engine, with the accounts of its frames and the times they took.

    Parameters
    ----------
    engine : Engine
    stream, host : str
        Name of the stream; the host whose monotonic clock is ours.
    max_age_ms, valid_for_ms : float
        Frames older than this give no correction; a correction may be acted on for so long after it left, or after
        its frame became too old if that was before: a process can be stopped between the two.
    clock_bound_ms : float or None
        How far the UTC clocks of this and another host may differ; None when nothing is known of that.
    facts : dict
        What does not change, for the status.

    Notes
    -----
    The mutable state is the engine, `ledger`, `latencies`, `events`, the last result, and what has been lost and
    skipped since the last correction. Times are handed in: `now` is CLOCK_MONOTONIC ns. All that changes anything is
    an `Event`, and `events` counts them: whoever repeats them, with the frames, gets the same corrections.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        stream: str,
        host: str,
        max_age_ms: float,
        valid_for_ms: float,
        clock_bound_ms: float | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        self.engine = engine
        self.ledger = Ledger()
        self.latencies = Latencies()
        self.events = 0
        self._stream, self._facts, self._host = stream, facts or {}, host
        self._max_age, self._valid_for = round(max_age_ms * 1e6), round(valid_for_ms * 1e6)
        self._clock_bound = None if clock_bound_ms is None else round(clock_bound_ms * 1e6)
        self._last: Result | None = None
        self._lost = self._skipped = 0
        self._rated = (0, 0, 0)  # when, frames and corrections then
        self._rates = {"frames_hz": 0.0, "corrections_hz": 0.0}

    def admit(self, got: Reception, now: int, utc_now: int) -> Frame | None:
        """Account for all that came; the frame to work on, if it is new and fresh. An event: see `intake`."""
        self.events += 1
        for refusal in got.refused:
            self.ledger.refuse(refusal.error.identity, refusal.error.reason)
        for frame in got.skipped:
            self._skipped += self.ledger.record(frame.epoch, frame.seq, "skipped")
        newest = got.frame
        if newest is None:
            return None
        if self.ledger.knows(newest.epoch, newest.seq):
            self.ledger.record(newest.epoch, newest.seq, "rejected")  # which counts a duplicate
            return None
        if self._age(newest, now, utc_now) > self._max_age:
            self.ledger.record(newest.epoch, newest.seq, "rejected", "age")
            return None
        return newest

    def intake(self, got: Reception, now: int, utc_now: int, learnt: bool) -> Intake:
        """What has just been admitted, as an event; `learnt` is whether the engine is to learn from it."""
        newest = got.frame
        return Intake(
            mono_ns=now,
            t_ns=utc_now,
            frame=None if newest is None else (newest.epoch, newest.seq, newest.recv_mono_ns),
            skipped=tuple((frame.epoch, frame.seq) for frame in got.skipped),
            refused=tuple((refusal.error.reason, refusal.error.identity) for refusal in got.refused),
            learnt=learnt,
            n=self.events,
        )

    def _age(self, frame: Frame, now: int, utc_now: int) -> int:
        """How old a frame is, ns: by one host's clock, else by UTC if its error is bounded, else since receipt."""
        if frame.host == self._host:
            return now - frame.mono_ns
        if self._clock_bound is not None:
            return utc_now - frame.t_ns - frame.exp_ns // 2 - self._clock_bound
        return now - frame.recv_mono_ns

    def process(self, frame: Frame) -> Result | RtregError:
        """The engine's answer, entered in the accounts; why there is none if the engine could not look at the frame.

        The reason that such a frame is rejected for is "frame", or "config" where the configuration does not fit it.
        """
        try:
            result = self.engine.process(frame)
        except RtregError as error:
            reason = "frame" if isinstance(error, FrameError) else "config"
            self.ledger.record(frame.epoch, frame.seq, "rejected", reason)
            return error
        self.ledger.record(frame.epoch, frame.seq, "held" if result.held else "corrected", result.held)
        self._last = result
        return result

    def delivery(self, frame: Frame, start: int, done: int, now: int) -> Delivery:
        """The stage times of a frame's correction that leaves `now`, and what went missing before it."""
        lost, skipped = self.ledger.lost, self._skipped
        sent = frame.mono_ns if frame.host == self._host else 0
        too_old = (sent or frame.recv_mono_ns) + self._max_age
        delivery = Delivery(
            sent=sent,
            recv=frame.recv_mono_ns,
            start=start,
            done=done,
            out=now,
            valid_until=min(now, too_old) + self._valid_for,
            lost=min(max(0, lost - self._lost), _MOST),
            skipped=skipped,
            host=self._host,
            truth=frame.truth,
            event=self.events,
        )
        self._lost, self._skipped = lost, 0
        return delivery

    def tick(self, tick: Tick) -> tuple[Result, Delivery]:
        """What to publish when no frame came; before the first one, that there is no reference. An event."""
        self.events += 1
        result = self.engine.tick(tick)
        if result is None:
            result = self._nothing(State.NO_REFERENCE)
        else:
            self._last = result
        now = tick.mono_ns
        return result, Delivery(out=now, valid_until=now + self._valid_for, host=self._host, event=self.events)

    def _nothing(self, state: State) -> Result:
        """What can be said while no frame has come; its command says that there is no position yet."""
        return Result(
            stream=self._stream,
            epoch=0,
            seq=0,
            t_ns=0,
            state=state,
            estimate=Estimate(),
            verdict=Verdict.OK,
            command=Command(u=(NAN, NAN)),
            reference=ReferenceInfo(),
            held="NO_FRAME",
        )

    def farewell(self, now: int) -> tuple[Result, Delivery]:
        """The last correction: STOPPING, with nothing in it to act on. An event."""
        self.events += 1
        last = self._last or self._nothing(State.STOPPING)
        command = last.command
        if command.mode == "increment":
            command = msgspec.structs.replace(command, u=(0.0, 0.0))
        result = msgspec.structs.replace(
            last, state=State.STOPPING, estimate=Estimate(), command=command, held="STOPPING"
        )
        return result, Delivery(out=now, valid_until=now, host=self._host, event=self.events)

    def obey(self, order: Order) -> tuple[Order, dict[str, Any]]:
        """Let the engine carry out an order: that order as an event, and what to add to the reply.

        Raises
        ------
        ConfigError
            It cannot be, and has changed nothing.
        """
        reply = self.engine.handle(order)
        self.events += 1
        return msgspec.structs.replace(order, n=self.events), reply

    def order(self, body: dict[str, Any]) -> Order:
        """A control request as an order, with the frame it precedes."""
        last = self._last
        epoch, seq = (last.epoch, min(last.seq + 1, _LARGEST_SEQ)) if last else (0, 0)
        args = {key: value for key, value in body.items() if key not in ("v", "do")}
        return Order(do=str(body.get("do")), args=args, epoch=epoch, seq=seq)

    def snapshot(self) -> dict[str, Any]:
        """All that the next corrections depend on besides the configuration: see `Engine.snapshot`."""
        last = self._last
        return {
            "engine": self.engine.snapshot(),
            "ledger": self.ledger.snapshot(),
            "events": self.events,
            "lost": self._lost,
            "skipped": self._skipped,
            "last": None if last is None else msgspec.to_builtins(last),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `snapshot`; raises as `Engine.restore`."""
        self.engine.restore(state["engine"])
        self.ledger.restore(state["ledger"])
        self.events, self._lost, self._skipped = int(state["events"]), int(state["lost"]), int(state["skipped"])
        self._last = None if state["last"] is None else msgspec.convert(state["last"], Result)

    def note(self, **facts: Any) -> None:
        """Add to what the status says besides counters, or change it."""
        self._facts = self._facts | facts

    def rate(self, now: int) -> None:
        """Take the rates since the last call."""
        then, frames, corrections = self._rated
        self._rated = (now, self.ledger.received, self.ledger.corrected)
        if then and now > then:
            per_second = 1e9 / (now - then)
            self._rates = {
                "frames_hz": (self._rated[1] - frames) * per_second,
                "corrections_hz": (self._rated[2] - corrections) * per_second,
            }

    def status(self, now: int) -> dict[str, Any]:
        """All that the tracker knows about itself, as a plain map; latencies since its start, us."""
        return {
            **self.engine.status(),
            "ledger": self.ledger.counts(),
            "rates": self._rates,
            "latency_us": self.latencies.summary_us(),
            "mono_ns": now,
            **self._facts,
        }
