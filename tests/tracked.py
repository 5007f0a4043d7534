"""A tracker process with a camera of the test's own and an ear on all that it says."""

from __future__ import annotations

import time

import msgspec
from processes import until

from rtreg.errors import ConfigError
from rtreg.io.sockets import (
    ControlClient,
    CorrectionSubscriber,
    EventSubscriber,
    FramePublisher,
    StatusSubscriber,
)
from rtreg.records import State
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera


def rebound(endpoint):
    """A publisher at `endpoint`, as soon as libzmq's own thread has let go of the one that was closed there."""
    try:
        return FramePublisher(endpoint, "cam")
    except ConfigError:
        return None


class Rig:
    """A tracker process, a camera in this one, and an ear on all that the tracker says."""

    def __init__(self, service, ends, detector=None):
        self.service, self.ends = service, ends
        self.camera = SimulatedCamera(Scene("stars", (64, 64)), Motion(), detector or Detector())
        self.began = time.monotonic()
        self.publisher = FramePublisher(ends.frames, "cam")
        self.corrections = CorrectionSubscriber(ends.corrections, "cam")
        self.orders = EventSubscriber(ends.corrections, "cam")
        self.statuses = StatusSubscriber(ends.status, "cam")
        self.control = ControlClient(ends.control)

    def close(self):
        for end in (self.publisher, self.corrections, self.orders, self.statuses, self.control):
            end.close()

    def frame(self):
        image, _ = self.camera.expose(time.monotonic() - self.began)
        return msgspec.structs.replace(image, t_ns=time.time_ns())

    def send(self, **changes):
        self.publisher.send(msgspec.structs.replace(self.frame(), **changes))

    def turn(self):
        """One frame out; the correction that came meanwhile, if any."""
        self.send()
        return self.corrections.receive(20)

    def sent_until(self, condition):
        """Send frames until a correction fulfils `condition`; that correction."""

        def once():
            got = self.turn()
            return got if got is not None and condition(got) else None

        return until(once)

    def lock(self):
        epoch = self.publisher.epoch
        return self.sent_until(lambda got: got.result.state is State.LOCKED and got.result.epoch == epoch)

    def ask(self, do, **args):
        return self.control.ask(do, args, timeout_ms=10_000)

    def counts(self):
        return self.ask("status")["ledger"]
