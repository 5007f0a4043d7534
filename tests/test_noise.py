"""The noise model, and what is learnt when there is none."""

from __future__ import annotations

import numpy as np
import pytest

from rtreg import ConfigError, NoiseModel
from rtreg.noise import QUANTISATION, fit_variance


def test_variance_is_photons_and_read_noise_in_adu():
    model = NoiseModel(gain=2.0, read_noise=6.0)
    signal = np.array([[0.0, 100.0, -50.0]])
    np.testing.assert_allclose(model.variance(signal), np.array([[9.0, 59.0, 9.0]]) + QUANTISATION)


def test_variance_of_a_flat_fielded_pixel_matches_a_simulation():
    rng = np.random.default_rng(0)
    gain, read, flat, dark, signal = 1.5, 4.0, 0.6, 200.0, 500.0
    electrons = rng.poisson((signal * flat + dark) * gain, 200_000) + rng.normal(0.0, read, 200_000)
    calibrated = (np.rint(electrons / gain) - dark) / flat
    model = NoiseModel(gain=gain, read_noise=read, flat=np.array([[flat]]), dark=dark)
    assert model.variance(np.array([[signal]]))[0, 0] == pytest.approx(calibrated.var(), rel=0.015)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"gain": 0.0}, "gain"),
        ({"gain": float("nan")}, "gain"),
        ({"gain": 1.0, "read_noise": -1.0}, "read_noise"),
        ({"read_noise": 3.0}, "gain"),
        ({"offset": float("inf")}, "offset"),
        ({"offset": 100.0, "saturation": 50.0}, "saturation"),
    ],
)
def test_constants_that_cannot_be_are_refused(fields, word):
    with pytest.raises(ConfigError, match=word):
        NoiseModel(**fields)


def test_variance_without_a_gain_is_refused():
    with pytest.raises(ConfigError, match="gain"):
        NoiseModel().variance(np.ones((2, 2)))


def test_bad_pixels_come_from_mask_flat_and_dark():
    flat, dark = np.ones((3, 4)), np.zeros((3, 4))
    mask = np.zeros((3, 4), bool)
    assert NoiseModel(flat=flat, dark=dark, mask=mask).bad_pixels((3, 4)) is None
    mask[0, 0], flat[1, 1], dark[2, 2] = True, 0.0, np.nan
    bad = NoiseModel(flat=flat, dark=dark, mask=mask).bad_pixels((3, 4))
    assert np.argwhere(bad).tolist() == [[0, 0], [1, 1], [2, 2]]


@pytest.mark.parametrize(("p", "q"), [(25.0, 1.0), (100.0, 0.0), (1.0, 0.5)])
def test_fit_variance_recovers_the_line(p, q):
    rng = np.random.default_rng(1)
    signal = 1000.0 * rng.power(0.3, 60_000)
    squares = rng.normal(0.0, np.sqrt(p + q * signal)) ** 2
    fitted_p, fitted_q = fit_variance(squares, signal)
    for level in (10.0, 200.0, 900.0):
        assert fitted_p + fitted_q * level == pytest.approx(p + q * level, rel=0.1)


def test_fit_variance_of_no_residual_is_zero():
    assert fit_variance(np.zeros(100), np.arange(100.0)) == (0.0, 0.0)
