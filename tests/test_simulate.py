"""Scenes, motion, detector: what they show is where and how they say it is."""

import itertools

import naive
import numpy as np
import pytest

from rtreg.errors import ConfigError
from rtreg.records import Shift
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera

KINDS = ["star", "stars", "granulation", "cells"]
SHAPES = [(64, 64), (65, 64), (64, 91), (65, 91)]
SHIFTS = [Shift(0.0, 0.0), Shift(0.25, -0.6), Shift(-7.31, 12.84), Shift(-1000.37, 333.4)]


def direct(scene, shift):
    """The scene by another way: a sum of waves, or of stars on every copy of the torus that can be seen."""
    if scene.kind in ("granulation", "cells"):
        return naive.fourier_sum(scene.spectrum, scene.world, scene.shape, shift.dx, shift.dy)
    turns = [np.array([-1, 0, 1]) - round(d / size) for d, size in zip((shift.dy, shift.dx), scene.world, strict=True)]
    image = np.full(scene.shape, scene.background)
    for turn_y, turn_x in itertools.product(*turns):
        ys = scene.star_y + shift.dy + turn_y * scene.world[0]
        xs = scene.star_x + shift.dx + turn_x * scene.world[1]
        image += naive.stars(ys, xs, scene.star_peak, scene.sigma, scene.shape)
    return image


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_render_is_exact_at_any_shift(kind, shape):
    scene = Scene(kind, shape, seed=4, margin=20)
    for shift in SHIFTS:
        # 1e-6 of the peak over a slope of peak / FWHM is 3e-6 px
        np.testing.assert_allclose(
            scene.render(shift), direct(scene, shift), atol=1e-6 * (scene.peak + scene.background)
        )


@pytest.mark.parametrize("kind", KINDS)
def test_positive_shift_moves_content_to_larger_x_and_y(kind):
    scene = Scene(kind, (64, 72), seed=1)
    moved = scene.render(Shift(5.0, -3.0))
    np.testing.assert_allclose(moved[:-3, 5:], scene.render()[3:, :-5], atol=0.02)


@pytest.mark.parametrize("kind", ["stars", "granulation", "cells"])
def test_new_content_enters_at_the_border(kind):
    """Unlike on a periodic view, what enters is not what left."""
    scene = Scene(kind, (64, 64), seed=2)
    still, moved = scene.render(), scene.render(Shift(16.0, 0.0))
    entered, left = moved[:, :16], still[:, -16:]
    assert np.abs(entered - left).max() > 0.1 * np.ptp(still)
    assert entered.std() > 0.1 * still.std()


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_the_derivative_along_x_then_y(kind):
    scene = Scene(kind, (64, 70), seed=3)
    along_x, along_y = scene.gradient(Shift(0.3, -1.2))
    h = 1e-3  # a frame's value at x + h is that of the frame moved by -h
    twin_x = (direct(scene, Shift(0.3 - h, -1.2)) - direct(scene, Shift(0.3 + h, -1.2))) / (2 * h)
    twin_y = (direct(scene, Shift(0.3, -1.2 - h)) - direct(scene, Shift(0.3, -1.2 + h))) / (2 * h)
    np.testing.assert_allclose(along_x, twin_x, atol=3e-5 * scene.peak)
    np.testing.assert_allclose(along_y, twin_y, atol=3e-5 * scene.peak)


@pytest.mark.parametrize("kind", KINDS)
def test_levels_are_as_asked(kind):
    image = Scene(kind, (96, 96), seed=5, peak=1000.0, background=70.0).render()
    assert image.dtype == np.float32
    assert image.max() <= 1070.01 + (60 if kind == "stars" else 0)  # stars may overlap
    assert image.max() > 900
    assert image.min() >= 69.99


def test_granulation_fills_the_field_and_cells_leave_it_dark():
    granulation = Scene("granulation", (128, 128), peak=1000.0, background=0.0).render()
    assert granulation.min() > 550
    assert granulation.std() > 40
    cells = Scene("cells", (128, 128), peak=1000.0, background=0.0).render()
    assert np.median(cells) < 0.2 * cells.max()


def test_star_sits_in_the_middle_with_the_width_asked_for():
    scene = Scene("star", (33, 41), fwhm=4.0, peak=100.0, background=0.0)
    row = scene.render()[16]
    assert row.argmax() == 20
    assert row[18] == pytest.approx(50.0, rel=1e-5)
    assert row[22] == pytest.approx(50.0, rel=1e-5)


def test_field_has_the_stars_asked_for_and_its_brightest_at_the_peak():
    scene = Scene("stars", (100, 120), stars=25, seed=8)
    inside = (abs(scene.star_y - 49.5) < 50) & (abs(scene.star_x - 59.5) < 60)
    assert inside.sum() == 25
    assert scene.star_peak[inside].max() == pytest.approx(scene.peak)
    assert len(scene.star_peak) > 25


@pytest.mark.parametrize("kind", ["stars", "granulation", "cells"])
def test_the_seed_decides_the_scene(kind):
    first = Scene(kind, (64, 64), seed=1).render()
    np.testing.assert_array_equal(first, Scene(kind, (64, 64), seed=1).render())
    assert np.abs(first - Scene(kind, (64, 64), seed=2).render()).max() > 100


def test_render_writes_into_the_buffer_given():
    scene = Scene("cells", (64, 64))
    out = np.full((64, 64), np.nan, np.float32)
    assert scene.render(Shift(1.5, 2.5), out=out) is out
    np.testing.assert_array_equal(out, scene.render(Shift(1.5, 2.5)))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"kind": "moon"}, "moon"),
        ({"shape": (64,)}, "shape"),
        ({"shape": (0, 64)}, "shape"),
        ({"fwhm": 0.5}, "fwhm"),
        ({"fwhm": float("nan")}, "fwhm"),
        ({"peak": -1.0}, "peak"),
        ({"background": float("inf")}, "background"),
        ({"stars": 0}, "stars"),
        ({"stars": 10**9}, "stars"),
        ({"shape": (64, 10**6)}, "shape"),
        ({"seed": -1}, "seed"),
        ({"margin": 2}, "margin"),
        ({"margin": 10**6}, "margin"),
        ({"kind": "cells", "feature": 1.0}, "feature"),
        ({"kind": "cells", "feature": 1000.0}, "feature"),
        ({"kind": "granulation", "contrast": 0.0}, "contrast"),
    ],
)
def test_scene_refuses_what_it_cannot_show(options, word):
    with pytest.raises(ConfigError, match=word):
        Scene(**{"shape": (64, 64), **options})


# --- motion


def path(motion, rate=500.0, seconds=10.0):
    return np.array([motion.at(i / rate) for i in range(int(rate * seconds))])


def test_motion_is_the_same_for_the_same_seed_and_times():
    np.testing.assert_array_equal(path(Motion(seed=3, step=1.0)), path(Motion(seed=3, step=1.0)))
    assert np.abs(path(Motion(seed=3)) - path(Motion(seed=4))).max() > 0.1


def test_still_does_not_move():
    assert not path(Motion.still()).any()


def test_drift_and_periodic_error_are_what_was_asked_for():
    motion = Motion(drift=(0.5, -2.0), periodic=(3.0, 1.0), period=8.0, walk=0.0, jitter=0.0)
    assert motion.at(0.0) == pytest.approx((0.0, 1.0))
    assert motion.at(2.0) == pytest.approx((1.0 + 3.0, -4.0))


def test_walk_spreads_with_the_square_root_of_time():
    ends = []
    for seed in range(1000):
        motion = Motion(drift=(0, 0), periodic=(0, 0), jitter=0, walk=0.5, seed=seed)
        start = motion.at(0.0)
        ends.append(np.subtract(motion.at(4.0), start))
    assert np.std(ends, axis=0) == pytest.approx([1.0, 1.0], rel=0.08)


def test_jitter_has_its_rms_and_its_correlation_time():
    moved = path(Motion(drift=(0, 0), periodic=(0, 0), walk=0, jitter=0.2, jitter_time=0.05), seconds=120.0)
    assert moved.std(axis=0) == pytest.approx([0.2, 0.2], rel=0.08)
    lag = 25  # one correlation time
    for axis in (0, 1):
        assert np.corrcoef(moved[:-lag, axis], moved[lag:, axis])[0, 1] == pytest.approx(np.exp(-1), abs=0.08)


def test_steps_have_their_length_and_their_time_however_often_one_looks():
    options = {"drift": (0, 0), "periodic": (0, 0), "walk": 0, "jitter": 0, "step": 0.3, "step_every": 2.0}
    moved = path(Motion(**options), rate=50.0)
    jumps = np.hypot(*np.diff(moved, axis=0).T)
    assert list(np.flatnonzero(jumps) + 1) == [100, 200, 300, 400]
    np.testing.assert_allclose(jumps[jumps > 0], 0.3)
    np.testing.assert_allclose(Motion(**options).at(9.0), moved[-1])


def test_motion_looked_at_twice_is_the_same_and_never_goes_back():
    motion = Motion()
    motion.at(0.0)
    assert motion.at(1.0) == motion.at(1.0)
    with pytest.raises(ValueError, match="back"):
        motion.at(0.5)


def test_default_motion_wanders_slowly_enough_for_a_loop_to_hold_it():
    """An integrator of gain 0.4 with two frames of delay, at 500 Hz: more than 15 times quieter."""
    for seed in range(5):
        moved = path(Motion(seed=seed))
        open_loop = moved.std(axis=0)
        assert (open_loop > 1.3).all()
        assert (open_loop < 3.0).all()
        command = np.zeros((len(moved) + 2, 2))
        rest = np.zeros_like(moved)
        for i, disturbance in enumerate(moved):
            rest[i] = disturbance + command[i]
            command[i + 2] = command[i + 1] - 0.4 * rest[i]
        assert (rest[100:].std(axis=0) < open_loop / 15).all()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"period": 0.0}, "period"),
        ({"jitter_time": -1.0}, "jitter_time"),
        ({"step_every": float("nan")}, "step_every"),
        ({"walk": -0.1}, "walk"),
        ({"jitter": float("inf")}, "jitter"),
        ({"drift": (float("nan"), 0.0)}, "drift"),
        ({"seed": -1}, "seed"),
    ],
)
def test_motion_refuses_what_cannot_be(options, word):
    with pytest.raises(ConfigError, match=word):
        Motion(**options)


# --- detector and camera


def flat(level, shape=(200, 200)):
    return np.full(shape, level, np.float32)


@pytest.mark.parametrize("level", [4.0, 25.0, 3000.0])
def test_noise_has_the_mean_and_variance_of_photons_and_read_noise(level):
    pixels = Detector(gain=0.5, read_noise=3.0, offset=100.0).expose(flat(level, (500, 500))).astype(float)
    electrons = (pixels - 100) * 0.5
    variance = level + 9 + 0.25 / 12  # photons, read-out, rounding
    assert electrons.mean() == pytest.approx(level, abs=4.5 * np.sqrt(variance / 250_000))
    assert electrons.var() == pytest.approx(variance, rel=0.015)


def test_frames_differ_and_a_seed_repeats_them():
    first, again = Detector(seed=1), Detector(seed=1)
    one, two = first.expose(flat(50)), first.expose(flat(50))
    assert (one != two).mean() > 0.5
    np.testing.assert_array_equal(again.expose(flat(50)), one)
    np.testing.assert_array_equal(again.expose(flat(50)), two)
    assert (Detector(seed=2).expose(flat(50)) != one).mean() > 0.5


def test_pixels_are_the_frames_own_and_read_only():
    detector = Detector()
    one = detector.expose(flat(50))
    kept = one.copy()
    detector.expose(flat(5000))
    np.testing.assert_array_equal(one, kept)
    assert not one.flags.writeable


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_pixels_have_the_dtype_and_stay_in_its_range(dtype):
    pixels = Detector(dtype=dtype, gain=0.01, offset=10.0).expose(flat(1e6, (20, 20)))
    assert pixels.dtype == dtype
    if pixels.dtype == "uint8":
        assert (pixels == 255).all()
    assert (pixels > 0).all()


def test_saturation_clips():
    detector = Detector(saturation=1000.0)
    assert detector.expose(flat(5000)).max() == 1000
    assert Detector(dtype="uint8", saturation=1000.0).saturation == 255


def test_without_noise_the_electrons_arrive_as_they_are():
    electrons = np.arange(12, dtype=np.float32).reshape(3, 4) * 10
    pixels = Detector(photon_noise=False, read_noise=0.0, gain=2.0, offset=7.0).expose(electrons)
    np.testing.assert_array_equal(pixels, 7 + np.arange(12).reshape(3, 4) * 5)


def test_hot_pixels_are_few_bright_and_always_the_same():
    detector = Detector(hot_pixels=0.01, read_noise=0.0, offset=0.0, seed=6)
    first, second = (detector.expose(flat(0)) for _ in range(2))
    assert (first > 0).mean() == pytest.approx(0.01, rel=0.3)
    assert ((first > 100) == (second > 100)).mean() > 0.999
    assert first[first > 0].mean() == pytest.approx(2000, rel=0.3)


def test_vignetting_takes_its_share_in_the_corners_and_none_in_the_middle():
    pixels = Detector(vignetting=0.4, photon_noise=False, read_noise=0.0, offset=0.0).expose(flat(1000, (101, 201)))
    assert pixels[50, 100] == 1000
    assert [pixels[0, 0], pixels[-1, 0], pixels[0, -1], pixels[-1, -1]] == [600] * 4
    assert pixels[50, 0] < pixels[0, 100]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"dtype": "int64"}, "int64"),
        ({"gain": 0.0}, "gain"),
        ({"read_noise": -1.0}, "read_noise"),
        ({"hot_pixels": 1.5}, "hot_pixels"),
        ({"hot_level": float("nan")}, "hot_level"),
        ({"vignetting": -0.1}, "vignetting"),
        ({"seed": -1}, "seed"),
        ({"offset": -1.0}, "offset"),
        ({"offset": 200.0, "saturation": 100.0}, "saturation"),
    ],
)
def test_detector_refuses_what_cannot_be(options, word):
    with pytest.raises(ConfigError, match=word):
        Detector(**options)


def test_camera_shows_motion_plus_mirror_and_says_so():
    scene = Scene("cells", (64, 80))
    motion = Motion(drift=(1.0, 0.5), periodic=(0, 0), walk=0, jitter=0)
    camera = SimulatedCamera(scene, motion, Detector(photon_noise=False, read_noise=0.0, offset=0.0, dtype="float32"))
    frame, truth = camera.expose(2.0, Shift(0.25, -3.0))
    assert truth == frame.truth == Shift(2.25, -2.0)
    np.testing.assert_array_equal(frame.pixels, scene.render(truth))


def test_camera_says_what_its_detector_is():
    detector = Detector(gain=1.5, read_noise=2.5, offset=90.0, saturation=4000.0)
    frame, _ = SimulatedCamera(Scene("star", (40, 30)), Motion(), detector, exposure_ms=1.5).expose(0.5)
    assert (frame.gain, frame.read_noise, frame.offset, frame.saturation) == (1.5, 2.5, 90.0, 4000.0)
    assert (frame.exp_ns, frame.t_ns) == (1_500_000, 500_000_000)
    assert frame.pixels.shape == (40, 30)
    assert frame.pixels.dtype == np.uint16


def test_a_detector_without_an_end_says_no_saturation():
    frame, _ = SimulatedCamera(Scene("star"), Motion(), Detector(dtype="float32")).expose(0.0)
    assert frame.saturation is None


@pytest.mark.parametrize("exposure_ms", [-1.0, float("inf"), float("nan")])
def test_camera_refuses_an_exposure_that_cannot_be(exposure_ms):
    with pytest.raises(ConfigError, match="exposure_ms"):
        SimulatedCamera(Scene("star"), Motion(), Detector(), exposure_ms=exposure_ms)


def test_warming_up_does_not_start_the_motion():
    camera = SimulatedCamera(Scene("star"), Motion(), Detector())
    camera.warm_up()
    assert camera.expose(0.0)[1] == Motion().at(0.0)
