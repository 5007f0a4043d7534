"""One table, one constructor call; every mistake is one clear line that names file, table, key and what is valid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from rtreg.errors import ConfigError
from rtreg.io import config
from rtreg.io.config import Config, Endpoints, load

Image = npt.NDArray[np.float32]


class Thing:
    def __init__(
        self,
        size: int,
        *,
        kind: Literal["a", "b"] = "a",
        rate: float = 1.0,
        pair: tuple[float, float] = (0.0, 0.0),
        dark: float | Image | None = None,
        extra: Mapping[str, int] | None = None,
        given: object = None,
    ) -> None:
        if size < 0:
            raise ConfigError(f"size = {size}: 0 or more")
        self.size, self.kind, self.rate, self.pair, self.given = size, kind, rate, pair, given


class Other:
    def __init__(self, *, colour: str = "red") -> None:
        self.colour = colour


def make(**table):
    return Config("f.toml", {"gate": table}).make("gate", Thing, given=7)


def error(call, *args, **kwargs):
    with pytest.raises(ConfigError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_table_is_a_constructor_call():
    thing = make(size=3, rate=2, pair=[1, 2.5])
    assert (thing.size, thing.rate, thing.pair, thing.given) == (3, 2.0, (1.0, 2.5), 7)
    assert thing.kind == "a"  # the constructor's default


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"size": 3, "kid": "a"}, ["'kid'", "did you mean 'kind'?", "valid: dark, extra, kind, pair, rate, size"]),
        ({"size": 3, "given": 1}, ["'given'"]),
        ({"size": "x"}, ["size = 'x'", "int"]),
        ({"size": True}, ["size = True"]),
        ({"size": 3, "kind": "c"}, ["kind = 'c'", "'a', 'b'"]),
        ({"size": 3, "pair": [1]}, ["pair = [1]", "length 2"]),
        ({"size": -1}, ["size = -1: 0 or more"]),
        ({}, ["needs the key 'size'"]),
    ],
)
def test_each_mistake_names_file_table_and_key(table, expected):
    message = error(make, **table)
    assert message.startswith("f.toml: [gate]")
    for part in expected:
        assert part in message


def test_an_array_is_the_path_of_an_image():
    (arguments,) = Config("f", {"gate": {"size": 1, "dark": "dark.fits"}}).split("gate", (Thing, ()))
    assert arguments["dark"] == Path("dark.fits")
    (arguments,) = Config("f", {"gate": {"size": 1, "dark": 2}}).split("gate", (Thing, ()))
    assert arguments["dark"] == 2.0
    assert "dark = [1]" in error(Config("f", {"gate": {"size": 1, "dark": [1]}}).split, "gate", (Thing, ()))


def test_one_table_may_serve_two_constructors():
    both = Config("f", {"gate": {"size": 1, "colour": "blue"}})
    assert both.split("gate", (Thing, ()), (Other, ())) == [{"size": 1}, {"colour": "blue"}]
    assert "colour" in error(both.split, "gate", (Thing, ()))


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "c.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_a_file_is_read_with_its_overrides(write):
    path = write('stream = "one"\n[gate]\nmin = 3\n')
    loaded = load(
        path,
        [
            "gate.min=4",
            "stream=two",
            "scene.shape=[64, 32]",
            "endpoints.frames=tcp://127.0.0.1:7000",
            "camera.p.q=true",
        ],
    )
    assert loaded.stream == "two"
    assert loaded.tables["gate"]["min"] == 4
    assert loaded.tables["scene"]["shape"] == [64, 32]
    assert loaded.tables["camera"] == {"p": {"q": True}}
    assert loaded.endpoints == Endpoints(frames="tcp://127.0.0.1:7000")


@pytest.mark.parametrize("override", ["", "gate.min", "=3", "gate.=3", ".x=3"])
def test_an_override_that_is_none_is_refused(write, override):
    assert "table.key=value" in error(load, write(""), [override])


def test_an_override_into_a_value_is_refused(write):
    assert "not a table" in error(load, write("[gate]\nmin = 3\n"), ["gate.min.x=1"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[gat]\nx = 1\n", ["[gat]", "did you mean 'gate'?", "controller"]),
        ("gate = 3\n", ["gate = 3", "must be a table"]),
        ("stream = 3\n", ["stream = 3"]),
        ('stream = "a b"\n', ["'a b'"]),
        ("x = \n", ["not TOML", "line 1"]),
    ],
)
def test_a_broken_file_is_one_line(write, text, expected):
    path = write(text)
    message = error(load, path)
    assert str(path) in message
    for part in expected:
        assert part in message


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    assert "No such file" in error(load, tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    assert "not TOML" in error(load, tmp_path / "b.toml")


def test_shipped_configurations_are_found_by_name():
    assert {"simulated", "guide_star", "solar_granulation", "microscope_drift"} <= set(config.shipped())
    assert load("simulated").source == "simulated"
    assert "did you mean 'simulated'?" in error(load, "simulatd")


def test_the_digest_changes_with_any_key(write):
    path = write("[gate]\nmin = 3\n")
    assert load(path).digest == load(path).digest
    assert len({load(path).digest, load(path, ["gate.min=4"]).digest, load(path, ["stream=x"]).digest}) == 3
