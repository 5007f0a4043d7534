"""May this estimate move a mirror? Every no has its reason."""

from __future__ import annotations

import math
from typing import Any

from rtreg.errors import ConfigError
from rtreg.records import Estimate, Shift, Verdict

LEAST_BASELINE = 1.0  # chi²/dof that noise alone explains; frames of a scene at rest without noise fit to 0
BASELINE_WEIGHT = 0.02  # of a new chi²/dof in the running one: slow against frames, fast against the seeing


class QualityGate:
    """Judges estimates: what the estimator itself flagged, and what only their sequence shows.

    Parameters
    ----------
    max_sigma : float
        Largest 1-sigma error on either axis, px; above it LOW_SNR.
    max_misfit : float
        Largest chi²/dof relative to its running value over good frames, or to 1 if that is less; above it MISFIT.
        Relative, so that a noise model that is off by a factor does not stop the loop.
    max_jump : float
        Largest change from one good frame to the next, px; above it JUMP, until `confirm` frames in a row agree.
    confirm : int
        How many frames a jump must last before it is believed.
    settled : bool
        Hold frames that were exposed while the actuator moved (MOVED), by the time stamps that the camera process
        gives. The next frame without a move counts, so that a loop goes on at half the rate at least. False acts on
        them all the same: for a mirror that moves in much less than an exposure.

    Notes
    -----
    The mutable state: the running chi², the last believed shift, and the candidate after a jump with its count.
    """

    TUNABLE = ("max_sigma", "max_misfit", "max_jump", "confirm")

    def __init__(
        self,
        *,
        max_sigma: float = 0.5,
        max_misfit: float = 4.0,
        max_jump: float = 8.0,
        confirm: int = 3,
        settled: bool = True,
    ) -> None:
        self._settled = settled
        self._baseline = math.nan
        self._last: Shift | None = None
        self._candidate: Shift | None = None
        self._seen = 0
        self.retune(max_sigma=max_sigma, max_misfit=max_misfit, max_jump=max_jump, confirm=confirm)

    max_sigma: float
    max_misfit: float
    max_jump: float
    confirm: float

    def retune(self, **values: float) -> None:
        """Change limits while the loop runs; all or none. Raises `ConfigError` naming a bad one."""
        for name, value in values.items():
            if name not in self.TUNABLE:
                raise ConfigError(f"cannot retune {name!r}; what can be: {', '.join(self.TUNABLE)}")
            if value is None or not value > (1.0 if name == "max_misfit" else 0.0):
                least = "above 1" if name == "max_misfit" else "positive"
                raise ConfigError(f"{name} = {value}: must be {least}")
        for name, value in values.items():
            setattr(self, name, value)

    def judge(self, estimate: Estimate, *, moved: bool = False) -> Verdict:
        """`Verdict.OK`, or every reason not to act on the estimate; `moved`: while its frame was exposed."""
        verdict = estimate.flags
        if verdict or not (math.isfinite(estimate.dx) and math.isfinite(estimate.dy)):
            return verdict or Verdict.LOW_SNR
        sigma = max(estimate.sigma)
        if not sigma <= self.max_sigma:
            verdict |= Verdict.LOW_SNR
        # before the first good frame the baseline is NaN, max() keeps it, and nothing is a misfit
        if estimate.chi2_dof > self.max_misfit * max(self._baseline, LEAST_BASELINE):
            verdict |= Verdict.MISFIT
        if self._jumped(estimate.shift):
            verdict |= Verdict.JUMP
        if moved and self._settled:
            verdict |= Verdict.MOVED
        if not verdict:
            self._accept(estimate)
        elif verdict == Verdict.MISFIT:
            self._follow(estimate.chi2_dof)  # a misfit that stays is how things are now: held, but not for ever
        return verdict

    def forget(self) -> None:
        """Start afresh: a new reference has its own zero and its own chi²."""
        self._baseline, self._last, self._candidate, self._seen = math.nan, None, None, 0

    def snapshot(self) -> dict[str, Any]:
        """What judgements depend on besides the limits."""
        return {"baseline": self._baseline, "last": self._last, "candidate": self._candidate, "seen": self._seen}

    def restore(self, state: dict[str, Any]) -> None:
        """Judge on as the gate that gave `snapshot`."""
        self._baseline, self._seen = float(state["baseline"]), int(state["seen"])
        last, candidate = (None if s is None else Shift(*map(float, s)) for s in (state["last"], state["candidate"]))
        self._last, self._candidate = last, candidate

    def _jumped(self, shift: Shift) -> bool:
        if self._last is None or _distance(shift, self._last) <= self.max_jump:
            self._candidate, self._seen = None, 0
            return False
        agrees = self._candidate is not None and _distance(shift, self._candidate) <= self.max_jump
        self._seen = self._seen + 1 if agrees else 1
        self._candidate = shift
        return self._seen < self.confirm

    def _accept(self, estimate: Estimate) -> None:
        self._follow(estimate.chi2_dof)
        self._last, self._candidate, self._seen = estimate.shift, None, 0

    def _follow(self, chi2: float) -> None:
        if math.isnan(self._baseline):
            self._baseline = chi2
        elif not math.isnan(chi2):
            self._baseline += BASELINE_WEIGHT * (chi2 - self._baseline)


def _distance(a: Shift, b: Shift) -> float:
    return math.hypot(a.dx - b.dx, a.dy - b.dy)
