"""The chaos process between real sockets: what it does is told, and nothing comes that was not sent."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
from processes import until

from rtreg.io.sockets import FramePublisher, FrameSubscriber
from rtreg.records import Frame

FRAME = Frame(pixels=np.zeros((8, 8), np.uint16))


@pytest.fixture
def proxy(free_endpoints, tmp_path):
    """A function that starts ``rtreg chaos`` with arguments: (process, its stderr, where from, where to)."""
    started = []

    def start(*arguments):
        ends = free_endpoints()
        log = tmp_path / "chaos.log"
        command = [sys.executable, "-m", "rtreg", "chaos", "simulated", "--to", ends.corrections]
        command += ["--set", f"endpoints.frames={ends.frames}", *arguments]
        with log.open("wb") as stderr:
            started.append(subprocess.Popen(command, stderr=stderr))
        until(lambda: "ready:" in log.read_text())
        return started[-1], log, ends.frames, ends.corrections

    yield start
    for process in started:
        process.kill()
        process.wait()


def counts(log):
    """What it said last that it had done."""
    words = log.read_text().strip().splitlines()[-1].partition("done: ")[2].split(", ")
    return {name: int(count) for name, count in (word.split() for word in words)}


def test_all_that_is_done_is_told(proxy):
    process, log, source, target = proxy("--drop", "0.3", "--duplicate", "0.3", "--corrupt", "0.2", "--seed", "3")
    got = []
    with FramePublisher(source, "cam") as camera, FrameSubscriber(target, "cam", newest=False) as tracker:

        def turn():
            camera.send(FRAME)
            reception = tracker.receive(5)
            if reception is not None:
                got.extend([reception.frame] if reception.frame else reception.refused)
            return len(got) >= 100

        until(turn)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        while (reception := tracker.receive(200)) is not None:
            got.extend([reception.frame] if reception.frame else reception.refused)
    done = counts(log)
    assert done["received"] - done["drop"] + done["duplicate"] == done["sent"]
    assert 100 <= len(got) <= done["sent"]  # less those from before the subscriber was known
    assert done["corrupt"] > 0


def test_a_rate_that_cannot_be_is_one_line(capsys):
    from rtreg.cli import main

    assert main(["chaos", "simulated", "--to", "tcp://127.0.0.1:*", "--drop", "2"]) == 2
    err = capsys.readouterr().err
    assert "drop = 2" in err
    assert err.count("\n") == 1
