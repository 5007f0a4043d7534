"""Calibration as arithmetic: the answer and its errors are true, and what cannot be trusted is refused."""

from __future__ import annotations

import numpy as np
import pytest

from rtreg.errors import DeviceError
from rtreg.live.calibration import Visit, fit, judge, left_over, moves

TURNED = np.array([[0.9, -1.7], [-1.6, -0.8]])


def visits(response, *, step=1.0, cycles=3, noise=0.01, drift=(0.0, 0.0), backlash=0.0, seed=0):
    """What a device with this response shows; with `backlash` (px) the image lags behind by chance."""
    rng = np.random.default_rng(seed)
    made = []
    for count, (cycle, u) in enumerate(moves(step, cycles)):
        shift = response @ u + 0.3 + np.multiply(drift, count) + rng.normal(0, noise, 2) + rng.normal(0, backlash, 2)
        made.append(Visit(cycle, u, float(count), tuple(shift), (noise, noise)))
    return made


def test_moves_are_balanced_and_go_both_ways_along_each_axis():
    places = [u for _, u in moves(2.0, 3)]
    assert len(places) == 24
    np.testing.assert_allclose(np.sum(places, axis=0), 0.0)
    assert {tuple(u) for u in places} == {(2.0, 0.0), (-2.0, 0.0), (0.0, 2.0), (0.0, -2.0)}


def test_the_matrix_is_the_inverse_of_the_response_whatever_drifts():
    found = fit(visits(TURNED, noise=1e-6, drift=(0.2, -0.1)))
    np.testing.assert_allclose(found.response, TURNED, atol=1e-5)
    np.testing.assert_allclose(found.matrix @ TURNED, np.eye(2), atol=1e-5)
    assert found.drift == pytest.approx((0.2, -0.1), abs=1e-5)


@pytest.mark.parametrize("told", [1.0, 0.2])  # error bars that are true, and ones that are 5 times too small
def test_errors_are_true(told):
    """400 calibrations: each entry's scatter over its reported error, which itself is known to 1/sqrt(2*400), is 1."""
    answers = []
    for seed in range(400):
        made = [visit._replace(sigma=(0.02 * told,) * 2) for visit in visits(TURNED, noise=0.02, seed=seed)]
        answers.append(fit(made))
    for name in ("response", "matrix"):
        true = TURNED if name == "response" else np.linalg.inv(TURNED)
        pulls = np.array([(getattr(found, name) - true) / getattr(found, f"{name}_sigma") for found in answers])
        assert np.abs(pulls.std(axis=0) - 1.0).max() < 0.15


def test_an_axis_that_does_nothing_is_named():
    with pytest.raises(DeviceError, match="axis 1 does not move"):
        fit(visits(np.array([[1.0, 0.0], [0.5, 0.0]])))


@pytest.mark.parametrize("response", [[[1.0, 2.0], [0.5, 1.0]], [[1.0, 1.0], [0.0, 0.03]]])
def test_two_axes_along_one_line_are_refused(response):
    with pytest.raises(DeviceError, match="same line"):
        fit(visits(np.array(response), noise=1e-4))


def test_moves_that_do_not_repeat_are_refused():
    with pytest.raises(DeviceError, match="not repeatable"):
        fit(visits(TURNED, backlash=0.5))
    assert fit(visits(TURNED, backlash=0.5), tolerance=10.0).repeatability > 0.1


@pytest.mark.parametrize(
    ("matrix", "holds"),
    [
        (np.linalg.inv(TURNED), True),
        (-np.linalg.inv(TURNED), False),
        (np.linalg.inv(TURNED) @ np.diag([1, -1]), False),
        (6 * np.linalg.inv(TURNED), False),
        (np.linalg.inv(TURNED) @ [[0, -1], [1, 0]], False),
    ],
)
def test_a_configured_matrix_is_judged_by_what_its_loop_would_do(matrix, holds):
    assert (judge(matrix, 0.4, TURNED) == "") == holds
    residual = np.array([1.0, 0.5])
    for _ in range(60):  # the slow, obvious twin
        residual = residual - 0.4 * TURNED @ matrix @ residual
    assert (np.linalg.norm(residual) < 1.0) == holds


def test_what_is_left_of_a_residual():
    assert left_over((3.0, 4.0), (0.0, 0.5)) == pytest.approx(0.1)
