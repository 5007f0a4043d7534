"""Regions of one frame: cut, measured and combined, with whatever may be wrong with one of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from field import BOXES, SIZE, STARS, exposed, picture
from scenes import NOISE, READ_NOISE

from rtreg import ConfigError, FrameError, NoiseModel, Verdict
from rtreg.estimators.consensus import lever_of
from rtreg.estimators.regions import RegionPolicy, Regions
from rtreg.kernels import similarity


def regions(boxes=BOXES, reference=None, **options):
    options = {"noise": NOISE, "reference_frames": math.inf, **options}
    return Regions(picture() if reference is None else reference, boxes, **options)


@pytest.mark.parametrize("method", ["auto", "centroid"])
def test_shift_rotation_and_magnification_without_bias(method):
    r = regions(method=method)
    centre = r.measure(picture()).field.centre
    for motion in [(0.3, -0.2, 0.004, 1.002), (-1.2, 0.7, -0.006, 0.997), (0.0, 0.5, 0.0, 1.0)]:
        got = r.measure(picture(motion, centre))
        assert got.ok
        assert got.shift == pytest.approx(motion[:2], abs=0.002)
        assert got.field.rotation == pytest.approx(motion[2], abs=3e-5)
        assert got.field.magnification == pytest.approx(motion[3], abs=3e-5)


def test_the_joint_error_is_that_of_the_information_in_all_regions():
    """Over sigma, and sigma over the joint bound of the registrars' own covariances, which are tested elsewhere."""
    rng, r, trials = np.random.default_rng(0), regions(method="centroid"), 250
    centre = r.measure(picture()).field.centre
    z = []
    for k in range(trials):
        if k % 25 == 0:
            motion = (*rng.uniform(-1, 1, 2), rng.uniform(-0.003, 0.003), 1 + rng.uniform(-0.003, 0.003))
            moved = picture(motion, centre)
        got = r.measure(exposed(moved, rng))
        field = got.field
        assert got.ok
        z.append(
            (
                (got.dx - motion[0]) / got.sigma.dx,
                (got.dy - motion[1]) / got.sigma.dy,
                (field.rotation - motion[2]) / field.rotation_sigma,
                (field.magnification - motion[3]) / field.magnification_sigma,
            )
        )
    levers = np.array([lever_of(x - centre.dx, y - centre.dy) for x, y, _ in STARS])
    covariances = np.array([(p.covariance[0][0], p.covariance[0][1], p.covariance[1][1]) for p in field.parts])
    errors = np.zeros((4, 4))
    similarity.fit(levers, np.zeros((3, 2)), covariances, np.ones(3, bool), True, np.zeros(4), errors)
    assert got.sigma.dx <= 1.05 * math.sqrt(errors[0, 0])
    assert field.rotation_sigma <= 1.05 * math.sqrt(errors[3, 3])
    assert np.all(np.abs(np.sqrt(np.mean(np.square(z), axis=0)) - 1) <= 3 / math.sqrt(2 * trials) + 0.03)


def test_one_region_is_a_registrar():
    from rtreg import Registrar

    frame = exposed(picture((0.4, 0.3, 0, 1)), np.random.default_rng(0))
    got = regions(BOXES[:1]).measure(frame)
    x, y, width, height = BOXES[0]
    area = np.s_[y : y + height, x : x + width]
    alone = Registrar(picture()[area], noise=NOISE, reference_frames=math.inf).measure(frame[area])
    assert got.shift == pytest.approx(alone.shift, rel=4e-16)  # the last bit: weighed, and divided by the weight
    assert np.allclose(got.covariance, alone.covariance)
    assert got.scale == alone.scale


def test_a_star_hidden_by_a_satellite_is_named():
    r, rng = regions(method="centroid"), np.random.default_rng(0)
    for _ in range(3):
        assert r.measure(exposed(picture(), rng)).ok
    frame = picture()
    frame[40:50, 110:125] += 4000.0
    got = r.measure(exposed(frame, rng))
    assert got.ok
    assert got.field.parts[1].rejected
    assert [p.rejected for p in got.field.parts][::2] == ["", ""]
    assert abs(got.dx) < 5 * got.sigma.dx


def test_a_star_that_is_gone_says_why_and_comes_back():
    r, rng = regions(method="centroid"), np.random.default_rng(0)
    r.measure(exposed(picture(), rng))
    got = r.measure(exposed(picture(stars=STARS[:2]), rng))
    assert got.ok
    assert "LOW_SNR" in got.field.parts[2].rejected
    assert not r.measure(exposed(picture(), rng)).field.parts[2].rejected


def test_nothing_there_is_no_answer():
    r = regions()
    r.measure(picture())
    got = r.measure(exposed(picture(stars=[]), np.random.default_rng(0)))
    assert got.flags == Verdict.LOW_SNR
    assert math.isnan(got.dx)
    assert all(part.rejected == "LOW_SNR" for part in got.field.parts)
    assert r.measure(np.zeros((SIZE, SIZE))).flags == Verdict.DARK


def test_detector_images_are_cut_with_the_regions():
    rng = np.random.default_rng(0)
    dark, flat = rng.uniform(0, 300, (SIZE, SIZE)), rng.uniform(0.7, 1.3, (SIZE, SIZE))
    noise = NoiseModel(gain=1.0, read_noise=READ_NOISE, offset=100.0, dark=dark, flat=flat)

    def raw(image):
        return image * flat + dark + 100.0

    r = regions(reference=raw(picture()), noise=noise)
    got = r.measure(raw(picture((0.4, -0.3, 0, 1))))
    assert got.shift == pytest.approx((0.4, -0.3), abs=0.001)


def test_the_noise_may_be_unknown():
    rng, r = np.random.default_rng(0), regions(noise=None, method="centroid")
    z = [
        np.divide(r.measure(exposed(picture(), rng)).shift, r.measure(exposed(picture(), rng)).sigma) for _ in range(60)
    ]
    assert 0.75 < np.sqrt(np.mean(np.square(z))) < 1.25


def test_frames_of_integers_and_not_contiguous_ones_are_not_written_to():
    r = regions()
    frame = np.asfortranarray(picture((0.4, -0.3, 0, 1)).round().astype(np.uint16))
    before = frame.copy()
    frame.flags.writeable = False
    assert r.measure(frame).shift == pytest.approx((0.4, -0.3), abs=0.003)
    assert r.measure(frame.astype(np.float32)).shift == pytest.approx((0.4, -0.3), abs=0.003)
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([], "no regions"),
        ([(0, 0, 7, 20)], "region 1 .*8 px or more"),
        ([(0, 0, 20, 20), (-1, 0, 20, 20)], "region 2"),
        ([(140, 0, 20, 20)], "region 1 .*reaches past the frame, 150 x 150"),
        ([(0, 0, 20, 20), (0, 0, 20, 20)], "region 2 .*twice"),
        ([(0, 0, 20)], r"region 1 = \[0, 0, 20\]: give \[x, y, width, height\]"),
    ],
)
def test_regions_that_cannot_be(boxes, message):
    with pytest.raises(ConfigError, match=message):
        regions(boxes)


@pytest.mark.parametrize(
    ("options", "message"), [({"outlier": 1.0}, "outlier = 1"), ({"scatter": -1.0}, "scatter = -1")]
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ConfigError, match=message):
        RegionPolicy(BOXES, **options)


def test_a_region_with_nothing_in_it_is_named():
    with pytest.raises(FrameError, match=r"region 2 .*constant"):
        regions([BOXES[0], (0, 120, 20, 20)], reference=np.where(np.arange(SIZE)[:, None] < 118, picture(), 60.0))


def test_a_frame_of_another_shape_is_refused():
    with pytest.raises(FrameError, match="crop it"):
        regions().measure(np.zeros((10, 10)))
