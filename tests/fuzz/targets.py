"""What is fuzzed: each target takes bytes from a stranger and may only refuse them by the exception that says so.

A target returns the reason of a refusal, "" for what was taken; any other exception is a finding.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rtreg import build
from rtreg.errors import ConfigError, DeviceError, RecordingError, WireError
from rtreg.io import wire
from rtreg.io.actuators import obey
from rtreg.io.config import parse
from rtreg.io.keys import Keyring
from rtreg.io.recordings.reader import Recording
from rtreg.live.metrics import Ledger
from rtreg.records import Frame

MAX_BYTES = 2**20


def _finding(error: Exception) -> str:
    raise AssertionError(f"the refusal does not say what it is about: {error}") from error


class Device:
    """A feed that moves."""

    def where(self):
        return (0.0, 0.0)

    def move(self, u, mode, unit):
        assert all(isinstance(value, float) for value in u)
        return u

    def stop(self):
        return (0.0, 0.0)


def split(data: bytes, count: int) -> list[bytes]:
    """Parts of a message: a length in two bytes before each but the last."""
    parts = []
    for _ in range(count - 1):
        size = int.from_bytes(data[:2], "little")
        parts.append(data[2 : 2 + size])
        data = data[2 + size :]
    return [*parts, data]


def join(parts: list[bytes]) -> bytes:
    """What `split` takes apart."""
    return b"".join(len(part).to_bytes(2, "little") + part for part in parts[:-1]) + parts[-1]


def frame(data: bytes) -> str:
    """A frame off the wire, and into the accounts; from a good header and any pixels, or from anything."""
    ledger = Ledger()
    try:
        got = wire.unpack_frame(split(data, 3), 1, max_bytes=MAX_BYTES)
    except WireError as error:
        ledger.refuse(error.identity, error.reason)
        assert ledger.counts()["rejected"] or ledger.counts()["unattributable"]
        return error.reason
    assert isinstance(got, Frame)
    assert got.pixels.nbytes <= MAX_BYTES
    assert got.pixels.dtype.kind in "uif"
    ledger.record(got.epoch, got.seq, "corrected")
    back = wire.unpack_frame(wire.pack_frame(got))
    assert np.array_equal(back.pixels, got.pixels, equal_nan=got.pixels.dtype.kind == "f")
    return ""


def _wire(unpack: Callable[[list[bytes]], object], count: int) -> Callable[[bytes], str]:
    def target(data: bytes) -> str:
        try:
            unpack(split(data, count))
        except WireError as error:
            return error.reason
        return ""

    return target


correction = _wire(wire.unpack_correction, 2)
event = _wire(wire.unpack_event, 2)
status = _wire(wire.unpack_status, 2)
checkpoint = _wire(wire.unpack_checkpoint, 3)
answer = _wire(lambda parts: wire.unpack_answer(parts[0]), 1)


def control(data: bytes) -> str:
    """A request: unpacked, and as a move of a device."""
    try:
        body = wire.unpack_map(data)
        obey(Device(), body, 0)
    except WireError as error:
        return error.reason
    except DeviceError:
        return "device"
    return ""


def config(data: bytes) -> str:
    """A configuration: read, and its tables taken apart for their constructors."""
    try:
        read = parse(data, "fuzz.toml")
        for table, targets in build.schema(read).items():
            read.split(table, *targets)
        build.tracker_options(read)
        read.endpoints  # noqa: B018 (it is made here)
    except ConfigError as error:
        return "config" if "fuzz.toml" in str(error) else _finding(error)
    return ""


_FOLDER = tempfile.TemporaryDirectory(prefix="rtreg-fuzz-")


def recording(data: bytes) -> str:
    """A recording: opened, all of it read."""
    path = Path(_FOLDER.name) / "fuzz.mcap"
    path.write_bytes(data)
    try:
        with Recording(path) as found:
            for _ in found.items():
                pass
    except RecordingError as error:
        return "recording" if str(path) in str(error) else _finding(error)
    return ""


def keys(data: bytes) -> str:
    """A list of who may do what: nobody is let in by what is no line of it."""
    ring = Keyring(Path(_FOLDER.name) / "keys")
    ring.folder.mkdir(mode=0o700, exist_ok=True)
    path = ring.folder / "authorized"
    path.touch(0o600)
    path.write_bytes(data)
    found = ring.peers()
    for peer in found:
        assert peer.key.encode() in data
        assert len(peer.key) == 40
    return "" if found else "nobody"


TARGETS: dict[str, Callable[[bytes], str]] = {
    "frame": frame,
    "correction": correction,
    "event": event,
    "status": status,
    "checkpoint": checkpoint,
    "answer": answer,
    "control": control,
    "config": config,
    "recording": recording,
    "keys": keys,
}
