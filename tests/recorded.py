"""A recording without processes: what a tracker and its recorder do, in one loop."""

from __future__ import annotations

import math

import msgspec

from rtreg import build, fft
from rtreg.io import wire
from rtreg.io.config import parse, to_toml
from rtreg.io.facts import numerics
from rtreg.io.recordings import RecordingWriter
from rtreg.live.bookkeeper import Bookkeeper
from rtreg.records import Checkpoint, Frame, Order, Reception, Shift, Tick
from rtreg.replay.rerun import repeat
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera

MS = 1_000_000
CONFIG = b"""
stream = "cam"
[scene]
shape = [48, 48]
[reference]
frames = 4
batch = 4
anchor_every = 12
[controller]
gain = 0.4
[tracker]
max_age_ms = 1e6
"""


class Run:
    """A tracker in this process; what it does is written to `writer`. Frames and ticks come every 2 ms."""

    def __init__(self, writer, config=CONFIG, seed=1):
        self.writer, self.config = writer, parse(config, "test")
        self.books = Bookkeeper(
            build.engine(self.config), stream="cam", host="here", max_age_ms=1e6, valid_for_ms=100.0
        )
        self.camera = SimulatedCamera(Scene("stars", (48, 48), seed=3), Motion(seed=seed), Detector(seed=seed))
        self.seq = self.now = 0
        self.mirror = Shift(0.0, 0.0)

    def write(self, parts):
        self.writer.add(parts, self.now)

    def checkpoint(self):
        body = {
            "books": self.books.snapshot(),
            "config": {"source": "test", "stream": "cam", "tables": self.config.tables},
            "host": "here",
            "wisdom": fft.wisdom_text(),
            "numerics": numerics(),
        }
        self.write(wire.pack_checkpoint("cam", Checkpoint(self.books.events, 7, body)))

    def expose(self, record=True):
        self.now += 2 * MS
        frame, _ = self.camera.expose(self.now / 1e9, self.mirror)
        frame = msgspec.structs.replace(
            frame, stream="cam", epoch=9, seq=self.seq, t_ns=self.now, host="here", mono_ns=self.now
        )
        self.seq += 1
        if record:
            self.write(wire.pack_frame(frame))
        return msgspec.structs.replace(frame, recv_mono_ns=self.now + 1000)

    def take(self, frame, skipped=()):
        """What the tracker's loop does with a reception; its correction is written before the event, as it is sent."""
        got = Reception(frame, [Frame(pixels=f.pixels, epoch=f.epoch, seq=f.seq) for f in skipped], [])
        now = self.now + 2000
        event = self.books.intake(got, now, now, learnt=self.seq % 7 != 0)  # as when frames wait, now and then
        event = msgspec.structs.replace(event, n=self.books.events + 1)
        correction = repeat(self.books, event, frame)
        if correction is not None:
            self.write(wire.pack_correction(*correction))
            u = correction.result.command.u
            self.mirror = Shift(*u) if math.isfinite(u[0]) else self.mirror
        self.write(wire.pack_event("cam", event))

    def frames(self, n, record=True):
        for _ in range(n):
            self.take(self.expose(record))

    def skip_one(self):
        old = self.expose()
        self.take(self.expose(), [old])

    def tick(self):
        self.now += 80 * MS
        tick = Tick(mono_ns=self.now, t_ns=self.now, n=self.books.events + 1)
        correction = repeat(self.books, tick, None)
        self.write(wire.pack_event("cam", tick))
        self.write(wire.pack_correction(*correction))

    def order(self, do, **args):
        event = Order(do=do, args=args, n=self.books.events + 1)
        correction = repeat(self.books, event, None)
        self.write(wire.pack_event("cam", event))
        if correction is not None:
            self.write(wire.pack_correction(*correction))


def record(path, play, *, config=CONFIG, before=None):
    """Write to `path` what `play(run)` does; `before(run)` happens with nobody recording."""
    with RecordingWriter(path, metadata={"numerics": numerics()}) as writer:
        writer.attach("config.toml", to_toml("cam", parse(config, "test").tables).encode())
        run = Run(writer, config)
        if before is not None:
            run.writer = Nobody()
            before(run)
            run.writer = writer
        run.checkpoint()
        play(run)
        writer.attach("fftw-wisdom.json", fft.wisdom_text().encode())
    return path


class Nobody:
    """A writer that writes nothing."""

    def add(self, parts, log_ns):
        pass
