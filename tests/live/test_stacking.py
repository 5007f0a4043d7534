"""Aligned frames, their sums, the group of the first ones."""

from __future__ import annotations

import numpy as np
import pytest

from rtreg.live.stacking import Group, Stack, aligned, smoothed, spline_of
from rtreg.records import Shift

CORE = np.s_[2:-2, 2:-2]  # nearer to the border a moved frame is not trusted


@pytest.mark.parametrize("moved", [Shift(0.0, 0.0), Shift(1.5, -2.25), Shift(-3.0, 0.0)])
def test_aligned_keeps_its_distance_from_the_frames_border(moved):
    image = np.random.default_rng(0).normal(size=(12, 14)).astype(np.float32)
    out = aligned(spline_of(image), moved, np.empty((12, 14), np.float32))
    y, x = np.mgrid[:12, :14]
    trusted = (np.abs(y + moved.dy - 5.5) <= 3.5) & (np.abs(x + moved.dx - 6.5) <= 4.5)
    np.testing.assert_array_equal(np.isfinite(out), trusted)


def test_stack_is_the_mean_where_enough_frames_reach():
    stack = Stack((2, 3))
    a = np.array([[1, 2, np.nan], [4, 5, 6]], np.float32)
    b = np.array([[3, np.nan, np.nan], [4, 5, 8]], np.float32)
    c = np.array([[5, np.nan, 1], [4, 5, 7]], np.float32)
    for image in (a, b, c):
        stack.add(image)
    np.testing.assert_allclose(stack.mean(), [[3, np.nan, np.nan], [4, 5, 7]])
    stack.add(c, sign=-1)
    np.testing.assert_allclose(stack.mean(), [[2, np.nan, np.nan], [4, 5, 7]])


def test_group_leaves_the_frame_out_and_centres_its_positions():
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(3, 16, 16)).astype(np.float32)
    group = Group((16, 16))
    for frame in frames:
        group.add(frame, Shift(0.0, 0.0))
    others, frame, position = group.next_pair()
    np.testing.assert_allclose(others[CORE], frames[1:].mean(axis=0)[CORE], atol=1e-5)
    np.testing.assert_allclose(frame[CORE], frames[0][CORE], atol=1e-5)
    assert position == (0.0, 0.0)
    group.place(Shift(3.0, 0.0), 1.0)
    for moved in (None, Shift(0.0, -3.0)):
        group.next_pair()
        group.place(moved, 1.0)
    assert group.next_pair()[2] == pytest.approx((2.0, 1.0))
    assert group.work_left == 3


def placed(misfits):
    group = Group((16, 16))
    for _ in misfits:
        group.add(np.ones((16, 16), np.float32), Shift(0.0, 0.0))
    while group.work_left:
        for misfit in misfits:
            group.next_pair()
            group.place(Shift(0.0, 0.0) if np.isfinite(misfit) else None, misfit)
    return group


def test_frames_that_are_not_like_the_others_are_left_out_and_the_rest_aligned_anew():
    group = placed([1.0, 50.0, 1.1, np.inf, 0.9, 3.5])
    assert group.drop_misfits() == [1, 3]
    assert len(group) == 4
    assert group.work_left == 8


@pytest.mark.parametrize("misfits", [[1.0, 1.0, 3.9], [np.inf] * 3, [np.nan] * 3])
def test_frames_of_which_none_or_all_are_odd_stay(misfits):
    assert placed(misfits).drop_misfits() == []


def test_smoothed_says_how_quiet_it_is():
    image, frames = smoothed(np.random.default_rng(2).normal(5.0, 1.0, (400, 420)).astype(np.float32))
    assert image.mean() == pytest.approx(5.0, abs=0.02)
    assert 1.0 / image[CORE].var() == pytest.approx(frames, rel=0.05)
