"""Several regions of a frame, each with a reference of its own, and the one answer they make together.

A reference of the whole frame would smear where the field turns: each region's rolls with it, and is held by its own
anchor. They begin together: a frame enters all groups or none, so that all zeros are of the same frames.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy.typing as npt

from rtreg.errors import FrameError
from rtreg.estimators.consensus import Consensus, combined, lever_of
from rtreg.estimators.regions import Box, RegionPolicy, cut
from rtreg.estimators.registrar import Registrar
from rtreg.live.policy import ReferencePolicy
from rtreg.live.reference import Reference
from rtreg.noise import NoiseModel
from rtreg.records import Estimate, Frame, ReferenceInfo, Shift, Verdict

Image = npt.NDArray[Any]
_LEFT_OUT = Estimate(flags=Verdict.LOW_SNR)


class RegionReference:
    """What `Reference` is for a whole frame, for several regions of it.

    Notes
    -----
    A region that matches no frame while the others do is left out for the life of this reference. The mutable state:
    the regions' references, which of them are left out, the consensus once all are ready, and the age.
    """

    def __init__(
        self,
        regions: RegionPolicy,
        policy: ReferencePolicy,
        make: Callable[..., Registrar],
        noise: NoiseModel,
        identity: int,
    ) -> None:
        self._regions = regions
        self._parts = [Reference(_part_of(policy, box), make, noise.part(box.area), identity) for box in regions.boxes]
        self._left_out = [False] * len(self._parts)
        self._consensus: Consensus | None = None
        self._cut: list[Image] = []
        self.identity = identity
        self.age = 0

    def snapshot(self) -> dict[str, Any]:
        """As `Reference.snapshot`, of all regions and their consensus."""
        return {
            "parts": [part.snapshot() for part in self._parts],
            "left_out": self._left_out,
            "consensus": None if self._consensus is None else self._consensus.snapshot(),
            "age": self.age,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Be as the reference of the same regions, policy and noise that gave `snapshot`, between two frames."""
        if len(state["parts"]) != len(self._parts):
            raise FrameError(f"the snapshot has {len(state['parts'])} regions but the configuration {len(self._parts)}")
        for part, stored in zip(self._parts, state["parts"], strict=True):
            part.restore(stored)
        self._left_out = [bool(out) for out in state["left_out"]]
        self.age = int(state["age"])
        if state["consensus"] is not None:
            self._consensus = self._regions.consensus([lever_of(0.0, 0.0)] * len(self._parts))
            self._consensus.restore(state["consensus"])

    @property
    def begun(self) -> bool:
        """Whether a first frame has been taken for it, in every region."""
        return all(part.begun for part in self._parts)

    @property
    def ready(self) -> bool:
        """Whether frames are measured."""
        return self._consensus is not None

    @property
    def hopeless(self) -> bool:
        """Whether its first frame was a bad one in every region."""
        return all(part.hopeless for part in self._parts)

    @property
    def members(self) -> list[tuple[int, int]]:
        """The frames (epoch, seq) that the references were begun with."""
        return self._live()[0].members

    @property
    def lock(self) -> str:
        """When and why the locks changed last, for people."""
        return "; ".join(f"region {k + 1} {self._said(k)}" for k in range(len(self._parts)))

    def info(self) -> ReferenceInfo:
        """Identity, age and estimated walk, as published."""
        if not self.ready:
            return ReferenceInfo()
        walks = [part.info().walk for part in self._live()]
        return ReferenceInfo(id=self.identity, age_frames=self.age, walk=math.hypot(*walks) / len(walks))

    def measure(self, frame: Frame) -> Estimate:
        """Estimate of a frame; while the references are being made, none."""
        self._regions.check_shape((frame.pixels.shape[0], frame.pixels.shape[1]))
        self._cut = cut(frame.pixels, self._regions.boxes, self._cut)
        estimates = [self._measure(k, frame) for k in range(len(self._parts))]
        if self._consensus is None:
            return self._collect(estimates)
        return combined(estimates, self._consensus)

    def accept(self) -> None:
        """The gate let the last measured frame pass: regions that took part may learn from it, and the age grows."""
        assert self._consensus is not None
        self.age += 1
        for part, used in zip(self._parts, self._consensus.used.tolist(), strict=True):
            if used:
                part.accept()
            else:
                part.reject()

    def reject(self) -> None:
        """The last measured frame is not to be learnt from."""
        for part in self._parts:
            part.reject()

    def look_at(self, shift: Shift) -> None:
        """As `Reference.look_at`, in every region."""
        for part in self._live():
            part.look_at(shift)

    def learn(self, period_ns: int) -> None:
        """As `Reference.learn`, a part of it for each region."""
        for part in self._parts:
            part.learn(period_ns // len(self._parts))
        if self._consensus is None and all(part.ready for part in self._live()):
            self._unite()

    def _live(self) -> list[Reference]:
        return [part for part, out in zip(self._parts, self._left_out, strict=True) if not out]

    def _said(self, k: int) -> str:
        return "left out: it matched no frame" if self._left_out[k] else self._parts[k].lock

    def _measure(self, k: int, frame: Frame) -> Estimate:
        if self._left_out[k]:
            return _LEFT_OUT
        try:
            return self._parts[k].measure(msgspec.structs.replace(frame, pixels=self._cut[k]))
        except FrameError as error:
            raise FrameError(f"region {k + 1} ({self._regions.boxes[k]}): {error}") from None

    def _collect(self, estimates: list[Estimate]) -> Estimate:
        """While the references are made: a frame that one region cannot use is used by none."""
        if not self.hopeless:
            self._left_out = [part.hopeless for part in self._parts]
        wanted = [estimate for estimate, out in zip(estimates, self._left_out, strict=True) if not out]
        if not all(estimate.ok for estimate in wanted):
            self.reject()
        flags = Verdict.OK
        for estimate in wanted:
            flags |= estimate.flags
        return Estimate(flags=flags)

    def _unite(self) -> None:
        self._consensus = self._regions.consensus(
            [
                part.registrar.lever() if part.registrar else lever_of(box.width / 2, box.height / 2)
                for part, box in zip(self._parts, self._regions.boxes, strict=True)
            ]
        )


def _part_of(policy: ReferencePolicy, box: Box) -> ReferencePolicy:
    """The policy with the region's part of its image."""
    if policy.image is None:
        return policy
    part = copy.copy(policy)
    part.image = policy.image[box.area]
    return part
