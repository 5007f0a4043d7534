"""Real input: Micro-Manager's demo camera held against its own stage, through the real processes.

    python bench/micromanager.py                 all three runs, the loop for two minutes
    python bench/micromanager.py moves drift     some of them

moves   the loop is open; stage moves of a few um, each followed by a settled frame, against the stage's read-out
drift   the loop is open; 0.5 um/s, against the time stamps alone (mean removed: nobody knows when it began)
loop    camera, tracker and actuator; that drift plus a 0.3 um step every 2 s; what is left against the reference

Needs the extra ``micromanager``. Exits with 1 if a figure is above its limit.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg.io.sockets import CorrectionSubscriber, DeviceClient, FrameSubscriber
from rtreg.records import Shift, State

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "microscope_drift.toml"
STREAM = "scope"
START_S = 120.0  # a first start compiles
SILENCE_MS = 5000
DRIFT_UM_S = (0.4, -0.3)  # 0.5 um/s
STILL: Mapping[str, Any] = {
    "motion.drift": [0.0, 0.0],
    "motion.periodic": [0.0, 0.0],
    "motion.walk": 0.0,
    "motion.jitter": 0.0,
    "motion.step": 0.0,
}
DRIFT = {**STILL, "motion.drift": list(DRIFT_UM_S)}
DRIFT_AND_STEPS = {**DRIFT, "motion.step": 0.3, "motion.step_every": 2.0}


class Sample(NamedTuple):
    """One frame with the correction it gave: truth and shift in px, (x, y)."""

    seq: int
    t_ns: int
    truth: Shift
    shift: Shift
    state: State


class Row(NamedTuple):
    """One line of the table: rms px of x, of y, and what neither may exceed."""

    name: str
    samples: int
    x: float
    y: float
    limit: float

    @property
    def ok(self) -> bool:
        """Whether both axes are within the limit; NaN is not."""
        return self.x <= self.limit and self.y <= self.limit


class Rig:
    """The processes of a set-up on free ports of this host, and a listener to all they publish."""

    def __init__(self, verbs: Sequence[str], overrides: Mapping[str, Any], config: Path = CONFIG) -> None:
        ports = _free_ports(5)
        names = ("frames", "corrections", "control", "status", "device")
        self.endpoints = {name: f"tcp://127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
        settings = {"stream": STREAM, "camera.truth": True} | dict(overrides)
        settings |= {f"endpoints.{name}": endpoint for name, endpoint in self.endpoints.items()}
        self._sets = [part for key, value in settings.items() for part in ("--set", f"{key}={_toml(value)}")]
        self._config, self._verbs = config, verbs
        self._stack = ExitStack()
        self._truth: dict[int, Shift] = {}
        self._seen = self._last = -1  # newest frame and newest corrected one

    def __enter__(self) -> Rig:
        with ExitStack() as stack:
            self._frames = stack.enter_context(FrameSubscriber(self.endpoints["frames"], STREAM, newest=False))
            self._corrections = stack.enter_context(CorrectionSubscriber(self.endpoints["corrections"], STREAM))
            self.device = stack.enter_context(DeviceClient(self.endpoints["device"]))
            self.processes = [stack.enter_context(_Process(v, self._config, self._sets)) for v in self._verbs]
            self._wait_for_lock()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _wait_for_lock(self) -> None:
        deadline = time.monotonic() + START_S
        while (sample := self._sample(1000)) is None or sample.state is not State.LOCKED:
            for process in self.processes:
                process.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"no lock within {START_S:g} s; last was {sample}")

    def samples(self) -> Iterator[Sample]:
        """Every corrected frame from now on; raises when there is none for 5 s."""
        while True:
            sample = self._sample(SILENCE_MS)
            for process in self.processes:
                process.check()
            if sample is None:
                raise RuntimeError(f"no corrected frame for {SILENCE_MS} ms")
            yield sample

    def run(self, seconds: float) -> list[Sample]:
        """All samples of so many seconds of frames."""
        got: list[Sample] = []
        for sample in self.samples():
            got.append(sample)
            if sample.t_ns - got[0].t_ns >= seconds * 1e9:
                break
        return got

    def ask(self, do: str, **args: Any) -> tuple[float, float]:
        """Where the device says it is, after `do`."""
        answer = self.device.ask(do, args)
        if not answer["ok"]:
            raise RuntimeError(f"{do}: {answer['error']}")
        x, y = answer["at"]
        return x, y

    def move(self, u: tuple[float, float]) -> Sample:
        """Send the stage to `u`, um from home, and return the first frame that was exposed after that."""
        deadline = time.monotonic_ns() + 1_000_000_000
        self.ask("move", u=u, mode="absolute", unit="um", valid_until=deadline)
        moved_ns = time.time_ns()
        return next(sample for sample in self.samples() if sample.t_ns > moved_ns)

    def _sample(self, timeout_ms: int) -> Sample | None:
        """The next correction of a new frame, with that frame's truth."""
        deadline = time.monotonic() + timeout_ms * 1e-3
        while time.monotonic() < deadline:
            correction = self._corrections.receive(100)
            if correction is None:
                continue
            result = correction.result
            if result.seq <= self._last or result.state is State.STALE:
                continue
            self._last = result.seq
            truth = self._truth_of(result.seq)
            if truth is not None:
                return Sample(result.seq, result.t_ns, truth, result.estimate.shift, result.state)
        return None

    def _truth_of(self, seq: int) -> Shift | None:
        """The true shift of frame `seq`; None if it never came here."""
        while self._seen < seq:
            got = self._frames.receive(SILENCE_MS)
            if got is None:
                break
            if got.frame is not None and got.frame.truth is not None:
                self._truth[got.frame.seq] = got.frame.truth
                self._seen = got.frame.seq
        return self._truth.get(seq)


class _Process:
    """``rtreg VERB CONFIG``, stopped with SIGTERM at the end; its errors are ours."""

    def __init__(self, verb: str, config: Path, sets: Sequence[str]) -> None:
        self._verb = verb
        self._log: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed in __exit__)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rtreg", verb, str(config), *sets],
            stdout=self._log,
            stderr=self._log,
            env=environment,
        )

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code != 0 and kind is None:
            raise RuntimeError(self._said(code))
        self._log.close()

    def check(self) -> None:
        """Raise if the process has ended."""
        if (code := self._process.poll()) is not None:
            raise RuntimeError(self._said(code))

    def _said(self, code: int) -> str:
        self._log.seek(0)
        return f"rtreg {self._verb} ended with {code}: {self._log.read()[-2000:]}"


def moves(count: int = 30, seed: int = 1) -> Row:
    """Stage moves of up to 4 um an axis, each measured on the settled frame after it."""
    rng = np.random.default_rng(seed)
    errors = []
    with Rig(("camera", "track"), STILL) as rig:
        for _ in range(count):
            sample = rig.move((rng.uniform(-4, 4), rng.uniform(-4, 4)))
            errors.append(np.add(sample.shift, rig.ask("where")))
    return _row("moves", errors, 0.005)


def drift(seconds: float = 20.0) -> Row:
    """A steady drift against the time stamps; content moves by minus the stage, one pixel a um."""
    with Rig(("camera", "track"), DRIFT) as rig:
        samples = rig.run(seconds)
    t = np.array([sample.t_ns - samples[0].t_ns for sample in samples]) * 1e-9
    left = np.array([sample.shift for sample in samples]) + t[:, None] * DRIFT_UM_S
    return _row("drift", left - left.mean(axis=0), 0.03)


def loop(seconds: float = 120.0, settle_s: float = 3.0) -> Row:
    """The closed loop against drift and steps: how far the content is from where the reference has it."""
    with Rig(("camera", "track", "actuate"), DRIFT_AND_STEPS) as rig:
        rig.run(settle_s)
        samples = rig.run(seconds)
    truth = np.array([sample.truth for sample in samples])
    shift = np.array([sample.shift for sample in samples])
    # Estimates are truth less the reference's own truth; that one number, from all of them.
    return _row("loop", truth - np.nanmean(truth - shift, axis=0), 0.12)


RUNS: Mapping[str, Callable[[], Row]] = {"moves": moves, "drift": drift, "loop": loop}


def _row(name: str, errors: Sequence[Any] | npt.NDArray[np.float64], limit: float) -> Row:
    x, y = np.sqrt(np.mean(np.square(errors), axis=0))
    return Row(name, len(errors), float(x), float(y), limit)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> int:
    """Run, print the table, and say by the exit code whether all is within its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"{', '.join(RUNS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the closed loop (default: 120)")
    args = parser.parse_args()
    names = args.runs or list(RUNS)
    if unknown := set(names) - set(RUNS):
        parser.error(f"no run {', '.join(sorted(unknown))}; choose from {', '.join(RUNS)}")
    print(f"{'run':8}{'frames':>8}{'x rms px':>12}{'y rms px':>12}{'limit':>8}")
    all_ok = True
    for name in names:
        row = loop(args.seconds) if name == "loop" else RUNS[name]()
        mark = "" if row.ok else "  ABOVE"
        print(f"{row.name:8}{row.samples:8}{row.x:12.4f}{row.y:12.4f}{row.limit:8.3f}{mark}", flush=True)
        all_ok = all_ok and row.ok
    return 0 if all_ok else 1


if __name__ == "__main__":
    sys.exit(main())
