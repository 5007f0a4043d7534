"""The gate: every refusal has its reason, and none lasts for ever."""

from __future__ import annotations

import math

import pytest

from rtreg.errors import ConfigError
from rtreg.live.quality import QualityGate
from rtreg.records import Estimate, Shift, Verdict


def estimate(dx=0.0, dy=0.0, sigma=0.01, chi2=1.0, flags=Verdict.OK):
    return Estimate(
        shift=Shift(dx, dy), covariance=((sigma**2, 0.0), (0.0, sigma**2)), chi2_dof=chi2, scale=1.0, flags=flags
    )


def test_a_good_estimate_passes():
    assert QualityGate().judge(estimate()) is Verdict.OK


@pytest.mark.parametrize("flag", [flag for flag in Verdict if flag])
def test_what_the_estimator_flagged_stays_flagged(flag):
    assert flag in QualityGate().judge(estimate(flags=flag))


@pytest.mark.parametrize("bad", [{"dx": math.nan}, {"dy": math.inf}, {"sigma": 0.6}, {"sigma": math.nan}])
def test_no_number_or_a_wide_error_bar_is_low_snr(bad):
    assert QualityGate(max_sigma=0.5).judge(estimate(**bad)) == Verdict.LOW_SNR


def test_a_frame_exposed_while_the_actuator_moved_is_held_unless_told_otherwise():
    assert QualityGate().judge(estimate(), moved=True) == Verdict.MOVED
    assert QualityGate(settled=False).judge(estimate(), moved=True) is Verdict.OK
    assert QualityGate().judge(estimate(), moved=False) is Verdict.OK


def test_misfit_is_relative_to_what_was_normal():
    gate = QualityGate(max_misfit=4.0)
    for _ in range(50):
        assert gate.judge(estimate(chi2=3.0)) is Verdict.OK  # a noise model that is off by 3 is no reason to stop
    assert gate.judge(estimate(chi2=13.0)) == Verdict.MISFIT
    assert gate.judge(estimate(chi2=3.0)) is Verdict.OK


def test_a_misfit_that_stays_is_believed_after_a_while_and_not_at_once():
    gate = QualityGate(max_misfit=4.0)
    gate.judge(estimate(chi2=1.0))
    verdicts = [gate.judge(estimate(chi2=12.0)) for _ in range(200)]
    assert verdicts[:5] == [Verdict.MISFIT] * 5
    assert verdicts[-1] is Verdict.OK


def test_a_single_jump_is_held_and_a_lasting_one_believed():
    gate = QualityGate(max_jump=5.0, confirm=3)
    gate.judge(estimate())
    assert gate.judge(estimate(dx=20.0)) == Verdict.JUMP
    assert gate.judge(estimate()) is Verdict.OK
    assert [gate.judge(estimate(dx=20.0)) for _ in range(3)] == [Verdict.JUMP, Verdict.JUMP, Verdict.OK]
    assert gate.judge(estimate(dx=20.0)) is Verdict.OK


def test_jumps_that_do_not_agree_are_never_believed():
    gate = QualityGate(max_jump=5.0, confirm=2)
    gate.judge(estimate())
    for k in range(10):
        assert gate.judge(estimate(dx=20.0 * (1 if k % 2 else -1))) == Verdict.JUMP


def test_forget_starts_afresh():
    gate = QualityGate(max_jump=5.0)
    gate.judge(estimate())
    gate.forget()
    assert gate.judge(estimate(dx=20.0, chi2=50.0)) is Verdict.OK


@pytest.mark.parametrize("options", [{"max_sigma": 0.0}, {"max_misfit": 1.0}, {"max_jump": -1.0}, {"confirm": 0}])
def test_limits_without_meaning_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        QualityGate(**options)
