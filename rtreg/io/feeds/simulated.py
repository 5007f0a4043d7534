"""The simulated camera as a feed, with its tip-tilt mirror, which takes corrections in pixels."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import msgspec

from rtreg.errors import DeviceError
from rtreg.records import Frame, Shift
from rtreg.simulate import SimulatedCamera

__all__ = ["SimulatedFeed"]


class SimulatedFeed:
    """Frames of a simulated camera at the time they are asked for; every frame says its true shift.

    Parameters
    ----------
    camera : SimulatedCamera
        What is seen. Its motion starts with the first frame.
    clock : callable
        Monotonic time, ns, that the motion follows.
    """

    def __init__(self, camera: SimulatedCamera, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        camera.warm_up()  # or its motion would run on while the first frame compiles
        self._camera = camera
        self._clock = clock
        # the mutable state: when the motion started, where the mirror comes from and goes to, and since when
        self._start_ns: int | None = None
        self._from = self._mirror = Shift(0.0, 0.0)
        self._left_ns = -camera.mirror_ns

    def describe(self) -> str:
        """One line for people: what this is."""
        scene = self._camera.scene
        return f"simulated camera, {scene.kind}, {scene.shape[1]}x{scene.shape[0]} {self._camera.detector.dtype}"

    def next_frame(self) -> Frame:
        """The frame of this moment."""
        now = self._clock()
        if self._start_ns is None:
            self._start_ns = now
        t_ns = time.time_ns()
        frame, _ = self._camera.expose((now - self._start_ns) * 1e-9, self._mirror_at(now))
        began = t_ns - (now - self._left_ns)
        moved = (began, began + self._camera.mirror_ns) if self._camera.mirror_ns else None
        return msgspec.structs.replace(frame, t_ns=t_ns, moved=moved)

    def _mirror_at(self, now: int) -> Shift:
        """Where the mirror has the image; between two places it moves evenly."""
        took = self._camera.mirror_ns
        part = min(1.0, (now - self._left_ns) / took) if took else 1.0
        (x0, y0), (x1, y1) = self._from, self._mirror
        return Shift(x0 + part * (x1 - x0), y0 + part * (y1 - y0)) if part < 1.0 else self._mirror

    def move(self, u: tuple[float, float], mode: str, unit: str) -> tuple[float, float]:
        """Move the image by the mirror, px; the true shift is the motion's plus the mirror's."""
        if unit != "px":
            raise DeviceError(f'the simulated mirror moves in px, not in {unit!r}; set unit = "px"')
        if not (math.isfinite(u[0]) and math.isfinite(u[1])):
            raise DeviceError(f"the simulated mirror cannot move to {u}")
        if mode == "absolute":
            target = Shift(u[0], u[1])
        elif mode == "increment":
            target = Shift(self._mirror.dx + u[0], self._mirror.dy + u[1])
        else:
            raise DeviceError(f"mode {mode!r} is neither absolute nor increment")
        now = self._clock()
        self._from, self._left_ns, self._mirror = self._mirror_at(now), now, target
        return self.where()

    def stop(self) -> tuple[float, float]:
        """Leave the mirror where it is on its way."""
        self._from = self._mirror = self._mirror_at(self._clock())
        return self.where()

    def where(self) -> tuple[float, float]:
        """Where the mirror has the image, or will have it at the end of its move, px, x first."""
        return self._mirror.dx, self._mirror.dy

    def close(self) -> None:
        """Nothing to let go of."""
