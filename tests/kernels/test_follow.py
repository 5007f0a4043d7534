"""The kernel that takes a frame from raw pixels to an answer, against the kernels it is made of."""

from __future__ import annotations

import naive
import numpy as np
import pytest

from rtreg.kernels import follow, gauss_newton


def facts(**values):
    out = np.zeros(follow.FACTS)
    out[follow.LEAST], out[follow.STRIDE] = 0.1, 2
    for name, value in values.items():
        out[getattr(follow, name)] = value
    return out


@pytest.mark.parametrize("per_frames", [0.0, 0.25])
def test_judge_turns_the_residual_into_chi2_and_variances(per_frames):
    rng = np.random.default_rng(0)
    frame, c = rng.normal(size=(2, 20, 26)).astype(np.float32)
    weights = rng.uniform(size=frame.shape).astype(np.float32)
    known = facts(BACKGROUND=0.01, QUIET_SHARE=0.7, PER_FRAMES=per_frames, MEAN=3.0, ORIGIN_Y=1, ORIGIN_X=-2)
    known[follow.PARTS :] = np.arange(1, 13)
    state, kept = np.zeros(follow.STATE), np.linspace(1.0, 0.4, 5)
    state[[gauss_newton.DY, gauss_newton.DX, gauss_newton.SCALE, follow.GUESS]] = 1.25, -1.6, 1.3, 0.2
    state[[follow.FROM_Y, follow.FROM_X]] = 1.2, -1.7  # from near by: every other row is enough
    column, sums = np.empty(frame.shape[1] + 8, np.float32), np.zeros(4)
    follow.judge(frame, c, weights, kept, 6.0, known, column, sums, state)

    square, linear, total, used = naive.residual(frame, c, weights, 1.3, 0.2, 0.25, 0.4, 2)
    offset = 0.2 + linear / total
    quiet = 1.0 + 0.01 * (offset - 1.3 * 3.0) + 1.69 * per_frames
    light = 1.3 + 1.69 * per_frames
    less = 1.0 - kept[round(0.25 * 4)] * kept[round(0.4 * 4)]
    expected = 0.7 * quiet + 0.3 * light - 1.69 * per_frames * less
    chi2 = (square - linear**2 / total) / (used - 4.0 - 3.0) * (1.0 + per_frames) / expected
    parts = np.arange(1, 13).reshape(3, 4)
    variances = quiet * parts[0] + light * parts[1] - 1.69 * parts[2]
    assert state[follow.OFFSET] == state[follow.GUESS] == pytest.approx(offset, rel=1e-4)
    assert state[follow.CHI2] == pytest.approx(chi2, rel=1e-4)
    np.testing.assert_allclose(state[follow.XX : follow.N_BAD], variances / [1.69, 1.69, 1.69, 1.0], rtol=1e-4)


def test_judge_asks_every_row_after_a_sudden_move():
    frame = np.zeros((20, 26), np.float32)
    frame[11] = 1e3
    state, column, sums = np.zeros(follow.STATE), np.empty(34, np.float32), np.zeros(4)
    state[gauss_newton.SCALE] = 1.0
    chi2 = {}
    for start in (0.0, 0.2, 0.3, -0.3):
        state[follow.FROM_X] = start
        follow.judge(frame, np.zeros_like(frame), np.ones_like(frame), np.ones(3), 0.0, facts(), column, sums, state)
        chi2[start] = state[follow.CHI2]
    assert chi2[0.0] == pytest.approx(chi2[0.2])
    assert chi2[0.3] == pytest.approx(chi2[-0.3])
    assert min(chi2[0.0], chi2[0.3]) < 0.8 * max(chi2[0.0], chi2[0.3])  # one row of ten, or one of twenty


def test_judge_says_nothing_where_nothing_is_judged():
    frame = np.ones((12, 12), np.float32)
    state = np.zeros(follow.STATE)
    state[gauss_newton.SCALE] = 1.0
    column, sums = np.empty(20, np.float32), np.zeros(4)
    follow.judge(frame, frame, np.zeros_like(frame), np.ones(3), 0.0, facts(), column, sums, state)
    assert np.isnan(state[follow.OFFSET : follow.N_BAD]).all()
    assert state[follow.GUESS] == 0.0


def test_alike_looks_at_every_pixel_of_a_frame_that_begins_alike():
    image = np.full((5, 6), 2.0, np.float32)
    assert follow.alike(image)
    image[4, 5] = 3.0
    assert not follow.alike(image)
    image[0, 0] = 1.0
    assert not follow.alike(image)
