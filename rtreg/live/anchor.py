"""The mean of the first frames, kept as it was: in it a rolling reference is measured, so that its walk is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.estimators.pieces import Pieces
from rtreg.estimators.registrar import Registrar
from rtreg.live.rolling import Rolling
from rtreg.live.stacking import stored_image
from rtreg.live.structure import likeness
from rtreg.records import Shift

Image = npt.NDArray[Any]

RAMP_SHARE = 4  # of the time between two measurements goes by while the output follows the last one
PRIOR_WEIGHT = 4.0  # measurements that the first guess of the walk counts for
PRIOR = 1.0 / 1024.0  # of a frame's variance: that first guess, between what stars and textures do
# variances in units of the mean square by which the mean is found elsewhere than the last time. The first is more than
# 1/2 because two successive means share most of their frames, and with them the error of their place
ONE_FINDING, ONE_ROUND = 1.3, 1.0
LEAST_LIKENESS = 0.7  # of the mean and the anchor: below, the scene has become another and says little of its place


class Anchor:
    """Where a rolling mean stands in the mean of the first frames, and how well that is known.

    Parameters
    ----------
    image : (ny, nx) float32
        The mean of the first frames; NaN where unknown.
    make : callable
        A registrar for images of that shape, to be given a reference (`Registrar.sibling`).
    every : int
        Learnt frames between two measurements.
    correct : bool
        Whether the output is to be corrected for the walk; if not it is only reported.
    frame_variance : float
        Of a frame's position on one axis, px².
    zero_variance : float
        Of the anchor's own position, px².
    change : float
        Variance of the step that the zero makes when frames are first compared with a mean instead of the anchor, px².

    Notes
    -----
    A frame that is aligned with the mean stands, to first order, where the mean stands whatever its noise, so the
    mean walks by little: by what noise does to its gradients, and by the interpolation. That little is not modelled
    but measured: `walk` follows from how far the mean is found from where it was last found. The mutable state is
    `image`, the offset of the output (`now`, moving by `part` for `left` more frames to `target`), the sum of those
    squared innovations and their number, frames since the last measurement, and what was carried over from former
    anchors: the place (`_base`) and the variance of the present one; and how much of the anchor is in view, by the
    variance of a position in it, at first and now.
    """

    def __init__(
        self,
        image: Image,
        make: Callable[[], Registrar],
        *,
        every: int,
        correct: bool,
        frame_variance: float,
        zero_variance: float,
        change: float,
    ) -> None:
        self.image, self._make = image, make
        self._registrar: Registrar | None = None  # none before the first measurement
        self._every, self._ramp, self._correct = every, max(1, every // RAMP_SHARE), correct
        self.now = self.target = self._part = self._base = Shift(0.0, 0.0)
        self._left = 0
        self._since = 0
        self._innovation = PRIOR_WEIGHT * PRIOR * frame_variance
        self._count = PRIOR_WEIGHT
        self._carried = change
        self._zero, self._first_spread, self._spread = zero_variance, 0.0, 0.0
        self.hand_overs = 0

    @property
    def walk(self) -> float:
        """1-sigma distance of the reference's zero from where it began, as far as the output has it, px."""
        return math.sqrt(self.walk_variance)

    @property
    def walk_variance(self) -> float:
        """`walk` squared, of one axis."""
        off = self.target
        region = 0.0
        if self._correct:
            off = Shift(self.target.dx - self.now.dx, self.target.dy - self.now.dy)
            # the anchor's noise over what is in view of it by now, not over all of it
            region = self._zero * max(0.0, self._spread / self._first_spread - 1.0) if self._first_spread else 0.0
        return self._carried + self._unknown + region + 0.5 * (off.dx * off.dx + off.dy * off.dy)

    @property
    def _unknown(self) -> float:
        """Variance of where the mean stands against where it was last found, px²."""
        found = ONE_FINDING if self._correct else 0.0  # what is only reported has the error of the finding in it
        return (found + ONE_ROUND * self._since / self._every) * self._innovation / self._count

    def snapshot(self) -> dict[str, Any]:
        """All of it but the policy; the image is the one in use."""
        return {
            "image": self.image,
            "registrar": None if self._registrar is None else self._registrar.snapshot(),
            "places": (self.now, self.target, self._part, self._base),
            "numbers": (self._innovation, self._count, self._carried),
            "spreads": (self._zero, self._first_spread, self._spread),
            "counts": (self._left, self._since, self.hand_overs),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Be as the anchor of the same policy that gave `snapshot`."""
        self.image = stored_image(state["image"], self.image.shape)
        self._registrar = None
        if state["registrar"] is not None:
            self._registrar = self._make()
            self._registrar.restore(state["registrar"])
        self.now, self.target, self._part, self._base = (Shift(*map(float, place)) for place in state["places"])
        self._innovation, self._count, self._carried = map(float, state["numbers"])
        self._zero, self._first_spread, self._spread = map(float, state["spreads"])
        self._left, self._since, self.hand_overs = map(int, state["counts"])

    def advance(self) -> None:
        """One more frame of output: the offset follows what was measured."""
        if self._left:
            self._left -= 1
            self.now = Shift(self.now.dx + self._part.dx, self.now.dy + self._part.dy)

    def learnt(self, frames: int) -> None:
        """So many more frames are in the mean."""
        self._since += frames

    @property
    def due(self) -> bool:
        """Whether the mean is to be measured now."""
        return self._since >= self._every

    def measuring(self, rolling: Rolling) -> Pieces[None]:
        """Find the mean in the anchor; where it is another scene by now, it takes over from where it was last found.

        In pieces, between which `rolling` has to stay as it is; all that changes here does with the last one.
        """
        # the mean has less noise, so it is the reference; only what both know, or a filled border would pull
        common = np.where(np.isfinite(self.image), rolling.image, np.float32(math.nan))
        yield
        alike = yield from likeness(common, self.image)
        guess = Shift(self._base.dx - self.target.dx, self._base.dy - self.target.dy)
        registrar = self._registrar or self._make()
        gaps = not np.isfinite(self.image).all()
        yield from registrar.renewing(common, reference_frames=rolling.frames, where=lambda: (guess, True), whole=gaps)
        found = registrar.measure(self.image, guess=guess, calibrated=True)
        self._registrar = registrar
        if not found.ok or alike < LEAST_LIKENESS:
            self._hand_over(rolling)
            return
        (xx, _), (_, yy) = found.covariance
        self._spread = 0.5 * (xx + yy) * rolling.frames / (rolling.frames + 1.0)
        self._first_spread = self._first_spread or self._spread
        before, self.target = self.target, Shift(self._base.dx - found.dx, self._base.dy - found.dy)
        dx, dy = self.target.dx - before.dx, self.target.dy - before.dy
        self._innovation += 0.5 * (dx * dx + dy * dy)
        self._count += 1.0
        self._since = 0
        if self._correct:
            self._left = self._ramp
            dx, dy = self.target.dx - self.now.dx, self.target.dy - self.now.dy
            self._part = Shift(dx / self._ramp, dy / self._ramp)

    def _hand_over(self, rolling: Rolling) -> None:
        """The mean is the anchor from now on: nothing moves, but what was not known of its place stays unknown."""
        self._carried += self._unknown
        self._zero = self._first_spread = self._spread = 0.0  # of the new anchor: a hundredth, and in what is carried
        self._base, self._since = self.target, 0
        self.image = rolling.image
        self.hand_overs += 1
