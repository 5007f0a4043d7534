"""ECSV: tables as text with units, which astropy and many others read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
from astropy.table import Table

__all__ = ["write_ecsv"]


def write_ecsv(
    path: str | Path, columns: Mapping[str, npt.NDArray[Any]], units: Mapping[str, str], about: Mapping[str, str]
) -> None:
    """Write columns (n,), masked where unknown, with their units and the facts `about` the table, over `path`."""
    table = Table(dict(columns), meta=dict(about))
    for name, unit in units.items():
        table[name].unit = unit
    table.write(path, format="ascii.ecsv", overwrite=True)
