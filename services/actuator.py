"""The actuator process: corrections in, moves of the device out; it says what it refuses and goes on."""

from __future__ import annotations

import time
from collections import Counter

from rtreg import build
from rtreg.errors import DeviceError
from rtreg.io.actuators import Actuator, send
from rtreg.io.config import Config
from rtreg.io.realtime import Stop, quiet
from rtreg.io.sockets import CorrectionSubscriber, DeviceClient
from rtreg.services.journal import Journal

WAIT_MS = 200  # a stop is noticed at least this often


def run(
    actuator: Actuator, corrections: CorrectionSubscriber, device: DeviceClient, journal: Journal, stop: Stop
) -> Counter[str]:
    """Act on corrections until a stop is asked for; returns what was done, by kind.

    Of several that wait only the newest counts: the next frame measures what an unmade move has left.
    """
    done: Counter[str] = Counter()
    while not stop:
        correction = corrections.newest(WAIT_MS)
        if correction is None:
            continue
        decision = actuator.decide(correction, time.monotonic_ns())
        if decision.refusal:
            done[decision.refusal] += 1
            command = correction.result.command
            journal.complain(decision.refusal, f"refused {command.u} {command.unit}: {decision.refusal}")
        if decision.move is None:
            continue
        try:
            send(device, decision.move, actuator.timeout_ms)
        except DeviceError as error:
            done["failed"] += 1
            journal.complain("device", str(error))
        else:
            actuator.obeyed(decision.move)
            done["moves"] += 1
    return done


def main(config: Config) -> int:
    """Run the actuator of `config` until SIGINT or SIGTERM."""
    stop, journal, ends = Stop().listen(), Journal("actuator"), config.endpoints
    actuator = build.actuator(config)
    with (
        CorrectionSubscriber(ends.corrections, config.stream) as corrections,
        DeviceClient(ends.device) as device,
    ):
        quiet()
        journal.say(f"ready: {corrections.endpoint} to {device.endpoint}")
        done = run(actuator, corrections, device, journal, stop)
    journal.say("done: " + (", ".join(f"{kind} {count}" for kind, count in done.items()) or "nothing to do"))
    return 0
