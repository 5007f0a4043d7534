"""The actuator process: corrections in, moves of the device out; it says what it refuses and goes on."""

from __future__ import annotations

import time
from collections import Counter

from rtreg import build
from rtreg.errors import DeviceError
from rtreg.io.actuators import Actuator, Decision, halt, send
from rtreg.io.config import Config
from rtreg.io.realtime import Stop, quiet
from rtreg.io.sockets import ControlClient, CorrectionSubscriber, DeviceClient
from rtreg.io.systemd import Watchdog
from rtreg.records import Command
from rtreg.services.journal import Journal
from rtreg.services.rejoin import Rejoin

WAIT_MS = 100  # a stop is noticed, and the watchdog looked at, at least this often


class Hand:
    """What carries decisions out. The mutable state is `done`: what was done, by kind."""

    def __init__(self, actuator: Actuator, device: DeviceClient, journal: Journal) -> None:
        self._actuator, self._device, self._journal = actuator, device, journal
        self.done: Counter[str] = Counter()

    def take(self, decision: Decision, command: Command | None = None) -> None:
        """Do it and say what went wrong; `command` is what a refusal is of."""
        if decision.alarm:
            self.done["safe actions"] += 1
            self._journal.say(decision.alarm)
        if decision.refusal and command is not None:
            self.done[decision.refusal] += 1
            self._journal.complain(decision.refusal, f"refused {command.u} {command.unit}: {decision.refusal}")
        try:
            self._move(decision)
        except DeviceError as error:
            self.done["failed"] += 1
            self._journal.complain("device", str(error))

    def _move(self, decision: Decision) -> None:
        if decision.halt:
            halt(self._device, self._actuator.timeout_ms)
            self._actuator.halted()
        elif decision.move is not None:
            send(self._device, decision.move, self._actuator.timeout_ms)
            self._actuator.obeyed(decision.move)
            self.done["moves"] += 1


def run(actuator: Actuator, corrections: CorrectionSubscriber, rejoin: Rejoin, hand: Hand, stop: Stop) -> None:
    """Act on corrections until a stop is asked for, and on their absence.

    Of several that wait only the newest counts: the next frame measures what an unmade move has left.
    """
    watchdog = Watchdog()
    watchdog.ready(f"acting on {corrections.endpoint}")
    while not stop:
        correction = corrections.newest(WAIT_MS)
        if correction is not None and rejoin.follows(correction, time.monotonic_ns()):
            decision = actuator.decide(correction, now := time.monotonic_ns())
            if not decision.refusal:
                rejoin.acted(now)
            hand.take(decision, correction.result.command)
        now = time.monotonic_ns()
        hand.take(actuator.watch(now))
        watchdog.feed(now)
    watchdog.stopping()


def main(config: Config) -> int:
    """Run the actuator of `config` until SIGINT or SIGTERM."""
    stop, journal, ends = Stop().listen(), Journal("actuator"), config.endpoints
    actuator, guard = build.actuator(config), build.guard(config)
    with (
        CorrectionSubscriber(ends.corrections, config.stream, guard=guard) as corrections,
        DeviceClient(ends.device, guard=guard) as device,
        ControlClient(ends.control, guard=guard) as control,
    ):
        quiet()
        journal.say(f"ready: {corrections.endpoint} to {device.endpoint}")
        rejoin = Rejoin(
            device, control, after_ms=actuator.watchdog_ms, timeout_ms=actuator.timeout_ms, journal=journal,
            host=actuator.host,
        )  # fmt: skip
        hand = Hand(actuator, device, journal)
        run(actuator, corrections, rejoin, hand, stop)
    journal.say("done: " + (", ".join(f"{kind} {count}" for kind, count in hand.done.items()) or "nothing to do"))
    return 0
