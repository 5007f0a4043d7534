"""Our own records, which are trusted, to message parts; what is None is left out."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from rtreg.errors import WireError
from rtreg.io import checkpoint as checkpoints
from rtreg.io.fields import pack_field
from rtreg.io.wire.bodies import DTYPES, VERSION, Body, Buffer, topic
from rtreg.records import Checkpoint, Delivery, Event, Frame, Result


def _plain(value: object) -> Any:
    """NumPy scalars that came in with a camera's metadata, as the numbers they are."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot put a {type(value).__name__} on the wire")


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_plain)


def pack_map(body: Body) -> bytes:
    """A map as MessagePack; NaN stays NaN, NumPy scalars become numbers."""
    return _ENCODER.encode(body)


def pack_frame(frame: Frame) -> list[Buffer]:
    """``[topic, header, pixels]``; the pixels are a view of `frame.pixels`, copied only if not C-contiguous.

    Raises
    ------
    WireError
        dtype outside the closed list, or not two-dimensional.
    """
    pixels = np.ascontiguousarray(frame.pixels)
    dtype = pixels.dtype.str
    if dtype not in DTYPES:
        raise WireError("dtype", f"dtype {dtype} cannot be sent; use one of {' '.join(DTYPES)}")
    if pixels.ndim != 2:
        raise WireError("shape", f"a frame is (ny, nx), this one is {pixels.shape}")
    header: Body = {
        "v": VERSION,
        "kind": "frame",
        "stream": frame.stream,
        "epoch": frame.epoch,
        "seq": frame.seq,
        "t_ns": frame.t_ns,
        "exp_ns": frame.exp_ns,
        "mono_ns": frame.mono_ns,
        "host": frame.host,
        "shape": pixels.shape,
        "dtype": dtype,
    }
    for key in ("roi", "bin", "gain", "read_noise", "offset", "saturation", "truth", "moved"):
        value = getattr(frame, key)
        if value is not None:
            header[key] = value
    return [topic("f", frame.stream), pack_map(header), pixels.reshape(-1).view(np.uint8).data]


def pack_correction(result: Result, delivery: Delivery) -> list[Buffer]:
    """``[topic, map]`` of one correction; plain ``msgpack.unpackb`` reads the map."""
    estimate, command, reference = result.estimate, result.command, result.reference
    (xx, xy), (_, yy) = estimate.covariance
    body = {
        "v": VERSION,
        "kind": "correction",
        "stream": result.stream,
        "epoch": result.epoch,
        "seq": result.seq,
        "t_ns": result.t_ns,
        "shift": estimate.shift,
        "cov": (xx, xy, yy),
        "chi2": estimate.chi2_dof,
        "contrast": estimate.contrast,
        "regime": estimate.regime,
        "verdict": result.verdict.reasons,
        "state": result.state.value,
        "command": command.u,
        "unit": command.unit,
        "mode": command.mode,
        "ref": {"id": reference.id, "age_frames": reference.age_frames, "walk": reference.walk},
        "lat": {
            "sent": delivery.sent,
            "recv": delivery.recv,
            "start": delivery.start,
            "done": delivery.done,
            "out": delivery.out,
        },
        "lost": delivery.lost,
        "skipped": delivery.skipped,
        "valid_until": delivery.valid_until,
        "host": delivery.host,
        "event": delivery.event,
    }
    if delivery.truth is not None:
        body["truth"] = delivery.truth
    if estimate.field is not None:
        body["field"] = pack_field(estimate.field)
    return [topic("c", result.stream), pack_map(body)]


def pack_event(stream: str, event: Event) -> list[Buffer]:
    """``[topic, map]`` of an order as applied, of a tick, or of what a receive brought: one topic, in their order."""
    kind = type(event).__name__.lower()
    body = {"v": VERSION, "kind": kind, "stream": stream, **msgspec.structs.asdict(event)}
    return [topic("o", stream), pack_map(body)]


def pack_checkpoint(stream: str, checkpoint: Checkpoint) -> list[Buffer]:
    """``[topic, map, body]`` of a checkpoint; under a topic of its own, since it is too large for most subscribers."""
    head = {"v": VERSION, "kind": "checkpoint", "stream": stream, "n": checkpoint.n, "run": checkpoint.run}
    return [topic("k", stream), pack_map(head), checkpoints.pack(checkpoint.body)]


def pack_status(stream: str, content: Body) -> list[Buffer]:
    """``[topic, map]`` of a status; `content` is any plain map."""
    return [topic("s", stream), pack_map({**content, "v": VERSION, "kind": "status", "stream": stream})]
