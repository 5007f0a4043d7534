"""Is it the same? Corrections side by side, field by field, and what that means for the recording as a whole."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgpack

from rtreg import fft
from rtreg.errors import RecordingError
from rtreg.io import wire
from rtreg.io.config import Config
from rtreg.io.facts import numerics
from rtreg.io.recordings import Recording
from rtreg.records import Intake
from rtreg.replay.rerun import Rerun, Step, recorded_config, temporary_folder

__all__ = ["STAGES", "Comparison", "Difference", "differing", "verify"]

# in the order in which a correction comes about; what was measured when, and until when it is valid, is not compared
STAGES: Final[dict[str, tuple[str, ...]]] = {
    "frame": ("stream", "epoch", "seq", "t_ns", "truth", "host", "event", "lost", "skipped", "kind", "v"),
    "reference": ("ref",),
    "estimate": ("shift", "cov", "chi2", "contrast", "regime"),
    "gate": ("verdict",),
    "state": ("state",),
    "controller": ("command", "unit", "mode"),
}
NOT_COMPARED: Final = ("lat", "valid_until")
# Elsewhere than on the machine of the recording: float32 sums in another order are another number in the seventh
# digit, a fit that stops a pass earlier another in the fourth of its error bar; a rolling reference carries that on.
SHIFT_IN_SIGMA: Final = 0.05
SHIFT_PX: Final = 1e-3
RELATIVE: Final = 0.02

Body = dict[str, Any]


class Difference(NamedTuple):
    """Where a repeated correction is not the recorded one: the first stage that differs, and what in it."""

    seq: int
    event: int
    stage: str
    key: str
    recorded: Any
    repeated: Any

    def __str__(self) -> str:
        return f"frame {self.seq}, {self.stage}: {self.key} {_short(self.recorded)} was, {_short(self.repeated)} is"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_short, value)) + "]"
    return str(value)


@dataclass
class Comparison:
    """What came of a verification.

    `compared` corrections of which `identical` were equal in every bit and `close` within the tolerance; `different`
    those that were not, up to `kept` of them in `differences`; `missing` were recorded or repeated only.
    """

    exact: bool
    why_not: str = ""
    compared: int = 0
    identical: int = 0
    close: int = 0
    different: int = 0
    missing: int = 0
    frames: int = 0
    largest_px: float = 0.0
    checkpoints: int = 0
    unequal_checkpoints: int = 0
    unrepeated: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    stages: Counter[str] = field(default_factory=Counter)

    @property
    def same(self) -> bool:
        """Whether every correction that could be compared is the same, and there was one."""
        return self.compared > 0 and not (self.different or self.missing or self.unequal_checkpoints)

    @staticmethod
    def tolerance() -> str:
        """The tolerance where not every bit is asked for, in words."""
        return f"{SHIFT_PX:g} px or {SHIFT_IN_SIGMA:g} sigma, {RELATIVE:.0%} of what is no shift"

    def plain(self) -> dict[str, Any]:
        """All of it as plain data."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        told |= {"unrepeated": dict(self.unrepeated), "stages": dict(self.stages), "same": self.same}
        return {**told, "differences": [difference._asdict() for difference in self.differences]}


def differing(step: Step, *, exact: bool) -> Difference | None:
    """The first stage at which a step's two corrections differ, or None."""
    a, b = _body(step.recorded), _body(step.repeated)
    if a is None or b is None:
        raise ValueError("there is nothing to compare")
    sigma = math.sqrt(max(0.0, *(v for v in (a["cov"][0], a["cov"][2], 0.0) if not math.isnan(v))))
    for stage, keys in STAGES.items():
        for key in keys:
            one, other = a.get(key), b.get(key)
            if _bits(one) != _bits(other) and (exact or not _is_close(key, one, other, sigma)):
                return Difference(a["seq"], step.event.n, stage, key, one, other)
    return None


def _body(correction: wire.Correction | None) -> Body | None:
    if correction is None:
        return None
    body: Body = msgpack.unpackb(wire.pack_correction(*correction)[1])
    return {key: value for key, value in body.items() if key not in NOT_COMPARED}


def _bits(value: Any) -> bytes:
    """A value to the last bit; one NaN is like another."""
    packed: bytes = msgpack.packb(value)
    return packed


def _is_close(key: str, a: Any, b: Any, sigma: float) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_is_close(key, a[name], b[name], sigma) for name in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(_is_close(key, one, other, sigma) for one, other in zip(a, b, strict=True))
    if not isinstance(a, float) or not isinstance(b, float):
        return bool(a == b)
    if math.isnan(a) or math.isnan(b) or math.isinf(a) or math.isinf(b):
        return (math.isnan(a) and math.isnan(b)) or a == b
    if key in ("shift", "command"):
        return abs(a - b) <= max(SHIFT_PX, SHIFT_IN_SIGMA * sigma)
    return abs(a - b) <= RELATIVE * max(abs(a), abs(b)) + 1e-6


def verify(
    recording: Recording,
    *,
    stream: str | None = None,
    config: Config | None = None,
    overrides: tuple[str, ...] = (),
    kept: int = 20,
    watch: Callable[[Step], None] | None = None,
) -> Comparison:
    """Repeat a recorded run and compare every correction.

    Parameters
    ----------
    recording : Recording
    stream : str, optional
        Which one, if there are several.
    config : Config, optional
        Another configuration than the recorded one: then differences are the answer, not a failure.
    overrides : tuple of str
        ``table.key=value``, on top of the recorded configuration.
    kept : int
        How many differences are told in detail.
    watch : callable, optional
        Is given each `Step`.

    Returns
    -------
    Comparison
        `exact` says whether every bit was asked for: on the machine and with the versions of the recording it is,
        elsewhere the tolerance is that of `SHIFT_PX`, `SHIFT_IN_SIGMA` and `RELATIVE`, and `why_not` says why.

    Raises
    ------
    RecordingError
        There is nothing in it that could be repeated, or it is damaged.
    """
    name = recording.one_stream(stream, "o")
    with temporary_folder() as folder:
        its = config or recorded_config(recording, folder, overrides)
        why_not = _other_place(recording)
        wisdom = recording.attachments.get("fftw-wisdom.json", b"").decode("ascii", "replace")
        with fft.borrowed_wisdom(wisdom) as taken:
            if not taken and not why_not:
                why_not = "FFTW does not take the recorded wisdom"
            comparison = Comparison(exact=not why_not, why_not=why_not)
            rerun = Rerun(recording, its, name, faithful=config is None and not overrides)
            for step in rerun:
                _enter(comparison, step, kept)
                if watch is not None:
                    watch(step)
    comparison.unrepeated = rerun.unrepeated
    comparison.checkpoints = rerun.checkpoints
    comparison.unequal_checkpoints = len(rerun.unequal) if comparison.exact else 0
    if not comparison.compared:
        reasons = ", ".join(f"{count} {why}" for why, count in rerun.unrepeated.items()) or "no events in it"
        raise RecordingError(f"{recording.path}: nothing that could be repeated: {reasons}")
    return comparison


def _enter(comparison: Comparison, step: Step, kept: int) -> None:
    """One more step into the accounts."""
    recorded, repeated = step.recorded, step.repeated
    if recorded is None and repeated is None:
        return
    if recorded is None or repeated is None:
        comparison.missing += 1
        return
    comparison.compared += 1
    comparison.frames += isinstance(step.event, Intake)
    if differing(step, exact=True) is None:
        comparison.identical += 1
        return
    comparison.largest_px = max(comparison.largest_px, *_apart(recorded, repeated))
    found = differing(step, exact=comparison.exact)
    if found is None:
        comparison.close += 1
        return
    comparison.different += 1
    comparison.stages[found.stage] += 1
    if len(comparison.differences) < kept:
        comparison.differences.append(found)


def _apart(a: wire.Correction, b: wire.Correction) -> Iterator[float]:
    for one, other in zip(a.result.estimate.shift, b.result.estimate.shift, strict=True):
        yield abs(one - other) if math.isfinite(one - other) else 0.0


def _other_place(recording: Recording) -> str:
    """What here is not as it was there, and so may change the last bits; "" if nothing is."""
    there, here = recording.metadata.get("numerics"), numerics()
    if there is None:
        return "the recording does not say on what it was made"
    other = {key: value for key, value in here.items() if there.get(key) != value}
    return "; ".join(f"{key} {there.get(key, 'unknown')} there, {value} here" for key, value in other.items())
