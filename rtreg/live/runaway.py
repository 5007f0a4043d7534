"""A loop that drives the image away from where it should be: told from its own commands. Pure arithmetic."""

from __future__ import annotations

import cmath
import itertools
import math
from typing import Any

LEAST = 8  # steps looked at: with fewer, chance could explain what is seen
LOOP_TIMES = 4  # and as many loop time constants, 1 / gain steps each
GROWTH = 1.5  # of the residual from the first to the last step, and from the first third to the last
EXPLAINED = 0.95  # part of the residual's changes that the commands explain: by chance once in 10¹¹ (0.05 ** LEAST)
RESPONSE = 0.5  # least response to a command, as a part of what the matrix promises: a disturbance's is below 0.3


class Runaway:
    """Watches the steps of a closed loop for a residual that grows because of them.

    A residual that grows while the commands grow is not enough: so does that of a scene which begins to move, and
    there the loop must go on. What tells them apart is that the residual's changes are the commands' own doing. With
    image positions as complex numbers, x + iy, its changes are fitted with one number b times the moves that the
    commands should have made: 1 if the matrix is right, -1 if its sign is wrong, i if it is turned by 90 degrees, 3
    if the device moves three times as far. The residual then shrinks by 1 - gain b a step, or grows.

    Parameters
    ----------
    gain : float
        Of the controller: it sets how many steps are looked at.

    Notes
    -----
    The mutable state is the last steps. `tell` allocates a tuple a step, and does arithmetic only while a residual
    grows. A delay of a step or two between command and image leaves b of a smaller size and the same sign.
    """

    def __init__(self, gain: float) -> None:
        self._steps: list[tuple[complex, complex]] = []
        self._gain = gain
        self._length = max(LEAST, math.ceil(LOOP_TIMES / gain))

    def tell(self, residual: complex, expected: complex) -> str:
        """One step: the residual, and the move of the image that its command should make, px, x + iy.

        Returns
        -------
        str
            Empty, or how one can see that the loop runs away.
        """
        steps = self._steps
        steps.append((residual, expected))
        if len(steps) <= self._length:
            return ""
        del steps[0]
        if abs(residual) < GROWTH * abs(steps[0][0]):
            return ""
        return self._judge()

    def _judge(self) -> str:
        steps, third = self._steps, self._length // 3
        first, last = (math.sqrt(sum(abs(e) ** 2 for e, _ in part)) for part in (steps[:third], steps[-third:]))
        if last < GROWTH * first:
            return ""
        response, explained = _fit(steps)
        unstable = response.real < 0.5 * RESPONSE or abs(1 - self._gain * response) > 1.0
        if explained < EXPLAINED or abs(response) < RESPONSE or not unstable:
            return ""
        turned = math.degrees(cmath.phase(response))
        return (
            f"the residual grew from {first / math.sqrt(third):.3g} to {last / math.sqrt(third):.3g} px rms in "
            f"{len(steps)} commands, and these did it: the image moved {abs(response):.2g} times as far as "
            f"matrix says, turned by {turned:.0f} degrees"
        )

    def snapshot(self) -> list[list[float]]:
        """The last steps as plain numbers."""
        return [[e.real, e.imag, p.real, p.imag] for e, p in self._steps]

    def restore(self, steps: list[Any]) -> None:
        """Go on from a `snapshot`."""
        self._steps = [(complex(ex, ey), complex(px, py)) for ex, ey, px, py in steps]


def _fit(steps: list[tuple[complex, complex]]) -> tuple[complex, float]:
    """b of ``change of the residual = b * expected move``, and the part of the changes that it explains."""
    cross, moved, changed = 0j, 0.0, 0.0
    for (before, expected), (after, _) in itertools.pairwise(steps):
        change = after - before
        cross += expected.conjugate() * change
        moved += abs(expected) ** 2
        changed += abs(change) ** 2
    if not moved * changed > 0.0:
        return 0j, 0.0
    return cross / moved, abs(cross) ** 2 / (moved * changed)
