"""The demo's arithmetic on made-up logs, its care for its children, and a short run of the whole thing."""

import json
import math
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rtreg.errors import DeviceError
from rtreg.records import Command, Delivery, Estimate, ReferenceInfo, Result, Shift, State, Verdict
from rtreg.services.demo import (
    COUNTERS,
    Children,
    Log,
    Phases,
    free_endpoints,
    measure_rms,
    median_sigma,
    motion_rms,
    summarise,
)


def result(seq, shift, *, sigma=(0.1, 0.3), verdict=Verdict.OK, reference=1):
    return Result(
        stream="cam",
        epoch=1,
        seq=seq,
        t_ns=0,
        state=State.LOCKED,
        estimate=Estimate(shift=Shift(*shift), covariance=((sigma[0] ** 2, 0.0), (0.0, sigma[1] ** 2))),
        verdict=verdict,
        command=Command(),
        reference=ReferenceInfo(id=reference),
    )


def logged(truths, shifts, reference_frames=((1, 0), (1, 1))):
    log = Log()
    for seq, (truth, shift) in enumerate(zip(truths, shifts, strict=True)):
        log.correction(result(seq, shift), Delivery(sent=seq * 1000 + 1, out=seq * 1000 + 2001, truth=Shift(*truth)))
    log.status({"reference": {"id": 1, "frames": [list(pair) for pair in reference_frames]}})
    return log


def test_error_is_relative_to_the_references_own_truth():
    rng = np.random.default_rng(3)
    truths = rng.normal(size=(400, 2))
    own = truths[:2].mean(axis=0)
    shifts = truths - own + rng.normal(size=(400, 2)) * [0.1, 0.3]
    log = logged(truths, shifts)
    x, y = measure_rms(log, log.corrections)
    assert x == pytest.approx(0.1, rel=0.1)
    assert y == pytest.approx(0.3, rel=0.1)
    assert median_sigma(log.corrections) == pytest.approx(0.2)


def test_refused_estimates_and_unknown_references_do_not_count():
    log = logged([(0, 0)] * 3, [(1, 1)] * 3)
    still = Delivery(truth=Shift(0.0, 0.0))
    log.correction(result(3, (99, 99), verdict=Verdict.LOW_SNR), still)
    log.correction(result(4, (99, 99), reference=2), still)
    assert measure_rms(log, log.corrections) == [1.0, 1.0]


def test_a_frame_without_truth_is_in_no_figure():
    log = logged([(0, 0)] * 3, [(1, 1)] * 3)
    log.correction(result(3, (99, 99)), Delivery(sent=3001))
    assert (1, 3) not in log.truth


def test_reference_of_a_frame_nobody_saw_is_unknown():
    log = logged([(0, 0)] * 3, [(1, 1)] * 3, reference_frames=((1, 0), (1, 77)))
    assert all(math.isnan(value) for value in measure_rms(log, log.corrections))


def test_repeated_corrections_count_once():
    log = logged([(0, 0)] * 3, [(1, 1)] * 3)
    log.correction(result(2, (1, 1)), Delivery())
    assert len(log.corrections) == 3


def test_motion_is_about_its_mean_and_within_its_phase():
    log = Log()
    for seq in range(100):
        log.truth[1, seq] = (seq, (5.0 + (-1) ** seq, -3.0))
    for seq in range(100, 200):
        log.truth[1, seq] = (seq, (float(seq), float(seq)))
    assert motion_rms(log, 0, 100) == pytest.approx(math.sqrt(0.5))
    assert math.isnan(motion_rms(log, 1000, 2000))


def test_summary_has_every_key_and_counts_differences():
    log = logged([(0.5, 0)] * 2000, [(0, 0)] * 2000)
    before = dict.fromkeys(COUNTERS, 5)
    after = {"received": 2005, "lost": 6, "skipped": 7, "rejected": 8}
    summary = summarise(log, Phases(0, 500_000, 800_000, 2_000_000), before, after)
    assert summary["frames"] == 2000
    assert (summary["lost"], summary["skipped"], summary["rejected"]) == (1, 2, 3)
    assert summary["corrections"] == 2000
    assert summary["measure_rms_px"] == [0.0, 0.0]
    assert summary["latency_us"]["total"] == {"p50": 2.0, "p99": 2.0, "p999": 2.0, "max": 2.0}
    assert set(summary["latency_us"]) == {"transport", "queue", "process", "publish", "total"}
    assert summary["rate_hz"] == pytest.approx(1e6)


def test_free_endpoints_are_reserved_and_still_bindable():
    overrides, held = free_endpoints(("frames", "control"))
    try:
        ports = [int(override.rpartition(":")[2]) for override in overrides]
        assert overrides[1] == f"endpoints.control=tcp://127.0.0.1:{ports[1]}"
        assert len(set(ports)) == 2
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", ports[0]))
            server.listen()
    finally:
        for reserve in held:
            reserve.close()


def test_failed_child_is_reported_in_one_line():
    children = Children()
    try:
        children.start("camera", "camera", "/nowhere/at/all.toml")
        with pytest.raises(DeviceError, match=r"camera process ended with code 2: .*nowhere") as caught:
            wait(lambda: children.check())
        assert "\n" not in str(caught.value)
    finally:
        children.close()


def wait(step, seconds=60):
    """Repeat `step` until it returns something true or raises."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if step():
            return
        time.sleep(0.02)
    pytest.fail("waited in vain")


@pytest.fixture(scope="module")
def summary():
    command = [
        sys.executable,
        "-m",
        "rtreg",
        "demo",
        "--json",
        "--no-view",
        "--seconds",
        "6",
        "--rate",
        "100",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.slow
def test_demo_measures_to_its_error_bar(summary):
    assert summary["frames"] > 300
    assert summary["lost"] == summary["rejected"] == 0
    for error in summary["measure_rms_px"]:
        assert error == pytest.approx(summary["sigma_px"], rel=0.5)


@pytest.mark.slow
def test_demo_holds_the_image_still(summary):
    assert summary["closed_loop_rms_px"] < summary["open_loop_rms_px"] / 5


@pytest.mark.slow
def test_demo_reports_every_stage(summary):
    for stage in ("transport", "queue", "process", "publish", "total"):
        quantiles = summary["latency_us"][stage]
        assert 0 <= quantiles["p50"] <= quantiles["p99"] <= quantiles["p999"] <= quantiles["max"]


def children_of(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_children_end_with_the_demo(number):
    demo = subprocess.Popen(
        [sys.executable, "-m", "rtreg", "demo", "--no-view", "--seconds", "600"], stdout=subprocess.DEVNULL
    )
    try:
        wait(lambda: len(children_of(demo.pid)) == 3, 300)
        children = children_of(demo.pid)
        demo.send_signal(number)
        code = demo.wait(20)
        assert code == (-number if number == signal.SIGKILL else 130)
        wait(lambda: all(gone(child) for child in children), 20)
    finally:
        demo.kill()
        demo.wait()
