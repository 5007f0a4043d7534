"""The replayer process: a recording back on the wire as if it were happening now. Consumers need not know.

Pure first: what a message is when it is said again. Then the pace, and the loop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from rtreg import build
from rtreg.io import wire
from rtreg.io.config import Config
from rtreg.io.realtime import Stop, host_id
from rtreg.io.recordings import Item, Recording
from rtreg.io.security import Server
from rtreg.io.sockets import Relay
from rtreg.records import Event, Order, Tick
from rtreg.services.journal import Journal

SLICE_S = 0.1  # a stop is noticed at least this often


@dataclass(frozen=True)
class Playing:
    """How to play: `speed` times as fast (0: as fast as the slowest consumer takes it), again and again, from and to
    (s after the beginning), frames alone or all, and how long consumers have to connect."""

    speed: float = 1.0
    loop: bool = False
    start_s: float | None = None
    stop_s: float | None = None
    frames_only: bool = False
    wait_s: float = 1.0


class Restamp:
    """Makes a recorded message one of now: monotonic times are moved to this host's clock, and each pass has epochs of
    its own, so that a repetition is not taken for duplicates. What the light did (`t_ns`, `truth`, seq) stays.

    The mutable state is the epochs of this pass.
    """

    def __init__(self) -> None:
        self._host = host_id()
        self._epochs: dict[int, int] = {}

    def new_pass(self) -> None:
        """From here on it is another publisher."""
        self._epochs.clear()

    def _epoch(self, recorded: int) -> int:
        return self._epochs.setdefault(recorded, int.from_bytes(os.urandom(8), "little") >> 1)

    def __call__(self, item: Item, now: int) -> list[wire.Buffer]:
        """The message as it is sent `now`, CLOCK_MONOTONIC ns. Raises `WireError` for one that breaks the protocol."""
        if item.kind == "f":
            frame = wire.unpack_frame(item.parts)
            fresh = msgspec.structs.replace(frame, epoch=self._epoch(frame.epoch), mono_ns=now, host=self._host)
            return wire.pack_frame(fresh)
        if item.kind == "c":
            return self._correction(wire.unpack_correction(item.parts), now)
        if item.kind == "o":
            return wire.pack_event(item.stream, self._event(wire.unpack_event(item.parts), now))
        return wire.pack_status(item.stream, {**wire.unpack_status(item.parts), "mono_ns": now})

    def _correction(self, correction: wire.Correction, now: int) -> list[wire.Buffer]:
        result, told = correction
        later = now - told.out
        moved = {name: value + later for name in _TIMES if (value := getattr(told, name))}
        delivery = msgspec.structs.replace(told, host=self._host, **moved)
        return wire.pack_correction(msgspec.structs.replace(result, epoch=self._epoch(result.epoch)), delivery)

    def _event(self, event: Event, now: int) -> Event:
        if isinstance(event, Order):
            return msgspec.structs.replace(event, epoch=self._epoch(event.epoch))
        if isinstance(event, Tick):
            return msgspec.structs.replace(event, mono_ns=now)
        changes: dict[str, Any] = {"mono_ns": now}
        if event.frame is not None:
            epoch, seq, received = event.frame
            changes["frame"] = (self._epoch(epoch), seq, received + now - event.mono_ns)
        changes["skipped"] = tuple((self._epoch(epoch), seq) for epoch, seq in event.skipped)
        return msgspec.structs.replace(event, **changes)


_TIMES = ("sent", "recv", "start", "done", "out", "valid_until")


def paced(items: Iterator[Item], speed: float, stop: Stop) -> Iterator[Item]:
    """The items, each when its turn has come; all at once at speed 0."""
    first: tuple[int, int] | None = None
    for item in items:
        first = first or (item.log_ns, time.monotonic_ns())
        due = first[1] + (item.log_ns - first[0]) / speed if speed else 0
        while not stop and (left := due - time.monotonic_ns()) > 0:
            time.sleep(min(left / 1e9, SLICE_S))
        if stop:
            return
        yield item


def main(config: Config, path: Path, stream: str | None, playing: Playing) -> int:
    """Play a recording to the endpoints of `config` until it ends, or until SIGINT or SIGTERM."""
    stop, journal, ends, guard = Stop().listen(), Journal("replayer"), config.endpoints, build.guard(config)
    wait = not playing.speed
    with Recording(path) as recording:
        name = recording.one_stream(stream, "f" if playing.frames_only else "fcs")
        begin, _ = recording.span_ns
        limits = {
            "start_ns": None if playing.start_s is None else begin + round(playing.start_s * 1e9),
            "stop_ns": None if playing.stop_s is None else begin + round(playing.stop_s * 1e9),
        }
        kinds = "f" if playing.frames_only else "fcos"
        outlets: list[tuple[str, Server, str]] = [("f", "camera", ends.frames)]
        if not playing.frames_only:
            outlets += [("co", "tracker", ends.corrections), ("s", "tracker", ends.status)]
        relays: dict[str, Relay] = {}
        try:
            for letters, server, endpoint in outlets:
                relay = Relay(endpoint, server, wait=wait, guard=guard)
                relays |= dict.fromkeys(letters, relay)
            journal.say(f"ready: {path}, stream {name}, to {', '.join(endpoint for _, _, endpoint in outlets)}")
            _rest(playing.wait_s, stop)
            sent, restamp = 0, Restamp()
            while not stop:
                for item in paced(recording.items(kinds, stream=name, **limits), playing.speed, stop):
                    parts = restamp(item, time.monotonic_ns())
                    while not relays[item.kind].send(parts) and not stop:
                        journal.complain("slow", "a consumer does not take what is played; waiting for it")
                    sent += 1
                if not playing.loop:
                    break
                restamp.new_pass()
            _rest(SLICE_S, stop)
        finally:
            for relay in relays.values():
                relay.close()
    journal.say(f"done: {sent} messages")
    return 0


def _rest(seconds: float, stop: Stop) -> None:
    end = time.monotonic() + seconds
    while not stop and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, SLICE_S))
