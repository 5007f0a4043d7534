"""What a frame is compared with: a fixed image, the mean of the first K, or a mean that rolls, held by an anchor.

A reference that follows the frames random-walks; measured now and then in an anchor that does not change, and corrected
for what it has walked, it does not. No frame is in its own reference, and only frames that passed the gate enter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec
import numpy.typing as npt

from rtreg.errors import FrameError
from rtreg.estimators.pieces import Job, Pieces
from rtreg.estimators.registrar import LEAST_INFORMATION, Place, Registrar
from rtreg.live.anchor import Anchor
from rtreg.live.policy import ReferencePolicy
from rtreg.live.rolling import Rolling, RollingMean, WindowMean
from rtreg.live.stacking import Group, smoothed
from rtreg.noise import NoiseModel
from rtreg.records import Covariance, Estimate, Frame, ReferenceInfo, Shift

Image = npt.NDArray[Any]
GIVE_UP_AFTER = 20  # frames that match no reference which has matched none before
LONGEST_PIECE_NS = 1_000_000_000  # what slow cameras leave for one piece of work, at the most
STEP_COST_NS = 150  # a pixel: one leave-one-out measurement of the group, generously
SHARE = 0.2  # of the time between frames is for the reference
PIECE_NS, PIXEL_NS = 20_000, 1.5  # what one piece of its work costs, and each pixel adds


# what a snapshot takes as it is
_PLAIN = ("identity", "ready", "age", "_misses", "_rolled", "_learnt", "_last_ns", "_learnt_ns", "_period_ns")


class MakeRegistrar(Protocol):
    """`Registrar` with its options already given: from a reference image to the estimator for it."""

    def __call__(
        self, reference: Image, *, noise: NoiseModel, reference_frames: float, calibrated: bool
    ) -> Registrar: ...


class Reference:
    """One reference through its life: collecting, aligning, ready, rolling.

    Notes
    -----
    `measure` is on the frame path; `learn` is called after the command has left and does one bounded piece of work.
    The mutable state: the registrar frames are measured with; before it is ready, the group; afterwards, when it
    rolls, the rolling mean, its anchor, and the covariance of the zero that they began with.
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
        self._rolling: Rolling | None = None
        self._rolled = False  # whether frames are measured in the rolling mean by now, not in the group's
        self._anchor: Anchor | None = None
        self._zero: Covariance = ((0.0, 0.0), (0.0, 0.0))  # of the position of the group's mean, px²
        self._fresh: Estimate | None = None
        self._candidate: tuple[Frame, Estimate] | None = None  # for the group
        self._work = ""  # what is being done in pieces: "renew" or "measure"
        self._job: Job[None] | None = None
        self._learnt = False  # whether the frame before has been taken in
        self._places: list[Place] = []  # that it was told to get ready for
        self._last_ns = self._learnt_ns = 0  # receive times, CLOCK_MONOTONIC
        self._period_ns = LONGEST_PIECE_NS

    def snapshot(self) -> dict[str, Any]:
        """What is known besides policy and noise: plain data, and arrays that the next frame may change."""
        parts = {"registrar": self.registrar, "group": self._group, "rolling": self._rolling, "anchor": self._anchor}
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "members": self.members,
            "zero": self._zero,
            "work": None if self._job is None else (self._work, self._job.done, [(*p, t) for p, t in self._places]),
            **{name: None if part is None else part.snapshot() for name, part in parts.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Be as the reference of the same policy and noise that gave `snapshot`, between two frames."""
        for name in _PLAIN:
            setattr(self, name, type(getattr(self, name))(state[name]))
        self.members = [(int(epoch), int(seq)) for epoch, seq in state["members"]]
        (xx, xy), (_, yy) = state["zero"]
        self._zero = ((float(xx), float(xy)), (float(xy), float(yy)))
        self._fresh = self._candidate = None
        if state["registrar"] is None:
            return
        image = state["registrar"]["reference"]
        self._use(image, 1.0, calibrated=True)
        assert self.registrar is not None
        self.registrar.restore(state["registrar"])
        if state["group"] is not None:
            self._group = Group(self.registrar.shape)
            self._group.restore(state["group"])
        if state["rolling"] is not None:
            self._rolling = self._new_rolling(image, 1)
            self._rolling.restore(state["rolling"])
        if state["anchor"] is not None:
            self._anchor = self._new_anchor(image)
            self._anchor.restore(state["anchor"])
        if state["work"] is not None:
            self._work, done, places = state["work"]
            self._places = [(Shift(float(dx), float(dy)), bool(tracked)) for dx, dy, tracked in places]
            self._job = Job(self._begin_work(iter([*self._places])))
            self._job.advance(int(done))

    def info(self) -> ReferenceInfo:
        """Identity, age and estimated walk, as published; the walk of a reference that does not roll is 0."""
        if not self.ready:
            return ReferenceInfo()
        return ReferenceInfo(
            id=self.identity, age_frames=self.age, walk=self._anchor.walk if self._anchor and self._rolled else 0.0
        )

    def measure(self, frame: Frame) -> Estimate:
        """Estimate of a frame; while the reference is being made, its rough place in the first frame."""
        self._fresh = self._candidate = None
        if self.registrar is None:
            self._begin(frame)
            if self._policy.image is None:
                return Estimate()  # the frame is the reference, or a part of it
        assert self.registrar is not None
        line = self.registrar.noise_line
        estimate = self.registrar.measure(frame.pixels)
        if self._job is not None and self.registrar.noise_line != line:
            self._set_to_work(self._work)  # from the beginning: it was for a noise that is known better now
        if self.age == 0 and self._policy.image is None:
            self._misses = 0 if estimate.ok else self._misses + 1
        if not self.ready:
            # the shortest: a gap may be of our own making, and must not make the next one longer
            self._period_ns = min(self._period_ns, max(0, frame.recv_mono_ns - self._last_ns))
            self._last_ns = frame.recv_mono_ns
            self._candidate = (frame, estimate)
            return estimate
        if frame.recv_mono_ns - self._learnt_ns >= 1e9 / self._policy.learn_hz:
            self._fresh, self._learnt_ns = estimate, frame.recv_mono_ns
        return self._since_the_start(estimate)

    @property
    def begun(self) -> bool:
        """Whether a first frame has been taken for it."""
        return self.registrar is not None

    @property
    def lock(self) -> str:
        """When and why the lock changed last, for people."""
        return self.registrar.last_transition if self.registrar else ""

    @property
    def hopeless(self) -> bool:
        """Whether its first frame was a bad one: none of those that followed it has matched."""
        return self._misses >= GIVE_UP_AFTER

    def accept(self) -> None:
        """The gate let the last measured frame pass: it may be learnt from, and the age grows."""
        self.age += 1
        if self._anchor is not None:
            self._anchor.advance()

    def reject(self) -> None:
        """The last measured frame is not to be learnt from."""
        self._fresh = self._candidate = None

    def look_at(self, shift: Shift) -> None:
        """Look for the next frame at this shift, px, and only search if it is not there."""
        if self.registrar is not None:
            self.registrar.look_at(shift)

    def learn(self, period_ns: int) -> None:
        """A bounded part of what there is to do, after the command has left: align the group, or roll the mean.

        `period_ns` is the time that the camera leaves between frames, as far as known: a fifth of it is taken, or what
        one piece of the work needs.
        """
        if self._candidate is not None:
            self._join(*self._candidate)
            self._candidate = None
        if self._group is not None and len(self._group) >= self._policy.frames:
            self._align_group()
        elif self.registrar is not None:
            left = max(1, int(SHARE * period_ns / (PIECE_NS + PIXEL_NS * math.prod(self.registrar.shape))))
            # to take a frame in is a piece, too; but where there is time for one alone, frames must not take all turns
            self._learnt = self._fresh is not None and not (self._learnt and left == 1)
            if self._fresh is not None and self._learnt:
                self._roll(self._fresh)
                left -= 1
            while left > 0 and self._do_a_piece(self.registrar):
                left -= 1
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
            group.place(found.shift if found.ok else None, found.chi2_dof)
        if group.work_left == 0:
            for index in reversed(misfits := group.drop_misfits()):
                del self.members[index]
            if not misfits:
                self._finish(group)

    def _finish(self, group: Group) -> None:
        image, frames = group.mean(), len(group)
        self._use(image, frames, calibrated=True)
        self._group = None
        self.ready = True
        if self._policy.rolls:
            self._rolling = self._new_rolling(image, frames)

    def _new_rolling(self, image: Image, frames: int) -> Rolling:
        make = WindowMean if self._policy.policy == "window" else RollingMean
        return make(image, frames, self._policy.memory)

    def _use(self, image: Image, frames: float, *, calibrated: bool) -> None:
        self.registrar = self._make(image, noise=self._noise, reference_frames=frames, calibrated=calibrated)

    # -- rolling it -------------------------------------------------------------------------------------------------

    def _roll(self, estimate: Estimate) -> None:
        """Take the last frame into the mean."""
        rolling = self._rolling
        if rolling is None:
            return
        assert self.registrar is not None
        rolling.add(self.registrar.work, estimate.shift)
        if self._anchor is None:
            self._anchor = self._drop_anchor(estimate)

    def _do_a_piece(self, registrar: Registrar) -> bool:
        """The next piece of what makes the mean ready to be used, if there is one."""
        if registrar.keep_up():
            return True
        if self._job is None:
            return self._merge()
        if self._job.advance():
            self._end_work()
        return True

    def _merge(self) -> bool:
        """Once a batch is full it is taken into the mean, and the registrar is to have that."""
        rolling, anchor = self._rolling, self._anchor
        if rolling is None or anchor is None or not rolling.full(self._policy.batch):
            return False
        anchor.learnt(rolling.pending)
        rolling.merge()
        self._set_to_work("renew")
        return True

    def _set_to_work(self, what: str) -> None:
        self._work, self._places = what, []
        self._job = Job(self._begin_work(iter(())))

    def _begin_work(self, told: Iterator[Place]) -> Pieces[None]:
        """What is in `_work`, in pieces; the places `told` are those that it was told before, in another process."""
        rolling, registrar = self._rolling, self.registrar
        assert rolling is not None
        assert registrar is not None
        if self._work == "measure":
            assert self._anchor is not None
            return self._anchor.measuring(rolling)

        def where() -> Place:
            place = next(told, None)
            if place is None:
                place = registrar.place
                self._places.append(place)
            return place

        return registrar.renewing(rolling.image, reference_frames=rolling.frames, where=where)

    def _end_work(self) -> None:
        """Frames are measured in the new mean from now on; now and then that is measured itself."""
        done = self._work
        self._job, self._work, self._places = None, "", []
        self._rolled = True
        if done == "renew" and self._anchor is not None and self._anchor.due:
            self._set_to_work("measure")

    def _drop_anchor(self, estimate: Estimate) -> Anchor:
        """The anchor at the group's mean, whose place is as uncertain as one frame's, over the number of frames."""
        assert self._rolling is not None
        frames = self._rolling.frames
        self._zero = _scaled(estimate.covariance, 1.0 / (frames + 1.0))
        (xx, _), (_, yy) = estimate.covariance
        variance = 0.5 * (xx + yy) * frames / (frames + 1.0)
        # the group's noise is in its gradients, too: in the cleaner ones of the mean, its place is another one
        assert self.registrar is not None
        clean = max(LEAST_INFORMATION, self.registrar.information_left)
        zero = variance / frames
        return self._new_anchor(self._rolling.image, variance, zero, zero * (1.0 - clean) / clean)

    def _new_anchor(
        self, image: Image, frame_variance: float = 0.0, zero_variance: float = 0.0, change: float = 0.0
    ) -> Anchor:
        assert self.registrar is not None
        return Anchor(
            image,
            self.registrar.sibling,
            every=self._policy.anchor_every,
            correct=self._policy.policy == "anchored",
            frame_variance=frame_variance,
            zero_variance=zero_variance,
            change=change,
        )

    def _since_the_start(self, estimate: Estimate) -> Estimate:
        """An estimate against the rolling mean as one against the zero it began with.

        The noise of a rolling mean is in its place only so far as that has walked: each frame in it was aligned with
        it, noise and all. So of the reported covariance the frame's own part stays, and the zero's is added.
        """
        anchor, rolling = self._anchor, self._rolling
        if anchor is None or rolling is None or not self._rolled:
            return estimate
        shift = Shift(estimate.dx + anchor.now.dx, estimate.dy + anchor.now.dy)
        own = _scaled(estimate.covariance, rolling.frames / (rolling.frames + 1.0))
        walked, zero = anchor.walk_variance, self._zero
        xx, xy, yy = own[0][0] + zero[0][0] + walked, own[0][1] + zero[0][1], own[1][1] + zero[1][1] + walked
        return msgspec.structs.replace(estimate, shift=shift, covariance=((xx, xy), (xy, yy)))


def _scaled(covariance: Covariance, factor: float) -> Covariance:
    (xx, xy), (_, yy) = covariance
    return ((factor * xx, factor * xy), (factor * xy, factor * yy))
