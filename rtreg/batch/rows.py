"""What is kept of each frame of an archive, and the table that it becomes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtreg.records import UNKNOWN_TIME, Estimate, Verdict

if TYPE_CHECKING:
    from rtreg.FITS_tools.world import WorldScale

Rows = npt.NDArray[Any]

_FLOATS = ("dx", "dy", "cov_xx", "cov_xy", "cov_yy", "chi2_dof", "contrast", "scale", "offset")
ROW = np.dtype(
    [("t_ns", "<i8"), *((name, "<f8") for name in _FLOATS), ("iterations", "<i4"), ("tracked", "?"), ("flags", "<u4")]
)
_WORLD = ("world_1", "world_2", "world_sigma_1", "world_sigma_2")
UNITS = {
    "t_ns": "ns",
    **dict.fromkeys(("dx", "dy", "sigma_x", "sigma_y"), "pix"),
    **dict.fromkeys(("cov_xx", "cov_xy", "cov_yy"), "pix2"),
}

__all__ = ["ROW", "UNITS", "Rows", "row", "table"]


def row(t_ns: int | None, estimate: Estimate) -> tuple[Any, ...]:
    """One frame's answer, in the order of `ROW`."""
    (xx, xy), (_, yy) = estimate.covariance
    return (
        UNKNOWN_TIME if t_ns is None else t_ns,
        *estimate.shift,
        *(xx, xy, yy),
        estimate.chi2_dof,
        estimate.contrast,
        estimate.scale,
        estimate.offset,
        estimate.iterations,
        estimate.regime == "track",
        estimate.flags.value,
    )


def table(
    rows: Rows, places: Iterable[tuple[str, int]], world: WorldScale | None = None
) -> tuple[dict[str, Rows], dict[str, str]]:
    """Columns by name, and their units: `file` and `frame` (the `places`), then what was measured.

    `t_ns` is masked where no time is known; `flags` holds reasons with blanks between, nothing where all is well. With
    a `world` there are `world_1`, `world_2` and their `world_sigma_1`, `world_sigma_2`, in its units.
    """
    files, frames = zip(*places, strict=True)
    reasons = {value: " ".join(Verdict(int(value)).reasons) for value in np.unique(rows["flags"])}
    columns = {
        "file": np.asarray(files),
        "frame": np.asarray(frames, np.int64),
        "t_ns": np.ma.masked_equal(rows["t_ns"], UNKNOWN_TIME),
        "dx": rows["dx"],
        "dy": rows["dy"],
        "sigma_x": _root(rows["cov_xx"]),
        "sigma_y": _root(rows["cov_yy"]),
        **{name: rows[name] for name in _FLOATS[2:]},
        "iterations": rows["iterations"],
        "regime": np.where(rows["tracked"], "track", "acquire"),
        "flags": np.asarray([reasons[value] for value in rows["flags"]]),
    }
    if world is None:
        return columns, dict(UNITS)
    return columns | _world(rows, world), UNITS | dict(zip(_WORLD, world.units * 2, strict=True))


def _world(rows: Rows, world: WorldScale) -> dict[str, Rows]:
    """Shifts and errors through the whole pixel scale matrix."""
    covariances = np.stack([rows[name] for name in ("cov_xx", "cov_xy", "cov_xy", "cov_yy")], -1).reshape(-1, 2, 2)
    offsets = [world.offset(*shift) for shift in zip(rows["dx"], rows["dy"], strict=True)]
    errors = [world.errors(covariance) for covariance in covariances]
    return dict(zip(_WORLD, np.concatenate([offsets, errors], axis=1).T, strict=True))


def _root(variance: Rows) -> Rows:
    return np.sqrt(np.where(variance >= 0, variance, math.nan))
