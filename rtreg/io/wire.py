"""The rtreg wire protocol, version 1: records to message parts and back. No sockets here.

Every message is ``[topic][map]``, a frame ``[topic][map][pixels]``; maps are MessagePack with short text keys. What
comes in is not trusted: sizes, nesting and types are checked before anything is made of them, dtypes come from a
closed list, and each refusal is a `WireError` whose `reason` is a counter's name. Unknown keys are ignored, so that
a newer sender can say more.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

import msgpack
import msgspec
import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError, WireError
from rtreg.io import checkpoint as checkpoints
from rtreg.io.fields import FieldBody, pack_field, unpack_field
from rtreg.records import (
    Checkpoint,
    Command,
    Delivery,
    Estimate,
    Event,
    Frame,
    Intake,
    Order,
    ReferenceInfo,
    Result,
    Shift,
    State,
    Tick,
    Verdict,
)

__all__ = [
    "DTYPES",
    "HEADER_BYTES",
    "VERSION",
    "Buffer",
    "Correction",
    "pack_checkpoint",
    "pack_correction",
    "pack_event",
    "pack_frame",
    "pack_map",
    "pack_status",
    "stream_name",
    "topic",
    "unpack_answer",
    "unpack_checkpoint",
    "unpack_correction",
    "unpack_event",
    "unpack_frame",
    "unpack_map",
    "unpack_status",
]

VERSION: Final = 1
HEADER_BYTES: Final = 64 * 1024
MAX_DIMENSION: Final = 16384
MAX_FRAME_BYTES: Final = MAX_DIMENSION * MAX_DIMENSION * 8
MAX_NESTING: Final = 8

Buffer = bytes | bytearray | memoryview
Body = dict[str, Any]
Identity = tuple[int, int]  # (epoch, seq)
Letter = Literal["f", "c", "o", "s", "k"]
T = TypeVar("T")

# Never np.dtype(header): a dtype string can describe structures, objects and sub-arrays.
DTYPES: Final = MappingProxyType(
    {name: np.dtype(name) for name in ("|u1", "<u2", "<i2", "<i4", "<f4", "<f8", ">u2", ">i2", ">i4", ">f4", ">f8")}
)

_LIMITS: Final = {
    "max_str_len": 4096,
    "max_bin_len": 4096,
    "max_array_len": 4096,
    "max_map_len": 1024,
    "max_ext_len": 0,
}
_STREAM: Final = r"^[A-Za-z0-9_-]{1,40}\Z"
_PATH_KEY: Final = re.compile(r"at `\$\.(\w+)")
_CONSTANTS: Final = frozenset({"gain", "read_noise", "offset", "saturation"})
_COUNTED_KEYS: Final = frozenset({"kind", "stream", "shape", "dtype"})
_LARGEST: Final = sys.float_info.max

Stream = Annotated[str, msgspec.Meta(pattern=_STREAM)]
Count = Annotated[int, msgspec.Meta(ge=0)]  # MessagePack itself stops at 2**64 - 1
Dimension = Annotated[int, msgspec.Meta(ge=1, le=MAX_DIMENSION)]
Pair = tuple[float, float]
# A bound keeps out NaN as well as infinity.
Finite = Annotated[float, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=_LARGEST)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=_LARGEST)]


class Correction(NamedTuple):
    """A correction as a consumer gets it: the engine's result and how it was delivered."""

    result: Result
    delivery: Delivery

    def refusal(self, host: str, now_ns: int) -> str:
        """Why nobody on `host` may act on it at its CLOCK_MONOTONIC `now_ns`; empty when they may.

        "another host": by its clock nobody can tell whether it is still valid. "expired": `valid_until` is past.
        "stale", "stopping": the tracker says itself that it no longer knows.
        """
        if self.delivery.host != host:
            return "another host"
        if now_ns > self.delivery.valid_until:
            return "expired"
        state = self.result.state
        return str(state).lower() if state in (State.STALE, State.STOPPING) else ""


class _FrameHeader(msgspec.Struct):
    v: Literal[1]
    kind: Literal["frame"]
    stream: Stream
    epoch: Count
    seq: Count
    t_ns: int
    shape: tuple[Dimension, Dimension]
    dtype: str
    exp_ns: int = 0
    mono_ns: int = 0
    host: str = ""
    roi: tuple[int, int] | None = None
    bin: tuple[int, int] | None = None
    gain: Positive | None = None
    read_noise: NotNegative | None = None
    offset: Finite | None = None
    saturation: Finite | None = None
    truth: Pair | None = None
    moved: tuple[int, int] | None = None


class _Reference(msgspec.Struct):
    id: int = 0
    age_frames: int = 0
    walk: float = float("nan")


class _Latency(msgspec.Struct):
    sent: int = 0
    recv: int = 0
    start: int = 0
    done: int = 0
    out: int = 0


class _CorrectionBody(msgspec.Struct):
    kind: Literal["correction"]
    stream: Stream
    epoch: Count
    seq: Count
    t_ns: int
    shift: Pair
    cov: tuple[float, float, float]
    chi2: float
    contrast: float
    regime: Literal["track", "acquire"]
    verdict: list[str]
    state: State
    command: Pair
    unit: str
    mode: Literal["absolute", "increment"]
    ref: _Reference
    lat: _Latency
    lost: Count
    skipped: Count
    valid_until: int
    host: str = ""
    truth: Pair | None = None
    event: Count = 0
    field: FieldBody | None = None


class _OrderBody(msgspec.Struct, tag_field="kind", tag="order"):
    stream: Stream
    do: str
    args: dict[str, Any]
    epoch: Count
    seq: Count
    n: Count = 0

    def record(self) -> Event:
        return Order(do=self.do, args=self.args, epoch=self.epoch, seq=self.seq, n=self.n)


class _TickBody(msgspec.Struct, tag_field="kind", tag="tick"):
    stream: Stream
    mono_ns: int
    t_ns: int
    n: Count = 0

    def record(self) -> Event:
        return Tick(mono_ns=self.mono_ns, t_ns=self.t_ns, n=self.n)


class _IntakeBody(msgspec.Struct, tag_field="kind", tag="intake"):
    stream: Stream
    mono_ns: int
    t_ns: int
    frame: tuple[Count, Count, int] | None = None
    skipped: tuple[tuple[Count, Count], ...] = ()
    refused: tuple[tuple[str, tuple[Count, Count] | None], ...] = ()
    learnt: bool = True
    n: Count = 0

    def record(self) -> Event:
        return Intake(
            mono_ns=self.mono_ns, t_ns=self.t_ns, frame=self.frame, skipped=self.skipped, refused=self.refused,
            learnt=self.learnt, n=self.n,
        )  # fmt: skip


class _CheckpointHead(msgspec.Struct):
    kind: Literal["checkpoint"]
    stream: Stream
    n: Count
    run: Count


_EVENT_BODY: Final[Any] = _OrderBody | _TickBody | _IntakeBody  # told apart by "kind"


def stream_name(name: str) -> str:
    """`name` if it may name a stream: 1 to 40 ASCII letters, digits, ``-``, ``_``; else `ConfigError`."""
    if not re.match(_STREAM, name):
        raise ConfigError(f"stream name {name!r}: use 1 to 40 ASCII letters, digits, '-' and '_'")
    return name


@functools.lru_cache(maxsize=64)
def topic(letter: Letter, stream: str) -> bytes:
    """The topic of a stream: ``b"f/cam/"``. The last ``/`` keeps ``cam1`` from also matching ``cam10``."""
    return f"{letter}/{stream}/".encode("ascii")


# Packing. Our own records are trusted; what is None is left out.


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


# Unpacking. Nothing that arrives is trusted.


def _nests_within(items: Iterable[object], limit: int) -> bool:
    """Whether the containers among `items` nest at most `limit` deep; a plain loop, since every frame pays for it."""
    for item in items:
        if type(item) is dict:
            if limit < 1 or not _nests_within(item.values(), limit - 1):
                return False
        elif type(item) is list and (limit < 1 or not _nests_within(item, limit - 1)):
            return False
    return True


def _unpack(body: Buffer) -> Body:
    """A map within the limits of size and nesting; WireError "header" if it is not one."""
    if len(body) > HEADER_BYTES:
        raise WireError("header", f"map of {len(body)} bytes; at most {HEADER_BYTES}")
    try:
        value = msgpack.unpackb(body, **_LIMITS)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError("header", f"not a MessagePack map: {error}") from None
    if not isinstance(value, dict):
        raise WireError("header", f"a map was expected, not {type(value).__name__}")
    if not _nests_within(value.values(), MAX_NESTING - 1):
        raise WireError("header", f"nested deeper than {MAX_NESTING}")
    return value


def unpack_map(body: Buffer) -> Body:
    """A version-1 map within the limits of size and nesting; its keys are not checked yet.

    Raises
    ------
    WireError
        reason "header" (not a map, too large, too deep, not MessagePack) or "version".
    """
    value = _unpack(body)
    if value.get("v") != VERSION:
        raise WireError("version", f"protocol version {str(value.get('v'))[:20]!r}; this is {VERSION}")
    return value


def unpack_answer(body: Buffer) -> Body:
    """An answer to a control or device request: a map with ``ok`` true or false; raises `WireError`."""
    value = _unpack(body)
    if not isinstance(value.get("ok"), bool):
        raise WireError("header", "an answer must say ok: true or false")
    return value


def _identity(body: Body) -> Identity | None:
    """(epoch, seq) if the body tells them, so that a refused frame can still be accounted for."""
    epoch, seq = body.get("epoch"), body.get("seq")
    if type(epoch) is int and type(seq) is int and epoch >= 0 and seq >= 0:
        return epoch, seq
    return None


def _convert(body: Body, kind: type[T]) -> T:
    """`body` as `kind`, or a WireError whose reason is the key at fault if that is one we count."""
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        found = _PATH_KEY.search(str(error))
        key = found.group(1) if found else "header"
        reason = "constants" if key in _CONSTANTS else key if key in _COUNTED_KEYS else "header"
        raise WireError(reason, str(error), _identity(body)) from None


def _parts(parts: Sequence[Buffer], count: int) -> None:
    if len(parts) != count:
        raise WireError("parts", f"{len(parts)} parts; {count} were expected")


def _check_topic(part: Buffer, letter: Letter, stream: str, identity: Identity | None = None) -> None:
    if part != topic(letter, stream):
        raise WireError("stream", f"topic {bytes(part[:64])!r} is not that of {stream!r}", identity)


# Straight into the typed header: a third of the time of unpacking a map first, and frames come fast. It makes no
# object of what it does not know, so that only the size of the header limits what it can be made to do.
_DECODER: Final = msgspec.msgpack.Decoder(_FrameHeader)


def _header(part: Buffer) -> _FrameHeader:
    """The typed header; what is wrong with one that does not fit is found out on the slow way."""
    if len(part) <= HEADER_BYTES:
        try:  # not contextlib.suppress: this is the frame path
            return _DECODER.decode(part)
        except (msgspec.MsgspecError, ValueError, RecursionError):  # the last: a bomb of nested maps
            pass
    return _convert(unpack_map(part), _FrameHeader)


def _check_constants(header: _FrameHeader, identity: Identity) -> None:
    """Each constant may be by itself (the header's types say so); saturation must also lie above the offset."""
    if header.saturation is not None and not header.saturation > (header.offset or 0.0):
        message = f"saturation {header.saturation} ADU must lie above offset {header.offset or 0.0} ADU"
        raise WireError("constants", message, identity)


def _pixels(payload: Buffer, header: _FrameHeader, max_bytes: int) -> npt.NDArray[Any]:
    """The payload as a read-only (ny, nx) view: native byte order, aligned; a copy only where it must be."""
    dtype = DTYPES.get(header.dtype)
    identity = (header.epoch, header.seq)
    if len(payload) > max_bytes:
        raise WireError("too_large", f"{len(payload)} bytes of pixels; at most {max_bytes} are accepted", identity)
    if dtype is None:
        raise WireError("dtype", f"dtype {header.dtype[:20]!r} is not one of {' '.join(DTYPES)}", identity)
    ny, nx = header.shape
    if len(payload) != ny * nx * dtype.itemsize:
        expected = f"{ny} x {nx} x {dtype.itemsize} = {ny * nx * dtype.itemsize}"
        raise WireError("size", f"{len(payload)} bytes of pixels; {expected} were announced", identity)
    pixels: npt.NDArray[Any] = np.ndarray((ny, nx), dtype, payload)
    # libzmq hands out messages of a few KiB at any address of its receive buffer: compiled kernels need alignment.
    if not (dtype.isnative and pixels.flags.aligned):
        pixels = pixels.astype(dtype.newbyteorder("="))
    pixels.setflags(write=False)
    return pixels


def unpack_frame(
    parts: Sequence[Buffer],
    recv_mono_ns: int = 0,
    *,
    max_bytes: int = MAX_FRAME_BYTES,
    fetch: Callable[[Buffer, Identity], Buffer] | None = None,
) -> Frame:
    """A frame from its three parts; the pixels are a view of the third, kept alive by it.

    `fetch` turns the third part into the pixels' bytes where it stands for them, as in shared memory.

    Raises
    ------
    WireError
        reason "parts", "header", "version", "kind", "stream", "dtype", "shape", "size", "too_large" (more than
        `max_bytes` of pixels) or "constants" (of a detector that cannot be); `identity` is the (epoch, seq) if the
        header could still tell it.
    """
    _parts(parts, 3)
    header = _header(parts[1])
    identity = (header.epoch, header.seq)
    _check_topic(parts[0], "f", header.stream, identity)
    _check_constants(header, identity)
    return Frame(
        pixels=_pixels(parts[2] if fetch is None else fetch(parts[2], identity), header, max_bytes),
        stream=header.stream,
        epoch=header.epoch,
        seq=header.seq,
        t_ns=header.t_ns,
        exp_ns=header.exp_ns,
        mono_ns=header.mono_ns,
        host=header.host,
        roi=header.roi,
        bin=header.bin,
        gain=header.gain,
        read_noise=header.read_noise,
        offset=header.offset,
        saturation=header.saturation,
        truth=None if header.truth is None else Shift(*header.truth),
        moved=header.moved,
        recv_mono_ns=recv_mono_ns,
    )


def _verdict(reasons: list[str]) -> Verdict:
    """The flags we know; a newer sender's unknown reason still counts as a reason."""
    verdict = Verdict.OK
    for reason in reasons:
        verdict |= Verdict.__members__.get(reason, Verdict.OUT_OF_RANGE)
    return verdict


def unpack_correction(parts: Sequence[Buffer]) -> Correction:
    """A correction from its two parts; raises `WireError`.

    What the wire does not carry (photometry, iterations) is unknown in the result's estimate.
    """
    _parts(parts, 2)
    raw = unpack_map(parts[1])
    body = _convert(raw, _CorrectionBody)
    _check_topic(parts[0], "c", body.stream)
    xx, xy, yy = body.cov
    verdict = _verdict(body.verdict)
    result = Result(
        stream=body.stream,
        epoch=body.epoch,
        seq=body.seq,
        t_ns=body.t_ns,
        state=body.state,
        estimate=Estimate(
            shift=Shift(*body.shift),
            covariance=((xx, xy), (xy, yy)),
            chi2_dof=body.chi2,
            contrast=body.contrast,
            regime=body.regime,
            field=None if body.field is None else unpack_field(body.field),
        ),
        verdict=verdict,
        command=Command(u=body.command, unit=body.unit, mode=body.mode),
        reference=ReferenceInfo(id=body.ref.id, age_frames=body.ref.age_frames, walk=body.ref.walk),
    )
    lat = body.lat
    delivery = Delivery(
        sent=lat.sent,
        recv=lat.recv,
        start=lat.start,
        done=lat.done,
        out=lat.out,
        valid_until=body.valid_until,
        host=body.host,
        truth=None if body.truth is None else Shift(*body.truth),
        lost=body.lost,
        skipped=body.skipped,
        event=body.event,
    )
    return Correction(result, delivery)


def unpack_event(parts: Sequence[Buffer]) -> Event:
    """An order, a tick or an intake from its two parts; raises `WireError`."""
    _parts(parts, 2)
    body: _OrderBody | _TickBody | _IntakeBody = _convert(unpack_map(parts[1]), _EVENT_BODY)
    _check_topic(parts[0], "o", body.stream)
    return body.record()


def unpack_checkpoint(parts: Sequence[Buffer]) -> Checkpoint:
    """A checkpoint from its three parts; raises `WireError`."""
    _parts(parts, 3)
    head = _convert(unpack_map(parts[1]), _CheckpointHead)
    _check_topic(parts[0], "k", head.stream)
    return Checkpoint(head.n, head.run, checkpoints.unpack(parts[2]))


def unpack_status(parts: Sequence[Buffer]) -> Body:
    """A status map from its two parts; raises `WireError`."""
    _parts(parts, 2)
    body = unpack_map(parts[1])
    if body.get("kind") != "status":
        raise WireError("kind", f"a status was expected, not {str(body.get('kind'))[:20]!r}")
    _check_topic(parts[0], "s", str(body.get("stream"))[:40])
    return body
