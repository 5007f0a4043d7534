"""The registrar's contract: inputs, lock logic, flags, properties."""

from __future__ import annotations

import gc
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import NOISE, clean, make, noisy

import rtreg
from rtreg import ConfigError, FrameError, NoiseModel, Registrar, Shift, Verdict, register
from rtreg.estimators.cut import Cut
from rtreg.live.stacking import smoothed
from rtreg.simulate import Scene

SHIFT = Shift(1.3, -2.4)


@pytest.fixture(scope="module")
def scene():
    return make("cells", (64, 72), peak=2000.0, background=100.0)


@pytest.fixture
def pair(scene):
    return clean(scene), clean(scene, SHIFT)


def assert_near(estimate, shift, tolerance):
    assert estimate.ok, estimate
    assert estimate.dx == pytest.approx(shift.dx, abs=tolerance)
    assert estimate.dy == pytest.approx(shift.dy, abs=tolerance)


# -- inputs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u2", "i2", "i4", "f4", "f8", ">u2", ">i2", ">i4", ">f4", ">f8", "i8"])
def test_every_dtype(pair, dtype):
    reference, frame = (image.round().astype(dtype) for image in pair)
    assert_near(register(reference, frame), SHIFT, 0.005)


def test_uint8(pair):
    reference, frame = ((image / 10).round().astype("u1") for image in pair)
    assert_near(register(reference, frame), SHIFT, 0.02)


@pytest.mark.parametrize(
    "change",
    [lambda a: np.asfortranarray(a), lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a[::-1][::-1]],
    ids=["fortran", "strided", "negative strides"],
)
def test_any_memory_layout(pair, change):
    assert_near(register(change(pair[0]), change(pair[1])), SHIFT, 0.002)


def test_inputs_are_never_written_to(pair):
    reference, frame = pair
    frame[10, 10] = np.nan
    before = reference.copy(), frame.copy()
    for image in pair:
        image.flags.writeable = False
    register(reference, frame)
    np.testing.assert_array_equal(reference, before[0])
    np.testing.assert_array_equal(frame, before[1])


def test_nan_pixels_are_ignored(pair):
    reference, frame = pair
    rng = np.random.default_rng(0)
    reference[rng.uniform(size=reference.shape) < 0.02] = np.nan
    frame[rng.uniform(size=frame.shape) < 0.02] = np.nan
    assert_near(register(reference, frame, noise=NOISE), SHIFT, 0.02)


def test_masked_arrays_and_masks_agree(pair):
    reference, frame = pair
    mask = np.zeros(reference.shape, bool)
    mask[20:24, 30:40] = True
    spoiled = np.where(mask, 60000.0, reference)
    by_mask = register(spoiled, frame, mask=mask)
    by_array = register(np.ma.MaskedArray(spoiled, mask), frame)
    assert_near(by_mask, SHIFT, 0.01)
    assert by_array.shift == pytest.approx(by_mask.shift, abs=1e-5)


def test_saturated_pixels_are_ignored(pair):
    reference, frame = pair
    level = float(np.quantile(frame, 0.97))
    noise = NoiseModel(gain=1.0, read_noise=5.0, saturation=level)
    estimate = register(np.minimum(reference, level), np.minimum(frame, level), noise=noise)
    assert_near(estimate, SHIFT, 0.03)


def test_calibration_images_are_applied(scene):
    rng = np.random.default_rng(3)
    shape = scene.shape
    flat = rng.uniform(0.5, 1.5, shape)
    dark = rng.uniform(0.0, 2000.0, shape)
    mask = rng.uniform(size=shape) < 0.01
    noise = NoiseModel(gain=1.0, read_noise=5.0, offset=100.0, dark=dark, flat=flat, mask=mask)

    def raw(shift):
        out = clean(scene, shift) * flat + dark + 100.0
        out[mask] = 65535.0
        return out

    assert_near(register(raw(Shift(0, 0)), raw(SHIFT), noise=noise), SHIFT, 0.02)


def test_bad_pixels_widen_the_error_bar_truly(scene):
    rng = np.random.default_rng(4)
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf)
    scaled = []
    for _ in range(200):
        frame = noisy(scene, SHIFT, rng)
        frame[rng.uniform(size=frame.shape) < 0.05] = np.nan
        estimate = registrar.measure(frame)
        assert estimate.ok
        scaled += [(estimate.dx - SHIFT.dx) / estimate.sigma.dx, (estimate.dy - SHIFT.dy) / estimate.sigma.dy]
    assert np.sqrt(np.mean(np.square(scaled))) == pytest.approx(1.0, abs=3 / math.sqrt(800) + 0.04)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("known", [True, False], ids=["noise known", "noise unknown"])
def test_a_masked_part_of_the_detector_is_no_fault_of_the_frame(scene, share, known):
    """A field stop: the same pixels are dead in every frame. chi² and the error bar speak of the others."""
    rng = np.random.default_rng(9)
    mask = np.zeros(scene.shape, bool)
    mask[:, : int(share * scene.shape[1])] = True
    noise = NoiseModel(gain=1.0, read_noise=5.0, mask=mask) if known else NoiseModel(mask=mask)
    registrar = Registrar(clean(scene), noise=noise, reference_frames=math.inf)
    scaled, chi2 = [], []
    for _ in range(150):
        estimate = registrar.measure(noisy(scene, SHIFT, rng))
        assert estimate.ok, estimate
        chi2.append(estimate.chi2_dof)
        scaled += [(estimate.dx - SHIFT.dx) / estimate.sigma.dx, (estimate.dy - SHIFT.dy) / estimate.sigma.dy]
    if known:
        assert np.mean(chi2) == pytest.approx(1.0, abs=0.03)
    assert np.sqrt(np.mean(np.square(scaled))) == pytest.approx(1.0, abs=3 / math.sqrt(600) + 0.05)


@pytest.mark.parametrize("flux", [0.3, 1.0, 3.0])
def test_the_error_bar_follows_the_brightness(scene, flux):
    """The frame is dimmer or brighter than the reference, and so is its photon noise."""
    rng = np.random.default_rng(10)
    dimmed = make("cells", scene.shape, peak=2000.0 * flux, background=100.0 * flux)
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf)
    scaled, chi2 = [], []
    for _ in range(150):
        estimate = registrar.measure(noisy(dimmed, SHIFT, rng))
        assert estimate.ok
        chi2.append(estimate.chi2_dof)
        scaled += [(estimate.dx - SHIFT.dx) / estimate.sigma.dx, (estimate.dy - SHIFT.dy) / estimate.sigma.dy]
    assert np.mean(chi2) == pytest.approx(1.0, abs=0.05)
    assert np.sqrt(np.mean(np.square(scaled))) == pytest.approx(1.0, abs=3 / math.sqrt(600) + 0.04)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (np.zeros((64, 64)), "constant"),
        (np.full((64, 64), np.nan), "no good pixel"),
        (np.random.default_rng(0).normal(size=(4, 64)), "8 x 8"),
        (np.zeros((2, 64, 64)), "dimensions"),
        (np.zeros((64, 64), complex), "complex128"),
        (np.full((64, 64), "x"), "dtype"),
    ],
)
def test_a_reference_that_cannot_be_is_refused_with_the_reason(reference, words):
    with pytest.raises(FrameError, match=words):
        Registrar(reference)


def test_a_frame_of_another_shape_is_refused(pair):
    with pytest.raises(FrameError, match=r"\(64, 71\).*\(64, 72\)"):
        Registrar(pair[0]).measure(pair[1][:, :-1])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"max_shift": 0}, "max_shift"),
        ({"max_shift": math.nan}, "max_shift"),
        ({"reference_frames": 0}, "reference_frames"),
        ({"method": "magic"}, "magic"),
        ({"slack": -1}, "slack"),
        ({"order": 4}, "order"),
        ({"mask": np.zeros((3, 3), bool)}, "mask"),
        ({"noise": NoiseModel(flat=np.ones((3, 3)))}, "flat"),
    ],
)
def test_an_option_without_meaning_is_refused_by_name(pair, options, word):
    with pytest.raises(ConfigError, match=word):
        Registrar(pair[0], **options)


# -- garbage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "flag"),
    [
        (np.zeros((64, 72), "u2"), Verdict.DARK),
        (np.full((64, 72), 7.0), Verdict.DARK),
        (np.full((64, 72), np.nan), Verdict.NAN),
        (np.full((64, 72), np.inf), Verdict.SATURATED),
        (np.random.default_rng(0).normal(100.0, 5.0, (64, 72)), Verdict.LOW_SNR),
    ],
    ids=["zero", "constant", "nan", "inf", "noise"],
)
def test_garbage_gives_nan_and_the_reason(pair, frame, flag):
    registrar = Registrar(pair[0], noise=NOISE, reference_frames=math.inf)
    for _ in range(2):
        estimate = registrar.measure(frame)
        assert flag in estimate.flags
        assert math.isnan(estimate.dx)
        assert math.isnan(estimate.dy)
        assert np.isnan(estimate.sigma).all()


@pytest.mark.parametrize("frame", [np.zeros((64, 72)), np.full((64, 72), np.nan)])
def test_garbage_breaks_a_lock_and_the_next_good_frame_restores_it(pair, frame):
    registrar = Registrar(pair[0], noise=NOISE, reference_frames=math.inf)
    assert registrar.measure(pair[1]).ok
    assert registrar.locked
    assert not registrar.measure(frame).ok
    assert not registrar.locked
    assert "refused" in registrar.last_transition
    assert_near(registrar.measure(pair[1]), SHIFT, 0.002)


@pytest.mark.parametrize("noise", [NOISE, None], ids=["noise known", "noise unknown"])
@pytest.mark.parametrize("kind", ["granulation", "cells", "stars"])
@pytest.mark.parametrize("other", ["granulation", "cells", "stars"])
def test_another_scene_is_not_found(kind, other, noise):
    """Twenty pairs of scenes that have nothing to do with each other: no lock on any."""
    rng = np.random.default_rng(6)
    registrar = Registrar(clean(make(kind, (128, 128))), noise=noise, reference_frames=math.inf)
    for seed in range(20):
        frame = noisy(Scene(other, (128, 128), seed=100 + seed), Shift(0, 0), rng)
        assert not registrar.measure(frame).ok


def test_a_periodic_scene_is_ambiguous():
    y, x = np.mgrid[:96, :96]

    def grid(dx):
        return 1000 + 300 * np.cos(2 * np.pi * (x - dx) / 8) * np.cos(2 * np.pi * y / 8)

    assert Verdict.AMBIGUOUS in register(grid(0), grid(0.3)).flags


# -- lock logic -------------------------------------------------------------------------------------------------------


def test_first_search_then_track_then_search_after_a_jump(scene):
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf)
    rng = np.random.default_rng(1)
    assert registrar.measure(noisy(scene, Shift(0.2, 0.1), rng)).regime == "acquire"
    assert "locked" in registrar.last_transition
    assert registrar.measure(noisy(scene, Shift(0.5, 0.1), rng)).regime == "track"
    jump = Shift(17.25, -12.5)
    estimate = registrar.measure(noisy(scene, jump, rng))
    assert estimate.regime == "acquire"
    assert_near(estimate, jump, 0.05)
    assert not registrar.locked  # one frame so far away may be a corrupt one
    assert [registrar.measure(noisy(scene, jump, rng)).regime for _ in range(3)] == ["acquire", "acquire", "track"]


def test_one_frame_from_elsewhere_moves_no_lock(scene):
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf)
    rng = np.random.default_rng(1)
    registrar.measure(noisy(scene, Shift(0.2, 0.1), rng))
    assert_near(registrar.measure(noisy(scene, Shift(17.25, -12.5), rng)), Shift(17.25, -12.5), 0.05)
    assert not registrar.locked
    assert_near(registrar.measure(noisy(scene, Shift(0.3, 0.1), rng)), Shift(0.3, 0.1), 0.05)
    assert not registrar.locked
    assert [registrar.measure(noisy(scene, Shift(0.3, 0.1), rng)).regime for _ in range(3)][2] == "track"


def test_a_brighter_star_that_comes_into_view_is_not_taken_for_the_references():
    y, x = np.mgrid[:96, :96]

    def field(*stars):
        return 20.0 + sum(peak * np.exp(-((x - sx) ** 2 + (y - sy) ** 2) / 6.0) for sx, sy, peak in stars)

    own = ((30, 40, 60), (60, 25, 40), (50, 70, 50))
    registrar = Registrar(field(*own), noise=NoiseModel(gain=1.0, read_noise=3.0), reference_frames=math.inf)
    rng = np.random.default_rng(2)

    def exposure(image):
        return (rng.poisson(image) + rng.normal(0.0, 3.0, image.shape)).astype(np.float32)

    assert registrar.measure(exposure(field(*own))).ok
    registrar.measure(np.full((96, 96), np.nan, np.float32))  # the lock is gone
    for peak in (200, 400, 800):
        estimate = registrar.measure(exposure(field(*own, (70, 80, peak))))
        assert Verdict.AMBIGUOUS in estimate.flags or abs(estimate.dx) + abs(estimate.dy) < 1.0, estimate
        assert not registrar.locked or abs(estimate.dx) < 1.0


@pytest.mark.parametrize("size", [128, 256], ids=["as it is", "binned"])
def test_a_faint_field_is_found_among_brighter_stars_that_come_into_view(size):
    """From nothing, a quarter of the view away: the brightest star on the reference's brightest is the highest peak."""
    field = make("stars", (size, size), peak=60.0, background=10.0)
    noise = NoiseModel(gain=1.0, read_noise=3.0)
    registrar = Registrar(clean(field), noise=noise, reference_frames=math.inf, method="fft")
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(25):
        shift = Shift(*rng.uniform(-size / 4, size / 4, 2))
        mean = field.render(shift).astype(float)
        estimate = registrar.measure((rng.poisson(mean) + rng.normal(0.0, 3.0, mean.shape)).astype(np.float32))
        if estimate.ok:
            found += 1
            assert math.hypot(estimate.dx - shift.dx, estimate.dy - shift.dy) < 1.0
    assert found >= 20


@pytest.mark.parametrize("own", [40.0, 600.0])
@pytest.mark.parametrize("times", [1.0, 3.0])
def test_two_stars_of_which_either_may_be_the_only_one_of_the_reference_are_ambiguous(own, times):
    y, x = np.mgrid[:96, :96]
    star, other = (np.exp(-((x - c) ** 2 + (y - c) ** 2) / 3.25) for c in (56.0, 30.0))
    noise, rng = NoiseModel(gain=1.0, read_noise=3.0), np.random.default_rng(3)
    mean = 20.0 + own * (star + times * other)
    for _ in range(5):
        frame = (rng.poisson(mean) + rng.normal(0.0, 3.0, mean.shape)).astype(np.float32)
        assert not register(20.0 + own * star, frame, noise=noise, reference_frames=math.inf).ok


def test_the_reason_of_a_lost_lock_is_kept(scene):
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf)
    registrar.measure(clean(scene))
    registrar.measure(clean(make("granulation", scene.shape)))
    assert not registrar.locked
    assert "lost" in registrar.last_transition


def test_a_wild_pixel_beside_the_brightest_star_moves_nothing_unseen():
    """chi² is taken from some rows only; after a sudden move all of them are asked whether a pixel has made it."""
    scene = Scene("stars", (128, 128), seed=3)
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf)
    rng = np.random.default_rng(5)
    still = Shift(0.0, 0.0)
    for _ in range(3):
        registrar.measure(noisy(scene, still, rng))
    y, x = np.unravel_index(int(np.argmax(clean(scene))), scene.shape)
    moved = 0
    for k in range(64):
        frame = noisy(scene, still, rng)
        frame[y - 4 + k // 8, x - 4 + k % 8] += rng.choice([20_000, 60_000])
        wild = registrar.measure(frame)
        off = max(abs(wild.dx), abs(wild.dy))
        moved += off > 0.27
        assert not wild.ok or off < 0.27 or wild.chi2_dof > 20.0, (k, wild)
        assert registrar.measure(noisy(scene, still, rng)).ok
    assert moved > 5


class Spoilt:
    """Frames of a field of stars, now and then with hot pixels about the brightest of them."""

    def __init__(self, **options):
        self.scene, self.rng = Scene("stars", (128, 128), seed=3), np.random.default_rng(5)
        self.registrar = Registrar(clean(self.scene), reference_frames=math.inf, **options)
        self.y, self.x = np.unravel_index(int(np.argmax(clean(self.scene))), self.scene.shape)

    def flags(self, hot=0, dx=0, dy=0):
        frame = noisy(self.scene, Shift(dx, dy), self.rng)
        near = np.random.default_rng(0).integers(-9, 10, (9, 2))
        frame[self.y + dy + near[:, 0], self.x + dx + near[:, 1]] += hot
        return self.registrar.measure(frame).flags


def test_a_frame_that_fits_worse_is_a_misfit_until_three_do():
    frames = Spoilt(noise=NOISE)
    assert [frames.flags() for _ in range(3)] == [Verdict.OK] * 3
    for _ in range(3):  # now and then: never how things are
        assert Verdict.MISFIT in frames.flags(5000)
        assert frames.flags() is Verdict.OK
        assert frames.registrar.locked
    flags = [frames.flags(5000) for _ in range(4)]
    assert all(Verdict.MISFIT in flag for flag in flags[:2])
    assert flags[2:] == [Verdict.OK] * 2
    for _ in range(100):
        assert frames.flags() is Verdict.OK
    assert Verdict.MISFIT in frames.flags(5000)  # and they were so for a while only


def test_misfits_in_three_places_are_not_how_things_are():
    frames = Spoilt(noise=NOISE)
    assert [frames.flags() for _ in range(3)] == [Verdict.OK] * 3
    for place in ((0, 0), (12, 0), (-9, 14), (0, -8)):
        assert Verdict.MISFIT in frames.flags(5000, *place)


@pytest.mark.parametrize("number", [2, 4, 16])
def test_noise_is_not_learnt_from_a_frame_that_fits_worse(number):
    frames = Spoilt()
    for _ in range(number - 1):
        assert frames.flags() is Verdict.OK
    line = frames.registrar._noise_map.line
    assert Verdict.MISFIT in frames.flags(5000)
    assert frames.registrar._noise_map.line == line
    assert frames.flags() is Verdict.OK


def test_the_reference_itself_teaches_nothing_of_the_noise():
    scene, rng = Scene("stars", (128, 128), seed=3), np.random.default_rng(5)
    reference = noisy(scene, Shift(0.0, 0.0), rng)
    registrar = Registrar(reference)
    line = registrar._noise_map.line
    assert registrar.measure(reference).ok
    assert registrar._noise_map.line == line
    assert all(registrar.measure(noisy(scene, Shift(0.4, 0.1), rng)).ok for _ in range(5))


def test_templates_that_are_replaced_are_gone_at_once():
    """The collector is off in a service: what refers to itself would stay for ever."""
    scene, rng = Scene("stars", (256, 256), seed=3), np.random.default_rng(5)
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf, method="fft")
    frames = [noisy(scene, Shift(7.0 * k, 3.0), rng) for k in range(6)]
    gc.collect()
    gc.disable()
    try:
        for frame in frames:
            assert registrar.measure(frame).ok
        alive = [item for item in gc.get_objects() if type(item) is Cut and item is not registrar._tracker._cut]
    finally:
        gc.enable()
    assert not alive


def test_a_drift_needs_no_new_templates_within_a_measurement_when_it_is_kept_up_with(scene):
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf)
    registrar.measure(clean(scene))
    in_between = []
    for k in range(1, 30):
        cut = registrar._tracker._cut
        assert registrar.measure(clean(scene, Shift(0.1 * k, -0.07 * k))).ok
        assert registrar._tracker._cut is cut
        while registrar.keep_up():
            pass
        in_between.append(registrar._tracker._cut is not cut)
    assert 5 <= sum(in_between) <= 12


def test_method_fft_searches_every_frame(scene):
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf, method="fft")
    for shift in (Shift(0.4, 0.0), Shift(15.5, -9.0), Shift(-20.25, 7.0)):
        estimate = registrar.measure(clean(scene, shift))
        assert estimate.regime == "acquire"
        assert_near(estimate, shift, 0.005)


def test_max_shift_limits_the_search_and_flags_what_lies_beyond(scene):
    near = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf, max_shift=6.0)
    assert_near(near.measure(clean(scene, Shift(5.5, -5.5))), Shift(5.5, -5.5), 0.005)
    far = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf, max_shift=6.0)
    estimate = far.measure(clean(scene, Shift(20.0, 3.0)))
    assert not estimate.ok


def test_an_answer_past_max_shift_is_out_of_range(scene):
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf, max_shift=2.0)
    assert registrar.measure(clean(scene, Shift(1.8, 0.0))).ok
    assert Verdict.OUT_OF_RANGE in registrar.measure(clean(scene, Shift(2.4, 0.0))).flags


def test_a_guess_starts_the_fit(scene):
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf)
    estimate = registrar.measure(clean(scene, Shift(11.5, 3.0)), guess=Shift(10.5, 3.5))
    assert estimate.regime == "track"
    assert_near(estimate, Shift(11.5, 3.0), 0.003)


def test_a_new_reference_keeps_the_lock(scene):
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf)
    registrar.measure(clean(scene, Shift(0.5, 0.0)))
    registrar.set_reference(clean(scene, Shift(0.25, 0.0)), reference_frames=math.inf)
    estimate = registrar.measure(clean(scene, Shift(0.5, 0.0)))
    assert estimate.regime == "track"
    assert_near(estimate, Shift(0.25, 0.0), 0.002)
    with pytest.raises(FrameError, match="new reference"):
        registrar.set_reference(np.ones((9, 9)))


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
def test_photometry_is_reported(pair, scale):
    estimate = register(pair[0], scale * pair[1] + 40.0, reference_frames=math.inf)
    assert estimate.scale == pytest.approx(scale, rel=2e-3)
    assert estimate.offset == pytest.approx(40.0, abs=2.0)
    assert_near(estimate, SHIFT, 0.002)


# -- properties -------------------------------------------------------------------------------------------------------

shifts = st.tuples(st.floats(-3, 3), st.floats(-3, 3)).map(lambda pair: Shift(*pair))


@settings(deadline=None, max_examples=25)
@given(shift=shifts)
def test_there_and_back_are_opposite(shift):
    scene = make("granulation", (64, 64))
    a, b = clean(scene), clean(scene, shift)
    there, back = (register(*pair, reference_frames=math.inf) for pair in ((a, b), (b, a)))
    assert there.dx == pytest.approx(-back.dx, abs=0.002)
    assert there.dy == pytest.approx(-back.dy, abs=0.002)


@settings(deadline=None, max_examples=25)
@given(shift=shifts, scale=st.floats(0.01, 100.0), offset=st.floats(-1e3, 1e4))
def test_flux_and_offset_do_not_matter(shift, scale, offset):
    scene = make("cells", (64, 64))
    a, b = clean(scene), clean(scene, shift)
    plain, changed = (register(a, f, reference_frames=math.inf) for f in (b, scale * b + offset))
    assert changed.dx == pytest.approx(plain.dx, abs=0.002)
    assert changed.dy == pytest.approx(plain.dy, abs=0.002)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), level=st.floats(0.0, 1e5), dtype=st.sampled_from(["u2", "f4"]))
def test_noise_alone_never_gives_a_finite_answer_that_is_ok(seed, level, dtype):
    scene = make("stars", (64, 64))
    frame = np.random.default_rng(seed).poisson(level, scene.shape).clip(0, 65535).astype(dtype)
    estimate = register(clean(scene), frame)
    assert not estimate.ok
    assert math.isnan(estimate.dx) or estimate.flags


def test_public_names_are_there():
    for name in rtreg.__all__:
        assert getattr(rtreg, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = rtreg.nonsense


@pytest.mark.parametrize("kind", ["granulation", "stars"])
def test_a_reference_renewed_in_pieces_is_the_same_and_changes_nothing_before(kind):
    scene = make(kind, (96, 96))
    image = clean(scene, Shift(0.3, -0.2))
    image[:2] = np.nan  # as where aligned frames have no data
    frames = [clean(scene, Shift(0.02 * k, 0.01 * k)) for k in range(200)]
    first, at_once, between = (Registrar(clean(scene), noise=NOISE, reference_frames=8.0) for _ in range(3))
    for registrar in (first, at_once, between):
        registrar.measure(frames[0])
    at_once.set_reference(image, reference_frames=16.0, calibrated=True)
    pieces = between.renewing(image, reference_frames=16.0, where=lambda: between.place)
    n = 0
    for _ in pieces:
        n += 1
        assert between.measure(frames[n % 8]) == first.measure(frames[n % 8])
    assert n > 40
    np.testing.assert_array_equal(between.reference, at_once.reference)
    found, expected = between.measure(frames[3]), at_once.measure(frames[3])
    assert found.shift == pytest.approx(expected.shift, abs=1e-3)  # from different starts, and templates cut for them
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=0.02, atol=1e-9)


@pytest.mark.parametrize("place", [(24.3, 24.1), (20.6, 27.5), (31.2, 15.8)])
def test_a_bright_star_by_itself_is_found_by_one_noisy_frame_of_it(place):
    """Smoothed, as the first frame of a reference is, it is wider than the star: its flanks are no absence of it."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:48, :48]
    shape = np.exp(-0.5 * ((y - place[0]) ** 2 + (x - place[1]) ** 2) / 1.3**2)
    frames = [rng.poisson(14_000.0 * shape + 100.0).astype(np.float32) for _ in range(2)]
    image, frames_in_it = smoothed(frames[0])
    registrar = Registrar(image, noise=NoiseModel(gain=1.0, read_noise=2.0), reference_frames=frames_in_it)
    estimate = registrar.measure(frames[1])
    assert estimate.ok, estimate.flags
    assert np.hypot(estimate.dx, estimate.dy) < 0.05
