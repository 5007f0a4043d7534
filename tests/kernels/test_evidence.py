"""What speaks for a match: sums of tiles, and the gain of details."""

from __future__ import annotations

import naive
import numpy as np
import pytest

from rtreg.kernels import evidence

RULES = {"own": 0.01, "least": 0.02, "kept": 0.14, "faint": 3.0, "cap": 36.0}


def images(shape=(21, 26), count=3):
    return np.random.default_rng(3).normal(size=(count, *shape)).astype(np.float32)


def gain(sums, **changed):
    rules, out = RULES | changed, np.empty(4)
    left = np.empty(sums[0].size)
    evidence.gain(sums, *(rules[k] for k in ("own", "least", "kept", "faint", "cap")), left, out)
    return out


def sums_of(reference, weights, frame, dy=0, dx=0):
    tiles = [-(-n // evidence.TILE) for n in reference.shape]
    out, lines = np.empty((evidence.SUMS, *tiles)), np.empty((evidence.SUMS, evidence.TILE * tiles[1]), np.float32)
    evidence.tiles(reference, weights, frame, 0.25, dy, dx, lines, out)
    return out


def test_blur():
    image = images()[0]
    out = np.empty_like(image)
    evidence.blur(image, out)
    np.testing.assert_allclose(out, naive.blur(image), atol=1e-6)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.5), (-0.25, 0.1)])
def test_move_is_a_straight_line_between_pixels(shift):
    image = images()[0]
    out = np.empty_like(image)
    evidence.move(image, *shift, out)
    np.testing.assert_allclose(out, naive.move_linear(image, *shift), atol=1e-6)


@pytest.mark.parametrize("shift", [(0, 0), (5, -7), (-20, 3), (1, 25)])
def test_tiles_sum_what_is_common(shift):
    reference, weights, frame = images()
    weights = np.abs(weights)
    expected = naive.tile_sums(reference, weights, frame, 0.25, *shift, evidence.TILE)
    np.testing.assert_allclose(sums_of(reference, weights, frame, *shift), expected, atol=2e-5)


@pytest.mark.parametrize("signal", [0.1, 1.0, 30.0])
def test_gain(signal):
    reference, weights, noise = images((37, 42))
    reference[:, 20:] *= 0.1
    frame = signal * reference + noise
    sums = sums_of(reference, np.abs(weights), frame)
    expected = naive.gain(sums, *(RULES[k] for k in ("own", "least", "kept", "faint")), evidence.RICHEST, RULES["cap"])
    np.testing.assert_allclose(gain(sums), expected, rtol=1e-9)


def test_no_gain_by_what_is_not_there_or_has_the_wrong_sign():
    reference, _, frame = images()
    weights = np.ones_like(reference)
    assert (gain(sums_of(reference, 0 * weights, frame)) == 0.0).all()
    assert (gain(sums_of(reference, weights, -reference)) == 0.0).all()


def test_one_bright_star_on_another_counts_for_no_more_than_a_detail_and_the_missing_ones_against():
    y, x = np.mgrid[:64, :64]

    def field(*stars):
        return sum(peak * np.exp(-((x - sx) ** 2 + (y - sy) ** 2) / 6.0) for sx, sy, peak in stars).astype(np.float32)

    noise = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)
    weights = np.ones((64, 64), np.float32)
    reference = field((20, 20, 20), (45, 18, 15), (30, 50, 12))
    same, other = reference + noise, field((20, 20, 400)) + noise
    true, false = (gain(sums_of(reference, weights, frame), own=0.0, kept=1.0) for frame in (same, other))
    assert false[2] > 10 * true[2]  # it explains far more
    assert true[0] > 0.9 * true[1]
    assert false[0] < 0.0 < true[0]
