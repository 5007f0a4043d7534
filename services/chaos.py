"""The chaos process: the camera's frames in, the same frames out with all that can happen to them on the way."""

from __future__ import annotations

import time
from collections import Counter

from rtreg import build
from rtreg.io.chaos import Chaos, Rates
from rtreg.io.config import Config
from rtreg.io.realtime import Stop
from rtreg.io.sockets import Relay, Tap
from rtreg.io.wire import topic
from rtreg.services.journal import Journal

WAIT_MS = 1  # between two looks at what is due
MIB = 2**20


def run(chaos: Chaos, tap: Tap, relay: Relay, stop: Stop, end_ns: int) -> Counter[str]:
    """Pass on and disturb until a stop is asked for, or `end_ns`; returns what was done to how many."""
    while not stop and time.monotonic_ns() < end_ns:
        parts = tap.receive(WAIT_MS)
        now = time.monotonic_ns()
        if parts is not None:
            chaos.put([bytes(part) for part in parts], now)
        for message in chaos.take(now):
            relay.send(message)
    return chaos.done


def main(config: Config, endpoint: str, rates: Rates, seed: int, seconds: float | None = None) -> int:
    """Disturb the frames of `config`, and publish them at `endpoint`, until SIGINT or SIGTERM or for `seconds`."""
    stop, journal, guard = Stop().listen(), Journal("chaos"), build.guard(config)
    largest = round(build.tracker_options(config).max_frame_mib * MIB)
    frames = config.endpoints.frames
    with (
        Tap([("camera", frames)], [topic("f", config.stream)], max_bytes=largest, guard=guard) as tap,
        Relay(endpoint, guard=guard) as relay,
    ):
        journal.say(f"ready: {frames} to {relay.endpoint}, {rates}, seed {seed}")
        now = time.monotonic_ns()
        done = run(Chaos(rates, seed, now), tap, relay, stop, now + round((seconds or 1e9) * 1e9))
    journal.say("done: " + ", ".join(f"{what} {count}" for what, count in done.items()))
    return 0
