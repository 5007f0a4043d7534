"""A new field in view: the old reference is kept until another has proved itself."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from rig import MS, Loop, engine, spoiled

from rtreg.live.controller import Controller
from rtreg.live.policy import ReferencePolicy
from rtreg.live.successor import PROOFS
from rtreg.records import Shift, State
from rtreg.simulate import Detector, Scene, SimulatedCamera


class Fields(Loop):
    """A loop whose camera can be turned to another field of the same kind."""

    def turn_to(self, seed, **scene):
        motion = self.camera.motion
        self.camera = SimulatedCamera(Scene("stars", (64, 64), seed=seed, **scene), motion, Detector(seed=seed))


def cloud(frame):
    """Sky and nothing else."""
    sky = np.random.default_rng(frame.seq).normal(150.0, 7.0, frame.pixels.shape)
    return spoiled(frame, sky.astype(np.uint16))


def loop(**options):
    fields = Fields(engine(new_field_after=0.05, **options))
    fields.settle()
    fields.run(20)
    return fields


@pytest.mark.parametrize("name", ["anchored", "exponential", "window", "mean", "fixed"])
def test_a_new_field_gets_a_new_reference_once_it_is_proven(name):
    fields = loop(reference=ReferencePolicy(policy=name, frames=4, batch=4, anchor_every=20))
    assert fields.results[-1].reference.id == 1
    fields.turn_to(77)
    results = [(fields.run(1), fields.engine.status()["reference"]) for _ in range(60)]
    ids = [result.reference.id for result, _ in results]
    assert set(ids) == {1, 2}
    held = [result for result, _ in results if result.reference.id == 1]
    assert len(held) >= 25 + PROOFS  # at 500 Hz
    assert all(result.verdict and result.held for result in held)
    assert max(status["successor"] for _, status in results) == (1 if name == "fixed" else 4)
    assert fields.results[-1].state is State.LOCKED
    assert fields.engine.status()["reference"]["began"] == "a new field in view"
    assert np.abs(fields.errors(last=10)).max() < 0.15


def test_the_old_field_is_found_again_if_it_comes_back_in_time():
    fields = loop()
    old = fields.camera
    fields.turn_to(77)
    while fields.engine.status()["reference"]["successor"] == 0:
        fields.run(1)
    fields.camera = old
    fields.run(30)
    assert {result.reference.id for result in fields.results[-30:]} == {1}
    assert fields.results[-1].state is State.LOCKED
    assert fields.engine.status()["reference"]["successor"] == 0


def test_a_cloud_is_no_new_field():
    fields = loop(lost_after=0.1)
    for _ in range(150):
        result = fields.give(cloud(fields.expose()))
        assert result.verdict
        assert result.reference.id == 1
    assert result.state is State.LOST
    assert fields.run(3).state is State.LOCKED  # the signal must return for three frames
    assert fields.results[-1].reference.id == 1


def test_a_loop_stays_where_it_is_on_a_new_field():
    fields = loop(controller=Controller(gain=0.4))
    fields.run(40, push=Shift(2.0, -1.0))
    there = fields.mirror
    fields.turn_to(77)
    fields.run(80, push=Shift(2.0, -1.0))
    assert fields.results[-1].reference.id == 2
    assert fields.mirror == pytest.approx(there, abs=0.1)


def test_a_given_image_is_never_replaced():
    still = Loop(engine())
    image = still.camera.expose(0.0, Shift(0.0, 0.0))[0].pixels.astype(float)
    fields = Fields(engine(new_field_after=0.02, reference=ReferencePolicy(policy="fixed", image=image)))
    fields.run(5)
    fields.turn_to(77)
    fields.run(60)
    assert fields.results[-1].reference.id == 1


def test_it_can_be_told_to_hold_for_ever():
    fields = Fields(engine(new_field_after=None))
    fields.settle()
    fields.turn_to(77)
    for k in range(40):
        frame = fields.expose()
        fields.give(msgspec.structs.replace(frame, recv_mono_ns=frame.recv_mono_ns + k * 1000 * MS))
    assert fields.results[-1].reference.id == 1
    assert fields.results[-1].state is State.LOST


def test_unusable_frames_do_not_start_one():
    fields = loop()
    for _ in range(60):
        frame = fields.expose()
        fields.give(spoiled(frame, np.zeros_like(frame.pixels)))
    assert fields.engine.status()["reference"]["successor"] == 0
