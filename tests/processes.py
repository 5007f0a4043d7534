"""Real processes on loopback, on ports that the system assigned."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

NAMES = ("frames", "corrections", "control", "status", "device")


def until(condition, seconds=60.0):
    """Call `condition` until it is true, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (got := condition()):
        assert time.monotonic() < deadline, "gave up waiting"
    return got


class Service:
    """``rtreg VERB CONFIG`` in a process of its own; `said` is its stderr so far."""

    def __init__(self, verb, config, overrides, log, *words):
        self._log = log
        sets = [word for override in overrides for word in ("--set", override)]
        command = [sys.executable, "-m", "rtreg", verb, str(config), *words, *sets]
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(command, stderr=stderr)

    @property
    def said(self):
        return self._log.read_text("utf-8")

    def wait_ready(self):
        def ready():
            assert self.process.poll() is None, self.said
            time.sleep(0.01)
            return "ready:" in self.said

        until(ready, 240)  # a first start compiles
        return self

    def stop(self, number=signal.SIGTERM):
        """Ask it to end and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
