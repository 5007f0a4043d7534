"""References over a long time: the zero stays, its walk is known, and nothing makes a step."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from rig import Loop, engine
from scenes import NOISE, READ_NOISE, bound, clean

from rtreg.live.anchor import Anchor
from rtreg.live.policy import ReferencePolicy
from rtreg.records import Shift
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera


def stream(policy, frames, seed, *, peak=600.0):
    """Errors against the true mean position of the first frames, reported sigmas and walks, and the bound."""
    scene = Scene("stars", (64, 64), seed=11, peak=peak)
    camera = SimulatedCamera(
        scene,
        Motion(drift=(0.06, -0.05), periodic=(0, 0), walk=0, jitter=0.1, jitter_time=0.05, seed=seed),
        Detector(seed=seed, read_noise=READ_NOISE, dtype="float32", offset=0.0),
    )
    rig = engine(reference=policy, noise=NOISE)
    truth, shifts, sigmas, walks = np.empty((frames, 2)), *(np.full((frames, 2), np.nan) for _ in range(2)), []
    for k in range(frames):
        frame, truth[k] = camera.expose(k / 100.0)
        result = rig.process(msgspec.structs.replace(frame, seq=k, epoch=1, recv_mono_ns=k * 10_000_000))
        rig.learn()
        walks.append(result.reference.walk)
        if result.estimate.ok:
            shifts[k], sigmas[k] = result.estimate.shift, result.estimate.sigma
    zero = truth[[seq for _, seq in rig.status()["reference"]["frames"]]].mean(axis=0)
    return shifts - truth + zero, sigmas, walks, bound(scene, Shift(0.0, 0.0))


def rms(values):
    return np.sqrt(np.nanmean(np.square(values)))


def test_the_error_bar_has_the_zeros_own_noise_in_it():
    """Eight seeds: the zero's error is the same for all frames of one, and known to a quarter from sixteen numbers."""
    runs = [stream(ReferencePolicy(frames=4, batch=4), 250, seed) for seed in range(8)]
    errors, sigmas = np.array([r[0] for r in runs])[:, 60:], np.array([r[1] for r in runs])[:, 60:]
    assert rms(sigmas) / rms(errors) == pytest.approx(1.0, abs=0.1)
    zero = rms(errors.mean(axis=1))
    frame = rms(errors - errors.mean(axis=1, keepdims=True))
    assert rms(sigmas) == pytest.approx(np.hypot(frame, frame / 2), rel=0.07)  # 4 frames: half a frame's error
    assert zero == pytest.approx(frame / 2, rel=0.45)


def test_a_reference_that_does_not_roll_does_not_walk():
    for name in ("mean", "fixed"):
        _, _, walks, _ = stream(ReferencePolicy(policy=name, frames=4), 60, 0)
        assert walks[-1] == 0.0


def test_a_reference_that_is_not_anchored_says_how_far_it_has_walked():
    """A memory of 8 frames, 1000 of them, and the mean error of the last hundred against that of forty early ones."""
    policy = ReferencePolicy(policy="exponential", frames=4, batch=4, memory=8, anchor_every=40)
    walked, reported = [], []
    for seed in range(4):
        errors, _, walks, limit = stream(policy, 1000, seed)
        walked.append(np.nanmean(errors[-100:], axis=0) - np.nanmean(errors[20:60], axis=0))
        reported.append(walks[-50])
    scatter = np.mean(limit) * np.hypot(1 / 10, 1 / np.sqrt(40))  # of those two means
    assert rms(walked) > 1.5 * scatter
    assert rms(reported) / np.sqrt(rms(walked) ** 2 - scatter**2) == pytest.approx(1.0, abs=0.4)


def test_a_scene_that_becomes_another_takes_its_anchor_with_it():
    """One granulation fades into another at the same place: the anchor hands over, and nothing jumps or is lost."""
    scenes = [Scene("granulation", (64, 64), seed=seed, peak=20_000.0) for seed in (1, 2)]
    first, last = (clean(scene) for scene in scenes)
    rng = np.random.default_rng(0)
    rig = engine(reference=ReferencePolicy(frames=4, batch=4, memory=16, anchor_every=20), noise=NOISE)
    loop = Loop(rig)
    results = []
    for k in range(800):
        share = np.clip((k - 100) / 700, 0.0, 1.0)
        mean = (1 - share) * first + share * last
        pixels = (rng.poisson(mean) + rng.normal(0.0, READ_NOISE, mean.shape)).astype(np.float32)
        frame = msgspec.structs.replace(loop.expose(), pixels=pixels, recv_mono_ns=k * 10_000_000)
        results.append(rig.process(frame))
        rig.learn()
    assert {result.reference.id for result in results[50:]} == {1}
    assert not any(result.verdict for result in results)
    anchor = rig._reference._anchor
    assert isinstance(anchor, Anchor)
    assert anchor.hand_overs >= 1
    shifts = np.array([result.estimate.shift for result in results[50:]])
    sigma = np.max([result.estimate.sigma for result in results[50:]])
    assert np.abs(np.diff(shifts, axis=0)).max() < 5.0 * np.sqrt(2.0) * sigma


@pytest.mark.soak
def test_the_zero_is_held_over_ten_thousand_frames():
    """20 seeds of slow drift, 16 frames in the anchor: what bench/references.py prints, as a limit."""
    runs = [stream(ReferencePolicy(), 10_000, seed) for seed in range(20)]
    ratio = np.array([errors / np.array(limit) for errors, _, _, limit in runs])
    assert rms(ratio) <= 1.10
    sigma = rms([sigmas / np.array(limit) for _, sigmas, _, limit in runs])
    assert sigma / rms(ratio) == pytest.approx(1.0, abs=0.07)


@pytest.mark.parametrize("first", [0, 2])
def test_a_corrupt_frame_among_the_first_does_not_move_the_zero(first):
    """A byte of some pixels is another in one of the frames that make the reference: another frame takes its place."""
    loop = Loop(engine(reference=ReferencePolicy(frames=8, batch=4)), motion=Motion.still())
    for k in range(40):
        frame = loop.expose(Shift(0.3 * (k % 3), 0.0))
        if k == first:
            pixels = frame.pixels.copy()
            pixels[20, 22:25] += 4096
            frame = msgspec.structs.replace(frame, pixels=pixels)
        loop.give(frame)
    members = loop.engine.status()["reference"]["frames"]
    assert len(members) == 8
    assert [1, first] not in members
    errors = loop.errors(last=20)
    assert np.abs(errors.mean(axis=0)).max() < 3 * max(loop.results[-1].estimate.sigma)
    assert max(loop.results[-1].estimate.sigma) < 0.02
