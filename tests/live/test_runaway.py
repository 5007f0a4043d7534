"""Loops that their own commands drive away are told within a few steps; loops that follow are left alone."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
from rig import Loop, engine

from rtreg.live.controller import Controller
from rtreg.live.engine import RUNAWAY
from rtreg.live.runaway import Runaway
from rtreg.records import Order, Shift
from rtreg.simulate import Motion


def closed_loop(response, disturbance, *, gain=0.4, delay=1, noise=0.0, seed=0):
    """The step at which a loop is told to run away, None if never, and the largest residual until then.

    The image follows ``response`` times the commands, complex, `delay` steps late, and `disturbance`.
    """
    rng = np.random.default_rng(seed)
    moves, place, largest, watch = [0j] * (delay - 1), 0j, 0.0, Runaway(gain)
    errors = rng.normal(0.0, noise, (len(disturbance), 2)) if noise else np.zeros((len(disturbance), 2))
    for step, (pushed, (nx, ny)) in enumerate(zip(disturbance, errors, strict=True)):
        residual = place + pushed + complex(nx, ny)
        largest = max(largest, abs(residual))
        moves.append(-gain * residual)
        if watch.tell(residual, moves[-1]):
            return step, largest
        place += response * moves[-delay]
    return None, largest


def irregular_loop(response, disturbance, *, gain=0.4, idle=0.4, noise=0.005, seed=0):
    """The same for a device that is idle in a part of the steps, and then makes up for it, as a busy host's is."""
    rng = np.random.default_rng(seed)
    asked, made, largest, watch = 0j, 0j, 0.0, Runaway(gain)
    for step, pushed in enumerate(disturbance):
        residual = response * made + pushed + complex(*rng.normal(0.0, noise, 2))
        largest = max(largest, abs(residual))
        move = -gain * residual
        if watch.tell(residual, move):
            return step, largest
        asked += move
        made = made if rng.random() < idle else asked
    return None, largest


@pytest.mark.parametrize("gain", [0.1, 0.2, 0.4])
@pytest.mark.parametrize("idle", [0.2, 0.4])
def test_a_device_that_is_late_now_and_then_hides_no_wrong_sign(gain, idle):
    for seed in range(20):
        told, largest = irregular_loop(-1, at_rest(1000), gain=gain, idle=idle, seed=seed)
        assert told is not None
        assert largest < 20.0


@pytest.mark.parametrize("idle", [0.0, 0.2, 0.4])
def test_bumps_open_no_loop(idle):
    """One of 10 px rms in a hundred steps, at any phase of the answer to the one before."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        bumps = np.cumsum(np.where(rng.random(20_000) < 0.01, rng.normal(0, 10.0, 20_000), 0.0)) + 0j
        assert irregular_loop(1.0, bumps, idle=idle, seed=seed)[0] is None


def at_rest(steps):
    return np.zeros(steps, complex) + 0.02


@pytest.mark.parametrize("gain", [0.05, 0.2, 0.4, 0.8])
@pytest.mark.parametrize("delay", [1, 2])
@pytest.mark.parametrize("response", [-1, -0.7, -1.5, cmath.rect(1, 2.5)])
def test_a_wrong_sign_is_told_within_a_few_loop_times(gain, delay, response):
    told, largest = closed_loop(response, at_rest(1000), gain=gain, delay=delay, noise=0.005)
    assert told is not None
    assert told <= 12 / gain + 12
    assert largest < 100.0


@pytest.mark.parametrize("response", [3 / 0.4, cmath.rect(1.5, math.radians(100))])
def test_so_is_a_device_that_moves_much_farther_or_is_turned(response):
    assert closed_loop(response, at_rest(300), noise=0.005)[0] is not None


@pytest.mark.parametrize(("gain", "delay"), [(0.1, 1), (0.4, 1), (0.9, 1), (0.1, 2), (0.4, 2)])
def test_a_loop_that_follows_is_left_alone(gain, delay):
    t = np.arange(4000.0)
    rng = np.random.default_rng(1)
    disturbances = {
        "noise": np.zeros(4000, complex),
        "ramp": 0.05 * np.maximum(0, t - 100) + 0j,
        "acceleration": 1e-4 * np.maximum(0, t - 100) ** 2 + 0j,
        "step": 5.0 * (t > 1000) + 3j * (t > 2000),
        "walk": np.cumsum(rng.normal(0, 0.3, 4000)) + 1j * np.cumsum(rng.normal(0, 0.3, 4000)),
        **{f"wave of {period}": 3.0 * np.sin(2 * np.pi * t / period) + 0j for period in (5, 16, 40, 120, 700)},
    }
    for name, disturbance in disturbances.items():
        assert closed_loop(1.0, disturbance, gain=gain, delay=delay, noise=0.02)[0] is None, name


def test_noise_alone_never_opens_a_loop():
    for seed in range(4):
        assert closed_loop(1.0, np.zeros(25_000, complex), noise=1.0, seed=seed)[0] is None


def test_what_it_says_names_the_response():
    watch, residual, said = Runaway(0.4), 0.01 + 0j, ""
    while not said:
        said = watch.tell(residual, -0.4 * residual)
        residual *= 1.4
    assert "moved 1 times as far" in said
    assert "turned by 180 degrees" in said


def test_a_controller_opens_itself_says_why_and_can_be_closed_again():
    controller = Controller(gain=0.4, limit=50.0)
    residual = Shift(0.01, 0.005)
    while controller.closed:
        last = controller.hold().u
        command = controller.step(residual)
        residual = Shift(residual.dx * 1.4, residual.dy * 1.4)
        assert residual.dx < 10
    assert command.u == last  # the step that opens it moves nothing
    assert "rtreg calibrate" in controller.status()["opened"]
    controller.loop(closed=True)
    assert controller.status()["opened"] == ""
    assert controller.step(Shift(1.0, 0.0)).u[0] == pytest.approx(last[0] - 0.4)


def test_it_can_be_switched_off():
    controller = Controller(gain=0.4, runaway=False)
    for step in range(40):
        controller.step(Shift(0.01 * 1.4**step, 0.0))
    assert controller.closed


@pytest.mark.parametrize(("matrix", "runs"), [(((-1.0, 0.0), (0.0, 1.0)), True), (((1.0, 0.0), (0.0, 1.0)), False)])
def test_an_engine_with_an_axis_of_the_wrong_sign_opens_its_loop(matrix, runs):
    controller = Controller(gain=0.3, matrix=matrix, limit=20.0, closed=False)
    loop = Loop(engine(controller=controller), motion=Motion.still())
    loop.settle()
    loop.engine.handle(Order(do="close"))
    loop.run(60)
    opened = [result for result in loop.results if result.held == RUNAWAY]
    assert len(opened) == (1 if runs else 0)
    assert controller.closed != runs
    if runs:
        assert "matrix" in loop.engine.status()["controller"]["opened"]
        assert abs(opened[0].command.u[0]) < 10  # before the limit, and long before the scene is lost
