"""Corrections as columns of a table, one row each, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.io.wire import Correction

__all__ = ["UNITS", "columns_of"]

Columns = dict[str, npt.NDArray[Any]]


def _truth(correction: Correction, axis: int) -> float:
    truth = correction.delivery.truth
    return float("nan") if truth is None else truth[axis]


# name -> dtype and where it is: the words of the wire, with pairs taken apart
_FIELDS: dict[str, tuple[Any, Callable[[Correction], Any]]] = {
    "stream": (str, lambda c: c.result.stream),
    "epoch": (np.uint64, lambda c: c.result.epoch),
    "seq": (np.uint64, lambda c: c.result.seq),
    "t_ns": (np.int64, lambda c: c.result.t_ns),
    "dx": (float, lambda c: c.result.estimate.dx),
    "dy": (float, lambda c: c.result.estimate.dy),
    "sigma_x": (float, lambda c: c.result.estimate.sigma.dx),
    "sigma_y": (float, lambda c: c.result.estimate.sigma.dy),
    "cov_xx": (float, lambda c: c.result.estimate.covariance[0][0]),
    "cov_xy": (float, lambda c: c.result.estimate.covariance[0][1]),
    "cov_yy": (float, lambda c: c.result.estimate.covariance[1][1]),
    "chi2_dof": (float, lambda c: c.result.estimate.chi2_dof),
    "contrast": (float, lambda c: c.result.estimate.contrast),
    "regime": (str, lambda c: c.result.estimate.regime),
    "flags": (str, lambda c: " ".join(c.result.verdict.reasons)),
    "state": (str, lambda c: c.result.state.value),
    "command_0": (float, lambda c: c.result.command.u[0]),
    "command_1": (float, lambda c: c.result.command.u[1]),
    "unit": (str, lambda c: c.result.command.unit),
    "mode": (str, lambda c: c.result.command.mode),
    "ref_id": (np.int64, lambda c: c.result.reference.id),
    "ref_age_frames": (np.int64, lambda c: c.result.reference.age_frames),
    "ref_walk": (float, lambda c: c.result.reference.walk),
    "sent": (np.int64, lambda c: c.delivery.sent),
    "recv": (np.int64, lambda c: c.delivery.recv),
    "start": (np.int64, lambda c: c.delivery.start),
    "done": (np.int64, lambda c: c.delivery.done),
    "out": (np.int64, lambda c: c.delivery.out),
    "valid_until": (np.int64, lambda c: c.delivery.valid_until),
    "lost": (np.int64, lambda c: c.delivery.lost),
    "skipped": (np.int64, lambda c: c.delivery.skipped),
    "host": (str, lambda c: c.delivery.host),
    "truth_x": (float, lambda c: _truth(c, 0)),
    "truth_y": (float, lambda c: _truth(c, 1)),
}
UNITS = {
    **dict.fromkeys(("dx", "dy", "sigma_x", "sigma_y", "ref_walk", "truth_x", "truth_y"), "pix"),
    **dict.fromkeys(("cov_xx", "cov_xy", "cov_yy"), "pix2"),
    **dict.fromkeys(("t_ns", "sent", "recv", "start", "done", "out", "valid_until"), "ns"),
}


def columns_of(corrections: Iterable[Correction]) -> Columns:
    """Columns by name, of equal length: the words of the wire, pairs taken apart, `sigma` and `flags` as elsewhere.

    `t_ns` is UTC; the stages `sent` ... `out` and `valid_until` are CLOCK_MONOTONIC of `host`.
    """
    rows: list[list[Any]] = [[] for _ in _FIELDS]
    for correction in corrections:
        for cells, (_, get) in zip(rows, _FIELDS.values(), strict=True):
            cells.append(get(correction))
    return {name: np.asarray(cells, dtype) for (name, (dtype, _)), cells in zip(_FIELDS.items(), rows, strict=True)}
