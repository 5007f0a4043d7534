"""Good inputs of every target, which fuzzers and mutations start from."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from samples import RESULT

from fuzz.targets import join
from rtreg.io import wire
from rtreg.io.config import shipped
from rtreg.io.recordings.writer import RecordingWriter
from rtreg.records import (
    Checkpoint,
    Delivery,
    Frame,
    Intake,
    Order,
    Tick,
)

FRAME = Frame(pixels=np.arange(12, dtype="<u2").reshape(3, 4), stream="cam", epoch=1, seq=2, t_ns=3, gain=1.5)


def parts(made: list[wire.Buffer]) -> list[bytes]:
    return [bytes(part) for part in made]


def _recording() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.mcap"
        with RecordingWriter(path) as writer:
            for made in (wire.pack_frame(FRAME), wire.pack_correction(RESULT, Delivery())):
                writer.add(parts(made), 5)
        return path.read_bytes()


def seeds() -> dict[str, list[bytes]]:
    """Target to its good inputs."""
    events = (
        Order(do="retune", args={"gain": 0.3}),
        Tick(mono_ns=4, t_ns=5, n=1),
        Intake(mono_ns=1, t_ns=2, frame=(1, 2, 3), skipped=((1, 1),), refused=(("size", (1, 0)),)),
    )
    move = {"v": 1, "do": "move", "u": [1.0, -2.0], "mode": "absolute", "unit": "px", "valid_until": 9}
    return {
        "frame": [join(parts(wire.pack_frame(FRAME)))],
        "correction": [join(parts(wire.pack_correction(RESULT, Delivery())))],
        "event": [join(parts(wire.pack_event("cam", made))) for made in events],
        "status": [join(parts(wire.pack_status("cam", {"ledger": {"received": 1}})))],
        "checkpoint": [join(parts(wire.pack_checkpoint("cam", Checkpoint(1, 2, {"a": np.zeros(3)}))))],
        "answer": [wire.pack_map({"ok": True, "at": [1.0, 2.0]})],
        "control": [wire.pack_map({"v": 1, "do": "where"}), wire.pack_map(move)],
        "config": [path.read_bytes() for path in shipped().values()],
        "recording": [_recording()],
        "keys": [b"desk control " + b"k" * 40 + b"\n"],
    }
