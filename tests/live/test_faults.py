"""A closed loop through what happens at a telescope: every held frame says why, and the loop comes back by itself."""

from __future__ import annotations

import math

import pytest
from rig import Loop, engine, spoiled

from rtreg.live.controller import Controller
from rtreg.live.gates import ARMED_AFTER, ASKED_MOST
from rtreg.live.quality import QualityGate
from rtreg.records import Shift, State, Verdict
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera

TIMEOUT = 0.1  # s: 50 frames
PUSH = Shift(0.6, -0.4)


def guiding(fwhm=3.0, **options):
    """A closed loop on one star, locked and quiet."""
    parts = {"controller": Controller(gain=0.4), "gate": QualityGate(timeout=TIMEOUT), "new_field_after": None}
    loop = Loop(engine(**{**parts, **options}), kind="star", motion=Motion.still())
    dimmed(loop, 1.0, fwhm)
    loop.settle()
    loop.run(ARMED_AFTER, push=PUSH)
    assert loop.results[-1].state is State.LOCKED
    return loop


def dimmed(loop, factor, fwhm=3.0):
    """The same star through a cloud."""
    scene = Scene("star", (64, 64), seed=3, peak=5000.0 * factor, fwhm=fwhm)
    loop.camera = SimulatedCamera(scene, Motion.still(), Detector(seed=5))


def held(results):
    """Why frames were held, each reason once; all of them must have one."""
    assert all(bool(result.held) == (result.state is not State.LOCKED) for result in results)
    return {result.held for result in results}


def test_a_cloud_comes_and_goes():
    loop = guiding()
    there = loop.mirror
    dimmed(loop, 0.1)
    assert loop.run(1, push=PUSH).held == "FLUX"
    loop.run(60, push=PUSH)
    assert held(loop.results[-61:]) == {"FLUX", ""}
    assert loop.results[-1].state is State.LOCKED  # thin, but it lasts
    dimmed(loop, 1.0)
    loop.run(5, push=PUSH)
    assert held(loop.results[-5:]) == {""}  # as bright as it was before
    assert loop.mirror == pytest.approx(there, abs=0.1)


def test_a_thick_cloud_is_waited_out():
    loop = guiding()
    there = loop.mirror
    dimmed(loop, 0.0)
    loop.run(100, push=PUSH)
    assert {result.state for result in loop.results[-100:]} == {State.HOLD}
    assert all(result.held for result in loop.results[-100:])
    assert loop.mirror == there
    dimmed(loop, 1.0)
    assert loop.run(3, push=PUSH).state is State.LOCKED


def test_a_frozen_camera_does_not_wind_up_the_integrator():
    loop = guiding()
    there = loop.mirror
    frozen = loop.expose(push=Shift(1.5, 0.0)).pixels
    results = [loop.give(spoiled(loop.expose(), frozen)) for _ in range(200)]
    assert results[1].verdict == Verdict.FROZEN
    assert held(results[1:]) == {"FROZEN", ""}
    assert sum(not result.held for result in results) <= 4  # the first, and those that were tried
    assert abs(loop.mirror.dx - there.dx) < 4 * 0.4 * 1.5
    assert loop.run(1, push=PUSH).state is State.LOCKED


def with_hot_pixel(frame, x, y):
    pixels = frame.pixels.copy()
    pixels[y, x] = 2000  # the star has 5000
    pixels.flags.writeable = False
    return spoiled(frame, pixels)


@pytest.mark.parametrize("hot", [(47, 20), (35, 30)], ids=["far", "near"])
def test_a_hot_pixel_behind_a_cloud_is_not_followed(hot):
    """A narrow star, so that a hot pixel looks like one; the star is at the middle of the frame, at (31.5, 31.5)."""
    loop = guiding(fwhm=2.0)
    there = loop.mirror
    star = loop.camera
    dimmed(loop, 0.0)
    results = [loop.give(with_hot_pixel(loop.expose(push=PUSH), *hot)) for _ in range(300)]
    assert sum(not result.held for result in results) <= 6
    assert any(result.held == "NO_MOTION" for result in results)
    assert all(result.held for result in results[-50:])
    # one command answered it before it was held, and what was asked for after that is bounded
    assert math.hypot(loop.mirror.dx - there.dx, loop.mirror.dy - there.dy) < ASKED_MOST + 0.4 * 20.0
    loop.camera = star
    # templates are cut anew on the way, and some have the hot pixel among what is judged: held for a time-out, each
    back = [loop.give(with_hot_pixel(loop.expose(push=PUSH), *hot)) for _ in range(300)]
    assert back[-1].state is State.LOCKED
    assert loop.mirror == pytest.approx(there, abs=0.2)
