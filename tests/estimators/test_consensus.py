"""What several regions say together: at the joint bound, honest, and not led astray by one of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtreg.estimators.consensus import OUTLIER, Consensus, combined, lever_of
from rtreg.records import Estimate, Shift, Verdict

POINTS = np.array([[40.0, 30.0], [160.0, 50.0], [90.0, 170.0], [150.0, 150.0], [30.0, 140.0]])
TRIALS = 1000


def estimate(shift, sigma=0.01, **more):
    return Estimate(
        shift=Shift(*map(float, shift)), covariance=((sigma**2, 0.2 * sigma**2), (0.2 * sigma**2, 1.5 * sigma**2)),
        chi2_dof=1.0, scale=1.0, offset=0.0, contrast=9.0, **more,
    )  # fmt: skip


def drawn(rng, points, motion=(0.0, 0.0, 0.0, 1.0), sigma=0.01, scatter=0.0, centre=(0.0, 0.0)):
    """One frame's estimates of a field moved by (dx, dy), turned by rad and magnified about `centre`."""
    dx, dy, angle, size = motion
    turn = size * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    q = points - np.array(centre)
    noise = rng.multivariate_normal([0, 0], sigma**2 * np.array([[1, 0.2], [0.2, 1.5]]), len(points))
    own = rng.normal(0, scatter, (len(points), 2)) if scatter else 0.0
    return [estimate(s, sigma) for s in q @ turn.T - q + (dx, dy) + noise + own]


def consensus(n, scatter=0.0, outlier=5.0):
    return Consensus([lever_of(x, y) for x, y in POINTS[:n]], outlier=outlier, scatter=scatter)


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("scatter", [0.0, None], ids=["no scatter", "learnt scatter"])
def test_the_error_bars_are_true(n, scatter):
    rng, c = np.random.default_rng(n), consensus(n, scatter)
    c.combine(drawn(rng, POINTS[:n]))
    z = []
    for _ in range(TRIALS):
        motion = (*rng.uniform(-2, 2, 2), *((rng.normal(0, 0.01), 1 + rng.normal(0, 0.01)) if n >= 3 else (0, 1)))
        got = combined(drawn(rng, POINTS[:n], motion, centre=c.pivot), c)
        assert got.ok
        assert all(not part.rejected for part in got.field.parts)
        row = [(got.dx - motion[0]) / got.sigma.dx, (got.dy - motion[1]) / got.sigma.dy]
        if n >= 3:
            row.append((got.field.rotation - motion[2]) / got.field.rotation_sigma)
            row.append((got.field.magnification - motion[3]) / got.field.magnification_sigma)
        else:
            assert math.isnan(got.field.rotation)
        z.append(row)
    spread = 3 / math.sqrt(2 * TRIALS)
    for column in np.transpose(z):
        assert abs(rms(column) - 1.0) <= spread + (0.05 if scatter is None else 0.0)


def test_several_regions_are_better_than_one_as_their_covariances_say():
    rng, c = np.random.default_rng(0), consensus(2)
    errors = []
    for _ in range(TRIALS):
        faint, bright = drawn(rng, POINTS[:1], sigma=0.04)[0], drawn(rng, POINTS[1:2], sigma=0.01)[0]
        errors.append(combined([faint, bright], c).dx)
    expected = 1 / math.sqrt(1 / 0.04**2 + 1 / 0.01**2)
    assert rms(errors) == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize("bad", [0, 2])
def test_a_region_that_contradicts_the_others_is_left_out_and_named(n, bad):
    rng, c = np.random.default_rng(0), consensus(n)
    for _ in range(20):
        assert combined(drawn(rng, POINTS[:n]), c).ok
    z = []
    for _ in range(200):
        estimates = drawn(rng, POINTS[:n])
        wrong = estimates[bad].shift
        estimates[bad] = estimate((wrong.dx + 0.5, wrong.dy - 0.3))
        got = combined(estimates, c)
        assert got.ok
        assert [part.rejected for part in got.field.parts] == [OUTLIER if k == bad else "" for k in range(n)]
        z.append(np.divide(got.shift, got.sigma))
    # with three regions the field is held at that of the last frame that had three: a common, small error
    assert rms(z) <= (1.6 if n == 3 else 1.15)


def test_two_regions_that_contradict_each_other_are_no_answer():
    c = consensus(2)
    assert combined([estimate((0, 0)), estimate((0, 0))], c).ok
    got = combined([estimate((0, 0)), estimate((0.5, 0))], c)
    assert got.flags == Verdict.AMBIGUOUS
    assert math.isnan(got.dx)
    assert [part.rejected for part in got.field.parts] == [OUTLIER, OUTLIER]
    assert got.field.parts[1].shift.dx == 0.5


def test_no_majority_is_no_answer():
    shifts = [(0, 0), (0.5, 0), (0, 0.7), (-0.6, 0.4)]
    got = combined([estimate(s) for s in shifts], consensus(4))
    assert got.flags == Verdict.AMBIGUOUS
    assert math.isnan(got.dx)


def test_what_a_region_flags_is_said_and_not_used():
    rng, c = np.random.default_rng(0), consensus(4)
    estimates = drawn(rng, POINTS[:4])
    estimates[1] = estimate((5, 5), flags=Verdict.SATURATED | Verdict.MISFIT)
    got = combined(estimates, c)
    assert got.ok
    assert got.field.parts[1].rejected == "SATURATED|MISFIT"
    assert abs(got.dx) < 0.05
    nothing = combined([Estimate(flags=Verdict.DARK), *(Estimate(flags=Verdict.LOW_SNR) for _ in range(3))], c)
    assert nothing.flags == Verdict.DARK | Verdict.LOW_SNR
    assert math.isnan(nothing.dx)


def test_a_region_that_drops_out_makes_no_step_in_a_turned_field():
    """Its part of the rotation is known from before: the shift stays that of the same point."""
    rng, c = np.random.default_rng(0), consensus(3)
    c.combine(drawn(rng, POINTS[:3]))
    motion = (1.0, -2.0, 0.02, 1.01)  # at 100 px that is 2 px
    for _ in range(3):
        whole = combined(drawn(rng, POINTS[:3], motion, sigma=1e-4, centre=c.pivot), c)
    for gone in range(3):
        estimates = drawn(rng, POINTS[:3], motion, sigma=1e-4, centre=c.pivot)
        estimates[gone] = Estimate(flags=Verdict.LOW_SNR)
        got = combined(estimates, c)
        assert got.ok
        assert got.shift == pytest.approx(whole.shift, abs=5 * (whole.sigma.dx + got.sigma.dx))
        assert math.isnan(got.field.rotation)  # not measured now


@pytest.mark.parametrize("n", [2, 3, 5])
def test_scatter_is_learnt_and_belongs_to_the_error(n):
    rng, c = np.random.default_rng(1), consensus(n, scatter=None)
    for _ in range(200):
        c.combine(drawn(rng, POINTS[:n], scatter=0.1))
    assert c.scatter == pytest.approx(0.1, rel=0.25)
    z, lost = [], 0
    for _ in range(TRIALS):
        got = combined(drawn(rng, POINTS[:n], scatter=0.1), c)
        if not got.ok:
            lost += 1
            continue
        z.append(np.divide(got.shift, got.sigma))
    assert lost <= 3
    assert abs(rms(z) - 1.0) <= 0.1


def test_scatter_that_is_there_from_the_start_does_not_stop_it_for_long():
    rng, c = np.random.default_rng(1), consensus(3, scatter=None)
    answers = [combined(drawn(rng, POINTS[:3], scatter=0.2), c).ok for _ in range(40)]
    assert all(answers[20:])


def test_scatter_that_sets_in_late_is_learnt_as_fast():
    rng, c = np.random.default_rng(1), consensus(3, scatter=None)
    for _ in range(500):
        assert combined(drawn(rng, POINTS[:3]), c).ok
    assert c.scatter < 0.004
    answers = [combined(drawn(rng, POINTS[:3], scatter=0.2), c).ok for _ in range(40)]
    assert all(answers[30:])


def test_the_pivot_stays():
    rng, c = np.random.default_rng(1), consensus(3)
    c.combine(drawn(rng, POINTS[:3]))
    pivot = c.pivot
    estimates = drawn(rng, POINTS[:3])
    estimates[0] = Estimate(flags=Verdict.LOW_SNR)
    c.combine(estimates)
    assert c.pivot == pivot
