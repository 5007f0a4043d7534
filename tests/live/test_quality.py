"""The gate: every refusal has its reason, and none lasts for ever."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtreg.errors import ConfigError
from rtreg.io import checkpoint
from rtreg.live.gates import ARMED_AFTER, ASKED_MOST, BANNED_FOR
from rtreg.live.quality import QualityGate
from rtreg.records import Estimate, Frame, Shift, Verdict

NS = 1_000_000_000
PERIOD = NS // 100
STILL = Shift(0.0, 0.0)
RNG = np.random.default_rng(0)
NOISE = RNG.integers(90, 110, (ARMED_AFTER + 50, 32, 32)).astype(np.uint16)


def estimate(dx=0.0, dy=0.0, sigma=0.01, chi2=1.0, scale=1.0, flags=Verdict.OK):
    return Estimate(
        shift=Shift(dx, dy),
        covariance=((sigma**2, 0.0), (0.0, sigma**2)),
        chi2_dof=chi2,
        scale=scale,
        flags=flags,
    )


class Stream:
    """A gate and the frames it judges, 100 a second, each with its own noise."""

    def __init__(self, **options):
        self.gate = QualityGate(**options)
        self.count = 0

    def give(self, *, asked=STILL, pixels=None, **values):
        now = self.count * PERIOD
        pixels = NOISE[self.count % len(NOISE)] if pixels is None else pixels
        self.count += 1
        frame = Frame(pixels=pixels, seq=self.count, recv_mono_ns=now)
        return self.gate.judge(estimate(**values), frame, asked)

    def until_ok(self, limit=100_000, **values):
        """Frames that are held until one passes."""
        for held in range(limit):
            if not self.give(**values):
                return held
        raise AssertionError(f"still held after {limit} frames")


def test_a_good_estimate_passes():
    assert Stream().give() is Verdict.OK


@pytest.mark.parametrize("flag", [flag for flag in Verdict if flag])
def test_what_the_estimator_flagged_stays_flagged(flag):
    assert flag in Stream().give(flags=flag)


@pytest.mark.parametrize("flag", [Verdict.DARK, Verdict.SATURATED, Verdict.NAN, Verdict.AMBIGUOUS])
def test_the_first_good_frame_after_a_bad_one_passes(flag):
    stream = Stream()
    stream.give()
    assert [stream.give(flags=flag) for _ in range(50)] == [flag] * 50
    assert stream.give() is Verdict.OK


@pytest.mark.parametrize("bad", [{"dx": math.nan}, {"dy": math.inf}, {"sigma": 0.6}, {"sigma": math.nan}])
def test_no_number_or_a_wide_error_bar_is_low_snr(bad):
    assert Stream(max_sigma=0.5).give(**bad) == Verdict.LOW_SNR


@pytest.mark.parametrize("bad", [{"sigma": 0.6}, {"flags": Verdict.LOW_SNR}])
def test_signal_must_return_for_some_frames(bad):
    """A frame now and then that is just good enough, through a cloud, is not acted on."""
    stream = Stream(confirm=3)
    stream.give()
    for _ in range(10):
        assert Verdict.LOW_SNR in stream.give(**bad)
        assert [stream.give() for _ in range(2)] == [Verdict.LOW_SNR] * 2
    stream.give(**bad)
    assert stream.until_ok() == 2


@pytest.mark.parametrize(
    ("options", "moved", "verdict"),
    [
        ({}, (5, 15), Verdict.MOVED),
        ({"settled": False}, (5, 15), Verdict.OK),
        ({}, (-30, -20), Verdict.OK),
        ({}, None, Verdict.OK),
    ],
)
def test_a_frame_exposed_while_the_actuator_moved_is_held_unless_told_otherwise(options, moved, verdict):
    frame = Frame(pixels=NOISE[0], t_ns=10, exp_ns=10, moved=moved)
    assert QualityGate(**options).judge(estimate(), frame) is verdict


def test_misfit_is_relative_to_what_was_normal():
    stream = Stream(max_misfit=4.0)
    for _ in range(50):
        assert stream.give(chi2=3.0) is Verdict.OK  # a noise model that is off by 3 is no reason to stop
    assert stream.give(chi2=13.0) == Verdict.MISFIT
    assert stream.give(chi2=3.0) is Verdict.OK


@pytest.mark.parametrize(
    ("flag", "values"),
    [
        (Verdict.MISFIT, {"chi2": 12.0}),
        (Verdict.FLUX, {"scale": 0.2}),
        (Verdict.FLUX, {"scale": 5.0}),
    ],
    ids=["misfit", "cloud in", "cloud out"],
)
def test_what_lasts_for_the_timeout_is_believed_and_so_is_what_was_before(flag, values):
    stream = Stream(timeout=0.5)
    stream.give()
    assert stream.give(**values) == flag
    assert stream.until_ok(**values) == 49  # half a second in all
    assert stream.give(**values) is Verdict.OK
    assert stream.give() is Verdict.OK  # back again: as it was
    assert stream.give(**values) is Verdict.OK


def test_brightness_may_drift():
    stream = Stream(max_flux=1.5)
    assert not any(stream.give(scale=math.exp(-0.005 * k)) for k in range(600))


def test_a_flash_is_held_and_no_longer():
    stream = Stream(max_flux=2.0, timeout=0.5)
    stream.give()
    for _ in range(3):
        assert [stream.give(scale=3.0) for _ in range(40)] == [Verdict.FLUX] * 40
        assert stream.give() is Verdict.OK


def test_a_single_jump_is_held_and_a_lasting_one_believed():
    stream = Stream(max_jump=5.0, confirm=3)
    stream.give()
    assert stream.give(dx=20.0) == Verdict.JUMP
    assert stream.give() is Verdict.OK
    assert [stream.give(dx=20.0) for _ in range(3)] == [Verdict.JUMP, Verdict.JUMP, Verdict.OK]
    assert stream.give(dx=20.0) is Verdict.OK


def test_jumps_that_do_not_agree_are_held_until_the_timeout():
    stream = Stream(max_jump=5.0, confirm=2, timeout=0.5)
    stream.give()
    verdicts = [stream.give(dx=20.0 * (1 if k % 2 else -1)) for k in range(51)]
    assert verdicts == [Verdict.JUMP] * 50 + [Verdict.OK]


# -- a frozen camera --------------------------------------------------------------------------------------------------


def live_camera(**options):
    stream = Stream(**options)
    for _ in range(ARMED_AFTER + 1):
        assert stream.give() is Verdict.OK
    return stream


def test_a_camera_that_repeats_a_frame_is_frozen_until_it_does_not():
    stream = live_camera(timeout=0.5)
    still = NOISE[(stream.count - 1) % len(NOISE)]
    assert [stream.give(pixels=still) for _ in range(30)] == [Verdict.FROZEN] * 30
    assert stream.give() is Verdict.OK
    assert stream.give() is Verdict.OK


def test_of_a_frozen_camera_one_frame_is_tried_at_ever_longer_times():
    stream = live_camera(timeout=0.5)
    still = NOISE[(stream.count - 1) % len(NOISE)]
    passed = [k for k in range(1000) if not stream.give(pixels=still)]
    assert passed == [50, 150, 350, 750]


def test_a_camera_without_noise_may_repeat_itself():
    stream = Stream()
    assert not any(stream.give(pixels=NOISE[0]) for _ in range(300))


def test_the_same_frame_in_other_memory_is_the_same_and_one_pixel_more_is_not():
    stream = live_camera()
    still = NOISE[(stream.count - 1) % len(NOISE)]
    assert stream.give(pixels=still.copy()) == Verdict.FROZEN
    other = still.copy()
    other[0, 5] += 1
    assert stream.give(pixels=other) is Verdict.OK


# -- a hot pixel ------------------------------------------------------------------------------------------------------


def follow(stream, *, answer, start=12.0, gain=0.4, frames=300):
    """A closed loop that finds something at `start`; verdicts, and all that was asked of it."""
    verdicts, place, total, asked = [], start, 0.0, 0.0
    for _ in range(frames):
        verdict = stream.give(dx=place, asked=Shift(asked, 0.0))
        verdicts.append(verdict)
        asked = 0.0 if verdict else -gain * place
        place += answer * asked
        total += abs(asked)
    return verdicts, total


def test_what_is_found_anew_and_does_not_move_when_told_to_is_not_followed():
    stream = Stream(timeout=0.5)
    stream.give()
    verdicts, total = follow(stream, answer=0.0, frames=200)
    assert verdicts[:3] == [Verdict.JUMP, Verdict.JUMP, Verdict.OK]
    assert set(verdicts[5:]) == {Verdict.NO_MOTION}
    assert total < ASKED_MOST + 0.4 * 12.0
    assert stream.until_ok(dx=0.1) == 2  # the star again, where it was: a jump like any other
    assert stream.give(dx=12.2) != Verdict.OK


def test_it_is_tried_again_later():
    stream = Stream(timeout=0.1)
    stream.give()
    follow(stream, answer=0.0, frames=60)
    held = stream.until_ok(dx=12.0, limit=int(BANNED_FOR * 0.1 * 100) + 2)
    assert held > 40


@pytest.mark.parametrize("answer", [1.0, 0.5])
def test_what_answers_is_followed(answer):
    stream = Stream()
    stream.give()
    verdicts, _ = follow(stream, answer=answer)
    assert not any(verdicts[2:])


def test_what_moves_by_itself_is_no_hot_pixel():
    """A gust takes the image away and goes on against the commands, as far as they bring it back and further."""
    stream = Stream(timeout=0.1)
    stream.give()
    assert stream.until_ok(dx=12.0) == 2
    places = [12.0 + 0.02 * k for k in range(200)]
    assert not any(stream.give(dx=place, asked=Shift(-0.05, 0.0)) for place in places)


def test_what_is_found_anew_nearby_must_answer_too():
    stream = Stream(timeout=0.5)
    stream.give()
    verdicts, _ = follow(stream, answer=0.0, start=4.0, frames=100)
    assert verdicts[-1] == Verdict.NO_MOTION


def test_a_place_that_was_followed_all_along_need_not_move():
    """Guiding against a steady drift: the commands go on and on, and the star stays where it is."""
    stream = Stream()
    for _ in range(500):
        assert stream.give(dx=0.5, asked=Shift(-0.2, 0.0)) is Verdict.OK


def test_a_loop_without_an_actuator_is_not_suspected():
    """Nothing moves the image, but nothing has jumped either: whoever watches sees the shift and the commands."""
    stream = Stream()
    for k in range(300):
        place = 5.0 * math.sin(0.05 * k)
        assert stream.give(dx=place, asked=Shift(-0.4 * place, 0.0)) is Verdict.OK


# -- all of it --------------------------------------------------------------------------------------------------------


def test_forget_starts_afresh():
    stream = Stream(max_jump=5.0)
    stream.give()
    stream.gate.forget()
    assert stream.give(dx=20.0, chi2=50.0, scale=9.0) is Verdict.OK


def random_life(count):
    """Values that bring a gate into all of its states."""
    rng = np.random.default_rng(3)
    for k in range(count):
        yield {
            "dx": float(rng.choice([0.0, 9.0, 20.0], p=[0.8, 0.1, 0.1])),
            "sigma": float(rng.choice([0.01, 0.9], p=[0.95, 0.05])),
            "chi2": float(rng.choice([1.0, 30.0], p=[0.95, 0.05])),
            "scale": float(rng.choice([1.0, 5.0], p=[0.9, 0.1])),
            "pixels": NOISE[0] if k % 300 > 260 else None,
            "asked": Shift(float(rng.normal()), 0.0),
        }


def test_a_gate_put_away_and_taken_out_judges_alike():
    one, other = Stream(timeout=0.1), Stream(timeout=0.1)
    seen = Verdict.OK
    for k, values in enumerate(random_life(1500)):
        other.count = one.count
        if k % 50 == 0:
            state = checkpoint.unpack(checkpoint.pack(one.gate.snapshot()))
            other = Stream(timeout=0.1)
            other.count = one.count
            other.gate.restore(state)
        verdict = one.give(**values)
        assert verdict == other.give(**values)
        seen |= verdict
    assert seen == Verdict.LOW_SNR | Verdict.MISFIT | Verdict.FLUX | Verdict.JUMP | Verdict.FROZEN | Verdict.NO_MOTION


@pytest.mark.parametrize(
    "options",
    [{"max_sigma": 0.0}, {"max_misfit": 1.0}, {"max_flux": 1.0}, {"max_jump": -1.0}, {"confirm": 0}, {"timeout": 0.0}],
)
def test_limits_without_meaning_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        QualityGate(**options)
