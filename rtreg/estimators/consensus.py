"""What several regions say together: one motion of the field, and which region does not take part in it.

Shifts are combined by their inverse covariances. From three regions on the field may also turn and grow: an exact
similarity is fitted, and its translation is that of a fixed point in the middle of the information, where it does not
depend on the rotation. A region that contradicts the others is left out as long as a majority agrees; without one
there is no answer.

Regions may move against each other by more than their error bars (turbulence, distortion). How much, is learnt from
their disagreement, and belongs to the error of each from then on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg.kernels import similarity
from rtreg.records import NAN, Covariance, Estimate, Field, Part, Shift, Verdict

Image = npt.NDArray[Any]

FOR_ROTATION = 3  # regions: two determine rotation and scale, three also check them
FIRST_FRAMES, LAST_FRAMES = 8, 256  # over so many the scatter is averaged, at first and later
OUTLIER = "OUTLIER"


class Agreement(NamedTuple):
    """The outcome of one frame; see `records.Field` for the units."""

    shift: Shift
    covariance: Covariance
    rotation: float = NAN
    rotation_sigma: float = NAN
    magnification: float = NAN
    magnification_sigma: float = NAN
    tension: float = NAN


class Consensus:
    """Combines the shifts of several regions, frame after frame.

    Parameters
    ----------
    levers : (n, 2, 2) array
        What each region's shift becomes by a growth and a turn of the field, px: see `kernels.similarity`.
    outlier : float
        From so many sigma on a disagreement is not chance.
    scatter : float, optional
        How far a region may move on its own, 1 sigma, px; None to learn it.

    Notes
    -----
    The mutable state: the pivot, the field's last rotation and scale with their errors, the learnt scatter, and the
    arrays of the last frame (`used` among them). One thread.
    """

    def __init__(self, levers: npt.ArrayLike, *, outlier: float, scatter: float | None) -> None:
        self._levers = np.array(levers, np.float64)
        self._outlier, self._learns = outlier, scatter is None
        n = len(self._levers)
        self._variance = 0.0 if scatter is None else scatter**2
        self._mean_excess = 0.0  # what `_variance` is as much of as is sure
        self._frames = FIRST_FRAMES
        self.used = np.zeros(n, bool)
        self.pivot: Shift | None = None
        self._relative = self._levers.copy()  # to the pivot
        self._shifts = np.zeros((n, 2))
        self._covariances = np.ones((n, 3))
        self._values, self._errors = np.zeros(4), np.zeros((4, 4))  # t_x, t_y, a, b: see `kernels.similarity`
        self._trial, self._trial_errors = np.zeros(4), np.zeros((4, 4))

    def snapshot(self) -> dict[str, Any]:
        """What the next answers depend on, as plain data."""
        return {
            "levers": self._levers.tolist(),
            "pivot": None if self.pivot is None else tuple(self.pivot),
            "values": self._values.tolist(),
            "errors": self._errors.tolist(),
            "variance": self._variance,
            "mean_excess": self._mean_excess,
            "frames": self._frames,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Be as the consensus of as many regions that gave `snapshot`."""
        self._levers[:], self._values[:], self._errors[:] = state["levers"], state["values"], state["errors"]
        self._variance, self._mean_excess = float(state["variance"]), float(state["mean_excess"])
        self._frames = int(state["frames"])
        self.pivot = None if state["pivot"] is None else Shift(*map(float, state["pivot"]))
        self._relative = self._levers - lever_of(*(self.pivot or (0.0, 0.0)))

    @property
    def scatter(self) -> float:
        """How far regions move on their own, 1 sigma, px."""
        return math.sqrt(self._variance)

    def combine(self, estimates: Sequence[Estimate]) -> Agreement | None:
        """The motion that the usable estimates agree on; None when there is none.

        Afterwards `used` says which took part. An estimate is usable when it is `ok`, with a finite covariance.
        """
        for k, estimate in enumerate(estimates):
            (xx, xy), (_, yy) = estimate.covariance
            self.used[k] = estimate.ok and 0.0 < xx < math.inf and 0.0 < yy < math.inf
            if self.used[k]:
                self._shifts[k] = estimate.shift
                self._covariances[k] = xx + self._variance, xy, yy + self._variance
        if not self.used.any():
            return None
        if self.pivot is None:
            self._fix_pivot()
        chi2 = self._agree()
        if chi2 is None:
            return None
        return self._outcome(chi2)

    def _fix_pivot(self) -> None:
        """The point that the shift is of, in the middle of the information; it stays, or the shift would jump."""
        weights = np.where(self.used, 1.0 / (self._covariances[:, 0] + self._covariances[:, 2]), 0.0)
        x, y = (weights @ self._levers[:, :, 0] / weights.sum()).tolist()  # what growth moves is the place
        self.pivot = Shift(x, y)
        self._relative = self._levers - lever_of(x, y)

    def _agree(self) -> float | None:
        """Fit, leaving out the worst as long as the rest disagree; the chi² left, None when no majority agrees."""
        everyone = self.used.copy()
        least = max(2, self._count() // 2 + 1)
        chi2 = self._fit()
        while not chi2 <= self._limit():
            if self._count() <= least:
                # what stays is how things are now, and soon: it must not be held for ever
                self._frames = max(FIRST_FRAMES, self._frames // 2)
                self.used[:] = everyone
                self._learn(self._fit())
                self.used[:] = False
                return None
            chi2 = self._leave_out_the_worst()
        self._learn(chi2)
        return chi2

    def _leave_out_the_worst(self) -> float:
        best, worst = math.inf, -1
        for k in np.flatnonzero(self.used).tolist():
            self.used[k] = False
            chi2 = self._fit()
            if chi2 < best or worst < 0:
                best, worst = chi2, k
            self.used[k] = True
        self.used[worst] = False
        return self._fit()

    def _count(self) -> int:
        return int(np.count_nonzero(self.used))

    def _free(self) -> bool:
        return self._count() >= FOR_ROTATION

    def _dof(self) -> int:
        return 2 * self._count() - (4 if self._free() else 2)

    def _limit(self) -> float:
        """The chi² that only chance in `outlier` sigma exceeds (Wilson & Hilferty 1931, doi 10.1073/pnas.17.12.684)."""
        dof = self._dof()
        if dof == 0:
            return math.inf
        part = 2.0 / (9.0 * dof)
        return dof * (1.0 - part + self._outlier * math.sqrt(part)) ** 3

    def _fit(self) -> float:
        """chi² of the best motion of the used regions; too few for a rotation are told that of the last frame."""
        self._trial[:], self._trial_errors[:] = self._values, self._errors
        return similarity.fit(
            self._relative, self._shifts, self._covariances, self.used, self._free(), self._trial, self._trial_errors
        )

    def _learn(self, chi2: float) -> None:
        """Let one frame's disagreement into the scatter: the excess of chi² over its mean, as a variance."""
        dof = self._dof()
        if not self._learns or dof == 0:
            return
        rows = zip(self._covariances.tolist(), self.used.tolist(), strict=True)
        weights = [1.0 / xx + 1.0 / yy for (xx, _, yy), used in rows if used]
        variance = 2.0 * len(weights) / sum(weights)
        excess = self._variance + (min(chi2, self._limit()) / dof - 1.0) * variance
        self._mean_excess += (excess - self._mean_excess) / self._frames
        # of regions that do not scatter chance would find some, and widen their error bars
        self._variance = max(0.0, self._mean_excess - variance / math.sqrt(dof * self._frames))
        self._frames = min(self._frames + 1, LAST_FRAMES)

    def _outcome(self, chi2: float) -> Agreement:
        free, dof = self._free(), self._dof()
        self._values[:], self._errors[:] = self._trial, self._trial_errors
        tx, ty, a, b = self._values.tolist()
        (xx, xy, *_), (_, yy, *_), *_ = self._errors.tolist()
        shift, covariance = Shift(tx, ty), ((xx, xy), (xy, yy))
        tension = chi2 / dof if dof else NAN
        if not free:
            return Agreement(shift, covariance, tension=tension)
        size = math.hypot(1.0 + a, b)
        cos, sin = (1.0 + a) / size, b / size
        aa, ab, bb = self._errors[2, 2].item(), self._errors[2, 3].item(), self._errors[3, 3].item()
        return Agreement(
            shift,
            covariance,
            rotation=math.atan2(b, 1.0 + a),
            rotation_sigma=math.sqrt(sin * sin * aa - 2.0 * sin * cos * ab + cos * cos * bb) / size,
            magnification=size,
            magnification_sigma=math.sqrt(cos * cos * aa + 2.0 * sin * cos * ab + sin * sin * bb),
            tension=tension,
        )


def lever_of(x: float, y: float) -> Image:
    """The lever of a point, (2, 2), px."""
    return np.array([[x, -y], [y, x]])


def combined(estimates: Sequence[Estimate], consensus: Consensus) -> Estimate:
    """One estimate of the field from those of its regions, with all that they say in `Estimate.field`.

    Without a usable region its flags are those of all regions; AMBIGUOUS when they disagree without a majority.
    """
    agreement = consensus.combine(estimates)
    parts = tuple(
        Part(shift=e.shift, covariance=e.covariance, chi2_dof=e.chi2_dof, rejected="" if used else _why(e))
        for e, used in zip(estimates, consensus.used.tolist(), strict=True)
    )
    if agreement is None:
        usable = any(part.rejected == OUTLIER for part in parts)
        flags = Verdict.AMBIGUOUS if usable else Verdict.OK
        for estimate in estimates:
            flags |= Verdict.OK if usable else estimate.flags
        return Estimate(flags=flags or Verdict.LOW_SNR, field=Field(parts=parts))
    used = [e for e, part in zip(estimates, parts, strict=True) if not part.rejected]
    n = len(used)
    return Estimate(
        shift=agreement.shift,
        covariance=agreement.covariance,
        chi2_dof=sum(e.chi2_dof for e in used) / n,
        contrast=min(e.contrast for e in used),
        scale=sum(e.scale for e in used) / n,
        offset=sum(e.offset for e in used) / n,
        iterations=max(e.iterations for e in used),
        regime="acquire" if any(e.regime == "acquire" for e in used) else "track",
        field=Field(
            parts=parts,
            centre=consensus.pivot,
            rotation=agreement.rotation,
            rotation_sigma=agreement.rotation_sigma,
            magnification=agreement.magnification,
            magnification_sigma=agreement.magnification_sigma,
            tension=agreement.tension,
            scatter=consensus.scatter,
        ),
    )


def _why(estimate: Estimate) -> str:
    """Why a region was left out: its own flags, or that it contradicts the others."""
    if estimate.flags:
        return "|".join(estimate.flags.reasons)
    return OUTLIER if math.isfinite(estimate.dx) else "NO_ANSWER"
