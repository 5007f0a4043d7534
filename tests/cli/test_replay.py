"""``rtreg replay`` in lock-step, as a person calls it."""

from __future__ import annotations

import json

import pytest
from recorded import CONFIG, record

from rtreg.cli import main


def a_night(run):
    run.order("close")
    run.frames(40)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return record(tmp_path_factory.mktemp("night") / "night.mcap", a_night)


def written(folder, gain):
    path = folder / "other.toml"
    path.write_bytes(CONFIG.replace(b"gain = 0.4", b"gain = %g" % gain))
    return path


def test_verify_says_that_all_is_the_same(night, capsys):
    assert main(["replay", str(night), "--verify"]) == 0
    assert "40 of 40" in capsys.readouterr().out


def test_the_same_configuration_from_a_file_changes_nothing(night, tmp_path, capsys):
    assert main(["replay", str(night), "--config", str(written(tmp_path, 0.4)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["identical"] == 40


def test_another_configuration_from_a_file_is_told_side_by_side_and_drawn(night, tmp_path, capsys):
    picture = tmp_path / "both.png"
    assert main(["replay", str(night), "--config", str(written(tmp_path, 0.2)), "--plot", str(picture)]) == 1
    said = capsys.readouterr().out
    assert "controller" in said
    assert "recorded" in said
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_configuration_that_is_not_there_is_one_line(night, tmp_path, capsys):
    assert main(["replay", str(night), "--config", str(tmp_path / "none.toml")]) == 2
    said = capsys.readouterr().err
    assert "none.toml" in said
    assert len(said.strip().splitlines()) == 1
