"""What a benchmark's reader must know about the machine it ran on, and the picture of its ratios."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import rtreg.fft as fft


def describe() -> str:
    """One paragraph of facts."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        named = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = named[0] if named else model
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "pyFFTW", "pyzmq"))
    return (
        f"{model}, {os.cpu_count()} cores; {platform.system()} {platform.release()}; "
        f"Python {platform.python_version()}, {versions}, FFTW {fft.fftw_version()}."
    )


def pin() -> None:
    """This process to the last core it may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def table(title: str, heads: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """A Markdown table with numbers to the right."""
    lines = [f"| {title} | {' | '.join(heads)} |", f"|---|{'--:|' * len(heads)}"]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    return "\n".join(lines)


def plot(path: str, x: Sequence[float], lines: Mapping[str, Sequence[float]], xlabel: str, ylabel: str) -> None:
    """Lines over sizes, both axes logarithmic, into a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 5.0), layout="constrained")
    for name, y in lines.items():
        axes.loglog(x, y, marker="o", markersize=4, linewidth=2.0 if name.startswith("rtreg") else 1.0, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel, xticks=list(x))
    axes.set_xticks([], minor=True)
    axes.set_xticklabels([f"{value:g}" for value in x])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)
