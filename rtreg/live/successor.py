"""A new field: a reference in the making beside the present one, which stays until the new one has proved itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rtreg.errors import FrameError
from rtreg.estimators.registrar import Registrar
from rtreg.live.policy import ReferencePolicy
from rtreg.live.reference import Reference
from rtreg.live.structure import structure
from rtreg.noise import NoiseModel
from rtreg.records import Frame

PROOFS = 10  # frames in a row that must match a new reference before it takes over
LEAST_STRUCTURE = 0.01  # of the present reference's: with less there is a cloud before the field, and no other field


class Successor:
    """Watches frames that the present reference does not know, and makes the next one of them.

    Parameters
    ----------
    policy : ReferencePolicy
    make_registrar : callable
        As of `Reference`.
    after : float, optional
        Frames must be unknown for so long before a new reference is begun, s of receive time; None for never.

    Notes
    -----
    The mutable state: since when frames have been unknown, the reference in the making, and its proofs. Its work is
    done after the command has left.
    """

    def __init__(self, policy: ReferencePolicy, make_registrar: Callable[..., Registrar], after: float | None) -> None:
        self._policy, self._make = policy, make_registrar
        # an image that was given is what frames are to be compared with, whatever they show
        self._after_ns = None if after is None or policy.image is not None else int(after * 1e9)
        self._since_ns: int | None = None
        self._reference: Reference | None = None
        self._proofs = 0

    @property
    def frames(self) -> int:
        """Frames in the reference in the making."""
        return len(self._reference.members) if self._reference else 0

    def snapshot(self) -> dict[str, Any]:
        """The mutable state: plain data, and the arrays of the reference in the making."""
        reference = self._reference
        return {
            "since_ns": self._since_ns,
            "proofs": self._proofs,
            "reference": None if reference is None else reference.snapshot(),
        }

    def restore(self, state: dict[str, Any], noise: NoiseModel) -> None:
        """Go on from a `snapshot`, for frames with this noise."""
        self._since_ns, self._proofs, self._reference = state["since_ns"], int(state["proofs"]), None
        if state["reference"] is not None:
            self._reference = Reference(self._policy, self._make, noise, 0)
            self._reference.restore(state["reference"])

    def forget(self) -> None:
        """The present reference has matched again, or there is another one."""
        self._since_ns, self._reference, self._proofs = None, None, 0

    def take(self) -> Reference | None:
        """The new reference, once proven; it is no longer a successor then."""
        reference = self._reference
        if reference is None or self._proofs < PROOFS:
            return None
        self.forget()
        return reference

    def consider(self, frame: Frame, present: Registrar, noise: NoiseModel, period_ns: int) -> None:
        """One more frame that `present` has just said not to know; `period_ns` as `Reference.learn`."""
        if self._after_ns is None:
            return
        if self._since_ns is None:
            self._since_ns = frame.recv_mono_ns
        if frame.recv_mono_ns - self._since_ns < self._after_ns:
            return
        if self._reference is None or self._reference.hopeless:
            self._begin(frame, present, noise)
        if self._reference is not None:
            self._try(self._reference, frame, period_ns)

    def _begin(self, frame: Frame, present: Registrar, noise: NoiseModel) -> None:
        self._reference, self._proofs = None, 0
        if structure(present.work) < LEAST_STRUCTURE * structure(present.reference):
            self._since_ns = frame.recv_mono_ns  # look again in a while
            return
        self._reference = Reference(self._policy, self._make, noise, 0)

    def _try(self, reference: Reference, frame: Frame, period_ns: int) -> None:
        try:
            estimate = reference.measure(frame)
        except FrameError:  # its first frame, and nothing to follow in it
            self._reference = None
            return
        if reference.ready:
            self._proofs = self._proofs + 1 if estimate.ok else 0
            (reference.accept if estimate.ok else reference.reject)()
        reference.learn(period_ns)
