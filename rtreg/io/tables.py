"""Tables to files that other programs read: CSV, Parquet, ECSV."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError
from rtreg.io.atomic import replacing
from rtreg.io.extras import need

__all__ = ["SUFFIXES", "check_table", "write_table"]

Columns = Mapping[str, npt.NDArray[Any]]
Texts = Mapping[str, str]


def check_table(path: str | Path) -> Path:
    """`path`, if a table can be written there; found out before the work and not after it.

    Raises
    ------
    ConfigError
        Its ending is none that can be written, its folder is not there, or a library for it is missing.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise ConfigError(f"{path} cannot be written: a table ends in {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise ConfigError(f"the folder of {path} does not exist; make it first")
    if path.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        need("pyarrow", "batch", f"{path.name}: Parquet")
    return path


def write_table(path: str | Path, columns: Columns, *, units: Texts | None = None, about: Texts | None = None) -> None:
    """Write columns of one length, in their order, to a file that is there whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in ``.csv``, ``.parquet`` or ``.ecsv``.
    columns : mapping of str to (n,) arrays
        Numbers, truth values or texts; masked where unknown. Floats are written so that reading gives them back.
    units : mapping of str to str, optional
        Units of columns, as astropy spells them; in Parquet and ECSV.
    about : mapping of str to str, optional
        Facts about the whole table; in Parquet and ECSV.

    Raises
    ------
    ConfigError
        As `check_table`.
    """
    path = check_table(path)
    with replacing(path) as partial:
        _WRITERS[path.suffix.lower()](partial, columns, units or {}, about or {})


def _csv(path: Path, columns: Columns, units: Texts, about: Texts) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        # a masked value becomes None, which is written as nothing at all
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))


def _parquet(path: Path, columns: Columns, units: Texts, about: Texts) -> None:
    pa = need("pyarrow", "batch", f"{path.name}: Parquet")
    pq = need("pyarrow.parquet", "batch", f"{path.name}: Parquet")
    arrays = [pa.array(np.ma.getdata(column), mask=_mask(column)) for column in columns.values()]
    fields = [
        pa.field(name, array.type, metadata={"unit": units[name]} if name in units else None)
        for name, array in zip(columns, arrays, strict=True)
    ]
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=dict(about))), path)


def _mask(column: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    return np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else None


def _ecsv(path: Path, columns: Columns, units: Texts, about: Texts) -> None:
    from rtreg.FITS_tools.tables import write_ecsv

    write_ecsv(path, columns, units, about)


_WRITERS: dict[str, Callable[[Path, Columns, Texts, Texts], None]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".ecsv": _ecsv,
}
SUFFIXES = tuple(_WRITERS)
