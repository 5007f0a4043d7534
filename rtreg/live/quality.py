"""May this estimate move a mirror? Every no has its reason, and none lasts longer than what it is for."""

from __future__ import annotations

import math
from typing import Any

from rtreg.errors import ConfigError
from rtreg.live.gates import Answer, Frozen, Jump, Level, Machine, Signal, distance
from rtreg.records import Estimate, Frame, Shift, Verdict

LEAST_BASELINE = 1.0  # chi²/dof that noise alone explains; frames of a scene at rest without noise fit to 0
FOUND_ANEW = 1.0  # px in one frame that nothing has asked for: what is seen now may be another thing
NOTHING_ASKED = Shift(0.0, 0.0)
_ABOVE_ONE = ("max_misfit", "max_flux")


class QualityGate:
    """Judges estimates: what the estimator itself flagged, and what only their sequence shows.

    Parameters
    ----------
    max_sigma : float
        Largest 1-sigma error on either axis, px; above it LOW_SNR, until `confirm` good frames have come.
    max_misfit : float
        Largest chi²/dof relative to its running value over good frames, or to 1 if that is less; above it MISFIT.
        Relative, so that a noise model that is off by a factor does not stop the loop.
    max_flux : float
        Largest change of the scene's brightness, as a factor either way; beyond it FLUX, as when a cloud comes or goes.
    max_jump : float
        Largest change from one good frame to the next, px; above it JUMP, until `confirm` frames in a row agree.
    confirm : int
        How many frames a jump, or the return of the signal, must last before it is believed.
    timeout : float
        After this long, s of receive time, what has lasted is how things are now: another brightness, another misfit,
        a scene that jumps all the time. Also how long a frozen camera is waited for before one frame is tried, and how
        long the image may take to follow the commands after it was found anew (else NO_MOTION: a hot pixel, or an
        actuator that is dead).
    settled : bool
        Hold frames that were exposed while the actuator moved (MOVED), by the time stamps that the camera process
        gives. The next frame without a move counts, so that a loop goes on at half the rate at least. False acts on
        them all the same: for a mirror that moves in much less than an exposure.

    Notes
    -----
    The mutable state is that of the machines in `gates`, and nothing else.
    """

    TUNABLE = ("max_sigma", "max_misfit", "max_flux", "max_jump", "confirm", "timeout")

    def __init__(
        self,
        *,
        max_sigma: float = 0.5,
        max_misfit: float = 4.0,
        max_flux: float = 3.0,
        max_jump: float = 8.0,
        confirm: int = 3,
        timeout: float = 2.0,
        settled: bool = True,
    ) -> None:
        self._settled = settled
        self._signal, self._misfit, self._flux, self._jump = Signal(), Level(), Level(), Jump()
        self._frozen, self._answer = Frozen(), Answer()
        self.retune(
            max_sigma=max_sigma, max_misfit=max_misfit, max_flux=max_flux, max_jump=max_jump, confirm=confirm,
            timeout=timeout,
        )  # fmt: skip

    max_sigma: float
    max_misfit: float
    max_flux: float
    max_jump: float
    confirm: float
    timeout: float

    def retune(self, **values: float) -> None:
        """Change limits while the loop runs; all or none. Raises `ConfigError` naming a bad one."""
        for name, value in values.items():
            if name not in self.TUNABLE:
                raise ConfigError(f"cannot retune {name!r}; what can be: {', '.join(self.TUNABLE)}")
            if value is None or not value > (1.0 if name in _ABOVE_ONE else 0.0):
                least = "above 1" if name in _ABOVE_ONE else "positive"
                raise ConfigError(f"{name} = {value}: must be {least}")
        for name, value in values.items():
            setattr(self, name, value)

    def judge(self, estimate: Estimate, frame: Frame, asked: Shift = NOTHING_ASKED) -> Verdict:
        """`Verdict.OK`, or every reason not to act on the estimate.

        Parameters
        ----------
        estimate : Estimate
        frame : Frame
            What it is an estimate of: its pixels and when it was received.
        asked : Shift
            How far the commands since the last frame should have moved the image, px.
        """
        now, timeout = frame.recv_mono_ns, self.timeout
        if self._frozen.holds(frame.pixels, now, timeout):
            return estimate.flags | Verdict.FROZEN
        verdict = flags = estimate.flags
        clean = flags is Verdict.OK  # flags are slow to combine, and this is on every frame's path
        finite = math.isfinite(estimate.dx + estimate.dy)
        (xx, _), (_, yy) = estimate.covariance
        good = clean and finite and 0.0 <= xx <= self.max_sigma**2 and 0.0 <= yy <= self.max_sigma**2
        if self._signal.is_low(good or not (clean or flags is Verdict.LOW_SNR), self.confirm):
            verdict |= Verdict.LOW_SNR
        if not (clean and finite):
            return verdict
        if self._misfit.leaps(estimate.chi2_dof, now, timeout, low=0.0, high=self.max_misfit, least=LEAST_BASELINE):
            verdict |= Verdict.MISFIT
        if self._flux.leaps(estimate.scale, now, timeout, low=1.0 / self.max_flux, high=self.max_flux, least=0.0):
            verdict |= Verdict.FLUX
        if self._jump.holds(estimate.shift, now, timeout, reach=self.max_jump, confirm=self.confirm):
            verdict |= Verdict.JUMP
        if self._settled and _moved(frame):
            verdict |= Verdict.MOVED
        if verdict is Verdict.OK and self._answers_not(estimate, asked, now):
            verdict |= Verdict.NO_MOTION
        if verdict is Verdict.OK:
            self._accept(estimate)
        return verdict

    def _answers_not(self, estimate: Estimate, asked: Shift, now: int) -> bool:
        last, shift = self._jump.last, estimate.shift
        if last is not None:
            believed = self._jump.candidate is not None
            expected = Shift(last.dx + asked.dx, last.dy + asked.dy)
            # neither where it was nor where it was told to go (a loop without an actuator is not suspected)
            if believed or min(distance(shift, last), distance(shift, expected)) > FOUND_ANEW:
                self._answer.suspect(shift, expected, anew=believed)
        return self._answer.fails(shift, asked, now, self.timeout)

    @property
    def home(self) -> Shift | None:
        """Where to look instead of at what does not move; None while there is no such thing."""
        return None if self._answer.banned is None else self._answer.home

    def _accept(self, estimate: Estimate) -> None:
        self._misfit.accept(estimate.chi2_dof)
        self._flux.accept(estimate.scale)
        self._jump.accept(estimate.shift)
        self._answer.accept(estimate.shift)

    @property
    def _machines(self) -> dict[str, Machine]:
        return {
            "signal": self._signal, "misfit": self._misfit, "flux": self._flux, "jump": self._jump,
            "frozen": self._frozen, "answer": self._answer,
        }  # fmt: skip

    def forget(self) -> None:
        """Start afresh: a new reference has its own zero, brightness and chi²."""
        for machine in self._machines.values():
            machine.forget()

    def snapshot(self) -> dict[str, Any]:
        """What judgements depend on besides the limits."""
        return {name: machine.snapshot() for name, machine in self._machines.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Judge on as the gate that gave `snapshot`."""
        for name, machine in self._machines.items():
            machine.restore(state[name])


def _moved(frame: Frame) -> bool:
    """Whether the actuator moved while the frame was exposed, by their time stamps."""
    if frame.moved is None:
        return False
    (began, ended), half = frame.moved, frame.exp_ns // 2
    return began < frame.t_ns + half and ended > frame.t_ns - half
