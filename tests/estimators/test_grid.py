"""Where the information is: what is left out costs no more than it is allowed to, and is in the covariance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenes import NOISE, clean, make, noisy

from rtreg import Registrar, Shift
from rtreg.estimators.grid import KEPT, TILE, Grid, Information, Window, choose_rows, choose_tiles
from rtreg.estimators.pieces import at_once
from rtreg.estimators.registrar import TRACK_REACH
from rtreg.noise import NoiseModel

HOME = Shift(0.2, -0.3)


def stars(shape=(256, 256), **options):
    return make("stars", shape, **{"stars": 20, "peak": 3000.0, **options})


def locked(scene, shift=HOME, noise=NOISE, **options):
    registrar = Registrar(clean(scene), noise=noise, reference_frames=math.inf, **options)
    assert registrar.measure(noisy(scene, shift, np.random.default_rng(5))).ok
    return registrar


def test_rows_keep_what_they_say_they_keep():
    gain = np.zeros(64)
    gain[[10, 11, 40]] = 5.0, 1.0, 4.0
    gain += 1e-5
    blocks, scout, share = choose_rows(gain, 3, 61)
    looked_at = np.zeros(64, bool)
    for first, last in blocks:
        looked_at[first:last] = True
    assert gain[looked_at].sum() >= KEPT * gain[3:61].sum()
    assert looked_at.sum() < 20
    (first, last), *_ = scout
    assert first <= 10 < last
    assert share == pytest.approx(0.5, abs=0.01)


def test_even_rows_are_all_kept_and_a_quarter_of_them_scouted():
    blocks, scout, share = choose_rows(np.ones(64), 2, 62)
    assert blocks.tolist() == [[2, 62]]
    assert (scout[:, 1] - scout[:, 0]).sum() == 16
    assert share == pytest.approx(16 / 60)


def test_tiles_hold_nearly_all_there_is_to_know():
    rng = np.random.default_rng(0)
    slopes = np.zeros((2, 256, 320), np.float32)
    slopes[:, 100:108, 40:60] = rng.normal(size=(2, 8, 20))
    slopes[:, 30:34, 200:206] = rng.normal(size=(2, 4, 6))
    ones, none = np.ones((256, 320), np.float32), np.zeros((256, 320), np.float32)
    information = at_once(Information.of(ones, slopes, none))
    window = Window(0, 256, 0, 320, (-0.5, -0.5), (0.5, 0.5))
    corners = choose_tiles(information, window, (256, 320), margin=5)
    held = sum(float(np.square(slopes[:, y : y + TILE[0], x : x + TILE[1]]).sum()) for y, x in corners)
    assert held >= KEPT * float(np.square(slopes).sum())
    even = at_once(Information.of(ones, np.stack([ones, ones]), none))
    assert choose_tiles(even, window, (256, 320), margin=5) is None
    # what a reference's noise adds everywhere is not taken for something to know
    noisy = slopes + rng.normal(0.0, 0.01, slopes.shape).astype(np.float32)
    told = choose_tiles(at_once(Information.of(ones, noisy, np.full_like(none, 0.01**2))), window, (256, 320), margin=5)
    assert len(told) < len(corners) + 4
    fooled = choose_tiles(at_once(Information.of(ones, noisy, none)), window, (256, 320), margin=5)
    assert fooled is None or len(fooled) > 4 * len(told)


def test_a_grid_of_tiles_shows_the_reference_and_cuts_margins():
    image = np.arange(64 * 80, dtype=np.float32).reshape(64, 80)
    window = Window(4, 60, 4, 76, (-0.5, 2.5), (0.5, 3.5))
    grid = Grid(image.shape, window, np.array([(8, 16), (56, 64)]))
    assert grid.origin == (0, 3)
    taken, cut = grid.take(image), grid.cut(image)
    assert taken.shape == cut.shape == grid.shape == (13, 42)
    np.testing.assert_array_equal(taken[:, :21], image[6:19, 14:35])
    np.testing.assert_array_equal(cut[2:10, 2:18], image[8:16, 16:32])
    assert cut.sum() == image[8:16, 16:32].sum() + image[56:60, 64:76].sum()
    np.testing.assert_array_equal(grid.tiles[0], (6, 17))


def test_a_field_of_stars_is_tracked_on_tiles_at_no_more_than_half_a_per_cent():
    registrar = locked(stars())
    tracker = registrar._tracker
    assert not tracker._cut.whole
    on_tiles = np.array([tracker.fit.xx, tracker.fit.yy])
    whole = tracker.prepare_for(-0.3, 0.2, whole=True)
    tracker.run(registrar._exposure, -0.3, 0.2, TRACK_REACH)
    assert whole.whole
    assert (np.array([tracker.fit.xx, tracker.fit.yy]) / on_tiles > 0.99).all()


@pytest.mark.parametrize("shift", [Shift(0.0, 0.0), Shift(0.4, 0.7), Shift(-3.3, 2.6), Shift(9.0, -20.5)])
@pytest.mark.parametrize("order", [3, 5])
def test_tiles_follow_the_shift_wherever_it_is(shift, order):
    scene = stars()
    registrar = locked(scene, shift, order=order)
    estimate = registrar.measure(clean(scene, shift))
    assert not registrar._tracker._cut.whole
    assert estimate.dx == pytest.approx(shift.dx, abs=0.002)
    assert estimate.dy == pytest.approx(shift.dy, abs=0.002)


def test_errors_on_tiles_are_honest():
    scene, rng = stars(peak=400.0), np.random.default_rng(6)
    registrar = locked(scene)
    scaled = []
    for _ in range(150):
        shift = Shift(*rng.normal(0.0, 0.2, 2))
        estimate = registrar.measure(noisy(scene, shift, rng))
        assert estimate.regime == "track"
        scaled += [(estimate.dx - shift.dx) / estimate.sigma.dx, (estimate.dy - shift.dy) / estimate.sigma.dy]
    assert np.sqrt(np.mean(np.square(scaled))) == pytest.approx(1.0, abs=3 / math.sqrt(2 * len(scaled)) + 0.03)


def test_a_saturated_star_sends_the_fit_to_the_whole_frame_and_is_left_out():
    scene = stars()
    registrar = locked(scene, noise=NoiseModel(gain=NOISE.gain, read_noise=NOISE.read_noise, saturation=60000.0))
    frame = clean(scene, Shift(0.2, -0.3))
    y, x = np.unravel_index(np.argmax(frame), frame.shape)
    frame[y, x] = 65000.0
    estimate = registrar.measure(frame)
    assert registrar._tracker._cut.whole
    assert estimate.ok
    assert estimate.dx == pytest.approx(0.2, abs=0.004)
    assert registrar.work[y, x] < 60000.0


def test_what_was_not_looked_at_is_there_when_asked_for():
    scene = stars()
    registrar = locked(scene)
    frame = noisy(scene, Shift(0.1, 0.1), np.random.default_rng(9))
    registrar.measure(frame)
    np.testing.assert_array_equal(registrar.work, frame.astype(np.float32))


def test_large_frames_have_short_templates_where_their_rounding_is_nothing():
    scene, shift = make("granulation", (512, 512), peak=4000.0), Shift(0.31, -0.17)
    registrar = locked(scene, shift)
    found = registrar.measure(clean(scene, shift))
    assert registrar._tracker._cut._templates[0].dtype == np.int16
    assert found.dx == pytest.approx(shift.dx, abs=0.0005)
    assert found.dy == pytest.approx(shift.dy, abs=0.0005)
    silent = Registrar(clean(scene), noise=NoiseModel(gain=1e6, read_noise=0.0), reference_frames=math.inf)
    for _ in range(2):
        assert silent.measure(clean(scene, shift)).ok  # without noise to hide it, no rounding
    assert silent._tracker._cut._templates[0].dtype == np.float32
