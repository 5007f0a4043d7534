"""The field's motion against stacked least squares, and against motions that are known."""

from __future__ import annotations

import math

import naive
import numpy as np
import pytest

from rtreg.kernels import similarity


def some(n, seed=0):
    """Levers, shifts and covariances of n regions, all different."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(n, 2, 2))
    full = np.einsum("kij,klj->kil", roots, roots) + 0.1 * np.eye(2)
    covariances = np.stack([full[:, 0, 0], full[:, 0, 1], full[:, 1, 1]], axis=1)
    return rng.uniform(-50, 50, (n, 2, 2)), rng.normal(size=(n, 2)), covariances


@pytest.mark.parametrize("n", [3, 4, 9])
def test_it_is_least_squares(n):
    levers, shifts, covariances = some(n + 2)
    use = np.ones(n + 2, bool)
    use[[1, n]] = False
    values, errors = np.full(4, np.nan), np.full((4, 4), np.nan)
    chi2 = similarity.fit(levers, shifts, covariances, use, True, values, errors)
    expected = naive.similarity(levers[use], shifts[use], covariances[use])
    np.testing.assert_allclose(values, expected[0], rtol=1e-9)
    np.testing.assert_allclose(errors, expected[1], rtol=1e-9, atol=1e-15)
    assert chi2 == pytest.approx(expected[2])


def test_any_similarity_is_found_exactly():
    points, (_, _, covariances) = np.random.default_rng(3).uniform(-50, 50, (4, 2)), some(4)
    levers = np.array([[[x, -y], [y, x]] for x, y in points])
    angle, size, t = 0.7, 1.3, np.array([2.0, -5.0])
    turn = size * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    shifts = points @ turn.T - points + t
    values, errors = np.zeros(4), np.zeros((4, 4))
    chi2 = similarity.fit(levers, shifts, covariances, np.ones(4, bool), True, values, errors)
    np.testing.assert_allclose(values, [*t, size * math.cos(angle) - 1, size * math.sin(angle)], atol=1e-12)
    assert chi2 < 1e-18


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_held_field_takes_its_error_into_the_shifts(n):
    levers, shifts, covariances = some(n)
    rng = np.random.default_rng(1)
    held, root = np.array([0.02, -0.03]), rng.normal(0, 0.01, (2, 2))
    prior = root @ root.T
    values, errors = np.zeros(4), np.zeros((4, 4))
    values[2:], errors[2:, 2:] = held, prior

    def shift(field):
        trial = np.array([0.0, 0.0, *field])
        similarity.fit(levers, shifts, covariances, np.ones(n, bool), False, trial, np.zeros((4, 4)))
        return trial[:2]

    chi2 = similarity.fit(levers, shifts, covariances, np.ones(n, bool), False, values, errors)
    np.testing.assert_array_equal(values[2:], held)
    np.testing.assert_array_equal(errors[2:, 2:], prior)
    weights = [np.linalg.inv([[xx, xy], [xy, yy]]) for xx, xy, yy in covariances]
    slope = np.stack([shift(held + e) - shift(held) for e in np.eye(2)], axis=1)
    np.testing.assert_allclose(errors[:2, :2], np.linalg.inv(sum(weights)) + slope @ prior @ slope.T, rtol=1e-9)
    np.testing.assert_allclose(errors[:2, 2:], slope @ prior, rtol=1e-9)
    np.testing.assert_allclose(errors, errors.T)
    assert chi2 < 1e-20 if n == 1 else chi2 > 0


def test_what_nothing_determines_is_nan():
    _, shifts, covariances = some(3)
    levers = np.full((3, 2, 2), 7.0)  # three regions in one place know nothing of a rotation
    assert math.isnan(similarity.fit(levers, shifts, covariances, np.ones(3, bool), True, np.zeros(4), np.eye(4)))
    assert math.isnan(similarity.fit(levers, shifts, covariances, np.zeros(3, bool), False, np.zeros(4), np.eye(4)))
