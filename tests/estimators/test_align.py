"""Undoing a shift."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import clean, make

from rtreg import FrameError, Shift, align


@pytest.mark.parametrize("shift", [Shift(0.0, 0.0), Shift(2.0, -3.0), Shift(1.37, -0.61), Shift(-4.5, 5.25)])
def test_align_puts_the_content_back(shift):
    scene = make("granulation", (64, 80))
    reference, back = clean(scene), align(clean(scene, shift), shift)
    inside = np.isfinite(back)
    missing = 1.0 - inside.mean()
    assert missing <= (abs(shift.dx) + 1) / 80 + (abs(shift.dy) + 1) / 64
    core = np.s_[10:-10, 10:-10]
    assert np.abs(back - reference)[core].max() < 2e-3 * np.ptp(reference)


def test_what_the_frame_does_not_have_is_masked():
    back = align(np.ones((16, 20)), Shift(3.0, -2.0))
    assert np.isnan(back[:, -3:]).all()
    assert np.isnan(back[:2]).all()
    assert np.isfinite(back[2:, :-3]).all()
    filled = align(np.ones((16, 20)), Shift(3.0, -2.0), fill=-1.0)
    assert (filled[:2] == -1.0).all()


def test_flux_is_kept():
    star = clean(make("star", (64, 64), background=0.0))
    back = align(star, Shift(0.43, -0.77), fill=0.0)
    assert back.sum() == pytest.approx(star.sum(), rel=1e-5)


def test_a_bad_pixel_stays_bad_and_does_not_spread():
    image = clean(make("granulation", (32, 32)))
    image[10, 12] = np.nan
    back = align(image, Shift(1.2, 0.7))
    assert np.isnan(back[9, 11])
    assert np.isnan(back[2:-2, 2:-2]).sum() == 1


@pytest.mark.parametrize("shift", [(np.nan, 0.0), (0.0, np.inf)])
def test_a_shift_that_is_no_number_is_refused(shift):
    with pytest.raises(FrameError, match="not finite"):
        align(np.ones((9, 9)), shift)
