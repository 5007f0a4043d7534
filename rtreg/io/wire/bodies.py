"""What is on the wire: names, limits, and each map's keys with their types."""

from __future__ import annotations

import functools
import re
import sys
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np

from rtreg.errors import ConfigError
from rtreg.io.fields import FieldBody
from rtreg.records import Delivery, Event, Intake, Order, Result, State, Tick

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

_STREAM: Final = r"^[A-Za-z0-9_-]{1,40}\Z"
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


class FrameHeader(msgspec.Struct):
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


class Reference(msgspec.Struct):
    id: int = 0
    age_frames: int = 0
    walk: float = float("nan")


class Latency(msgspec.Struct):
    sent: int = 0
    recv: int = 0
    start: int = 0
    done: int = 0
    out: int = 0


class CorrectionBody(msgspec.Struct):
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
    ref: Reference
    lat: Latency
    lost: Count
    skipped: Count
    valid_until: int
    host: str = ""
    truth: Pair | None = None
    event: Count = 0
    field: FieldBody | None = None


class OrderBody(msgspec.Struct, tag_field="kind", tag="order"):
    stream: Stream
    do: str
    args: dict[str, Any]
    epoch: Count
    seq: Count
    n: Count = 0

    def record(self) -> Event:
        return Order(do=self.do, args=self.args, epoch=self.epoch, seq=self.seq, n=self.n)


class TickBody(msgspec.Struct, tag_field="kind", tag="tick"):
    stream: Stream
    mono_ns: int
    t_ns: int
    n: Count = 0

    def record(self) -> Event:
        return Tick(mono_ns=self.mono_ns, t_ns=self.t_ns, n=self.n)


class IntakeBody(msgspec.Struct, tag_field="kind", tag="intake"):
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


class CheckpointHead(msgspec.Struct):
    kind: Literal["checkpoint"]
    stream: Stream
    n: Count
    run: Count


EVENT_BODY: Final[Any] = OrderBody | TickBody | IntakeBody  # told apart by "kind"


def stream_name(name: str) -> str:
    """`name` if it may name a stream: 1 to 40 ASCII letters, digits, ``-``, ``_``; else `ConfigError`."""
    if not re.match(_STREAM, name):
        raise ConfigError(f"stream name {name!r}: use 1 to 40 ASCII letters, digits, '-' and '_'")
    return name


@functools.lru_cache(maxsize=64)
def topic(letter: Letter, stream: str) -> bytes:
    """The topic of a stream: ``b"f/cam/"``. The last ``/`` keeps ``cam1`` from also matching ``cam10``."""
    return f"{letter}/{stream}/".encode("ascii")
