"""The calibration: moves the device of a running camera along its axes and asks a running tracker what the image did.

The loop is opened first and stays open; the device goes back to where it was, whatever happens.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rtreg import build
from rtreg.errors import DeviceError, RtregError
from rtreg.io.actuators import Move, send, where
from rtreg.io.config import Config
from rtreg.io.realtime import step_back
from rtreg.io.sockets import ControlClient, CorrectionSubscriber, DeviceClient
from rtreg.live.calibration import Calibration, Pair, Visit, fit, judge, left_over, moves
from rtreg.live.controller import Controller
from rtreg.records import Shift, State

ANSWER_MS = 2000
SILENCE_S = 10.0  # without a frame that could be measured
CHECK = (1.5, 1.0)  # steps along both axes at once, from where one correction must bring the image back
MOST_LEFT = 0.25  # of it afterwards

Update = Callable[[int, int], None]


class Plan(NamedTuple):
    """How to measure: `step` in the actuator's unit, `frames` at each place after `settle` s."""

    step: float
    cycles: int = 3
    frames: int = 10
    settle: float = 0.2
    tolerance: float = 0.1


class Bench:
    """The device and the ear on the tracker. The mutable state is the sockets and when the first visit was."""

    def __init__(self, device: DeviceClient, corrections: CorrectionSubscriber, unit: str, plan: Plan) -> None:
        self._device, self._corrections, self._unit, self._plan = device, corrections, unit, plan
        self._start = where(device, ANSWER_MS)
        self._began = time.monotonic()

    def go(self, u: Pair) -> None:
        """Move the device to `u` off where it was at first."""
        to = (self._start[0] + u[0], self._start[1] + u[1])
        until = time.monotonic_ns() + ANSWER_MS * 1_000_000
        send(self._device, Move(u=to, mode="absolute", unit=self._unit, valid_until=until), ANSWER_MS)

    def visit(self, u: Pair, cycle: int = 0) -> Visit:
        """Go to `u`, and the mean shift of the first `frames` good frames that were exposed after it had settled."""
        self.go(u)
        settled, seen = time.time_ns() + round(self._plan.settle * 1e9), set[tuple[int, int]]()
        shifts: list[Shift] = []
        deadline, last = time.monotonic() + SILENCE_S, "no correction came; is `rtreg track` running?"
        while len(shifts) < self._plan.frames:
            if time.monotonic() > deadline:
                raise DeviceError(f"no frame could be measured for {SILENCE_S:g} s: {last}")
            got = self._corrections.receive(100)
            if got is None or (frame := (got.result.epoch, got.result.seq)) in seen or got.result.t_ns < settled:
                continue
            seen.add(frame)
            last = f"the tracker is in state {got.result.state}, {' '.join(got.result.verdict.reasons) or 'no reason'}"
            if got.result.state is State.LOCKED and not got.result.verdict:
                shifts.append(got.result.estimate.shift)
                deadline = time.monotonic() + SILENCE_S
        mean = np.mean(shifts, axis=0)
        error = np.std(shifts, axis=0, ddof=1) / math.sqrt(len(shifts))
        return Visit(cycle, u, time.monotonic() - self._began, (mean[0], mean[1]), (error[0], error[1]))


def measure(bench: Bench, plan: Plan, update: Update) -> Calibration:
    """Visit all places, fit, and check the answer by what one correction with it does."""
    places = list(moves(plan.step, plan.cycles))
    visits = []
    for done, (cycle, u) in enumerate(places, 1):
        visits.append(bench.visit(u, cycle))
        update(done, len(places))
    found = fit(visits, tolerance=plan.tolerance)
    _check_sign(bench, plan, found)
    return found


def _check_sign(bench: Bench, plan: Plan, found: Calibration) -> None:
    """One correction, by the controller itself, must bring the image back to where it was."""
    away = (CHECK[0] * plan.step, CHECK[1] * plan.step)
    home, out = bench.visit((0.0, 0.0)), bench.visit(away)
    residual = _off(out, home)
    (a, b), (c, d) = found.matrix.tolist()
    controller = Controller(gain=1.0, matrix=((a, b), (c, d)), runaway=False)
    controller.start_from(away)
    left = left_over(residual, _off(bench.visit(controller.step(Shift(*residual)).u), home))
    if not left <= MOST_LEFT:
        raise DeviceError(
            f"the check failed: a correction with the measured matrix leaves {left:.0%} of the residual, at most "
            f"{MOST_LEFT:.0%} may be left; the device no longer answers alike, or the scene moves (try --cycles 6)"
        )


def _off(visit: Visit, home: Visit) -> Pair:
    return visit.shift[0] - home.shift[0], visit.shift[1] - home.shift[1]


def calibrate(config: Config, plan: Plan | None, update: Update) -> dict[str, Any]:
    """Run it against the camera and tracker of `config`, which must be running; what was found, as plain data."""
    controller, ends, guard = build.controller(config), config.endpoints, build.guard(config)
    plan = plan or Plan(default_step(controller))
    with (
        ControlClient(ends.control, guard=guard) as control,
        DeviceClient(ends.device, guard=guard) as device,
        CorrectionSubscriber(ends.corrections, config.stream, guard=guard) as corrections,
    ):
        reply = control.ask("open", timeout_ms=ANSWER_MS)
        if not reply["ok"]:
            raise RtregError(f"the tracker does not open the loop: {reply.get('error')}")
        step_back()
        bench = Bench(device, corrections, controller.unit, plan)
        try:
            found = measure(bench, plan, update)
        finally:
            bench.go((0.0, 0.0))
    return {
        "unit": controller.unit,
        "plan": plan._asdict(),
        "matrix": found.matrix.tolist(),
        "matrix_sigma": found.matrix_sigma.tolist(),
        "response": found.response.tolist(),
        "response_sigma": found.response_sigma.tolist(),
        "repeatability": found.repeatability,
        "drift": list(found.drift),
        "configured": [list(row) for row in controller.matrix],
        "configured_fault": judge(controller.matrix, controller.gain, found.response),
    }


def default_step(controller: Controller) -> float:
    """What the configured matrix says moves the image by 2 px, as far as the configured limit allows."""
    step = 2.0 * math.sqrt(sum(value**2 for row in controller.matrix for value in row) / 2)
    return step if controller.limit is None else min(step, controller.limit / 4)
