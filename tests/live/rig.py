"""A loop without sockets: simulated camera, engine, and time as data."""

from __future__ import annotations

import msgspec
import numpy as np

from rtreg.estimators.registrar import Registrar
from rtreg.live.controller import Controller
from rtreg.live.engine import Engine
from rtreg.live.policy import ReferencePolicy
from rtreg.live.quality import QualityGate
from rtreg.records import Frame, Shift
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera

MS = 1_000_000
STILL = Shift(0.0, 0.0)


def engine(**options):
    """An engine with small numbers, so that tests are quick; options replace its parts."""
    parts = {
        "reference": ReferencePolicy(frames=4, batch=4, anchor_every=20),
        "gate": QualityGate(),
        "controller": Controller(closed=False),
    }
    return Engine(Registrar, **{**parts, **options})


class Loop:
    """Feeds an engine, frame after frame, and keeps what comes out and what was true."""

    def __init__(self, engine, *, kind="stars", shape=(64, 64), motion=None, period_ms=2.0, seed=0):
        self.engine = engine
        self.camera = SimulatedCamera(Scene(kind, shape, seed=3), motion or Motion.still(), Detector(seed=seed))
        self.period = int(period_ms * MS)
        self.seq = 0
        self.results, self.truth = [], {}
        self.mirror = Shift(0.0, 0.0)

    def expose(self, push=STILL):
        """The next frame, with the scene pushed by `push` px on top of its motion."""
        moved = Shift(self.mirror.dx + push.dx, self.mirror.dy + push.dy)
        now = self.seq * self.period
        frame, truth = self.camera.expose(now / 1e9, moved)
        self.truth[self.seq] = truth
        frame = msgspec.structs.replace(frame, seq=self.seq, epoch=1, t_ns=now, recv_mono_ns=now)
        self.seq += 1
        return frame

    def run(self, n, push=STILL):
        """Process and learn from n frames; the mirror follows the commands one frame late."""
        for _ in range(n):
            self.give(self.expose(push))
        return self.results[-1]

    def give(self, frame):
        """One frame through the engine."""
        result = self.engine.process(frame)
        self.engine.learn()
        self.results.append(result)
        if result.command.mode == "absolute" and np.isfinite(result.command.u).all():
            self.mirror = Shift(*result.command.u)
        return result

    def settle(self, limit=200):
        """Run until the engine is locked; the number of frames that took."""
        for n in range(limit):
            if self.run(1).state == "LOCKED":
                return n
        raise AssertionError(f"not locked after {limit} frames: {self.results[-1]}")

    def errors(self, last=None):
        """Estimate minus (truth minus the reference's own truth), (n, 2), of the frames that passed."""
        members = self.engine.status()["reference"]["frames"]
        zero = np.mean([self.truth[seq] for _, seq in members], axis=0)
        good = self.measured()[-(last or 0) :]
        return np.array([np.array(r.estimate.shift) - self.truth[r.seq] + zero for r in good])

    def measured(self):
        """Results of the frames that were measured and passed the gate."""
        return [r for r in self.results if not r.verdict and np.isfinite(r.estimate.dx)]

    def sigma(self):
        """Median reported sigma (x, y)."""
        return np.median([r.estimate.sigma for r in self.measured()], axis=0)


def spoiled(frame, pixels):
    """The same frame with other pixels."""
    return Frame(**{**msgspec.structs.asdict(frame), "pixels": pixels})
