"""Services under systemd: ready, fed by the loop's progress alone, stopping."""

from __future__ import annotations

import signal
import socket

import pytest


@pytest.fixture
def ear(tmp_path, monkeypatch):
    """What systemd's end of the socket would hear; a watchdog of 0.3 s."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        yield made


def hears(ear, word, seconds=240.0):
    """Whether `word` is heard; what else is heard is passed over."""
    ear.settimeout(seconds)
    try:
        while not ear.recv(4096).startswith(word):
            pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("verb", ["track", "actuate"])
def test_the_loop_itself_feeds_the_watchdog(ear, launch, free_endpoints, verb):
    service = launch(verb, "simulated", free_endpoints(), "scene.shape=[64, 64]")
    assert hears(ear, b"READY=1")
    assert hears(ear, b"WATCHDOG=1", 20)
    service.process.send_signal(signal.SIGSTOP)
    while hears(ear, b"WATCHDOG=1", 1.0):  # one that was on its way
        pass
    service.process.send_signal(signal.SIGCONT)
    assert hears(ear, b"WATCHDOG=1", 20)
    service.process.send_signal(signal.SIGTERM)
    assert hears(ear, b"STOPPING=1", 20)
    assert service.process.wait(20) == 0
