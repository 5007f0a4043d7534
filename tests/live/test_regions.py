"""The engine with regions: references that begin together, roll each for itself, and answer as one."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from field import BOXES, SIZE, STARS, exposed, picture
from scenes import NOISE
from test_snapshot import assert_same

from rtreg.errors import ConfigError, FrameError
from rtreg.estimators.consensus import OUTLIER
from rtreg.estimators.regions import Box, RegionPolicy
from rtreg.estimators.registrar import Registrar
from rtreg.io import checkpoint
from rtreg.live.controller import Controller
from rtreg.live.engine import Engine
from rtreg.live.policy import ReferencePolicy
from rtreg.live.quality import QualityGate
from rtreg.records import Frame, State, Verdict

MS = 1_000_000
POLICY = RegionPolicy(tuple(Box(*box) for box in BOXES))


def engine(regions=POLICY, *, method="centroid", **reference):
    return Engine(
        functools.partial(Registrar, method=method),
        reference=ReferencePolicy(**{"frames": 4, "batch": 4, "anchor_every": 12, **reference}),
        gate=QualityGate(),
        controller=Controller(closed=False),
        noise=NOISE,
        regions=regions,
    )


class Sky:
    """Feeds an engine with exposures of a field."""

    def __init__(self, engine, seed=0):
        self.engine, self.rng, self.seq = engine, np.random.default_rng(seed), 0
        self.result = None

    def frame(self, *motion, **options):
        pixels = exposed(picture(*motion, **options), self.rng)
        self.seq += 1
        return Frame(pixels=pixels, epoch=1, seq=self.seq, recv_mono_ns=self.seq * 10 * MS)

    def give(self, *motion, **options):
        self.result = self.engine.process(self.frame(*motion, **options))
        self.engine.learn()
        return self.result

    def settle(self, **options):
        for _ in range(60):
            if self.give(**options).state is State.LOCKED:
                return self.result
        raise AssertionError(self.result)


@pytest.mark.parametrize("method", ["auto", "centroid"])
def test_it_locks_and_measures_what_the_field_does(method):
    sky = Sky(engine(method=method))
    centre = sky.settle().estimate.field.centre
    z = []
    for _ in range(60):
        motion = (*sky.rng.uniform(-0.5, 0.5, 2), sky.rng.normal(0, 1e-3), 1 + sky.rng.normal(0, 1e-3))
        estimate = sky.give(motion, centre).estimate
        field = estimate.field
        assert estimate.ok
        z.append(
            (
                (estimate.dx - motion[0]) / estimate.sigma.dx,
                (estimate.dy - motion[1]) / estimate.sigma.dy,
                (field.rotation - motion[2]) / field.rotation_sigma,
                (field.magnification - motion[3]) / field.magnification_sigma,
            )
        )
    # four frames make the zero, and its error is common to all: wider than for independent frames
    assert 0.7 < np.sqrt(np.mean(np.square(z))) < 1.4


def test_a_field_that_turns_all_the_time_is_followed_while_the_references_roll():
    """References that rolled without their own anchors would turn with the field, and its rotation would vanish."""
    sky = Sky(engine(memory=16))
    centre = sky.settle().estimate.field.centre
    for k in range(150):
        estimate = sky.give((0.0, 0.0, 2e-4 * k, 1.0), centre).estimate  # 2 px at the regions by the end
        assert estimate.ok, (k, estimate)
    assert estimate.field.rotation == pytest.approx(2e-4 * 149, abs=5 * estimate.field.rotation_sigma)
    assert estimate.shift == pytest.approx((0.0, 0.0), abs=5 * max(estimate.sigma))


def test_all_references_are_of_the_same_frames():
    """A frame that one region cannot use is used by none: zeros of different frames would not agree."""
    sky = Sky(engine())
    sky.give()
    for _ in range(2):
        sky.give(stars=STARS[:2])
    sky.settle()
    parts = sky.engine._reference._parts
    assert parts[0].members == parts[1].members == parts[2].members
    assert (1, 2) not in parts[0].members


def test_a_region_without_a_star_is_left_out_and_says_so():
    empty = RegionPolicy((*POLICY.boxes, Box(110, 110, 36, 36)))
    sky = Sky(engine(empty))
    estimate = sky.settle().estimate
    assert [part.rejected for part in estimate.field.parts] == ["", "", "", "LOW_SNR"]
    assert "region 4 left out" in sky.engine.status()["lock"]
    assert math.isfinite(estimate.field.rotation)


def test_an_outlier_is_named_and_not_learnt_from():
    sky = Sky(engine())
    sky.settle()
    for _ in range(5):
        sky.give()
    before = [part.age for part in sky.engine._reference._parts]
    moved = [*STARS[:2], (STARS[2][0] + 1.5, STARS[2][1], STARS[2][2])]
    result = sky.give(stars=moved)
    assert result.state is State.LOCKED
    assert [part.rejected for part in result.estimate.field.parts] == ["", "", OUTLIER]
    assert [part.age for part in sky.engine._reference._parts] == [before[0] + 1, before[1] + 1, before[2]]


def test_without_a_majority_it_holds():
    sky = Sky(engine(RegionPolicy(POLICY.boxes[:2])))
    sky.settle()
    result = sky.give(stars=[STARS[0], (STARS[1][0] + 1.5, *STARS[1][1:])])
    assert result.state is State.HOLD
    assert Verdict.AMBIGUOUS in result.verdict
    assert result.held == "AMBIGUOUS"


def test_clouds_and_their_end():
    sky = Sky(engine())
    sky.settle()
    for _ in range(3):
        assert sky.give(stars=[]).state is State.HOLD
    assert [sky.give().state for _ in range(3)] == [State.HOLD, State.HOLD, State.LOCKED]


def test_regions_past_the_frame_are_a_matter_of_configuration():
    with pytest.raises(ConfigError, match=r"region 1 .*reaches past the frame, 150 x 150"):
        Sky(engine(RegionPolicy((Box(120, 0, 40, 40),)))).give()


def test_a_fixed_image_is_cut_too():
    sky = Sky(engine(policy="fixed", image=picture(), image_frames=100))
    sky.give()
    estimate = sky.give((0.3, -0.2, 0.0, 1.0)).estimate
    assert estimate.shift == pytest.approx((0.3, -0.2), abs=5 * max(estimate.sigma))


@pytest.mark.parametrize("regions", [POLICY, None], ids=["regions", "whole frame"])
def test_restored_it_gives_the_same_results_at_every_stage(regions):
    box = BOXES[0]
    area = np.s_[:, :] if regions else np.s_[box[1] : box[1] + 36, box[0] : box[0] + 36]
    sky = Sky(engine(regions))

    def frame():
        whole = sky.frame()
        return Frame(pixels=whole.pixels[area].copy(), epoch=1, seq=whole.seq, recv_mono_ns=whole.recv_mono_ns)

    for _ in range(25):
        other = engine(regions)
        other.restore(checkpoint.unpack(checkpoint.pack(sky.engine.snapshot())))
        for _ in range(2):
            exposure = frame()
            assert_same(sky.engine.process(exposure), other.process(exposure))
            sky.engine.learn()
            other.learn()
    assert sky.engine.state is State.LOCKED


def test_a_snapshot_of_other_regions_is_refused():
    sky = Sky(engine())
    sky.settle()
    with pytest.raises(FrameError, match="3 regions but the configuration 2"):
        engine(RegionPolicy(POLICY.boxes[:2])).restore(sky.engine.snapshot())


def test_frames_of_another_size_begin_anew():
    sky = Sky(engine())
    sky.settle()
    assert SIZE == 150
    with pytest.raises(FrameError):
        sky.engine.process(Frame(pixels=np.zeros((160, 160)), epoch=1, seq=999, recv_mono_ns=10**12))
