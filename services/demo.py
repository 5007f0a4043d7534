"""The demo: a simulated camera, a tracker and an actuator as processes of their own, watched from a fourth.

Pure first: what is logged and the summary made of it. Then the children, then the run that ties them together. This
process reads corrections and status, in batches, and no frames: the cores belong to the loop it watches. A simulated
frame's true shift comes with its correction.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg import build
from rtreg.errors import DeviceError, RtregError
from rtreg.io.config import load
from rtreg.io.realtime import Stop, step_back
from rtreg.io.sockets import ControlClient, CorrectionSubscriber, StatusSubscriber
from rtreg.live.metrics import Latencies
from rtreg.records import Delivery, Result, State
from rtreg.services.view import View

Identity = tuple[int, int]  # (epoch, seq)
Pair = tuple[float, float]
UNKNOWN: Pair = (math.nan, math.nan)

OPEN_S, OPEN_SHARE = 5.0, 0.3  # the loop is open so long, but no more than this share of a short run
SETTLE_S = 1.0  # after closing, left out of the closed-loop figure; a third of it in a short run
REFERENCE_TRIES = 10
BATCH_S = 0.02  # one wake-up for many messages
COUNTERS = ("received", "lost", "skipped", "rejected")
_CONFIG = "simulated"


class Measured(NamedTuple):
    """What is kept of one correction."""

    frame: Identity
    shift: Pair
    sigma: Pair
    good: bool
    reference: int
    delivery: Delivery


@dataclass
class Log:
    """What the demo saw: the truth of every frame, every correction, and which frames each reference came from."""

    truth: dict[Identity, tuple[int, Pair]] = field(default_factory=dict)  # -> (mono_ns, shift)
    corrections: list[Measured] = field(default_factory=list)
    references: dict[int, list[Identity]] = field(default_factory=dict)

    def correction(self, result: Result, delivery: Delivery) -> None:
        """Take in a correction; a repetition of the last one (a tick without a frame) is left out."""
        frame = (result.epoch, result.seq)
        if self.corrections and self.corrections[-1].frame == frame:
            return
        if delivery.truth is not None:
            self.truth[frame] = (delivery.sent, delivery.truth)
        estimate = result.estimate
        good = not result.verdict and math.isfinite(estimate.dx) and math.isfinite(estimate.dy)
        self.corrections.append(Measured(frame, estimate.shift, estimate.sigma, good, result.reference.id, delivery))

    def status(self, status: Mapping[str, Any]) -> None:
        """Take in a tracker's status: which frames its reference is made of."""
        reference = status.get("reference") or {}
        frames = reference.get("frames") or []
        if frames:
            self.references[reference["id"]] = [(epoch, seq) for epoch, seq in frames]

    def reference_truth(self, reference: int) -> Pair:
        """The mean of the true shifts of a reference's own frames; NaN if one of them was not seen."""
        frames = self.references.get(reference, [])
        if not frames or any(frame not in self.truth for frame in frames):
            return UNKNOWN
        x, y = np.mean([self.truth[frame][1] for frame in frames], axis=0)
        return float(x), float(y)


class Phases(NamedTuple):
    """CLOCK_MONOTONIC ns: loop open from `start`, closed at `close` and settled from `settled`, over at `end`."""

    start: int
    close: int
    settled: int
    end: int


def summarise(log: Log, phases: Phases, before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, Any]:
    """The summary that ``rtreg demo --json`` prints. `before` and `after` are the tracker's counters."""
    rows = [row for row in log.corrections if _within(log, row.frame, phases.start, phases.end)]
    seconds = (phases.end - phases.start) / 1e9
    counts = {name: after[name] - before[name] for name in COUNTERS}
    latencies = Latencies()
    for row in rows:
        latencies.add(row.delivery)
    return {
        "frames": counts["received"],
        "lost": counts["lost"],
        "skipped": counts["skipped"],
        "rejected": counts["rejected"],
        "corrections": len(rows),
        "rate_hz": counts["received"] / seconds,
        "measure_rms_px": measure_rms(log, rows),
        "sigma_px": median_sigma(rows),
        "open_loop_rms_px": motion_rms(log, phases.start, phases.close),
        "closed_loop_rms_px": motion_rms(log, phases.settled, phases.end),
        "latency_us": latencies.summary_us(),
    }


def _within(log: Log, frame: Identity, begin: int, end: int) -> bool:
    return frame in log.truth and begin <= log.truth[frame][0] < end


def measure_rms(log: Log, rows: list[Measured]) -> list[float]:
    """Root mean square of estimate - (truth - the reference's own truth), px, [x, y], over the good estimates."""
    zero = {reference: np.array(log.reference_truth(reference)) for reference in {row.reference for row in rows}}
    errors = [np.array(row.shift) - log.truth[row.frame][1] + zero[row.reference] for row in rows if row.good]
    known = _finite_rows(errors)
    return [float(rms) for rms in np.sqrt(np.mean(known**2, axis=0))] if len(known) else list(UNKNOWN)


def median_sigma(rows: list[Measured]) -> float:
    """The median reported 1-sigma error of each axis, averaged over both, px."""
    known = _finite_rows([row.sigma for row in rows if row.good])
    return float(np.median(known, axis=0).mean()) if len(known) else math.nan


def motion_rms(log: Log, begin: int, end: int) -> float:
    """Root mean square of the true image motion about its mean between two times, px an axis."""
    known = _finite_rows([shift for mono, shift in log.truth.values() if begin <= mono < end])
    return float(np.sqrt(known.var(axis=0).mean())) if len(known) else math.nan


def _finite_rows(rows: list[Any]) -> npt.NDArray[np.float64]:
    table: npt.NDArray[np.float64] = np.array(rows, dtype=np.float64).reshape(-1, 2)
    return table[np.isfinite(table).all(axis=1)]


# The children


class Children:
    """The processes of the demo: started, watched, and gone when we are, however we end."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}
        self._files = contextlib.ExitStack()

    def start(self, name: str, *arguments: str) -> None:
        """Run ``rtreg`` with `arguments` in a process of its own."""
        said = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (kept until `close`)
        process = subprocess.Popen(
            [sys.executable, "-m", "rtreg", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,  # Ctrl-C is ours alone; we then end them in order
            preexec_fn=_die_with_parent(),
        )
        self._running[name] = (process, said)

    def pids(self) -> dict[str, int]:
        """Of the processes, by name."""
        return {name: process.pid for name, (process, _) in self._running.items()}

    def ready(self, name: str) -> bool:
        """Whether a process has said that it is: every service's first line on stderr, once it is warm."""
        return b" ready: " in _read(self._running[name][1])

    def check(self) -> None:
        """Raise `DeviceError`, with the last it said, if a process has ended."""
        for name, (process, said) in self._running.items():
            code = process.poll()
            if code is not None:
                raise DeviceError(f"the {name} process ended with code {code}: {_tail(said)}")

    def close(self) -> None:
        """Ask all to end, then make them; the recorder after the others, so that it has their last words."""
        last = self._running.pop("recorder", None)
        _end([process for process, _ in self._running.values()], 3.0)
        if last is not None:
            _end([last[0]], 20.0)  # it writes what it has
        self._running.clear()
        self._files.close()


def _end(processes: list[subprocess.Popen[bytes]], seconds: float) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _read(said: IO[bytes]) -> bytes:
    """All that a child has said; by position, since it goes on writing at the offset we share."""
    return os.pread(said.fileno(), 1 << 20, 0)


def _tail(said: IO[bytes]) -> str:
    """The last lines of a child's stderr, as one line."""
    lines = _read(said)[-2000:].decode("utf-8", "replace").strip().splitlines()
    return " / ".join(lines[-3:]) or "it said nothing"


def _die_with_parent() -> Callable[[], None] | None:
    """What a child runs first, so that it gets SIGTERM even if its parent is killed (Linux; None elsewhere)."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: between fork and exec as little as possible
    pr_set_pdeathsig = 1
    return lambda: prctl(pr_set_pdeathsig, int(signal.SIGTERM))


def free_endpoints(names: tuple[str, ...]) -> tuple[list[str], list[socket.socket]]:
    """Overrides that put each endpoint on a free loopback port, and the sockets that keep those ports ours.

    A port is reserved by a socket that is bound and never listens: with SO_REUSEADDR on both, libzmq can still bind
    it, and the system gives it to nobody else meanwhile.
    """
    held = []
    for _ in names:
        reserve = socket.socket()
        reserve.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserve.bind(("127.0.0.1", 0))
        held.append(reserve)
    ports = [reserve.getsockname()[1] for reserve in held]
    return [f"endpoints.{name}=tcp://127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)], held


# The run


class Demo:
    """One run. The mutable state is the children, the subscriptions, the `Log` and the `View`; all end with `close`."""

    def __init__(self, overrides: list[str], show: Callable[[View], None], record: Path | None = None) -> None:
        self._record = record
        ends, held = free_endpoints(("frames", "corrections", "control", "status", "device"))
        self._stack = contextlib.ExitStack()
        settings = [*overrides, *ends, *_one_core()]
        self._arguments = [_CONFIG, *(word for setting in settings for word in ("--set", setting))]
        config = load(_CONFIG, settings)
        for reserve in held:
            self._stack.enter_context(reserve)
        self._children = Children()
        self._stack.callback(self._children.close)
        at, stream, guard = config.endpoints, config.stream, build.guard(config)
        self._corrections = self._stack.enter_context(CorrectionSubscriber(at.corrections, stream, guard=guard))
        self._statuses = self._stack.enter_context(StatusSubscriber(at.status, stream, guard=guard))
        self._control = self._stack.enter_context(ControlClient(at.control, guard=guard))
        self._show = show
        self._stop = Stop().listen()
        self.log = Log()
        self.view = View(stream)

    def close(self) -> None:
        """End the children, close the sockets."""
        self._stack.close()

    def run(self, seconds: float) -> dict[str, Any]:
        """Open loop, closed loop, summary; `DeviceError` if a process fails, KeyboardInterrupt on a signal."""
        self._start()
        opened = min(OPEN_S, OPEN_SHARE * seconds)
        before, start = self._counters(), time.monotonic_ns()
        self._spend(opened, "loop open, closing in {left:.0f} s")
        self._ask("close")
        close = time.monotonic_ns()
        self._spend(seconds - opened, "loop closed, {left:.0f} s to go")
        after, end = self._counters(), time.monotonic_ns()
        self._pump()
        settled = close + int(min(SETTLE_S, (seconds - opened) / 3) * 1e9)
        return summarise(self.log, Phases(start, close, settled, end), before, after)

    def _start(self) -> None:
        """All processes up, the loop open, and a reference of frames whose truth we know."""
        self._children.start("actuator", "actuate", *self._arguments)
        self._children.start("tracker", "track", *self._arguments)
        self._wait_for("tracker", "starting the tracker (compiles its kernels, first run only)")
        self._wait_for("actuator", "starting the actuator")
        self._ask("open")
        if self._record is not None:
            self._children.start("recorder", "record", *self._arguments, str(self._record))
            self._wait_for("recorder", "starting the recorder")
        self._children.start("camera", "camera", *self._arguments)
        step_back()  # all children have been started with the old priority
        self._wait_for("camera", "starting the camera (compiles its kernels, first run only)")
        self._wait(lambda: bool(self.log.truth and self.log.corrections), 30.0, "waiting for the first frames")
        self._take_reference()

    def _take_reference(self) -> None:
        """A reference of frames that we saw, every one: on a busy machine some may have passed us by."""
        for _ in range(REFERENCE_TRIES):
            old = self.log.corrections[-1].reference
            self._ask("set_reference")
            self._wait(functools.partial(self._has_new_reference, old), 60.0, "taking a reference")
            self._counters()
            self._pump()
            if math.isfinite(self.log.reference_truth(self.log.corrections[-1].reference)[0]):
                return
        raise DeviceError("this machine is too busy: frames of the reference were never seen; try a lower --rate")

    def _has_new_reference(self, old: int) -> bool:
        last = self.view.last
        return last is not None and last.state is State.LOCKED and last.reference.id != old

    def _ask(self, order: str) -> dict[str, Any]:
        reply = self._control.ask(order)
        if not reply["ok"]:
            raise RtregError(f"the tracker refuses {order}: {reply.get('error')}")
        return reply

    def _counters(self) -> dict[str, int]:
        """The tracker's own accounts, and on the way which frames its reference is made of."""
        status = self._ask("status")
        self.log.status(status)
        ledger = status["ledger"]
        return {name: _total(ledger[name]) for name in COUNTERS}

    def _wait_for(self, name: str, note: str) -> None:
        self._wait(lambda: self._children.ready(name), 300.0, note)

    def _wait(self, done: Callable[[], bool], seconds: float, note: str) -> None:
        """Look on until `done`; `DeviceError` after `seconds`."""
        end = time.monotonic() + seconds
        self.view.note = note
        while not done():
            if time.monotonic() > end:
                raise DeviceError(f"gave up after {seconds:.0f} s of {note}")
            self._pump()

    def _spend(self, seconds: float, note: str) -> None:
        """Look on for `seconds`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.view.note = note.format(left=math.ceil(left))
            self._pump()

    def _pump(self) -> None:
        """Take in what has come, show it, rest."""
        if self._stop:
            raise KeyboardInterrupt
        while (got := self._corrections.receive(0)) is not None:
            self.log.correction(got.result, got.delivery)
            self.view.correction(got.result, got.delivery, time.monotonic_ns())
        while (status := self._statuses.receive(0)) is not None:
            self.log.status(status)
            self.view.status = status
        self._children.check()
        self._show(self.view)
        time.sleep(BATCH_S)


def _one_core() -> list[str]:
    """The setting that keeps the tracker on one core, the last, where its caches stay warm; none if there is one."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return [f"tracker.affinity=[{cores[-1]}]"] if len(cores) > 1 else []


def _total(count: int | Mapping[str, int]) -> int:
    """A counter, or the sum of one that is kept by reason."""
    return sum(count.values()) if isinstance(count, Mapping) else count


def main(
    overrides: list[str], seconds: float, show: Callable[[View], None], record: Path | None = None
) -> dict[str, Any]:
    """Run the demo with `overrides` of the shipped config, `seconds` of flowing frames, and return its summary.

    With `record` all that is published is recorded to that file, by one more process.
    """
    demo = Demo(overrides, show, record)
    try:
        return demo.run(seconds)
    finally:
        demo.close()
