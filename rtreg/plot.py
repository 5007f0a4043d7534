"""A recording's corrections in one picture: shift, sigma, residual, states, power spectrum, latency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtreg.errors import RecordingError
from rtreg.io.extras import need
from rtreg.records import State

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]
Columns = Mapping[str, Array]

__all__ = ["draw", "power_spectrum"]

_COLOURS = {"x": "C0", "y": "C3"}
_STATES = {
    State.LOCKED: "#2a9d4a",
    State.ACQUIRING: "#e0b000",
    State.HOLD: "#e07b00",
    State.LOST: "#d02020",
    State.STALE: "#8050a0",
    State.NO_REFERENCE: "#606060",
    State.PAUSED: "#4080c0",
    State.STOPPING: "#202020",
}
_SEGMENT = 1024  # samples of one spectrum, of which many are averaged
_FEWEST = 16  # samples that a spectrum can be made of
_LONGEST_LATENCY = 3600.0  # s: beyond it two hosts' clocks were compared


def draw(columns: Columns, title: str = "") -> Figure:
    """Draw corrections, as `rtreg.io.corrections.columns_of` gives them.

    Parameters
    ----------
    columns : mapping of str to (n,) arrays
        `dx`, `dy`, `sigma_x`, `sigma_y`, `truth_x`, `truth_y` (px), `chi2_dof`, `state`, `epoch`, `seq`, `t_ns` and
        the stages `sent`, `recv`, `out` (ns).
    title : str
        Of the picture.

    Returns
    -------
    matplotlib.figure.Figure
        ``figure.savefig(path)`` writes it as PNG, PDF or SVG. The residual is measured minus true shift, less its
        median, where a simulator said the truth, else the misfit of the images, chi² per degree of freedom.

    Raises
    ------
    RecordingError
        There are no corrections.
    ConfigError
        matplotlib is not installed.
    """
    if not len(columns["seq"]):
        raise RecordingError("there are no corrections to draw")
    figure: Figure = need("matplotlib.figure", "plot", "a plot").Figure(figsize=(11, 11), layout="constrained")
    grid = figure.add_gridspec(4, 2)
    shift = figure.add_subplot(grid[0, :])
    over_time = [shift, *(figure.add_subplot(grid[row, :], sharex=shift) for row in (1, 2))]
    seconds = _seconds(columns)
    for axes, content in zip(over_time, (_shift, _sigma, _residual), strict=True):
        content(axes, seconds, columns)
        _states(axes, seconds, columns["state"])
        axes.margins(x=0)
        axes.grid(alpha=0.3)
    over_time[-1].set_xlabel("s since the first correction")
    figure.legend(*_state_legend(over_time[0]), loc="outside upper right", ncols=len(_STATES), fontsize="small")
    fresh = _fresh(columns)
    _spectrum(figure.add_subplot(grid[3, 0]), columns, fresh)
    _latency(figure.add_subplot(grid[3, 1]), columns, fresh)
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium")
    return figure


def power_spectrum(t_s: Array, values: Array) -> tuple[Array, Array]:
    """One-sided power spectral density by Welch's method, doi 10.1109/TAU.1967.1161901.

    Parameters
    ----------
    t_s : (n,) array
        Times, s, rising. Where one is more than half a step off, or a value is not finite, a new piece begins.
    values : (n,) array

    Returns
    -------
    frequencies, density : arrays
        Hz, and the unit of `values` squared per Hz: its sum times the step of frequencies is the variance. Empty where
        no piece is long enough.
    """
    none = np.empty(0), np.empty(0)
    if len(t_s) < _FEWEST:
        return none
    step = float(np.median(np.diff(t_s)))
    broken = np.abs(np.diff(t_s) - step) > 0.5 * step
    good = np.isfinite(values)
    cuts = 1 + np.flatnonzero(broken | ~good[1:] | ~good[:-1])
    pieces = [piece for piece in np.split(values, cuts) if np.isfinite(piece).all()]
    longest = max(map(len, pieces), default=0)
    size = min(_SEGMENT, longest)
    if size < _FEWEST or step <= 0:
        return none
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    starts = [(piece, at) for piece in pieces for at in range(0, len(piece) - size + 1, size // 2)]
    parts = [piece[at : at + size] - piece[at : at + size].mean() for piece, at in starts]
    power = np.mean([np.abs(np.fft.rfft(window * part)) ** 2 for part in parts], axis=0)
    density = power * 2 * step / np.sum(window**2)
    density[0] /= 2
    if size % 2 == 0:
        density[-1] /= 2
    return np.fft.rfftfreq(size, step), density


def _seconds(columns: Columns) -> Array:
    """Time of publication since the first one; of the frames where that was not noted."""
    clock = columns["out"] if columns["out"].all() else columns["t_ns"]
    return np.asarray((clock - clock[0]) / 1e9)


def _fresh(columns: Columns) -> Array:
    """Corrections that answer a frame of their own: those between frames repeat the last one's identity."""
    same = (columns["seq"][1:] == columns["seq"][:-1]) & (columns["epoch"][1:] == columns["epoch"][:-1])
    return np.concatenate([[True], ~same])


def _shift(axes: Axes, seconds: Array, columns: Columns) -> None:
    for axis in "xy":
        values = columns[f"d{axis}"]
        rms = math.sqrt(np.mean(values[np.isfinite(values)] ** 2)) if np.isfinite(values).any() else math.nan
        _line(axes, seconds, values, axis, f"{axis}, rms {rms:.4f}")
    axes.set_ylabel("shift, px")
    axes.legend(loc="upper left", fontsize="small")


def _sigma(axes: Axes, seconds: Array, columns: Columns) -> None:
    for axis in "xy":
        _line(axes, seconds, columns[f"sigma_{axis}"], axis, axis)
    axes.set_ylabel("sigma, px")
    _logarithmic(axes, columns["sigma_x"])


def _residual(axes: Axes, seconds: Array, columns: Columns) -> None:
    if np.isfinite(columns["truth_x"] + columns["dx"]).any():
        for axis in "xy":
            error = columns[f"d{axis}"] - columns[f"truth_{axis}"]
            # the truth has its zero in the scene, the measurement in its reference
            _line(axes, seconds, error - np.median(error[np.isfinite(error)]), axis, axis)
        axes.set_ylabel("measured - true - median, px")
    else:
        axes.plot(seconds, columns["chi2_dof"], lw=0.6, color="C2", rasterized=True)
        axes.set_ylabel("residual, chi² per degree of freedom")
        _logarithmic(axes, columns["chi2_dof"])


def _line(axes: Axes, seconds: Array, values: Array, axis: str, label: str) -> None:
    axes.plot(seconds, values, lw=0.6, color=_COLOURS[axis], label=label, rasterized=True)


def _logarithmic(axes: Axes, values: Array) -> None:
    if (values > 0).any():
        axes.set_yscale("log")


def _states(axes: Axes, seconds: Array, states: Array) -> None:
    """A band behind the curves for as long as each state lasted."""
    for state, colour in _STATES.items():
        if (inside := states == state).any():
            axes.fill_between(
                seconds, 0, 1, where=inside, step="post", color=colour, alpha=0.15, lw=0, label=f"_{state}",
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip


def _state_legend(axes: Axes) -> tuple[list[Any], list[str]]:
    bands = [band for band in axes.collections if str(band.get_label()).startswith("_")]
    return bands, [str(band.get_label()).removeprefix("_") for band in bands]


def _spectrum(axes: Axes, columns: Columns, fresh: Array) -> None:
    seconds = (columns["t_ns"][fresh] - columns["t_ns"][0]) / 1e9
    for axis in "xy":
        frequencies, density = power_spectrum(seconds, columns[f"d{axis}"][fresh])
        if len(frequencies):
            axes.loglog(frequencies[1:], density[1:], color=_COLOURS[axis], lw=0.8, label=axis)
    axes.set_xlabel("frequency, Hz")
    axes.set_ylabel("power of the shift, px²/Hz")
    if axes.lines:
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    else:
        _say(axes, "too few frames in a row")


def _latency(axes: Axes, columns: Columns, fresh: Array) -> None:
    for name, label in (("recv", "received"), ("sent", "camera")):
        begin, end = columns[name][fresh], columns["out"][fresh]
        took = (end - begin)[(begin > 0) & (end > begin)] / 1e9
        took = took[took < _LONGEST_LATENCY]
        if len(took):
            p50, p99 = np.percentile(took, (50, 99)) * 1e6
            bins = np.geomspace(took.min() * 1e6, took.max() * 1e6 * (1 + 1e-9), 80)
            label = f"{label} to published: p50 {p50:.0f}, p99 {p99:.0f} µs"
            axes.hist(took * 1e6, bins.tolist(), histtype="step", label=label)
    axes.set_xlabel("latency, µs")
    axes.set_ylabel("corrections")
    if axes.patches:
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    else:
        _say(axes, "no stage times")


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
