"""What flows through the system: frozen records with the field's own names.

Conventions, the same everywhere: arrays are ``(ny, nx)``; ``x`` is the column. A `Shift` says where a frame's
content lies relative to the reference, ``frame(y, x) = reference(y - dy, x - dx)``, x first, in pixels. Times are
integer nanoseconds. What is unknown is NaN, never 0.
"""

from __future__ import annotations

import enum
import math
from typing import Any, Literal, NamedTuple

import msgspec
import numpy.typing as npt

from rtreg.errors import WireError

NAN = math.nan
UNKNOWN_TIME = -(1 << 63)  # ns, where a file of int64 has no other way to say so
Covariance = tuple[tuple[float, float], tuple[float, float]]
NO_COVARIANCE: Covariance = ((NAN, NAN), (NAN, NAN))


class Shift(NamedTuple):
    """Where a frame's content lies relative to the reference, px; positive is larger x, larger y."""

    dx: float
    dy: float


class Verdict(enum.Flag):
    """Why an estimate should not be acted on; `OK` is the absence of reasons."""

    OK = 0
    DARK = enum.auto()
    SATURATED = enum.auto()
    LOW_SNR = enum.auto()
    AMBIGUOUS = enum.auto()
    JUMP = enum.auto()
    MISFIT = enum.auto()
    NAN = enum.auto()
    STALE = enum.auto()
    GAP = enum.auto()
    OUT_OF_RANGE = enum.auto()
    MOVED = enum.auto()
    FLUX = enum.auto()
    FROZEN = enum.auto()
    NO_MOTION = enum.auto()

    @property
    def reasons(self) -> list[str]:
        """The names of the flags that are set; empty when all is well."""
        return [] if self is Verdict.OK else [str(flag.name) for flag in self]


class State(enum.StrEnum):
    """What the tracker is doing, as every correction says it."""

    ACQUIRING = "ACQUIRING"
    LOCKED = "LOCKED"
    HOLD = "HOLD"
    LOST = "LOST"
    STALE = "STALE"
    NO_REFERENCE = "NO_REFERENCE"
    PAUSED = "PAUSED"
    STOPPING = "STOPPING"


class Frame(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One image and everything its camera said about it.

    `pixels` is ``(ny, nx)``, C-contiguous and read-only. `t_ns` is mid-exposure UTC; `mono_ns` the camera's
    CLOCK_MONOTONIC at hand-over to the socket, valid on `host` only; `recv_mono_ns` is ours. `moved` is when the last
    move of the actuator began and ended, by the clock of `t_ns`; None if there was none or nobody knows.
    """

    pixels: npt.NDArray[Any]
    stream: str = "cam"
    epoch: int = 0
    seq: int = 0
    t_ns: int = 0
    exp_ns: int = 0
    mono_ns: int = 0
    host: str = ""
    roi: tuple[int, int] | None = None
    bin: tuple[int, int] | None = None
    gain: float | None = None
    read_noise: float | None = None
    offset: float | None = None
    saturation: float | None = None
    truth: Shift | None = None
    moved: tuple[int, int] | None = None
    recv_mono_ns: int = 0


class Refusal(NamedTuple):
    """A message that broke the protocol: why, and its first bytes for the log."""

    error: WireError
    sample: bytes


class Reception(NamedTuple):
    """What one receive brought: the frame to work on, what was passed over for it, what was refused."""

    frame: Frame | None
    skipped: list[Frame]
    refused: list[Refusal]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one of several regions says: its own estimate, px and px², and why it was left out; empty if it was not."""

    shift: Shift = Shift(NAN, NAN)
    covariance: Covariance = NO_COVARIANCE
    chi2_dof: float = NAN
    rejected: str = ""

    @property
    def sigma(self) -> Shift:
        """1-sigma errors (x, y), px; NaN where unknown."""
        return _roots(self.covariance)


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """How a field that is measured in several regions has moved, beyond the shift of its centre.

    Attributes
    ----------
    parts : tuple of Part
        One for each region, in the order of the configuration.
    centre : Shift, optional
        The point (x, y) of the reference that the estimate's shift is of, px.
    rotation, rotation_sigma : float
        rad; positive turns +x towards +y. NaN with fewer than three regions.
    magnification, magnification_sigma : float
        Size of the field over that in the reference.
    tension : float
        chi² per degree of freedom of the regions' agreement; about 1, since what they scatter is in it.
    scatter : float
        How far regions move on their own, 1 sigma, px.
    """

    parts: tuple[Part, ...]
    centre: Shift | None = None
    rotation: float = NAN
    rotation_sigma: float = NAN
    magnification: float = NAN
    magnification_sigma: float = NAN
    tension: float = NAN
    scatter: float = NAN


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A measured shift with its error bar.

    Attributes
    ----------
    shift : Shift
        Where the frame's content lies relative to the reference, px.
    covariance : ((xx, xy), (xy, yy))
        px², order (x, y); NaN where unknown.
    chi2_dof : float
        Misfit: chi² per degree of freedom; 1 for a frame that is the shifted reference plus the stated noise.
    contrast : float
        How much better the last search's answer was than its best rival: the evidence for either, of which no detail of
        the picture has more than its share; `inf` when there was no rival.
    scale, offset : float
        Photometry: ``frame = scale * reference + offset``.
    iterations : int
        Gauss-Newton passes taken.
    regime : {"track", "acquire"}
        Whether the start came from the last answer or from a full search.
    flags : Verdict
        What the estimator itself could see wrong; `Verdict.OK` when nothing.
    field : Field, optional
        With several regions: what each says, and rotation and magnification from three on.
    """

    shift: Shift = Shift(NAN, NAN)
    covariance: Covariance = NO_COVARIANCE
    chi2_dof: float = NAN
    contrast: float = NAN
    scale: float = NAN
    offset: float = NAN
    iterations: int = 0
    regime: Literal["track", "acquire"] = "acquire"
    flags: Verdict = Verdict.OK
    field: Field | None = None

    @property
    def dx(self) -> float:
        """Shift along x (columns), px."""
        return self.shift.dx

    @property
    def dy(self) -> float:
        """Shift along y (rows), px."""
        return self.shift.dy

    @property
    def sigma(self) -> Shift:
        """1-sigma errors (x, y), px; NaN where unknown."""
        return _roots(self.covariance)

    @property
    def ok(self) -> bool:
        """True when nothing speaks against the estimate."""
        return self.flags is Verdict.OK


def _roots(covariance: Covariance) -> Shift:
    (xx, _), (_, yy) = covariance
    return Shift(math.sqrt(xx) if xx >= 0 else NAN, math.sqrt(yy) if yy >= 0 else NAN)


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What the actuator should do. In mode "absolute" a held command repeats the last; in "increment" it is 0."""

    u: tuple[float, float] = (0.0, 0.0)
    unit: str = "px"
    mode: Literal["absolute", "increment"] = "absolute"


class ReferenceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which reference a result is relative to. `id` 0 means none; `walk` is its estimated 1-sigma walk, px."""

    id: int = 0
    age_frames: int = 0
    walk: float = NAN


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine made of one frame, or of a tick without one (then identity is the last frame's).

    `held` says why the command does not answer this frame; empty when it does.
    """

    stream: str
    epoch: int
    seq: int
    t_ns: int
    state: State
    estimate: Estimate
    verdict: Verdict
    command: Command
    reference: ReferenceInfo
    held: str = ""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What the process knows of a correction and the engine does not: its stage times and losses.

    `sent`, `recv`, `start`, `done`, `out` and `valid_until` are CLOCK_MONOTONIC ns of this host (`sent` is the
    camera's, comparable when the frame's host is ours); `host` is the host whose clock that is, so that a consumer
    elsewhere knows that it cannot judge them. `lost` and `skipped` count since the last correction. `truth` is the
    frame's true shift, passed on from a simulator. `event` is the `n` of the `Event` that it answers.
    """

    sent: int = 0
    recv: int = 0
    start: int = 0
    done: int = 0
    out: int = 0
    valid_until: int = 0
    lost: int = 0
    skipped: int = 0
    host: str = ""
    truth: Shift | None = None
    event: int = 0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction to the engine, as data: what to do, with its arguments, and the frame it precedes."""

    do: str
    args: dict[str, Any] = {}
    epoch: int = 0
    seq: int = 0
    n: int = 0


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """Time without a frame: CLOCK_MONOTONIC ns and UTC ns, read by the process and handed over as data."""

    mono_ns: int
    t_ns: int = 0
    n: int = 0


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """What one receive brought and when it was looked at: with the frames themselves, enough to do the same again.

    `mono_ns` and `t_ns` are CLOCK_MONOTONIC and UTC at that time; `frame` is the newest one's (epoch, seq,
    recv_mono_ns), `skipped` those passed over for it, (epoch, seq), `refused` the reason, and the identity if known,
    of each message that broke the protocol. `learnt` is whether the reference then learnt: not while other frames
    wait.
    """

    mono_ns: int
    t_ns: int
    frame: tuple[int, int, int] | None = None
    skipped: tuple[tuple[int, int], ...] = ()
    refused: tuple[tuple[str, tuple[int, int] | None], ...] = ()
    learnt: bool = True
    n: int = 0


# All that an engine sees besides the pixels. `n` counts a tracker's events from 1: a gap in it is a gap in the record.
Event = Order | Tick | Intake


class Checkpoint(NamedTuple):
    """What a tracker knew after its event `n`; `run` is a random number that it took at its start."""

    n: int
    run: int
    body: dict[str, Any]
