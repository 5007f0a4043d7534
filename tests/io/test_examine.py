"""The doctor's findings: what is wrong is found and comes with its remedy, and what is right is not."""

from __future__ import annotations

import os
import socket

import pytest

from rtreg.io import examine
from rtreg.io.keys import Keyring
from rtreg.io.sockets import ControlServer, new_pair


def levels(findings):
    found = list(findings)
    assert all(finding.fix for finding in found if finding.level != "ok")
    return [finding.level for finding in found]


def test_a_free_endpoint_is_free_and_one_of_ours_names_the_process(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for endpoint in ("ipc://here", "tcp://127.0.0.1:*"):
        assert levels(examine.endpoints({"control": endpoint})) == ["ok"]
    with socket.socket() as reserve:
        reserve.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{reserve.getsockname()[1]}"
    with ControlServer(endpoint):
        (finding,) = examine.endpoints({"control": endpoint})
        assert finding.level == "warn"
        assert str(os.getpid()) in finding.what


def test_an_endpoint_that_cannot_be_bound_is_bad():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        bad = {"a": taken, "b": "tcp://203.0.113.7:5600", "c": "ipc:///nowhere/at/all", "d": "nonsense"}
        assert levels(examine.endpoints(bad)) == ["bad"] * 4


def test_a_runtime_folder_that_others_can_enter_is_bad(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert levels(examine.folders({"wisdom": tmp_path / "cache" / "wisdom.json"})) == ["ok", "ok"]
    (tmp_path / "rtreg").chmod(0o755)
    assert levels(examine.folders({})) == ["bad"]


def test_keys_are_looked_for_and_must_be_closed(tmp_path):
    ring = Keyring(tmp_path / "keys")
    assert levels(examine.keys(ring, ("local",))) == ["bad"]
    ring.add("local", *new_pair())
    assert levels(examine.keys(ring, ("local",))) == ["ok"]
    (ring.folder / "local.public").chmod(0o644)
    assert levels(examine.keys(ring, ("local",))) == ["bad"]


@pytest.mark.parametrize(("text", "level"), [("powersave", "warn"), ("performance", "ok"), (None, "ok")])
def test_a_governor_that_saves_power_is_found(monkeypatch, text, level):
    monkeypatch.setattr(examine, "read", lambda path: text)
    assert levels(examine.cores(()))[-1] == level


def test_a_core_that_is_not_ours_is_bad():
    assert levels(examine.cores((8191,)))[0] == "bad"


@pytest.mark.parametrize(("text", "level"), [("hpet", "warn"), ("tsc", "ok")])
def test_a_slow_clock_is_found(monkeypatch, text, level):
    monkeypatch.setattr(examine, "read", lambda path: text)
    assert levels(examine.clock())[0] == level


def test_limits_and_rights_are_told():
    assert levels(examine.limits())
    assert levels(examine.priority(0))
