"""The engine: frames, orders and ticks in, results out. No socket, file, thread or clock in here: time is data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rtreg.errors import ConfigError, FrameError
from rtreg.estimators.regions import Box, RegionPolicy
from rtreg.estimators.registrar import Registrar
from rtreg.live.controller import Controller
from rtreg.live.kind import Kind
from rtreg.live.policy import ReferencePolicy
from rtreg.live.quality import QualityGate
from rtreg.live.reference import Reference
from rtreg.live.regions import RegionReference
from rtreg.live.successor import Successor
from rtreg.live.warming import warming
from rtreg.noise import NoiseModel
from rtreg.records import Estimate, Frame, Order, ReferenceInfo, Result, Shift, State, Tick, Verdict

NS = 1_000_000_000
RUNAWAY = "RUNAWAY"  # what the frame is held for whose step opens the loop
_KEPT_OF_LAST = ("stream", "epoch", "seq", "t_ns", "recv_mono_ns")  # of the last frame, for a snapshot
UNUSABLE = Verdict.DARK | Verdict.SATURATED | Verdict.NAN  # flags of frames that say nothing of the field


class Engine:
    """Decides what each frame means: reference, estimate, verdict, command.

    Parameters
    ----------
    make_registrar : callable
        ``make_registrar(reference, noise=..., reference_frames=..., calibrated=...) -> Registrar``: the estimator's
        options are in it already.
    reference : ReferencePolicy
    gate : QualityGate
    controller : Controller
    noise : NoiseModel, optional
        Detector constants; without them those in the frames' headers are used.
    regions : RegionPolicy, optional
        Measure these regions of the frame, each with a reference of its own, and combine them.
    stream : str
        Name of the stream, for results that no frame has caused.
    lost_after : float
        A lock that has been held for this long is LOST, s of receive time.
    stale_after : float
        Without a frame for this long, or five frame periods if those are longer, the state is STALE, s. It is said with
        the next tick, within a second as it is.
    new_field_after : float or None
        When good frames have matched the reference nowhere for this long, s, another field is in view: a new reference
        is made of it, and takes over once it has proved itself. None to hold for ever, as with regions, which are of
        one field.

    Notes
    -----
    `process` is the latency path; `learn` does what can wait until the command has left. `handle` and `tick` come in
    between frames. The mutable state: the reference and its successor, `state`, the controller's and the gate's own,
    the last frame's identity and times, `paused`. One thread.
    """

    def __init__(
        self,
        make_registrar: Callable[..., Registrar],
        *,
        reference: ReferencePolicy,
        gate: QualityGate,
        controller: Controller,
        noise: NoiseModel | None = None,
        regions: RegionPolicy | None = None,
        stream: str = "cam",
        lost_after: float = 1.0,
        stale_after: float = 0.9,
        new_field_after: float | None = 1.0,
    ) -> None:
        times = {"lost_after": lost_after, "stale_after": stale_after, "new_field_after": new_field_after}
        for name, value in times.items():
            if value is not None and not 0.0 < value < 1e9:
                raise ConfigError(f"{name} = {value}: s, must be positive and finite")
        self._make, self._policy, self._gate, self._controller = make_registrar, reference, gate, controller
        self._noise, self._stream = noise, stream
        self._regions = regions if regions is not None and regions.boxes else None
        self._lost_after_ns, self._stale_after_ns = int(lost_after * NS), int(stale_after * NS)
        self.state = State.NO_REFERENCE
        self.paused = False
        self._identity = 0
        self._reference: Reference | RegionReference | None = None
        # regions are of one field: in another, they would be in the wrong places
        self._successor = Successor(reference, make_registrar, None if self._regions else new_field_after)
        self._unknown: Frame | None = None  # the last frame, if it is a good one that the reference does not know
        self._began = "the first frames"  # why there is this reference and not the one before
        self._kind = Kind()
        self._last: Frame | None = None
        self._good_ns = 0  # receive time of the last frame that was not held, or of the first since it is known
        self._interval_ns = self._period_ns = 0  # between the last two frames; the shorter of the last two such
        self._problem = ""
        self._retuned: dict[str, Any] = {}  # what is no longer as configured

    def __repr__(self) -> str:
        regions = f", {len(self._regions.boxes)} regions" if self._regions else ""
        return f"<Engine {self._stream} {self.state}, reference {self._identity}{regions}, {self._controller!r}>"

    # -- the path of a frame ----------------------------------------------------------------------------------------

    def process(self, frame: Frame) -> Result:
        """What to do about a frame. A bad one is held, with the reason.

        Raises
        ------
        FrameError
            When its shape, dtype, region, binning or detector constants are not those of the stream. Once some in a
            row agree with each other (see `Kind`), the stream has changed, and gets a new reference.
        """
        self._note_time(frame)
        self._unknown = None
        if self.paused:
            self.state = State.PAUSED
            return self._result(frame, Estimate(), Verdict.OK, held="PAUSED")
        if self._kind.changes(frame):
            self._drop_reference(f"the stream has changed to {self._kind}")
        estimate, refused = self._measure(frame)
        reference = self._reference
        if refused or reference is None:
            return self._held(frame, estimate, estimate.flags or Verdict.NAN)
        if not reference.ready or (estimate.ok and not math.isfinite(estimate.dx)):
            self.state = State.ACQUIRING
            return self._result(frame, Estimate(flags=estimate.flags), estimate.flags, held="ACQUIRING")
        if estimate.ok:
            self._successor.forget()
        elif not estimate.flags & UNUSABLE:
            self._unknown = frame
        verdict = self._gate.judge(estimate, frame, self._controller.take_asked())
        if verdict:
            reference.reject()
            if self._gate.home is not None:
                reference.look_at(self._gate.home)
            return self._held(frame, estimate, verdict)
        reference.accept()
        self._good_ns = frame.recv_mono_ns
        self.state = State.LOCKED
        return self._result(frame, estimate, verdict, held="" if self._controller.closed else "OPEN")

    def learn(self) -> None:
        """Let the reference learn from the last frame, if the gate let it pass. After the command has left."""
        if self._reference is None or self.paused:
            return
        self._reference.learn(self._period_ns)
        present = self._reference
        if self._unknown is not None and isinstance(present, Reference) and present.registrar is not None:
            self._successor.consider(self._unknown, present.registrar, self._noise_for(self._unknown), self._period_ns)
        self._unknown = None

    def tick(self, tick: Tick) -> Result | None:
        """Time without a frame: HOLD, then STALE. None before the first frame: there is no stream to speak of."""
        last = self._last
        if last is None:
            return None
        silent = tick.mono_ns - last.recv_mono_ns
        stale = silent > max(self._stale_after_ns, 5 * self._period_ns)
        if self.paused:
            self.state = State.PAUSED
        elif stale:
            self.state = State.STALE
        elif self.state is State.LOCKED:
            self.state = State.HOLD
        verdict = Verdict.STALE if stale else Verdict.OK
        return self._result(last, Estimate(), verdict, held="STALE" if stale else "NO_FRAME")

    # -- orders -----------------------------------------------------------------------------------------------------

    def handle(self, order: Order) -> dict[str, Any]:
        """Carry out an order; returns what to add to the reply. Raises `ConfigError` for one that cannot be."""
        actions: dict[str, Callable[..., dict[str, Any]]] = {
            "set_reference": self._new_reference,
            "open": lambda: self._loop(closed=False),
            "close": lambda: self._loop(closed=True),
            "pause": lambda: self._pause(True),
            "resume": lambda: self._pause(False),
            "dither": self._dither,
            "start_from": self._start_from,
            "mark": lambda note="": {"note": str(note)},
            "retune": self._retune,
        }
        if order.do not in actions:
            raise ConfigError(f"unknown order {order.do!r}; known: {', '.join(actions)}")
        try:
            return actions[order.do](**order.args)
        except TypeError as error:
            raise ConfigError(f"order {order.do!r} with {order.args}: {error}") from None

    def _new_reference(self) -> dict[str, Any]:
        self._drop_reference("")
        self._began = "ordered"
        return {"reference": self._identity + 1, "set_point": [0.0, 0.0]}

    def _drop_reference(self, problem: str) -> None:
        """The next frame begins a new reference, where the scene is then: there the set point is 0 again."""
        self._reference = None
        self._successor.forget()
        self._controller.aim(Shift(0.0, 0.0))
        self._problem = self._began = problem
        self.state = State.NO_REFERENCE

    def _succeed(self, reference: Reference) -> None:
        """Another field has proved itself: its zero is where it was first seen, and there it is to stay."""
        self._identity += 1
        reference.identity = self._identity
        self._reference, self._began = reference, "a new field in view"
        self._controller.aim(Shift(0.0, 0.0))
        self._gate.forget()

    def _loop(self, *, closed: bool) -> dict[str, Any]:
        self._controller.loop(closed=closed)
        return {"loop": "closed" if closed else "open"}

    def _pause(self, paused: bool) -> dict[str, Any]:
        self.paused = paused
        if not paused:
            self.state = State.HOLD if self._reference else State.NO_REFERENCE
        return {"state": str(State.PAUSED if paused else self.state)}

    def _dither(self, dx: float, dy: float) -> dict[str, Any]:
        if not (isinstance(dx, (int, float)) and isinstance(dy, (int, float)) and np.isfinite([dx, dy]).all()):
            raise ConfigError(f"dither to ({dx}, {dy}): two finite numbers, px")
        self._controller.aim(Shift(float(dx), float(dy)))
        return {"set_point": [float(dx), float(dy)]}

    def _start_from(self, position: tuple[float, float]) -> dict[str, Any]:
        """Where the device is, in the controller's unit: an absolute loop goes on from there."""
        at = tuple(position) if isinstance(position, (list, tuple)) else ()
        if len(at) != 2 or not all(isinstance(u, (int, float)) and np.isfinite(u) for u in at):
            raise ConfigError(f"start from {position!r}: two finite numbers, in the controller's unit")
        self._controller.start_from((float(at[0]), float(at[1])))
        return {"position": [float(at[0]), float(at[1])]}

    def _retune(self, **values: Any) -> dict[str, Any]:
        if not values:
            raise ConfigError("retune what? name at least one of " + ", ".join(self._tunable()))
        for name, value in values.items():
            if name not in self._tunable():
                raise ConfigError(f"cannot retune {name!r}; what can be: {', '.join(self._tunable())}")
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise ConfigError(f"{name} = {value!r}: must be a number")
        mine = {k: v for k, v in values.items() if k in self._controller.TUNABLE}
        gates = {k: v for k, v in values.items() if k in self._gate.TUNABLE}
        before = {name: getattr(self._controller, name) for name in mine}
        self._controller.retune(**mine)
        try:
            self._gate.retune(**gates)
        except ConfigError:
            self._controller.retune(**before)  # all or none
            raise
        self._retuned |= values
        return {"retuned": dict(values)}

    def _tunable(self) -> tuple[str, ...]:
        return self._controller.TUNABLE + self._gate.TUNABLE

    # -- state ------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Plain data for the status message: state, reference and its frames, loop, lock."""
        reference = self._reference
        info = self._info()
        return {
            "state": str(self.state),
            "problem": self._problem,
            "reference": {
                "id": info.id,
                "age_frames": info.age_frames,
                "walk": info.walk,
                "began": self._began,
                "successor": self._successor.frames,
                "frames": [list(member) for member in reference.members] if reference and reference.ready else [],
            },
            "lock": reference.lock if reference else "",
            "regions": [list(box) for box in self._regions.boxes] if self._regions else [],
            "controller": self._controller.status(),
        }

    def snapshot(self) -> dict[str, Any]:
        """All that the next results depend on besides the configuration: plain data, and arrays of the moment.

        Between two frames, after `learn`. The arrays are the engine's own: put them away before the next frame.
        """
        last, reference = self._last, self._reference
        return {
            "state": str(self.state),
            "paused": self.paused,
            "identity": self._identity,
            "kind": self._kind.snapshot(),
            "last": None if last is None else {name: getattr(last, name) for name in _KEPT_OF_LAST},
            "good_ns": self._good_ns,
            "interval_ns": self._interval_ns,
            "period_ns": self._period_ns,
            "problem": self._problem,
            "began": self._began,
            "retuned": self._retuned,
            "gate": self._gate.snapshot(),
            "controller": self._controller.snapshot(),
            "reference": None if reference is None else reference.snapshot(),
            "successor": self._successor.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `snapshot`: with the same configuration and frames, the same results to the last bit.

        Raises
        ------
        FrameError, ConfigError
            The snapshot does not go with this configuration.
        """
        self.state, self.paused, self._identity = State(state["state"]), bool(state["paused"]), int(state["identity"])
        self._kind.restore(state["kind"])
        self._problem, self._began = str(state["problem"]), str(state["began"])
        self._good_ns, self._period_ns = int(state["good_ns"]), int(state["period_ns"])
        self._interval_ns = int(state["interval_ns"])
        self._last = None if state["last"] is None else Frame(pixels=np.empty((0, 0)), **state["last"])
        if state["retuned"]:
            self._retune(**state["retuned"])
        self._gate.restore(state["gate"])
        self._controller.restore(state["controller"])
        noise = self._noise_for(self._kind.constants())
        self._successor.restore(state["successor"], noise)
        self._reference = None
        if state["reference"] is not None:
            self._reference = self._reference_with(noise)
            self._reference.restore(state["reference"])

    def warm_up(self, shape: tuple[int, int], dtype: Any) -> None:
        """Compile every kernel and make every plan that frames of this shape and dtype will need."""
        scratch = Engine(
            self._make,
            reference=ReferencePolicy(frames=2, batch=1, anchor_every=1),
            gate=QualityGate(),
            controller=Controller(),
            noise=self._noise,
            regions=self._regions,
        )
        image = warming(shape, dtype, self._regions.boxes if self._regions else [Box(0, 0, shape[1], shape[0])])
        image.flags.writeable = False  # as frames off the wire are: kernels are compiled for that
        for seq in range(100):
            scratch.process(Frame(pixels=image, seq=seq, recv_mono_ns=seq * NS))
            if seq < 24:
                scratch.learn()

    def _info(self) -> ReferenceInfo:
        return self._reference.info() if self._reference else ReferenceInfo()

    def _note_time(self, frame: Frame) -> None:
        if self._last is not None:
            before, self._interval_ns = self._interval_ns, max(0, frame.recv_mono_ns - self._last.recv_mono_ns)
            # the one frame after a silence must not make that the period
            self._period_ns = min(before or self._interval_ns, self._interval_ns)
        else:
            self._good_ns = frame.recv_mono_ns
        self._last = frame

    def _measure(self, frame: Frame) -> tuple[Estimate, bool]:
        """The estimate, and whether the frame could not even be looked at."""
        if self._reference is not None and self._reference.hopeless:
            self._drop_reference("the frames did not match the first one of the reference: began again")
            self._identity -= 1  # nobody has seen it
        if (successor := self._successor.take()) is not None:
            self._succeed(successor)
        if self._reference is None:
            self._identity += 1
            self._gate.forget()
            self._reference = self._reference_with(self._noise_for(frame))
        try:
            estimate = self._reference.measure(frame)
        except FrameError as error:  # the first frame of a reference: constant, or nothing but bad pixels
            self._problem = str(error)
            if not self._reference.begun:
                self._reference, self._identity = None, self._identity - 1
            return Estimate(flags=_why_unusable(frame)), True
        if self._reference.ready:
            self._problem = ""
        return estimate, False

    def _reference_with(self, noise: NoiseModel) -> Reference | RegionReference:
        if self._regions is not None:
            return RegionReference(self._regions, self._policy, self._make, noise, self._identity)
        return Reference(self._policy, self._make, noise, self._identity)

    def _noise_for(self, frame: Frame) -> NoiseModel:
        if self._noise is not None:
            return self._noise
        gain = frame.gain
        return NoiseModel(
            gain=gain,
            read_noise=frame.read_noise if gain is not None else None,
            offset=frame.offset or 0.0,
            saturation=frame.saturation,
        )

    def _held(self, frame: Frame, estimate: Estimate, verdict: Verdict) -> Result:
        lost = frame.recv_mono_ns - self._good_ns > self._lost_after_ns
        self.state = State.NO_REFERENCE if self._reference is None else State.LOST if lost else State.HOLD
        return self._result(frame, estimate, verdict, held="|".join(verdict.reasons))

    def _result(self, frame: Frame, estimate: Estimate, verdict: Verdict, *, held: str) -> Result:
        command = self._controller.hold() if held else self._controller.step(estimate.shift)
        if not (held or self._controller.closed):
            held = RUNAWAY  # that step has opened the loop, and says why in the controller's status
        return Result(
            stream=frame.stream,
            epoch=frame.epoch,
            seq=frame.seq,
            t_ns=frame.t_ns,
            state=self.state,
            estimate=estimate,
            verdict=verdict,
            command=command,
            reference=self._info(),
            held=held,
        )


def _why_unusable(frame: Frame) -> Verdict:
    """Which flag an image deserves that cannot even be a reference."""
    pixels = frame.pixels
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).any():
        return Verdict.NAN
    if frame.saturation is not None and float(np.max(pixels)) >= frame.saturation:
        return Verdict.SATURATED
    return Verdict.DARK
