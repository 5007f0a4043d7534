"""What the monitor shows: a model fed with corrections and status, and its rendering, a pure function of it.

Nothing here reads a clock or a socket: time is data (CLOCK_MONOTONIC ns), so every picture can be drawn in a test.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rtreg.live.metrics import Latencies
from rtreg.records import Delivery, Field, Result, State

SPARK = 36  # columns of a sparkline; with its number it fits 80
SAMPLE_NS = 250_000_000  # one sparkline column; a sample, not a mean, so that jitter stays visible
RECENT_NS = 5_000_000_000  # what rate, rms and reasons look back on
WINDOW_NS = 30_000_000_000  # latencies are of the last one to two of these
_BARS = "▁▂▃▄▅▆▇█"
_STYLE: dict[str, str] = {
    "WAITING": "bold cyan",
    State.LOCKED: "bold green",
    State.ACQUIRING: "bold cyan",
    State.NO_REFERENCE: "bold cyan",
    State.PAUSED: "bold blue",
    State.HOLD: "bold black on yellow",
    State.STALE: "bold white on red",
    State.LOST: "bold white on red",
    State.STOPPING: "bold magenta",
}


@dataclass
class _Sample:
    """One correction, as much of it as the picture needs."""

    now: int
    shift: tuple[float, float]
    sigma: tuple[float, float]
    reasons: list[str]
    fresh: bool  # of a frame not seen before, rather than a tick repeating the last one


@dataclass
class View:
    """The model: everything the picture needs. The mutable state is all here, fed by `correction` and `status`.

    `note` is a line of the caller's own, e.g. what a demo is doing.
    """

    stream: str
    note: str = ""
    last: Result | None = None
    status: dict[str, Any] = field(default_factory=dict)
    corrections: int = 0
    lost: int = 0
    skipped: int = 0
    _recent: deque[_Sample] = field(default_factory=deque)
    _trace: deque[_Sample] = field(default_factory=lambda: deque(maxlen=SPARK))
    _latencies: deque[tuple[int, Latencies]] = field(default_factory=lambda: deque(maxlen=2))

    def correction(self, result: Result, delivery: Delivery, now: int) -> None:
        """Take in one correction that arrived at `now`, CLOCK_MONOTONIC ns."""
        fresh = self.last is None or (result.epoch, result.seq) != (self.last.epoch, self.last.seq)
        sample = _Sample(now, result.estimate.shift, result.estimate.sigma, result.verdict.reasons, fresh)
        self.stream, self.last = result.stream, result
        self.corrections += fresh
        self.lost += delivery.lost
        self.skipped += delivery.skipped
        self._recent.append(sample)
        if not self._trace or now - self._trace[-1].now >= SAMPLE_NS:
            self._trace.append(sample)
        if fresh:
            if not self._latencies or now - self._latencies[-1][0] > WINDOW_NS:
                self._latencies.append((now, Latencies()))
            self._latencies[-1][1].add(delivery)

    def recent(self, now: int) -> list[_Sample]:
        """The corrections of the last `RECENT_NS`; older ones are forgotten."""
        while self._recent and now - self._recent[0].now > RECENT_NS:
            self._recent.popleft()
        return list(self._recent)

    def rate(self, now: int) -> float:
        """Corrected frames a second over the last `RECENT_NS`; 0 without any."""
        times = [sample.now for sample in self.recent(now) if sample.fresh]
        return (len(times) - 1) * 1e9 / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0

    def state(self, now: int) -> str:
        """The tracker's own word, or "SILENT" when it has said nothing for a second: silence is failure too."""
        if self.last is None:
            return "WAITING"
        return str(self.last.state) if self._recent and now - self._recent[-1].now < 1_000_000_000 else "SILENT"

    def reasons(self, now: int) -> Counter[str]:
        """How often each reason against an estimate was given over the last `RECENT_NS`."""
        return Counter(reason for sample in self.recent(now) for reason in sample.reasons)

    def rms(self, now: int) -> tuple[float, float]:
        """Scatter of the measured shift about its mean over the last `RECENT_NS`, px (x, y)."""
        shifts = np.array([sample.shift for sample in self.recent(now) if sample.fresh]).reshape(-1, 2)
        good = shifts[np.isfinite(shifts).all(axis=1)]
        if not len(good):
            return math.nan, math.nan
        x, y = good.std(axis=0)
        return float(x), float(y)

    def latency(self) -> dict[str, dict[str, float]]:
        """Latency quantiles by stage, microseconds, over the window that is filling and the one before it."""
        both = Latencies()
        for _, latencies in self._latencies:
            both.merge(latencies)
        return both.summary_us()


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """Bars between `low` and `high`; a dot where the value is unknown; flat in the middle if there is no range."""
    span = high - low
    bars = []
    for value in values:
        if not math.isfinite(value):
            bars.append("·")
        elif span <= 0:
            bars.append(_BARS[len(_BARS) // 2])
        else:
            bars.append(_BARS[min(len(_BARS) - 1, max(0, int((value - low) / span * len(_BARS))))])
    return "".join(bars)


def line(view: View, now: int) -> str:
    """The model as one plain line."""
    last = view.last
    if last is None:
        return view.note or "waiting for corrections"
    (dx, dy), (sx, sy) = last.estimate.shift, last.estimate.sigma
    total = view.latency()["total"]
    words = [
        f"{view.stream} {view.state(now)} {view.rate(now):.1f} Hz",
        f"dx {dx:+.4f} ± {sx:.4f} dy {dy:+.4f} ± {sy:.4f} px",
        f"latency p50 {total['p50']:.0f} p99 {total['p99']:.0f} us",
        f"lost {view.lost} skipped {view.skipped} ref {last.reference.id}",
    ]
    more = [_regions_in_a_word(last.estimate.field), in_peoples_unit(view, now), _counts(view.reasons(now)), view.note]
    return ", ".join([*words, *filter(None, more)])


def in_peoples_unit(view: View, now: int) -> str:
    """Shift, scatter and error bar in arcsec or um, if the controller was told the size of a pixel; else empty."""
    controller = view.status.get("controller", {})
    scale, unit = controller.get("pixel_scale"), controller.get("pixel_unit")
    if not scale or view.last is None:
        return ""
    estimate = view.last.estimate
    pairs = {"shift": estimate.shift, "rms": view.rms(now), "sigma": estimate.sigma}
    numbers = ("{} {} {}".format(name, *(_number(scale * v, ".3g") for v in pair)) for name, pair in pairs.items())
    return f"{unit}: " + "  ".join(numbers)


def render(view: View, now: int) -> RenderableType:
    """The model as a panel that fits 80 columns."""
    state = view.state(now)
    loop = view.status.get("controller", {}).get("loop")
    said = f" loop {loop} " if loop else " "
    title = Text.assemble(f" rtreg {view.stream} ", (f" {state} ", _style(state)), said)
    parts: list[RenderableType] = [_head(view, now), _traces(view, now)]
    if people := in_peoples_unit(view, now):
        parts.append(Text(people))
    if view.last is not None and view.last.estimate.field is not None:
        parts += regions(view.last.estimate.field, view.status.get("regions", []))
    parts += [_latency(view), _foot(view, now)]
    if why := view.status.get("controller", {}).get("opened"):
        parts.append(Text(f"the loop has opened itself: {why}", style=_STYLE[State.LOST]))
    if view.note:
        parts.append(Text(view.note, style="bold"))
    return Panel(Group(*parts), title=title, title_align="left", width=80)


def _style(state: str) -> str:
    return _STYLE.get(state, _STYLE[State.STALE])


def _head(view: View, now: int) -> Text:
    last = view.last
    command = "no correction yet"
    if last is not None:
        u0, u1 = (_number(value, "+.3f") for value in last.command.u)
        command = f"command {u0} {u1} {last.command.unit} ({last.command.mode})"
    return Text(f"rate {view.rate(now):7.1f} Hz   corrections {view.corrections}   {command}\n")


def _traces(view: View, now: int) -> Table:
    """Shift and sigma, both axes: number, scatter and sparkline; the axes share a scale so that they compare."""
    table = Table(box=None, pad_edge=False, expand=False)
    for name in ("", "now px", "rms px", f"last {SPARK * SAMPLE_NS / 1e9:.0f} s"):
        table.add_column(name, justify="left" if not name or name.startswith("last") else "right", style="")
    trace = list(view._trace)
    shifts, sigmas = [sample.shift for sample in trace], [sample.sigma for sample in trace]
    peak = max((abs(v) for pair in shifts for v in pair if math.isfinite(v)), default=0.0)
    top = max((v for pair in sigmas for v in pair if math.isfinite(v)), default=0.0)
    rms = view.rms(now)
    for axis, name in enumerate("xy"):
        value = view.last.estimate.shift[axis] if view.last else math.nan
        spark = sparkline([pair[axis] for pair in shifts], -peak, peak)
        scale = Text(f" ±{peak:.3g}", style="dim") if axis == 0 else Text("")
        table.add_row(f"shift {name}", _number(value, "+.4f"), _number(rms[axis], ".4f"), Text(spark) + scale)
    for axis, name in enumerate("xy"):
        value = view.last.estimate.sigma[axis] if view.last else math.nan
        spark = sparkline([pair[axis] for pair in sigmas], 0.0, top)
        scale = Text(f" 0-{top:.2g}", style="dim") if axis == 0 else Text("")
        table.add_row(f"sigma {name}", _number(value, ".4f"), "", Text(spark) + scale)
    return table


def regions(field: Field, boxes: Sequence[Sequence[int]]) -> list[RenderableType]:
    """What each region says, and the field's rotation and magnification where they are measured."""
    table = Table(box=None, pad_edge=False)
    for name in ("region", "x y w h", "shift x", "shift y", "sigma x", "sigma y"):
        table.add_column(f"\n{name}", justify="left" if name == "x y w h" else "right", no_wrap=True)
    table.add_column("\n")  # a long reason wraps
    for k, part in enumerate(field.parts):
        numbers = [*(_number(v, "+.4f") for v in part.shift), *(_number(v, ".4f") for v in part.sigma)]
        where = " ".join(map(str, boxes[k])) if k < len(boxes) else ""
        table.add_row(
            str(k + 1),
            where,
            *numbers,
            part.rejected.replace("|", " ") or "used",
            style="yellow" if part.rejected else "",
        )
    said = f"scatter {_number(field.scatter, '.4f')} px"
    if math.isfinite(field.rotation):
        turned = f"rotation {1e3 * field.rotation:+.4f} ± {1e3 * field.rotation_sigma:.4f} mrad"
        said = f"{turned}   scale {field.magnification:.6f} ± {field.magnification_sigma:.6f}\n{said}"
    return [table, Text(said)]


def _regions_in_a_word(field: Field | None) -> str:
    if field is None:
        return ""
    out = [f"{k + 1} {part.rejected}" for k, part in enumerate(field.parts) if part.rejected]
    said = f"regions {len(field.parts) - len(out)}/{len(field.parts)}" + "".join(f" ({reason})" for reason in out)
    if math.isfinite(field.rotation):
        said += f" rotation {1e3 * field.rotation:+.4f} ± {1e3 * field.rotation_sigma:.4f} mrad"
    return said


def _latency(view: View) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("\nlatency us")
    for quantile in ("p50", "p99", "p99.9", "max"):
        table.add_column(f"\n{quantile}", justify="right", min_width=8)
    for stage, values in view.latency().items():
        table.add_row(stage, *(_number(value, ".0f") for value in values.values()))
    return table


def _foot(view: View, now: int) -> Text:
    ledger = view.status.get("ledger", {})
    rejected, held = (Counter(ledger.get(name, {})) for name in ("rejected", "held"))
    text = Text(f"\nlosses     lost {view.lost}  skipped {view.skipped}  rejected {_counts(rejected) or 0}")
    text.append(f"\nheld       {_counts(held) or 0}")
    reasons = _counts(view.reasons(now))
    text.append("\nreasons    ")
    text.append(f"{reasons} (last {RECENT_NS / 1e9:.0f} s)" if reasons else "none", style="yellow" if reasons else "")
    if view.last is not None:
        ref = view.last.reference
        text.append(f"\nreference  id {ref.id}  age {ref.age_frames} frames  walk {_number(ref.walk, '.5f')} px")
    return text


def _counts(counter: Counter[str]) -> str:
    return " ".join(f"{name} {count}" for name, count in counter.most_common())


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"
