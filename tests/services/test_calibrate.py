"""``rtreg calibrate`` against a real camera whose mirror is mounted turned, and a real tracker."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from processes import NAMES

from rtreg.io.sockets import ControlClient, DeviceClient

STILL = ("motion.drift=[0, 0]", "motion.periodic=[0, 0]", "motion.walk=0", "motion.jitter=0")
SMALL = ("scene.shape=[64, 64]", "camera.rate_hz=200", "tracker.max_age_ms=1000")


def start(launch, ends, *overrides):
    """A camera and a tracker of the same config; the function that calibrates them."""
    settings = [*STILL, *SMALL, *overrides]
    tracker = launch("track", "simulated", ends, *settings)
    camera = launch("camera", "simulated", ends, *settings)
    tracker.wait_ready()
    camera.wait_ready()
    sets = [f"endpoints.{name}={getattr(ends, name)}" for name in NAMES] + settings

    def calibrate(*arguments):
        words = [word for setting in sets for word in ("--set", setting)]
        command = [sys.executable, "-m", "rtreg", "calibrate", "simulated", "--frames", "4", "--settle", "0.02"]
        return subprocess.run([*command, *words, *arguments], capture_output=True, text=True, timeout=120)

    return calibrate


def test_a_turned_and_stretched_mirror_is_measured_checked_and_put_back(launch, free_endpoints):
    ends = free_endpoints()
    calibrate = start(launch, ends, "camera.mirror=[[0.0, 1.5], [-0.8, 0.3]]", "camera.mirror_ms=20")
    with DeviceClient(ends.device) as device, ControlClient(ends.control) as control:
        done = calibrate("--json", "--cycles", "2")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        truth = np.array([[0.0, 1.5], [-0.8, 0.3]])
        pulls = (np.array(found["response"]) - truth) / found["response_sigma"]
        assert np.abs(pulls).max() < 6.0
        assert np.max(found["response_sigma"]) < 0.02
        np.testing.assert_allclose(np.array(found["matrix"]) @ truth, np.eye(2), atol=0.05)
        assert found["configured_fault"]  # as configured its loop would run away
        assert device.ask("where", timeout_ms=10_000)["at"] == [0.0, 0.0]
        assert control.ask("status", timeout_ms=10_000)["controller"]["loop"] == "open"


def test_the_text_is_a_config_table_and_a_mirror_with_one_dead_axis_is_refused(launch, free_endpoints):
    ends = free_endpoints()
    calibrate = start(launch, ends)
    done = calibrate("--cycles", "2")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(tomllib.loads(done.stdout)["controller"]["matrix"], np.eye(2), atol=0.05)
    assert "holds" in done.stdout

    other = free_endpoints()
    calibrate = start(launch, other, "camera.mirror=[[1.0, 0.0], [0.5, 0.0]]")
    done = calibrate("--cycles", "2")
    assert done.returncode == 2
    assert "axis 1 does not move the image" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("option", "word"), [(("--cycles", "1"), "--cycles 1"), (("--frames", "2"), "--frames 2")])
def test_options_without_meaning_are_one_line(option, word):
    command = [sys.executable, "-m", "rtreg", "calibrate", "simulated", *option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
