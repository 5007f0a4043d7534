"""SIGKILL and SIGSTOP to camera, tracker and actuator of a closed loop, at random; and a loop of the wrong sign."""

from __future__ import annotations

import random
import re
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from processes import Service, until
from reliability_rig import MS, Heard, Measured, endpoints, hear, overrides_of, spread

from rtreg.errors import WireError
from rtreg.io.sockets import ControlClient, CorrectionSubscriber, DeviceClient, DeviceServer

RATE = 200
FROZEN_S = 1.5
SETTLED = 100  # frames locked in a row between two faults
VERBS = {"camera": "camera", "tracker": "track", "actuator": "actuate"}
SETTINGS = ("scene.shape=[64, 64]", f"camera.rate_hz={RATE}", "reference.frames=8", "actuator.watchdog_ms=500")
# what is promised, ms: after the first frame, after "ready", after "ready"; and after SIGCONT
PROMISED = {"SIGKILL": {"camera": 250, "tracker": 1000, "actuator": 1000}, "SIGSTOP": dict.fromkeys(VERBS, 250)}

WORDS = """\
A closed loop at {rate} Hz. A killed process is started again at once; a stopped one goes on after {frozen:g} s; the
next fault comes when the loop has been locked for {settled} frames. Times count from the camera's first frame, from the
moment that tracker or actuator says it is ready, and from SIGCONT, to the first correction of a new frame; for the
actuator to the first move that the device makes.

While no actuator is there the loop winds up; one that comes, or comes back, lets it start again from where the device
is.

"""


class Passed(NamedTuple):
    """A move as it went through: when, until when it was valid, whether the device made it."""

    at: int
    valid_until: int
    made: bool


class Relay(threading.Thread):
    """Between actuator and device: passes every request on and keeps a log of the moves."""

    def __init__(self, device: str) -> None:
        super().__init__(daemon=True)
        self._server = DeviceServer("tcp://127.0.0.1:*")
        self.endpoint = self._server.endpoint
        self._device, self.ended = device, False
        self.log: list[Passed] = []

    def made_after(self, since: int) -> Passed | None:
        """The first move that the device made after `since`, of the last ones."""
        return next((move for move in self.log[-2000:] if move.made and move.at > since), None)

    def run(self) -> None:
        """Pass on until the end."""
        with self._server as server, DeviceClient(self._device) as device:
            while not self.ended:
                request = server.poll(20)
                if request is None:
                    continue
                body = {key: value for key, value in request.body.items() if key not in ("v", "do")}
                now = time.monotonic_ns()
                try:
                    answer = device.ask(str(request.body["do"]), body, timeout_ms=300)
                except WireError as error:
                    answer = {"ok": False, "error": str(error)}
                if request.body["do"] == "move":
                    self.log.append(Passed(now, body["valid_until"], bool(answer["ok"])))
                if answer.pop("ok"):
                    server.reply(request, answer)
                else:
                    server.refuse(request, str(answer.get("error")))


class Loop:
    """The three processes of a closed loop, and who looks on."""

    def __init__(self, logs: Path) -> None:
        self._logs, self._starts = logs, 0
        self.ends = endpoints()
        self.relay = Relay(self.ends.device)
        self.relay.start()
        self.processes = {name: self._start(name) for name in VERBS}
        for process in self.processes.values():
            process.wait_ready()
        self.corrections = CorrectionSubscriber(self.ends.corrections, "cam")

    def close(self) -> dict[str, float]:
        """End all with SIGTERM; how long each took, ms, NaN if it did not exit with 0."""
        took = {}
        for name, process in self.processes.items():
            began = time.monotonic_ns()
            code = process.stop()
            took[name] = (time.monotonic_ns() - began) / MS if code == 0 else float("nan")
        self.relay.ended = True
        self.relay.join()
        self.corrections.close()
        return took

    def _start(self, name: str) -> Service:
        self._starts += 1
        device = self.relay.endpoint if name == "actuator" else self.ends.device
        settings = [*overrides_of(self.ends), *SETTINGS, f"endpoints.device={device}"]
        return Service(VERBS[name], "simulated", settings, self._logs / f"{name}{self._starts}.log")

    def kill(self, name: str) -> float:
        """SIGKILL, start again at once; ms from the first frame, or from "ready", until all is well."""
        self.processes[name].process.kill()
        self.processes[name].process.wait()
        old = hear(self.corrections, lambda _: True, 30)[-1].correction.result.epoch if name == "camera" else None
        self.processes[name] = self._start(name)
        if name == "camera":
            got = hear(self.corrections, lambda heard: heard.locked and heard.correction.result.epoch != old, 60)[-1]
            delivery, seq = got.correction.delivery, got.correction.result.seq
            return (got.at - delivery.sent) / MS + seq * 1e3 / RATE
        self.processes[name].wait_ready()
        return self.well(name, time.monotonic_ns())

    def freeze(self, name: str) -> float:
        """SIGSTOP for a while; ms from SIGCONT until all is well."""
        process = self.processes[name].process
        process.send_signal(signal.SIGSTOP)
        end = time.monotonic() + FROZEN_S
        while time.monotonic() < end:
            self.corrections.receive(20)
        process.send_signal(signal.SIGCONT)
        return self.well(name, time.monotonic_ns())

    def settle(self) -> None:
        """Wait until the loop is locked for a while, and moves."""
        locked = 0

        def settled(heard: Heard) -> bool:
            nonlocal locked
            locked = locked + 1 if heard.locked else 0
            return locked >= SETTLED

        hear(self.corrections, settled, 60)
        self.well("actuator", time.monotonic_ns())

    def well(self, name: str, since: int) -> float:
        """Ms from `since` to the first correction of a later frame; for the actuator to the first move made."""
        if name == "actuator":
            made = until(lambda: time.sleep(0.001) or self.relay.made_after(since))
            return (made.at - since) / MS
        got = hear(self.corrections, lambda heard: heard.locked and heard.correction.delivery.sent > since, 60)[-1]
        return (got.at - since) / MS


def page(logs: Path, each: int, broken: list[str]) -> str:
    """The table of `each` SIGKILLs and as many SIGSTOPs, and what the device made."""
    loop = Loop(logs)
    hear(loop.corrections, lambda heard: heard.locked, 120)
    faults = [(kind, name) for kind in PROMISED for name in (list(VERBS) * each)[:each]]
    random.Random(7).shuffle(faults)
    took: dict[tuple[str, str], list[float]] = defaultdict(list)
    for kind, name in faults:
        loop.settle()
        took[kind, name].append(loop.kill(name) if kind == "SIGKILL" else loop.freeze(name))
        print(f"{kind} {name}: {took[kind, name][-1]:.0f} ms", file=sys.stderr)
    log = loop.relay.log
    ends = loop.close()
    late = sum(move.made and move.at > move.valid_until for move in log)
    refused = sum(not move.made for move in log)
    lines = [
        f"\n## {each} SIGKILLs and {each} SIGSTOPs of camera, tracker and actuator, in random order\n\n",
        WORDS.format(rate=RATE, frozen=FROZEN_S, settled=SETTLED),
        "| fault | of | times | recover | promised |\n|---|---|--:|---|---|\n",
    ]
    for (kind, name), times in sorted(took.items()):
        promised = PROMISED[kind][name]
        if max(times) > promised:
            broken.append(f"{kind} of the {name}: {max(times):.0f} ms")
        kept = "" if max(times) <= promised else "**broken** "
        lines.append(f"| {kind} | {name} | {len(times)} | {kept}{spread(times)} | {promised} ms |\n")
    if late:
        broken.append(f"{late} moves were made after valid_until")
    lines.append(
        f"\nMoves: {len(log)} asked for, {refused} refused by the device or not answered, **{late}** made after their "
        "`valid_until`.\nAfter SIGTERM "
        + ", ".join(f"the {name} was gone in {ms:.0f} ms" for name, ms in ends.items())
        + ".\n"
    )
    return "".join(lines)


def runaway(logs: Path) -> Measured:
    """A mirror that goes the other way along x, five times closed."""
    ends = endpoints()
    still = ("motion.drift=[0, 0]", "motion.periodic=[0, 0]", "motion.walk=0", "motion.jitter=0")
    settings = [*overrides_of(ends), *SETTINGS, *still, "camera.mirror=[[-1.0, 0.0], [0.0, 1.0]]"]
    settings.append("controller.closed=false")
    processes = [Service(verb, "simulated", settings, logs / f"runaway_{verb}.log") for verb in VERBS.values()]
    took, farthest = [], 0.0
    try:
        for process in processes:
            process.wait_ready()
        with (
            ControlClient(ends.control) as control,
            DeviceClient(ends.device) as device,
            CorrectionSubscriber(ends.corrections, "cam") as corrections,
        ):
            for _ in range(5):
                device.ask("move", {"u": (0.0, 0.0), "mode": "absolute", "unit": "px", "valid_until": 2**62})
                control.ask("start_from", {"position": (0.0, 0.0)}, timeout_ms=10_000)
                control.ask("set_reference", timeout_ms=10_000)
                hear(corrections, lambda heard: heard.locked, 60)
                control.ask("close", timeout_ms=10_000)
                began = time.monotonic_ns()
                why = until(lambda: control.ask("status", timeout_ms=10_000)["controller"]["opened"])
                took.append((time.monotonic_ns() - began) / MS)
                (grown,) = re.findall(r"to ([\d.e+-]+) px", why)
                farthest = max(farthest, float(grown), abs(device.ask("where", timeout_ms=10_000)["at"][0]) / 10)
    finally:
        for process in processes:
            process.kill()
    return Measured(spread(took), f"residual {farthest:.2g} px at most when opened", "-", farthest < 20)
