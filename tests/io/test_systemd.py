"""What systemd is told: through a real socket, fed by progress alone."""

import configparser
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from rtreg.io.systemd import Watchdog

UNITS = sorted((Path(__file__).resolve().parents[2] / "systemd").glob("*.service"))


@pytest.fixture
def heard(tmp_path, monkeypatch):
    """A function that returns what has been told since the last call; a watchdog of 3 s."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "3000000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))

        def told():
            found = []
            while True:
                try:
                    found.append(ear.recv(4096).decode())
                except BlockingIOError:
                    return found

        yield told


def test_it_is_fed_a_few_times_in_the_time_given(heard):
    watchdog = Watchdog()
    for now in range(10**9, 7 * 10**9, 10**8):
        watchdog.feed(now)
    assert heard() == ["WATCHDOG=1"] * 6
    watchdog.stopping()


def test_life_from_ready_to_stopping(heard):
    watchdog = Watchdog()
    watchdog.ready("tracking cam")
    watchdog.reloading(5000)
    with watchdog.patient():
        assert heard() == [
            "READY=1\nSTATUS=tracking cam",
            "RELOADING=1\nMONOTONIC_USEC=5",
            "WATCHDOG=1\nWATCHDOG_USEC=300000000",
        ]
    watchdog.stopping()
    assert heard() == ["WATCHDOG=1\nWATCHDOG_USEC=3000000", "STOPPING=1"]


@pytest.mark.parametrize(("name", "value"), [("WATCHDOG_PID", "1"), ("WATCHDOG_USEC", ""), ("WATCHDOG_USEC", "x")])
def test_a_watchdog_that_is_not_ours_is_not_fed(heard, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    watchdog = Watchdog()
    watchdog.feed(10**12)
    assert heard() == []
    watchdog.stopping()


@pytest.mark.parametrize("path", [None, "", "nonsense", "/nowhere/at/all"])
def test_without_systemd_nothing_happens(monkeypatch, path):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if path is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", path)
    watchdog = Watchdog()
    watchdog.ready("x")
    watchdog.stopping()


def sections(path):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(path)
    return parser


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_is_hardened_and_restarts(path):
    service = sections(path)["Service"]
    assert service["ExecStart"].split()[1] in ("camera", "track", "actuate")
    assert service["Restart"] == "always"
    for hard in ("NoNewPrivileges", "PrivateTmp", "ProtectKernelModules", "MemoryDenyWriteExecute"):
        assert hard in service
    assert service["ProtectSystem"] == "strict"


@pytest.mark.parametrize("verb", ["track", "actuate"])
def test_what_closes_the_loop_has_a_watchdog(verb):
    service = sections(next(path for path in UNITS if verb in path.name))["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 1


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_understands_a_unit(path, tmp_path):
    """Under its own name, with a command that exists here."""
    unit = tmp_path / path.name
    unit.write_text(path.read_text().replace("/opt/rtreg/bin/rtreg", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert path.name not in done.stderr, done.stderr
