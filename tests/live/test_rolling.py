"""Means that roll on with the stream."""

from __future__ import annotations

import numpy as np
import pytest

from rtreg.live.rolling import RollingMean, WindowMean
from rtreg.records import Shift

CORE = np.s_[2:-2, 2:-2]  # nearer to the border a moved frame is not trusted
STILL = Shift(0.0, 0.0)
SHAPE = (9, 10)


def level(value):
    return np.full(SHAPE, value, np.float32)


def feed(rolling, values):
    """One frame a value, merged in as one batch."""
    for value in values:
        rolling.add(level(value), STILL)
    rolling.merge()


def test_rolling_mean_is_cumulative_then_exponential():
    rolling = RollingMean(level(0.0), frames=4, memory=8)
    assert rolling.frames == 4
    feed(rolling, [1.0] * 4)
    np.testing.assert_allclose(rolling.image[CORE], 0.5, atol=1e-6)
    assert rolling.frames == pytest.approx(8.0)
    feed(rolling, [1.5] * 4)
    np.testing.assert_allclose(rolling.image[CORE], 1.0, atol=1e-6)
    # weights 1/16 x 8 and 1/8 x 4: the noise of 1 / sum of squares frames
    assert rolling.frames == pytest.approx(1.0 / (8 / 16**2 + 4 / 8**2))


@pytest.mark.parametrize(("kind", "share"), [(RollingMean, 1 / 4), (WindowMean, 1 / 16)])
def test_a_mean_of_many_frames_waits_for_a_share_of_them(kind, share):
    rolling = kind(level(0.0), frames=16, memory=128)
    counts = []
    for _ in range(400):
        rolling.add(level(1.0), STILL)
        if rolling.full(4):
            counts.append(rolling.pending)
            rolling.merge()
    assert counts[0] == 4  # of 16 frames; and the batch at least
    assert counts[-1] == share * 128
    assert counts == sorted(counts)


def test_a_window_remembers_its_last_frames_only():
    """Frames of value k: the mean is that of the last ones, block by block."""
    rolling = WindowMean(level(-100.0), frames=4, memory=32)
    for k in range(40):
        feed(rolling, [k, k])
    assert rolling.frames == 32
    np.testing.assert_allclose(rolling.image[CORE], np.mean(range(24, 40)), atol=1e-4)


def test_a_window_keeps_what_it_began_with_until_it_is_full():
    rolling = WindowMean(level(8.0), frames=4, memory=32)
    feed(rolling, [0.0] * 4)
    assert rolling.frames == 8
    np.testing.assert_allclose(rolling.image[CORE], 4.0, atol=1e-6)


@pytest.mark.parametrize("make", [RollingMean, WindowMean])
def test_noise_is_as_stated(make):
    rng = np.random.default_rng(1)
    rolling = make(rng.normal(size=(8, 64, 64)).mean(axis=0).astype(np.float32), frames=8, memory=24)
    for _ in range(12):
        for _ in range(4):
            rolling.add(rng.normal(size=(64, 64)).astype(np.float32), STILL)
        rolling.merge()
    assert rolling.image[CORE].var() * rolling.frames == pytest.approx(1.0, rel=0.1)


def test_pixels_that_come_into_view_are_learnt_and_those_that_leave_are_forgotten():
    """A field has drifted by 4 px along x: the right of the reference is seen no more, its left border is at last."""
    start = level(1.0)
    start[:, :2] = np.nan
    rolling = RollingMean(start, frames=8, memory=16)
    moved = Shift(4.0, 0.0)  # column x of the reference is column x + 4 of the frame
    for count, known in ((3, False), (13, True)):
        for _ in range(count):
            rolling.add(level(2.0), moved)
        rolling.merge()
        # three frames would be noisier than the others; and what has just left the view is still known
        assert np.isfinite(rolling.image[2:-2, :2]).all() == known
        assert np.isfinite(rolling.image[2:-2, 4:]).all() != known
    np.testing.assert_allclose(rolling.image[2:-2, :2], 2.0, atol=1e-5)
