"""A camera that looks at a simulated scene, past a mirror that can move it."""

from __future__ import annotations

import math

import numpy as np

from rtreg.errors import ConfigError
from rtreg.records import Frame, Shift
from rtreg.simulate.detector import Detector
from rtreg.simulate.motion import Motion
from rtreg.simulate.scene import Scene

_UNMOVED = Shift(0.0, 0.0)
Matrix = tuple[tuple[float, float], tuple[float, float]]


class SimulatedCamera:
    """Exposes a scene; the true shift of each frame is the motion's plus the mirror's.

    Parameters
    ----------
    scene, motion, detector
        What is seen, how it moves, and what measures it.
    exposure_ms : float
        Said in the frame; a simulated exposure is an instant, its middle.
    mirror_ms : float
        How long the mirror takes to a new place, ms; 0 is an instant.
    mirror : 2x2
        How far the image moves, px, for 1 of either of the mirror's axes (columns): mirrors are mounted turned, and
        may push the other way.
    """

    def __init__(
        self,
        scene: Scene,
        motion: Motion,
        detector: Detector,
        *,
        exposure_ms: float = 1.0,
        mirror_ms: float = 0.0,
        mirror: Matrix = ((1.0, 0.0), (0.0, 1.0)),
    ) -> None:
        if not 0 <= exposure_ms < math.inf:
            raise ConfigError(f"exposure_ms must be 0 or more, not {exposure_ms}")
        if not 0 <= mirror_ms <= 10_000:
            raise ConfigError(f"mirror_ms = {mirror_ms}: ms a move takes, 0 (an instant) to 10000")
        self.scene = scene
        self.motion = motion
        self.detector = detector
        if not np.isfinite(mirror).all():
            raise ConfigError(f"mirror = {mirror}: px of the image for 1 of each axis, must be finite")
        self._response = mirror
        self.mirror_ns = round(mirror_ms * 1e6)
        self._exposure_ns = round(exposure_ms * 1e6)
        self._electrons = np.empty(scene.shape, np.float32)  # every exposure overwrites it

    def warm_up(self) -> None:
        """Compile what the first frame needs; the motion does not start, a frame's worth of noise is used up."""
        self.detector.expose(self.scene.render(out=self._electrons))

    def expose(self, t_s: float, mirror: Shift = _UNMOVED) -> tuple[Frame, Shift]:
        """The frame at `t_s` seconds after the start, with its own new pixels, and its true shift."""
        disturbance = self.motion.at(t_s)
        (a, b), (c, d) = self._response
        truth = Shift(disturbance.dx + a * mirror.dx + b * mirror.dy, disturbance.dy + c * mirror.dx + d * mirror.dy)
        detector = self.detector
        frame = Frame(
            pixels=detector.expose(self.scene.render(truth, out=self._electrons)),
            t_ns=round(t_s * 1e9),
            exp_ns=self._exposure_ns,
            gain=detector.gain,
            read_noise=detector.read_noise,
            offset=detector.offset,
            saturation=detector.saturation if np.isfinite(detector.saturation) else None,
            truth=truth,
        )
        return frame, truth
