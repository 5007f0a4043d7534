"""Undoing a shift."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import clean, make

from rtreg import ConfigError, FrameError, Shift, align

BOTH = pytest.mark.parametrize("interpolation", ["spline", "fourier"])


@BOTH
@pytest.mark.parametrize("shift", [Shift(0.0, 0.0), Shift(2.0, -3.0), Shift(1.37, -0.61), Shift(-4.5, 5.25)])
def test_align_puts_the_content_back(shift, interpolation):
    scene = make("granulation", (64, 80))
    reference, back = clean(scene), align(clean(scene, shift), shift, interpolation=interpolation)
    inside = np.isfinite(back)
    missing = 1.0 - inside.mean()
    assert missing <= (abs(shift.dx) + 1) / 80 + (abs(shift.dy) + 1) / 64
    core = np.s_[10:-10, 10:-10]
    assert np.abs(back - reference)[core].max() < 2e-3 * np.ptp(reference)


@BOTH
def test_what_the_frame_does_not_have_is_masked(interpolation):
    back = align(np.ones((16, 20)), Shift(3.0, -2.0), interpolation=interpolation)
    assert np.isnan(back[:, -3:]).all()
    assert np.isnan(back[:2]).all()
    assert np.isfinite(back[2:, :-3]).all()
    filled = align(np.ones((16, 20)), Shift(3.0, -2.0), fill=-1.0)
    assert (filled[:2] == -1.0).all()


@BOTH
def test_both_interpolations_mask_the_same_pixels(interpolation):
    rng = np.random.default_rng(2)
    for dx, dy in rng.uniform(-9.0, 9.0, (20, 2)):
        back = align(np.ones((8, 7)), Shift(dx, dy), interpolation=interpolation)
        y, x = np.arange(8)[:, None] + dy, np.arange(7) + dx
        np.testing.assert_array_equal(np.isfinite(back), (y >= 0) & (y <= 7) & (x >= 0) & (x <= 6))


@BOTH
def test_flux_is_kept(interpolation):
    star = clean(make("star", (64, 64), background=0.0))
    back = align(star, Shift(0.43, -0.77), fill=0.0, interpolation=interpolation)
    assert back.sum() == pytest.approx(star.sum(), rel=1e-5)


def test_a_bad_pixel_stays_bad_and_does_not_spread():
    image = clean(make("granulation", (32, 32)))
    image[10, 12] = np.nan
    back = align(image, Shift(1.2, 0.7))
    assert np.isnan(back[9, 11])
    assert np.isnan(back[2:-2, 2:-2]).sum() == 1


def test_the_fourier_shift_loses_nothing_that_a_well_sampled_frame_holds():
    scene = make("star", (64, 64), background=0.0)
    there = clean(scene, Shift(0.5, 0.5))
    errors = {
        how: np.abs(align(there, Shift(0.5, 0.5), fill=0.0, interpolation=how) - clean(scene))[4:-4, 4:-4].max()
        for how in ("spline", "fourier")
    }
    assert errors["fourier"] < 0.2 * errors["spline"]


def test_another_interpolation_is_refused():
    with pytest.raises(ConfigError, match="'linear': one of spline, fourier"):
        align(np.ones((9, 9)), (0.0, 0.0), interpolation="linear")


@pytest.mark.parametrize("shift", [(np.nan, 0.0), (0.0, np.inf)])
def test_a_shift_that_is_no_number_is_refused(shift):
    with pytest.raises(FrameError, match="not finite"):
        align(np.ones((9, 9)), shift)
