"""What a frame is compared with: a fixed image, the mean of the first K, or a mean that rolls, held by an anchor.

A reference that follows the frames random-walks; measured now and then in an anchor that never changes, and corrected
for what it has walked, it does not. No frame is in its own reference, and only frames that passed the gate enter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, Protocol, get_args

import msgspec
import numpy.typing as npt

from rtreg.errors import ConfigError, FrameError
from rtreg.estimators.registrar import Registrar
from rtreg.live.stacking import Group, RollingMean, smoothed
from rtreg.noise import NoiseModel
from rtreg.records import Estimate, Frame, ReferenceInfo, Shift

Image = npt.NDArray[Any]
Policy = Literal["anchored", "mean", "fixed"]
GIVE_UP_AFTER = 20  # frames that match no reference which has matched none before
RAMP_SHARE = 4  # of the time between two anchorings goes by while the output follows the last one
LONGEST_PIECE_NS = 1_000_000_000  # what slow cameras leave for one piece of work, at the most
STEP_COST_NS = 150  # a pixel: one leave-one-out measurement of the group, generously


class MakeRegistrar(Protocol):
    """`Registrar` with its options already given: from a reference image to the estimator for it."""

    def __call__(
        self, reference: Image, *, noise: NoiseModel, reference_frames: float, calibrated: bool
    ) -> Registrar: ...


class ReferencePolicy:
    """How the reference is made and whether it follows the scene.

    Parameters
    ----------
    policy : {"anchored", "mean", "fixed"}
        "fixed": the first good frame, or `image`, for ever. "mean": the mean of the first `frames`, aligned with each
        other. "anchored": that mean is the anchor; a rolling mean of aligned frames is what frames are compared with.
    frames : int
        How many frames are aligned into the first reference.
    memory : int
        Frames that the rolling mean remembers.
    batch : int
        The rolling mean is renewed after so many frames.
    learn_hz : float
        At most so many frames a second enter the rolling mean: a scene does not change faster, and a fast loop has
        better things to do.
    anchor_every : int
        After so many frames the rolling mean is measured in the anchor, and the output corrected for its walk,
        gradually, so that it makes no step.
    image : array, optional
        (ny, nx) reference in raw pixels for policy "fixed"; in a configuration the path of an image file.
    image_frames : float
        How many frames were averaged into `image`.
    """

    def __init__(
        self,
        *,
        policy: Policy = "anchored",
        frames: int = 16,
        memory: int = 256,
        batch: int = 8,
        learn_hz: float = 100.0,
        anchor_every: int = 200,
        image: Image | None = None,
        image_frames: float = 1.0,
    ) -> None:
        if policy not in get_args(Policy):
            raise ConfigError(f"policy = {policy!r}: one of {', '.join(get_args(Policy))}")
        for name, value, least in (
            ("frames", frames, 2), ("memory", memory, 2), ("batch", batch, 1), ("anchor_every", anchor_every, 1)
        ):  # fmt: skip
            if value < least:
                raise ConfigError(f"{name} = {value}: at least {least}")
        if not learn_hz > 0.0:
            raise ConfigError(f"learn_hz = {learn_hz}: frames a second, must be positive")
        if image is not None and policy != "fixed":
            raise ConfigError(f"image is for policy 'fixed', not {policy!r}")
        self.policy, self.frames, self.memory, self.batch = policy, frames, memory, batch
        self.anchor_every, self.image, self.image_frames = anchor_every, image, image_frames
        self.learn_hz = learn_hz


class Reference:
    """One reference through its life: collecting, aligning, ready, rolling.

    Notes
    -----
    `measure` is on the frame path; `learn` is called after the command has left and does one bounded piece of work.
    The mutable state: the registrar frames are measured with; before it is ready, the group; afterwards, when it
    rolls, the rolling mean, the anchor's registrar and the walk since the last anchoring.
    """

    def __init__(
        self, policy: ReferencePolicy, make: Callable[..., Registrar] | MakeRegistrar, noise: NoiseModel, identity: int
    ) -> None:
        self._policy, self._make, self._noise = policy, make, noise
        self.identity = identity
        self.ready = False
        self.age = 0
        self._misses = 0  # frames in a row that did not match, before any did
        self.members: list[tuple[int, int]] = []
        self.registrar: Registrar | None = None
        self._group: Group | None = None
        self._rolling: RollingMean | None = None
        self._anchor: Registrar | None = None
        self._offset = _Ramp(max(1, policy.anchor_every // RAMP_SHARE))
        self._since_anchored = 0
        self._zero_variance = 0.0  # of the zero point, px²: the anchor's own, then what the mean has walked
        self._walked = 0.0
        self._fresh: Estimate | None = None
        self._renewed = False  # the mean has changed, the registrar has not been told yet
        self._last_ns = self._learnt_ns = 0  # receive times, CLOCK_MONOTONIC
        self._period_ns = LONGEST_PIECE_NS

    def info(self) -> ReferenceInfo:
        """Identity, age and estimated walk, as published."""
        if not self.ready:
            return ReferenceInfo()
        return ReferenceInfo(id=self.identity, age_frames=self.age, walk=math.sqrt(self._zero_variance + self._walked))

    def measure(self, frame: Frame) -> Estimate:
        """Estimate of a frame; while the reference is being made, its rough place in the first frame."""
        self._fresh = None
        if self.registrar is None:
            self._begin(frame)
            if self._policy.image is None:
                return Estimate()  # the frame is the reference, or a part of it
        assert self.registrar is not None
        estimate = self.registrar.measure(frame.pixels)
        if self.age == 0 and self._policy.image is None:
            self._misses = 0 if estimate.ok else self._misses + 1
        if not self.ready:
            self._join(frame, estimate)
            return estimate
        if frame.recv_mono_ns - self._learnt_ns >= 1e9 / self._policy.learn_hz:
            self._fresh, self._learnt_ns = estimate, frame.recv_mono_ns
        return self._offset.applied(estimate)

    @property
    def hopeless(self) -> bool:
        """Whether its first frame was a bad one: none of those that followed it has matched."""
        return self._misses >= GIVE_UP_AFTER

    def accept(self) -> None:
        """The gate let the last measured frame pass: it may be learnt from, and the age grows."""
        self.age += 1
        self._offset.advance()

    def reject(self) -> None:
        """The gate did not let the last measured frame pass."""
        self._fresh = None

    def learn(self) -> None:
        """One bounded piece of work after the command has left: align the group, or roll the mean."""
        if self._group is not None and len(self._group) >= self._policy.frames:
            self._align_group()
        elif self._renewed:
            self._renew()
        elif self._fresh is not None:
            self._roll(self._fresh)
        self._fresh = None

    # -- making it --------------------------------------------------------------------------------------------------

    def _begin(self, frame: Frame) -> None:
        policy = self._policy
        if policy.image is not None:
            if policy.image.shape != frame.pixels.shape:
                raise FrameError(
                    f"frame is {frame.pixels.shape} but the reference image is {policy.image.shape}; crop one of them"
                )
            self._use(policy.image, policy.image_frames, calibrated=False)
            self.ready = True
            return
        self._use(frame.pixels, 1.0, calibrated=False)
        self.members = [(frame.epoch, frame.seq)]
        self._last_ns = frame.recv_mono_ns
        if policy.policy == "fixed":
            self.ready = True
            return
        assert self.registrar is not None
        self._group = Group(self.registrar.shape)
        self._group.add(self.registrar.reference, Shift(0.0, 0.0))
        # one noisy frame is a poor reference for the others; smoothed, it tells well enough where they are
        image, frames = smoothed(self.registrar.reference)
        self.registrar.set_reference(image, reference_frames=frames, calibrated=True)

    def _join(self, frame: Frame, estimate: Estimate) -> None:
        assert self._group is not None
        assert self.registrar is not None
        # the shortest: a gap may be of our own making, and must not make the next one longer
        self._period_ns = min(self._period_ns, max(0, frame.recv_mono_ns - self._last_ns))
        self._last_ns = frame.recv_mono_ns
        if len(self._group) < self._policy.frames and estimate.ok:
            self._group.add(self.registrar.work, estimate.shift)
            self.members.append((frame.epoch, frame.seq))

    def _align_group(self) -> None:
        """As many measurements as fit in a frame's period, at least one; the last one makes the reference."""
        group = self._group
        assert group is not None
        assert self.registrar is not None
        cost = STEP_COST_NS * self.registrar.shape[0] * self.registrar.shape[1]
        for _ in range(max(1, self._period_ns // cost)):
            if group.work_left == 0:
                break
            others, frame, position = group.next_pair()
            self.registrar.set_reference(others, reference_frames=len(group) - 1, calibrated=True)
            found = self.registrar.measure(frame, guess=position, calibrated=True)
            group.place(found.shift if found.ok else None)
        if group.work_left == 0:
            self._finish(group)

    def _finish(self, group: Group) -> None:
        image, frames = group.mean(), len(group)
        self._use(image, frames, calibrated=True)
        self._group = None
        self.ready = True
        if self._policy.policy == "anchored":
            self._rolling = RollingMean(image, frames, self._policy.memory)
            self._anchor = self._registrar(image, frames, calibrated=True)

    def _use(self, image: Image, frames: float, *, calibrated: bool) -> None:
        self.registrar = self._registrar(image, frames, calibrated=calibrated)

    def _registrar(self, image: Image, frames: float, *, calibrated: bool) -> Registrar:
        return self._make(image, noise=self._noise, reference_frames=frames, calibrated=calibrated)

    # -- rolling it -------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Let the registrar have the new mean."""
        rolling = self._rolling
        assert rolling is not None
        assert self.registrar is not None
        self.registrar.set_reference(rolling.image, reference_frames=rolling.frames, calibrated=True)
        self.registrar.prepare()
        self._renewed = False

    def _roll(self, estimate: Estimate) -> None:
        """Take the last frame into the mean."""
        rolling = self._rolling
        if rolling is None:
            return
        assert self.registrar is not None
        rolling.add(self.registrar.work, estimate.shift)
        frame_variance = 0.5 * (estimate.covariance[0][0] + estimate.covariance[1][1])
        if self._zero_variance == 0.0:
            self._zero_variance = frame_variance / self._policy.frames
        self._since_anchored += 1
        if rolling.pending < self._policy.batch:
            return
        count = rolling.pending
        weight = rolling.merge()
        self._walked += weight * weight * frame_variance / count
        self._renewed = True
        if self._since_anchored >= self._policy.anchor_every:
            self._re_anchor(rolling)

    def _re_anchor(self, rolling: RollingMean) -> None:
        assert self._anchor is not None
        found = self._anchor.measure(rolling.image, guess=self._offset.target, calibrated=True)
        if not found.ok:
            return
        self._offset.aim(found.shift)
        self._since_anchored = 0
        # what is left is how well that one measurement knew: the noise of the mean against the anchor's
        self._walked = self._zero_variance * self._policy.frames / rolling.frames


class _Ramp:
    """The rolling mean's place in the anchor, approached in small even parts so that the output makes no step."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._now = Shift(0.0, 0.0)
        self._part = Shift(0.0, 0.0)
        self._left = 0
        self.target = Shift(0.0, 0.0)

    def aim(self, target: Shift) -> None:
        self.target = target
        self._left = self._length
        self._part = Shift((target.dx - self._now.dx) / self._length, (target.dy - self._now.dy) / self._length)

    def advance(self) -> None:
        if self._left:
            self._left -= 1
            self._now = Shift(self._now.dx + self._part.dx, self._now.dy + self._part.dy)

    def applied(self, estimate: Estimate) -> Estimate:
        if self._now == (0.0, 0.0):
            return estimate
        shift = Shift(estimate.dx + self._now.dx, estimate.dy + self._now.dy)
        return msgspec.structs.replace(estimate, shift=shift)
