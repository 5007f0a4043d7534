"""From moves and what the image did to the 2x2 between them, with errors, or why there is none. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg.errors import DeviceError

Array = npt.NDArray[np.float64]
Pair = tuple[float, float]

PATTERN = (1, -1, -1, 1)  # moves along an axis, in steps: a steady drift cancels
SEEN = 5.0  # sigmas that a response must have to be one
MOST_CONDITION = 20.0  # of the response: beyond it the axes move the image along nearly one line


class Visit(NamedTuple):
    """One place of the actuator: where, off the start and in its unit, when (s), and the image's mean shift, px."""

    cycle: int
    u: Pair
    t: float
    shift: Pair
    sigma: Pair


class Calibration(NamedTuple):
    """What was measured.

    `response` is image over actuator, px per unit: its columns are what the axes do. `matrix` is its inverse, unit
    per px, as ``[controller] matrix``. Errors are 1 sigma. `repeatability` is how far cycles differ from all of them
    together, as a part of the response.
    """

    response: Array
    response_sigma: Array
    matrix: Array
    matrix_sigma: Array
    repeatability: float
    drift: Pair  # px/s


def moves(step: float, cycles: int) -> Iterator[tuple[int, Pair]]:
    """Which places to visit: for each cycle plus and minus `step` along each axis."""
    for cycle in range(cycles):
        for axis in (0, 1):
            for sign in PATTERN:
                yield cycle, (sign * step, 0.0) if axis == 0 else (0.0, sign * step)


def fit(visits: Sequence[Visit], *, tolerance: float = 0.1) -> Calibration:
    """The response and its inverse from the visits of at least two cycles.

    Weighted least squares, each image axis for itself: a zero, a steady drift, and the response to either axis. Where
    the visits scatter more than their error bars say, the errors grow by as much.

    Parameters
    ----------
    visits : sequence of Visit
    tolerance : float
        Largest `repeatability` that is taken.

    Raises
    ------
    DeviceError
        An axis does not move the image, both move it along one line, or cycles differ; it says which and by how much.
    """
    response, sigma, drift = _solve(visits)
    _refuse_what_cannot_be_seen(response, sigma)
    cycles = sorted({visit.cycle for visit in visits})
    single = [_solve([visit for visit in visits if visit.cycle == cycle])[0] for cycle in cycles]
    repeatability = max(float(np.linalg.norm(one - response, 2)) for one in single) / float(np.linalg.norm(response, 2))
    if not repeatability <= tolerance:
        raise DeviceError(
            f"the moves are not repeatable: cycles differ by {repeatability:.0%} of the response, {tolerance:.0%} are "
            "allowed; look for backlash, for a step that is lost in noise or motion (--step), for too short a --settle"
        )
    matrix = np.asarray(np.linalg.inv(response), np.float64)
    matrix_sigma = np.sqrt(np.square(matrix) @ np.square(sigma) @ np.square(matrix))
    return Calibration(response, sigma, matrix, matrix_sigma, repeatability, drift)


def _solve(visits: Sequence[Visit]) -> tuple[Array, Array, Pair]:
    """Response (image axis, actuator axis), its errors, and the drift, px/s."""
    t = np.array([visit.t for visit in visits])
    design = np.column_stack([np.ones(len(visits)), t - t.mean(), [visit.u for visit in visits]])
    response, sigma, drift = np.empty((2, 2)), np.empty((2, 2)), [0.0, 0.0]
    for axis in (0, 1):
        measured = np.array([visit.shift[axis] for visit in visits])
        weights = 1.0 / np.maximum([visit.sigma[axis] for visit in visits], 1e-9)
        covariance = np.linalg.inv((design * weights[:, None] ** 2).T @ design)
        found = covariance @ (design.T @ (weights**2 * measured))
        chi2 = float(np.sum(((measured - design @ found) * weights) ** 2)) / max(1, len(visits) - 4)
        response[axis] = found[2:]
        sigma[axis] = np.sqrt(np.diag(covariance)[2:] * max(1.0, chi2))
        drift[axis] = float(found[1])
    return response, sigma, (drift[0], drift[1])


def _refuse_what_cannot_be_seen(response: Array, sigma: Array) -> None:
    for axis in (0, 1):
        size, error = float(np.linalg.norm(response[:, axis])), float(np.linalg.norm(sigma[:, axis]))
        if not size > SEEN * error:
            raise DeviceError(
                f"axis {axis} does not move the image: {size:.3g} ± {error:.2g} px a unit; is the device on, is --step "
                "large enough?"
            )
    condition = float(np.linalg.cond(response))
    (a, b), (c, d) = response
    error = math.sqrt(float(np.sum(np.square([[d, c], [b, a]] * sigma))))
    if not condition <= MOST_CONDITION or not abs(a * d - b * c) > SEEN * error:
        raise DeviceError(
            f"both axes move the image along nearly the same line (condition number {condition:.3g}, at most "
            f"{MOST_CONDITION:g}): the response {response.round(4).tolist()} px a unit cannot be inverted"
        )


def left_over(before: Pair, after: Pair) -> float:
    """Part of the residual `before` that is left `after` one full correction; above 1 it went the wrong way."""
    return math.hypot(*after) / math.hypot(*before)


def judge(matrix: Any, gain: float, response: Array) -> str:
    """What a loop with `matrix` and `gain` does on the device measured: "" if it holds, else what goes wrong.

    A residual becomes ``(1 - gain response matrix)`` times itself each step: every eigenvalue of that must be within
    the unit circle.
    """
    factors = np.linalg.eigvals(np.eye(2) - gain * (response @ np.asarray(matrix, np.float64)))
    worst = float(np.abs(factors).max())
    return "" if worst < 1.0 else f"each step multiplies a residual by up to {worst:.3g}"
