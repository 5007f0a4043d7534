"""The monitor as a process of its own, without a terminal: a line a second about what is published."""

import signal
import subprocess
import sys
import threading
import time

from rtreg.io.sockets import ResultPublisher, StatusPublisher
from rtreg.records import Command, Delivery, Estimate, ReferenceInfo, Result, Shift, State, Verdict


def publish(results, status, stop):
    seq = 0
    while not stop.wait(0.01):
        now = time.monotonic_ns()
        result = Result(
            stream="cam",
            epoch=1,
            seq=(seq := seq + 1),
            t_ns=0,
            state=State.HOLD,
            estimate=Estimate(shift=Shift(0.25, -0.5), covariance=((1e-4, 0.0), (0.0, 1e-4))),
            verdict=Verdict.MISFIT,
            command=Command(),
            reference=ReferenceInfo(id=3),
        )
        results.send(result, Delivery(sent=now - 200_000, recv=now - 100_000, start=now, done=now, out=now))
        status.send({"state": "HOLD"})


def test_lines_of_what_is_published_then_a_quiet_end():
    stop = threading.Event()
    with (
        ResultPublisher("tcp://127.0.0.1:*", "cam") as results,
        StatusPublisher("tcp://127.0.0.1:*", "cam") as status,
    ):
        ends = [f"endpoints.corrections={results.endpoint}", f"endpoints.status={status.endpoint}"]
        command = [sys.executable, "-u", "-m", "rtreg", "monitor", "simulated", "--set", ends[0], "--set", ends[1]]
        monitor = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        speaker = threading.Thread(target=publish, args=(results, status, stop))
        speaker.start()
        silent = threading.Timer(60, monitor.kill)  # ends the reading below if nothing ever comes
        silent.start()
        try:
            said = []
            for line in monitor.stdout:
                if "HOLD" in line:
                    said.append(line)
                    break
            monitor.send_signal(signal.SIGTERM)
            _, errors = monitor.communicate(timeout=10)
        finally:
            silent.cancel()
            stop.set()
            speaker.join()
            monitor.kill()
    (line,) = said
    for expected in ("cam HOLD", "dx +0.2500 ± 0.0100", "dy -0.5000", "p50 200", "MISFIT", "ref 3"):
        assert expected in line
    assert monitor.returncode == 0
    assert errors == ""
