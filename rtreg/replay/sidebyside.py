"""What was and what would have been: two runs over the same frames, as a table and as a picture."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError
from rtreg.io import wire
from rtreg.replay.rerun import Step

__all__ = ["SideBySide"]

_ENDINGS: Final = (".png", ".pdf", ".svg")
Values = npt.NDArray[np.float64]


class _Run:
    """One of the two runs, a row a correction: time, shift, sigma, command, and the state it was in."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, ...]] = []
        self.states: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.references: set[int] = set()

    def add(self, correction: wire.Correction) -> None:
        result = correction.result
        good = not result.verdict
        shift = result.estimate.shift if good else (math.nan, math.nan)
        sigma = result.estimate.sigma if good else (math.nan, math.nan)
        self.rows.append((result.t_ns / 1e9, *shift, *sigma, *result.command.u))
        self.states[str(result.state)] += 1
        self.reasons.update(result.verdict.reasons)
        self.references.add(result.reference.id)

    def columns(self) -> Values:
        """(7, n): t, dx, dy, sx, sy, u0, u1."""
        return np.array(self.rows, np.float64).reshape(-1, 7).T

    def table(self) -> dict[str, Any]:
        t, dx, dy, sx, sy, u0, u1 = self.columns()
        return {
            "corrections": t.size,
            "measured": int(np.isfinite(dx).sum()),
            "references": len(self.references - {0}),
            "shift rms x, px": _rms(dx),
            "shift rms y, px": _rms(dy),
            "sigma x, px": _median(sx),
            "sigma y, px": _median(sy),
            "command rms 0": _rms(u0),
            "command rms 1": _rms(u1),
            **{f"state {name}": count for name, count in sorted(self.states.items())},
            **{f"reason {name}": count for name, count in sorted(self.reasons.items())},
        }


def _rms(values: Values) -> float:
    known = values[np.isfinite(values)]
    return float(np.std(known)) if known.size else math.nan


def _median(values: Values) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else math.nan


class SideBySide:
    """Collects the steps of a `Rerun`; the mutable state is the two runs."""

    def __init__(self) -> None:
        self._was, self._would = _Run(), _Run()

    def add(self, step: Step) -> None:
        """One more step, if both runs have a correction for it."""
        if step.recorded is not None and step.repeated is not None:
            self._was.add(step.recorded)
            self._would.add(step.repeated)

    def table(self) -> dict[str, list[Any]]:
        """Each quantity as recorded and as repeated; rms is about the mean."""
        was, would = self._was.table(), self._would.table()
        names = [*was, *(name for name in would if name not in was)]
        return {name: [was.get(name, 0), would.get(name, 0)] for name in names}

    def lines(self) -> list[str]:
        """The table for people."""
        rows = [f"{'':<22}{'recorded':>14}{'repeated':>14}"]
        for name, values in self.table().items():
            rows.append(f"{name:<22}" + "".join(f"{v:>14.6g}" for v in values))
        return rows

    def draw(self, path: Path, title: str) -> None:
        """Shift and command of both runs over time, to a .png, .pdf or .svg; needs matplotlib (extra "plot")."""
        if path.suffix.lower() not in _ENDINGS:
            raise ConfigError(f"{path} cannot be written: a plot ends in {', '.join(_ENDINGS)}")
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise ConfigError("plots need matplotlib: pip install 'rtreg[plot]'") from None
        figure = Figure(figsize=(11, 9), layout="constrained")
        axes = figure.subplots(4, 1, sharex=True)
        for run, label, style in ((self._was, "recorded", "-"), (self._would, "repeated", "--")):
            t, dx, dy, _, _, u0, u1 = run.columns()
            t = t - t[0] if t.size else t
            for axis, values in zip(axes, (dx, dy, u0, u1), strict=True):
                axis.plot(t, values, style, linewidth=0.8, label=label)
        for axis, name in zip(axes, ("shift x, px", "shift y, px", "command 0", "command 1"), strict=True):
            axis.set_ylabel(name)
        axes[0].legend(loc="upper right")
        axes[-1].set_xlabel("s")
        figure.suptitle(f"{title}: recorded and repeated")
        figure.savefig(path, dpi=120)
