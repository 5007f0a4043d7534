"""Tables in every format: what is read back is what was written."""

import csv
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from rtreg.errors import ConfigError
from rtreg.io.tables import check_table, write_table

COLUMNS = {
    "name": np.array(["a", 'b,"c"', ""]),
    "count": np.array([1, 2**62, -3]),
    "t_ns": np.ma.masked_equal(np.array([10**18 + 1, 0, 5]), 0),
    "dx": np.array([0.1, np.nan, 1 / 3]),
    "ok": np.array([True, False, True]),
}


def same(column, expected):
    mask = np.ma.getmaskarray(expected)
    np.testing.assert_array_equal(np.ma.getmaskarray(column), mask)
    np.testing.assert_array_equal(np.ma.getdata(column)[~mask], np.ma.getdata(expected)[~mask])


def test_ecsv(tmp_path):
    write_table(tmp_path / "t.ecsv", COLUMNS, units={"dx": "pix", "t_ns": "ns"}, about={"software": "rtreg"})
    table = Table.read(tmp_path / "t.ecsv")
    assert table.colnames == list(COLUMNS)
    for name in ("count", "t_ns", "dx", "ok"):
        same(table[name].data, COLUMNS[name])
    assert table["name"].tolist()[:2] == COLUMNS["name"].tolist()[:2]
    assert str(table["dx"].unit) == "pix"
    assert table.meta["software"] == "rtreg"


def test_parquet(tmp_path):
    write_table(tmp_path / "t.parquet", COLUMNS, units={"dx": "pix"}, about={"software": "rtreg"})
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.column_names == list(COLUMNS)
    assert table["name"].to_pylist() == COLUMNS["name"].tolist()
    assert table["t_ns"].to_pylist() == [10**18 + 1, None, 5]
    np.testing.assert_array_equal(table["dx"].to_numpy(), COLUMNS["dx"])
    assert table["ok"].to_pylist() == [True, False, True]
    assert table["count"].to_pylist() == COLUMNS["count"].tolist()
    assert table.schema.field("dx").metadata == {b"unit": b"pix"}
    assert table.schema.metadata[b"software"] == b"rtreg"


def test_csv(tmp_path):
    write_table(tmp_path / "t.csv", COLUMNS)
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == list(COLUMNS)
    assert [row[0] for row in rows] == COLUMNS["name"].tolist()
    assert [row[1] for row in rows] == [str(v) for v in COLUMNS["count"]]
    assert [row[2] for row in rows] == [str(10**18 + 1), "", "5"]
    np.testing.assert_array_equal([float(row[3]) for row in rows], COLUMNS["dx"])


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.ecsv"])
def test_a_failure_leaves_what_was_there(tmp_path, name):
    (tmp_path / name).write_text("before")
    with pytest.raises(ValueError):  # noqa: PT011 - each library has its own words for it
        write_table(tmp_path / name, {"a": np.arange(3), "b": np.arange(2)})
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "before"


def test_what_cannot_be_written_is_known_before(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"\.csv, \.parquet, \.ecsv"):
        check_table(tmp_path / "t.xls")
    with pytest.raises(ConfigError, match="folder"):
        check_table(tmp_path / "none" / "t.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'rtreg\[batch\]'"):
        check_table(tmp_path / "t.parquet")
