"""A loop that drives the image away from where it should be: told from its own commands. Pure arithmetic.

A residual that grows while the commands grow is not enough: so does that of a scene which begins to move, and there the
loop must go on. What tells them apart is that the residual is the commands' own doing. With image positions as complex
numbers, x + iy, one number b says how the image answers: 1 if the matrix is right, -1 if its sign is wrong, i if it is
turned by 90 degrees, 3 if the device moves three times as far. The residual then shrinks by 1 - gain b a step, or
grows.
"""

from __future__ import annotations

import cmath
import itertools
import math
from collections.abc import Sequence
from typing import Any

Step = tuple[complex, complex]  # a residual, and the move of the image that its command should make, px, x + iy

LEAST = 8  # steps looked at: with fewer, chance could explain what is seen
LOOP_TIMES = 4  # and as many loop time constants, 1 / gain steps each
GROWTH = 1.5  # of the residual from the first to the last step, and from the first third to the last
EXPLAINED = 0.95  # part of the residual's changes that the commands explain: by chance once in 10¹¹ (0.05 ** LEAST)
RESPONSE = 0.5  # least response to a command, as a part of what the matrix promises: a disturbance's is below 0.3
MOST_LATE = 3  # steps by which a device may be late, now more, now less
LATE_GROWTH = 20.0  # of the residual, before being late is an excuse: scenes that move do not grow so far so evenly
LATE_MISS = 0.05  # of the residual's square that commands made up to so late leave unexplained


class Runaway:
    """Watches the steps of a closed loop for a residual that grows because of them.

    Parameters
    ----------
    gain : float
        Of the controller: it sets how many steps are looked at.

    Notes
    -----
    The mutable state is the last steps. `tell` allocates a tuple a step, and does arithmetic only while a residual
    grows. A delay of a step or two between command and image leaves b of a smaller size and the same sign; one that
    changes from step to step takes longer to be seen.
    """

    def __init__(self, gain: float) -> None:
        self._steps: list[Step] = []
        self._gain = gain
        self._length = max(LEAST, math.ceil(LOOP_TIMES / gain))
        self._longest = 2 * self._length + MOST_LATE

    def tell(self, residual: complex, expected: complex) -> str:
        """One step: the residual, and the move of the image that its command should make, px, x + iy.

        Returns
        -------
        str
            Empty, or how one can see that the loop runs away.
        """
        steps = self._steps
        steps.append((residual, expected))
        if len(steps) > self._longest:
            del steps[0]
        if len(steps) < self._length or abs(residual) < GROWTH * abs(steps[-self._length][0]):
            return ""
        last = steps[-self._length :]
        if _growth(last) >= GROWTH and (response := self._unstable(_prompt(last))):
            return _story(last, response)
        if _growth(steps) >= LATE_GROWTH and (response := self._unstable(_late(steps))):
            return _story(steps, response)
        return ""

    def _unstable(self, response: complex) -> complex:
        """The response if a loop with it runs away, else 0."""
        away = response.real < 0.5 * RESPONSE or abs(1 - self._gain * response) > 1.0
        return response if away and abs(response) >= RESPONSE else 0j

    def snapshot(self) -> list[list[float]]:
        """The last steps as plain numbers."""
        return [[e.real, e.imag, p.real, p.imag] for e, p in self._steps]

    def restore(self, steps: list[Any]) -> None:
        """Go on from a `snapshot`."""
        self._steps = [(complex(ex, ey), complex(px, py)) for ex, ey, px, py in steps]


def _ends(steps: Sequence[Step]) -> tuple[float, float]:
    """Rms residual of the first third and of the last, px."""
    third = len(steps) // 3
    first, last = (sum(abs(e) ** 2 for e, _ in part) for part in (steps[:third], steps[-third:]))
    return math.sqrt(first / third), math.sqrt(last / third)


def _growth(steps: Sequence[Step]) -> float:
    """Of the residual, from the first third to the last."""
    first, last = _ends(steps)
    return last / first if first > 0.0 else math.inf


def _prompt(steps: Sequence[Step]) -> complex:
    """b of ``change of the residual = b * expected move``; 0 if the moves do not explain the changes.

    Nor may they do so by one change alone: a bump is one.
    """
    pairs = [(expected, after - before) for (before, expected), (after, _) in itertools.pairwise(steps)]
    largest = max(range(len(pairs)), key=lambda k: abs(pairs[k][1]))
    response, explained = _fit(pairs)
    _, without = _fit(pairs[:largest] + pairs[largest + 1 :])
    return response if min(explained, without) >= EXPLAINED else 0j


def _fit(pairs: Sequence[tuple[complex, complex]]) -> tuple[complex, float]:
    """b of ``y = b * x`` for pairs (x, y), and the part of y that it explains."""
    cross = sum((x.conjugate() * y for x, y in pairs), 0j)
    asked, seen = (sum(abs(pair[k]) ** 2 for pair in pairs) for k in (0, 1))
    if not asked * seen > 0.0:
        return 0j, 0.0
    return cross / asked, abs(cross) ** 2 / (asked * seen)


def _late(steps: Sequence[Step]) -> complex:
    """b of ``residual = b * all that was asked up to 0 to MOST_LATE steps ago``, each step as late as fits it best.

    0 if that does not explain the residuals: each to the same part of itself, so that the last do not decide alone.
    """
    asked = [0j, *itertools.accumulate(expected for _, expected in steps)]
    seen = [k for k in range(len(steps) // 3, len(steps)) if steps[k][0]]
    late = dict.fromkeys(seen, 1)
    response, missed = 0j, math.inf
    for _ in range(3):
        response, _ = _fit([(asked[max(0, k - late[k])] / steps[k][0], 1.0 + 0j) for k in seen])
        miss = {k: [abs(steps[k][0] - response * asked[max(0, k - n)]) for n in range(MOST_LATE + 1)] for k in seen}
        late = {k: miss[k].index(min(miss[k])) for k in seen}
        missed = sum((min(miss[k]) / abs(steps[k][0])) ** 2 for k in seen) / len(seen)
    return response if missed <= LATE_MISS else 0j


def _story(steps: Sequence[Step], response: complex) -> str:
    first, last = _ends(steps)
    turned = math.degrees(cmath.phase(response))
    return (
        f"the residual grew from {first:.3g} to {last:.3g} px rms in {len(steps)} commands, and these did it: the "
        f"image moved {abs(response):.2g} times as far as matrix says, turned by {turned:.0f} degrees"
    )
