"""What the rows of bench/reliability.py share: a tracker, a camera in a thread, and an ear that keeps the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
from processes import NAMES, Service, until
from tracked import rebound

from rtreg.io.config import Endpoints
from rtreg.io.sockets import ControlClient, CorrectionSubscriber, FramePublisher
from rtreg.io.wire import Correction
from rtreg.records import Frame, State
from rtreg.services.demo import free_endpoints
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera

RATE = 100.0
MIB = 2**20
MS = 1_000_000


class Measured(NamedTuple):
    """The last three columns of a row, and whether the promise was kept."""

    detect: str
    recover: str
    lost: str
    ok: bool


class Heard(NamedTuple):
    """A correction and when it came, CLOCK_MONOTONIC ns."""

    at: int
    correction: Correction

    @property
    def locked(self) -> bool:
        """Whether it may be acted on."""
        return self.correction.result.state is State.LOCKED


def endpoints() -> Endpoints:
    """Free ports of this host."""
    overrides, held = free_endpoints(NAMES)
    for reserve in held:
        reserve.close()
    return Endpoints(**dict(override.removeprefix("endpoints.").split("=") for override in overrides))


def overrides_of(ends: Endpoints) -> list[str]:
    """What puts a process on these endpoints."""
    return [f"endpoints.{name}={getattr(ends, name)}" for name in NAMES]


class Camera(threading.Thread):
    """A camera in a thread: pictures there and back again, at a steady rate. All else is done under its lock."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(daemon=True)
        self.lock, self.paused, self.ended = threading.Lock(), False, False
        self.publisher = FramePublisher(endpoint, "cam")
        self.sent_ns = 0
        self.look_at((64, 64), "uint16")

    def look_at(self, shape: tuple[int, int], dtype: Any) -> None:
        """From now on pictures of this kind."""
        camera = SimulatedCamera(Scene("stars", shape), Motion(), Detector(dtype=dtype))
        images = [camera.expose(index / RATE)[0] for index in range(50)]
        with self.lock:
            self._images = images + images[::-1]

    def picture(self) -> Frame:
        """The next picture, under the lock."""
        image = self._images[self.publisher.seq % len(self._images)]
        return msgspec.structs.replace(image, t_ns=time.time_ns())

    def run(self) -> None:
        """Publish until the end."""
        due = time.monotonic()
        while not self.ended:
            due = max(due + 1 / RATE, time.monotonic() - 1 / RATE)
            time.sleep(max(0.0, due - time.monotonic()))
            with self.lock:
                if not (self.paused or self.ended):
                    self.publisher.send(self.picture())
                    self.sent_ns = time.monotonic_ns()

    def restart(self) -> int:
        """Another publisher in the place of this one; when it sent its first frame."""
        with self.lock:
            endpoint = self.publisher.endpoint
            self.publisher.close()
            self.publisher = until(lambda: rebound(endpoint))
            self.publisher.send(self.picture())
            return time.monotonic_ns()

    def resume(self) -> int:
        """Go on; when the first frame was sent."""
        with self.lock:
            self.paused = False
            self.publisher.send(self.picture())
            return time.monotonic_ns()


class Rig:
    """A tracker in a process of its own, a `Camera`, and an ear."""

    def __init__(self, logs: Path) -> None:
        self.ends, self.logs = endpoints(), logs
        self.settings = [*overrides_of(self.ends), "scene.shape=[64, 64]", "tracker.max_frame_mib=1"]
        self.settings += ["controller.closed=false", "reference.frames=8"]
        self.tracker = Service("track", "simulated", self.settings, logs / "tracker.log")

    def __enter__(self) -> Self:
        self.tracker.wait_ready()
        self.corrections = CorrectionSubscriber(self.ends.corrections, "cam")
        self.control = ControlClient(self.ends.control)
        self.camera = Camera(self.ends.frames)
        self.camera.start()
        self.hear(lambda heard: heard.locked)
        return self

    def __exit__(self, *_: object) -> None:
        self.camera.ended = True
        self.camera.join()
        for end in (self.camera.publisher, self.corrections, self.control):
            end.close()
        self.tracker.kill()

    def hear(self, condition: Callable[[Heard], object], seconds: float = 60.0) -> list[Heard]:
        """All corrections from now on, up to the first that fulfils `condition`."""
        return hear(self.corrections, condition, seconds)

    def flush(self) -> None:
        """Forget what waits."""
        while self.corrections.receive(0) is not None:
            pass

    def ask(self, do: str, **args: Any) -> dict[str, Any]:
        """The tracker's answer."""
        return self.control.ask(do, args, timeout_ms=10_000)

    def counts(self) -> dict[str, Any]:
        """The tracker's accounts."""
        counts: dict[str, Any] = self.ask("status")["ledger"]
        return counts


def hear(corrections: CorrectionSubscriber, condition: Callable[[Heard], object], seconds: float) -> list[Heard]:
    """Corrections up to the first that fulfils `condition`."""
    said: list[Heard] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        got = corrections.receive(50)
        if got is None:
            continue
        said.append(Heard(time.monotonic_ns(), got))
        if condition(said[-1]):
            return said
    last = said[-1].correction.result if said else None
    raise RuntimeError(f"waited {seconds:g} s in vain; last was {last}")


def gap_ms(said: list[Heard]) -> float:
    """The longest silence between corrections, ms."""
    return float(np.max(np.diff([heard.at for heard in said]), initial=0)) / MS


def balanced(counts: dict[str, Any]) -> bool:
    """Whether the identity holds."""
    return bool(
        counts["span"] == counts["received"] + counts["lost"]
        and counts["received"] == counts["used"] + counts["skipped"] + sum(counts["rejected"].values())
        and counts["used"] == counts["corrected"] + sum(counts["held"].values())
    )


def spread(values: list[float], unit: str = "ms") -> str:
    """Median and largest."""
    return f"{np.median(values):.0f} {unit}, at most {max(values):.0f}"
