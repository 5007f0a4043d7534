"""The engine: states, references, orders, time. No sockets, no sleeping: time is data."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rig import MS, Loop, engine, spoiled

from rtreg.errors import ConfigError, FrameError
from rtreg.live.controller import Controller
from rtreg.live.kind import CHANGED_AFTER
from rtreg.live.policy import ReferencePolicy
from rtreg.live.quality import QualityGate
from rtreg.records import Order, Shift, State, Tick, Verdict
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera

POLICIES = ["anchored", "exponential", "window", "mean", "fixed"]


def policy(name, **options):
    return ReferencePolicy(policy=name, frames=4, batch=4, anchor_every=20, **options)


# -- getting a lock ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", POLICIES)
def test_from_first_frame_to_lock(name):
    loop = Loop(engine(reference=policy(name)))
    assert loop.engine.state is State.NO_REFERENCE
    first = loop.run(1)
    assert first.state is State.ACQUIRING
    assert math.isnan(first.estimate.dx)
    assert first.reference.id == (1 if name == "fixed" else 0)
    loop.settle()
    result = loop.run(1)
    assert result.reference.id == 1
    assert result.reference.age_frames > 0
    status = loop.engine.status()
    assert len(status["reference"]["frames"]) == (1 if name == "fixed" else 4)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("kind", ["stars", "cells"])
def test_measures_against_the_references_own_position(name, kind):
    loop = Loop(engine(reference=policy(name)), kind=kind, motion=Motion(seed=4))
    loop.settle()
    loop.run(250)
    errors = loop.errors()
    sigma = loop.sigma()
    zero = np.abs(errors.mean(axis=0)) / sigma  # the zero point of 1 or 4 noisy frames
    assert (zero <= 3.5 / math.sqrt(1 if name == "fixed" else 4)).all()
    # the reported sigma has the reference's noise in it, which is the same for all frames: the scatter has not
    frames = 1 if name == "fixed" else 4
    np.testing.assert_allclose(errors.std(axis=0) / sigma, math.sqrt(1 / (1 + 1 / frames)), atol=0.2)


def test_the_fixed_image_of_a_file_is_used_from_the_first_frame():
    still = Loop(engine())
    image = still.camera.expose(0.0, Shift(0.0, 0.0))[0].pixels.astype(float)
    loop = Loop(engine(reference=ReferencePolicy(policy="fixed", image=image)))
    result = loop.run(1, push=Shift(1.5, -0.5))
    assert result.state is State.LOCKED
    assert result.estimate.dx == pytest.approx(1.5, abs=0.05)
    assert result.estimate.dy == pytest.approx(-0.5, abs=0.05)


def test_the_rolling_reference_stays_on_its_anchor():
    """Slow drift over 3 000 frames: what the reference walks is measured in the anchor and taken out again."""
    rolling = engine(reference=ReferencePolicy(frames=16, memory=32, batch=8, anchor_every=50))
    loop = Loop(rolling, motion=Motion(drift=(0.4, -0.3), periodic=(0, 0), walk=0, jitter=0.02, seed=2))
    loop.settle()
    loop.run(3000)
    errors = loop.errors()
    sigma = loop.sigma()
    late = errors[-500:].mean(axis=0) / sigma
    assert (np.abs(late) < 3.5 / math.sqrt(16) + 0.2).all()
    steps = np.abs(np.diff(errors[:, 0]))
    assert steps.max() < 8 * sigma.max()
    assert 0.0 < loop.results[-1].reference.walk < sigma.max()


# -- bad frames -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "flag"),
    [(0, Verdict.DARK), (500, Verdict.DARK), (65535, Verdict.SATURATED)],
    ids=["zero", "constant", "saturated"],
)
def test_bad_frames_are_held_with_the_reason_and_never_learnt_from(value, flag):
    loop = Loop(engine(controller=Controller(gain=0.4)))
    loop.settle()
    before = loop.run(30, push=Shift(0.5, 0.2))
    frame = loop.expose()
    saturation = frame.saturation
    assert saturation is not None
    result = loop.give(spoiled(frame, np.full(frame.pixels.shape, value, np.uint16)))
    assert result.state is State.HOLD
    assert flag in result.verdict
    assert flag.name in result.held
    assert result.command.u == before.command.u  # absolute: the last position, never a jump to 0
    assert loop.run(1).state is State.LOCKED
    assert np.abs(loop.errors(last=1)).max() < 0.1


@pytest.mark.parametrize("first", [np.zeros((64, 64), "u2"), np.full((64, 64), 65535, "u2")], ids=["dark", "saturated"])
def test_a_bad_first_frame_is_no_reference(first):
    loop = Loop(engine())
    result = loop.give(spoiled(loop.expose(), first))
    assert result.state is State.NO_REFERENCE
    assert result.verdict
    assert loop.engine.status()["problem"]
    loop.settle()
    assert loop.results[-1].reference.id == 1


def test_a_lock_held_too_long_is_lost_and_comes_back():
    loop = Loop(engine(lost_after=0.05))
    loop.settle()
    dark = np.zeros((64, 64), np.uint16)
    states = [loop.give(spoiled(loop.expose(), dark)).state for _ in range(40)]
    assert states[0] is State.HOLD
    assert states[-1] is State.LOST
    assert loop.run(1).state is State.LOCKED


def test_a_stray_frame_of_another_kind_is_refused_and_changes_nothing():
    loop, other = Loop(engine(controller=Controller(gain=0.4))), Loop(engine(), shape=(48, 80))
    loop.settle()
    before = loop.run(40, push=Shift(1.0, 0.5))
    for _ in range(CHANGED_AFTER - 1):
        with pytest.raises(FrameError, match=r"\(48, 80\).*\(64, 64\)"):
            loop.engine.process(other.expose())
    after = loop.run(1, push=Shift(1.0, 0.5))
    assert after.state is State.LOCKED
    assert after.reference.id == before.reference.id
    assert after.command.u == pytest.approx(before.command.u, abs=0.05)


def test_a_stream_that_has_changed_gets_another_reference():
    loop, other = Loop(engine()), Loop(engine(), shape=(48, 80))
    loop.settle()
    other.engine = loop.engine
    for _ in range(CHANGED_AFTER - 1):
        with pytest.raises(FrameError):
            loop.engine.process(other.expose())
    result = loop.engine.process(other.expose())
    assert result.state is State.ACQUIRING
    assert "changed to (48, 80)" in loop.engine.status()["problem"]
    other.settle()
    assert other.results[-1].reference.id == 2


def test_a_first_frame_that_nothing_matches_is_dropped():
    """A frame through a cloud, then the star: the reference begins again, and says so."""
    loop = Loop(engine(), kind="star")
    frame = loop.expose()
    noise = np.random.default_rng(0).normal(150.0, 8.0, frame.pixels.shape).astype(np.uint16)
    loop.give(spoiled(frame, noise))
    problems = set()
    for _ in range(60):
        loop.run(1)
        problems.add(loop.engine.status()["problem"])
    assert any("began again" in problem for problem in problems)
    loop.settle()
    assert loop.results[-1].reference.id == 1


def brighter(known, seed):
    """chi² of what follows after forty dim frames, when the star is five times brighter."""
    loop = Loop(engine(reference=policy("mean"), gate=QualityGate(max_flux=10.0)), kind="star", shape=(64, 64))
    detector = Detector(seed=seed)
    dim, bright = (SimulatedCamera(Scene("star", (64, 64), peak=p), Motion.still(), detector) for p in (1500.0, 7500.0))
    still = Shift(0.0, 0.0)

    def frames(camera, n):
        for _ in range(n):
            now = loop.seq * loop.period
            frame, truth = camera.expose(now / 1e9, still)
            loop.truth[loop.seq] = truth
            changes = {} if known else {"gain": None, "read_noise": None}
            frame = msgspec.structs.replace(frame, seq=loop.seq, epoch=1, recv_mono_ns=now, **changes)
            loop.seq += 1
            loop.give(frame)

    frames(dim, 40)
    assert loop.results[-1].state is State.LOCKED
    frames(bright, 400)
    late = loop.results[-300:]
    assert sum(result.state is State.LOCKED for result in late) >= 295
    good = [r for r in late if not r.verdict]
    scatter = np.std([r.estimate.shift for r in good], axis=0)
    frame_sigma = np.median([r.estimate.sigma for r in good], axis=0)
    assert np.median([r.estimate.scale for r in good]) == pytest.approx(5.0, rel=0.05)
    assert (scatter <= 1.25 * frame_sigma).all()
    return np.median([r.estimate.chi2_dof for r in good])


@pytest.mark.parametrize("known", [True, False], ids=["noise known", "noise unknown"])
def test_a_brighter_or_dimmer_scene_stays_locked_with_an_honest_error_bar(known):
    """A cloud goes, and the star's photon noise grows with it. Of a reference of four frames chi² is the noise's, too.

    That is the same for all frames, and another one with each reference: chi² is the mean over eight.
    """
    chi2 = np.mean([brighter(known, seed) for seed in range(1, 9 if known else 2)])
    if known:
        assert chi2 == pytest.approx(1.0, abs=0.35)


def test_a_jump_is_confirmed_before_it_moves_anything():
    loop = Loop(engine(controller=Controller(gain=0.4)))
    loop.settle()
    held = loop.run(1).command.u
    far = Shift(14.0, -11.0)
    for _ in range(2):
        result = loop.run(1, push=far)
        assert result.verdict == Verdict.JUMP
        assert result.command.u == held
    assert loop.run(1, push=far).state is State.LOCKED


# -- orders and time --------------------------------------------------------------------------------------------------


def test_open_and_close():
    loop = Loop(engine())
    loop.settle()
    result = loop.run(5, push=Shift(0.5, 0.0))
    assert result.held == "OPEN"
    assert np.isnan(result.command.u).all()  # nobody has said where the device is: nothing to go to
    assert loop.engine.handle(Order(do="close")) == {"loop": "closed"}
    result = loop.run(60, push=Shift(0.5, 0.0))
    assert result.held == ""
    assert result.estimate.dx == pytest.approx(0.0, abs=0.05)
    assert result.command.u[0] == pytest.approx(-0.5, abs=0.05)
    loop.engine.handle(Order(do="open"))
    assert loop.run(1).command.u == result.command.u


def test_pause_and_resume():
    loop = Loop(engine())
    loop.settle()
    loop.engine.handle(Order(do="pause"))
    assert loop.run(1).state is State.PAUSED
    assert loop.results[-1].held == "PAUSED"
    loop.engine.handle(Order(do="resume"))
    assert loop.run(1).state is State.LOCKED


def test_dither_moves_the_set_point():
    loop = Loop(engine(controller=Controller(gain=0.4)))
    loop.settle()
    loop.engine.handle(Order(do="dither", args={"dx": 1.0, "dy": -0.5}))
    result = loop.run(60)
    assert result.estimate.dx == pytest.approx(1.0, abs=0.05)
    assert result.estimate.dy == pytest.approx(-0.5, abs=0.05)


def test_a_new_reference_takes_the_dither_with_it():
    """Where the image is when the reference is taken, there it is to stay."""
    loop = Loop(engine(controller=Controller(gain=0.4)))
    loop.settle()
    loop.engine.handle(Order(do="dither", args={"dx": 3.0, "dy": 0.0}))
    there = loop.run(60).command.u
    assert loop.engine.handle(Order(do="set_reference"))["set_point"] == [0.0, 0.0]
    loop.settle()
    assert loop.run(60).command.u == pytest.approx(there, abs=0.1)


def test_an_absolute_loop_goes_on_from_where_the_device_is():
    loop = Loop(engine(controller=Controller(gain=0.4)))
    loop.engine.handle(Order(do="start_from", args={"position": [-7.0, 2.0]}))
    loop.mirror = Shift(-7.0, 2.0)
    assert loop.run(1).command.u == (-7.0, 2.0)
    loop.settle()
    for result in loop.results:
        assert result.command.u == pytest.approx((-7.0, 2.0), abs=0.1)


def test_set_reference_starts_a_new_one_where_the_scene_is_now():
    loop = Loop(engine())
    loop.settle()
    loop.run(5, push=Shift(2.0, 1.0))
    loop.engine.handle(Order(do="set_reference"))
    for _ in range(40):
        result = loop.run(1, push=Shift(2.0, 1.0))
    assert result.reference.id == 2
    assert result.estimate.dx == pytest.approx(0.0, abs=0.05)


def test_retune_is_all_or_nothing():
    rig = engine()
    rig.handle(Order(do="retune", args={"gain": 0.2, "max_jump": 3.0}))
    assert rig.status()["controller"]["gain"] == 0.2
    with pytest.raises(ConfigError, match="max_jump"):
        rig.handle(Order(do="retune", args={"gain": 0.9, "max_jump": -1.0}))
    assert rig.status()["controller"]["gain"] == 0.2


@pytest.mark.parametrize(
    ("order", "word"),
    [
        (Order(do="fly"), "fly"),
        (Order(do="dither"), "dither"),
        (Order(do="dither", args={"dx": math.nan, "dy": 0.0}), "nan"),
        (Order(do="dither", args={"dx": "a", "dy": 0.0}), "two finite numbers"),
        (Order(do="open", args={"wide": True}), "wide"),
        (Order(do="retune"), "gain"),
        (Order(do="retune", args={"speed": 1.0}), "speed"),
        (Order(do="retune", args={"gain": "fast"}), "fast"),
        (Order(do="retune", args={"gain": 2.0}), "oscillates"),
    ],
)
def test_an_order_that_cannot_be_says_why(order, word):
    with pytest.raises(ConfigError, match=word):
        engine().handle(order)


def test_silence_is_hold_then_stale():
    loop = Loop(engine(controller=Controller(gain=0.4), stale_after=0.5))
    assert loop.engine.tick(Tick(mono_ns=0)) is None
    loop.settle()
    last = loop.run(1)
    start = (loop.seq - 1) * loop.period
    held = loop.engine.tick(Tick(mono_ns=start + 100 * MS))
    assert (held.state, held.verdict, held.command.u) == (State.HOLD, Verdict.OK, last.command.u)
    assert (held.seq, held.epoch) == (last.seq, last.epoch)
    assert math.isnan(held.estimate.dx)
    stale = loop.engine.tick(Tick(mono_ns=start + 600 * MS))
    assert (stale.state, stale.verdict) == (State.STALE, Verdict.STALE)
    assert loop.run(1).state is State.LOCKED


def test_one_frame_after_a_silence_does_not_make_that_the_period():
    loop = Loop(engine(stale_after=0.5))
    loop.settle()
    loop.seq += 5000  # 10 s of silence
    assert loop.run(1).state is State.LOCKED
    start = (loop.seq - 1) * loop.period
    assert loop.engine.tick(Tick(mono_ns=start + 600 * MS)).state is State.STALE
    slow = Loop(engine(stale_after=0.5), period_ms=1000.0)  # a camera that is slow may take five periods
    slow.settle()
    start = (slow.seq - 1) * slow.period
    assert slow.engine.tick(Tick(mono_ns=start + 4900 * MS)).state is State.HOLD
    assert slow.engine.tick(Tick(mono_ns=start + 5100 * MS)).state is State.STALE


@pytest.mark.parametrize(
    ("moved", "flagged"),
    [
        (None, False),
        ((-9 * MS, -MS), False),  # over before the exposure began
        ((-9 * MS, -MS // 4), True),
        ((-9 * MS, 9 * MS), True),
        ((MS // 4, MS // 4), True),
        ((MS, 9 * MS), False),  # after it
    ],
)
def test_a_frame_exposed_while_the_actuator_moved_is_held_with_its_estimate(moved, flagged):
    loop = Loop(engine())
    loop.settle()
    frame = loop.expose()
    times = None if moved is None else tuple(frame.t_ns + offset for offset in moved)
    result = loop.give(msgspec.structs.replace(frame, exp_ns=MS, moved=times))
    assert (result.verdict is Verdict.MOVED, "MOVED" in result.held) == (flagged, flagged)
    assert np.isfinite(result.estimate.dx)
    assert loop.run(1).state is State.LOCKED


def test_a_closed_loop_is_much_quieter():
    loop = Loop(engine(), motion=Motion(seed=1))
    loop.settle()
    loop.run(1500)
    loop.engine.handle(Order(do="close"))
    loop.run(1700)
    truth = np.array([loop.truth[seq] for seq in range(loop.seq)])
    assert (truth[-1500:].std(axis=0) * 10 < truth[:1500].std(axis=0)).all()


def test_warm_up_leaves_the_engine_as_it_was():
    rig = engine()
    rig.warm_up((48, 56), np.uint16)
    assert rig.state is State.NO_REFERENCE
    assert rig.status()["reference"]["id"] == 0


NOTHING_COMPILES = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from rig import Loop, engine, spoiled
from rtreg.simulate import Motion

def compiled():
    modules = [m for name, m in sys.modules.items() if name.startswith("rtreg.kernels")]
    kernels = {id(k): k for m in modules for k in vars(m).values() if hasattr(k, "nopython_signatures")}
    return {k.py_func.__qualname__: len(k.nopython_signatures) for k in kernels.values()}

loop = Loop(engine(), motion=Motion(seed=1))
loop.expose()  # the camera's own kernels
loop.engine.warm_up((64, 64), np.uint16)
before = compiled()
loop.settle()
loop.run(120)  # rolls and re-anchors, whose mean has a border without data
frame = loop.expose()
pixels = frame.pixels.copy()
pixels[20:23, 30] = 65535
pixels.flags.writeable = False
loop.give(spoiled(frame, pixels))
loop.run(1, push=type(loop.mirror)(20.0, 10.0))  # a search
new = {name: n - before.get(name, 0) for name, n in compiled().items() if n != before.get(name, 0)}
sys.exit(f"compiled after the warm-up: {new}" if new else 0)
"""


def test_nothing_compiles_after_the_warm_up():
    """In a process of its own, since here other tests have compiled everything already."""
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", NOTHING_COMPILES, here], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
