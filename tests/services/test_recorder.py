"""The recorder as a process beside a camera and a tracker: what it writes can be repeated, whatever ends it."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest
from processes import until

from rtreg.io.recordings import Recording
from rtreg.io.recordings.salvage import check, recover
from rtreg.io.sockets import ControlClient, CorrectionSubscriber, DeviceClient
from rtreg.live.quality import QualityGate
from rtreg.records import State
from rtreg.replay import verify

pytestmark = pytest.mark.slow

SMALL = ("scene.shape=[64, 64]", "camera.rate_hz=200", "tracker.max_age_ms=2000", "tracker.priority=0")


class Recorder:
    """``rtreg record`` in a process of its own."""

    def __init__(self, launch_log, ends, path, *options):
        at = [f"endpoints.{name}={getattr(ends, name)}" for name in ("frames", "corrections", "control", "status")]
        sets = [word for setting in (*at, *SMALL) for word in ("--set", setting)]
        self.log = launch_log
        command = [sys.executable, "-m", "rtreg", "record", "simulated", str(path), *sets, *options]
        with launch_log.open("wb") as stderr:
            self.process = subprocess.Popen(command, stderr=stderr)

    @property
    def said(self):
        return self.log.read_text("utf-8")

    def wait_for(self, text, seconds=60):
        def seen():
            time.sleep(0.01)
            return text in self.said

        until(seen, seconds)
        return self

    def wait_until_it_grows(self, path, nbytes=200_000):
        def grown():
            time.sleep(0.01)
            return path.exists() and path.stat().st_size > nbytes

        until(grown)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def ends(launch, free_endpoints):
    """A camera and a tracker that go on through all of these tests."""
    return locked(launch, free_endpoints())


def locked(launch, ends, *overrides):
    """A camera and a tracker at these endpoints, once they have a lock."""
    launch("track", "simulated", ends, *SMALL, *overrides).wait_ready()
    launch("camera", "simulated", ends, *SMALL, *overrides).wait_ready()
    with CorrectionSubscriber(ends.corrections, "cam") as corrections:
        until(lambda: (got := corrections.receive(200)) and got.result.state is State.LOCKED, 120)
    return ends


@pytest.fixture
def recorder(tmp_path, ends):
    started = []

    def start(path, *options):
        started.append(Recorder(tmp_path / f"recorder{len(started)}.log", ends, path, *options))
        return started[-1].wait_for("ready:")

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(20)


def held(path):
    with Recording(path) as recording:
        return recording.counts.get("o/cam/", 0)


def same(path):
    with Recording(path) as recording:
        return verify(recording)


def test_what_was_recorded_in_the_middle_of_a_run_is_repeated_bit_for_bit(tmp_path, recorder):
    path = tmp_path / "run.mcap"
    one = recorder(path)
    one.wait_until_it_grows(path, 1_000_000)
    assert one.stop() == 0
    found = same(path)
    assert found.exact
    assert found.same
    assert found.frames > 20
    assert check(path).whole
    with Recording(path) as recording:
        assert {"config.toml", "fftw-wisdom.json", "reference.npy"} <= recording.attachments.keys()
        assert recording.metadata["recorder"]["dropped"] == "0"


def test_a_killed_recorder_loses_a_chunk_at_most(tmp_path, recorder):
    path = tmp_path / "killed.mcap"
    one = recorder(path, "--set", "recorder.chunk_s=0.2")
    until(lambda: time.sleep(0.05) or (path.exists() and b"k/cam/" in path.read_bytes()))  # a checkpoint to begin at
    one.wait_until_it_grows(path, path.stat().st_size + 600_000)
    one.stop(signal.SIGKILL)
    found = check(path)
    assert not found.closed
    assert found.counts["f/cam/"] > 20
    assert not found.gaps
    recover(path, tmp_path / "good.mcap")
    assert check(tmp_path / "good.mcap").whole
    assert same(tmp_path / "good.mcap").same


def test_files_of_a_rotated_recording_can_each_be_repeated(tmp_path, recorder, ends):
    one = recorder(tmp_path / "night.mcap", "--rotate-s", "1")
    one.wait_for("night_0003.mcap")
    one.wait_until_it_grows(tmp_path / "night_0003.mcap", 300_000)
    assert one.stop() == 0
    files = [path for path in sorted(tmp_path.glob("night_*.mcap")) if held(path)]  # the last may have just begun
    assert len(files) >= 3
    for path in files:
        assert same(path).same, path
    whole = same(tmp_path)
    assert whole.same
    assert whole.checkpoints == len(files) - 1
    assert whole.unequal_checkpoints == 0


@pytest.mark.soak
def test_of_many_files_the_oldest_are_deleted(tmp_path, recorder):
    one = recorder(tmp_path / "n.mcap", "--rotate-mib", "0.4", "--keep-gib", "0.001")
    one.wait_for("n_0004.mcap", 120)
    assert one.stop() == 0
    files = sorted(path.name for path in tmp_path.glob("n_*.mcap"))
    assert "n_0001.mcap" not in files
    assert sum((tmp_path / name).stat().st_size for name in files) < 0.01 * 2**30


def test_the_ring_is_written_when_it_is_asked_for(tmp_path, recorder, ends):
    one = recorder(tmp_path / "ring.mcap", "--ring", "2", "--set", "recorder.ring_after_s=0.5")
    time.sleep(1.0)  # something to keep
    assert not list(tmp_path.glob("ring*.mcap"))
    with ControlClient(ends.control) as control:
        assert control.ask("mark", {"note": "test"}, timeout_ms=10_000)["ok"]
    one.wait_for("wrote ")
    os.kill(one.process.pid, signal.SIGUSR1)
    until(lambda: time.sleep(0.01) or one.said.count("wrote ") == 2)
    assert one.stop() == 0
    first, _ = sorted(tmp_path.glob("ring_mark_*.mcap"))
    found = same(first)
    assert found.same
    assert found.frames > 20
    with Recording(first) as recording:
        assert recording.metadata["trigger"] == {"what": "mark"}


@pytest.fixture
def upset(ends):
    """Makes the image jump, or the tracker lose it; all is well again in the end."""

    def locked():
        got = corrections.receive(200)
        return got is not None and got.result.state is State.LOCKED

    with (
        CorrectionSubscriber(ends.corrections, "cam") as corrections,
        DeviceClient(ends.device) as device,
        ControlClient(ends.control) as control,
    ):

        def jump(x):
            asked = {"u": (x, 0.0), "mode": "absolute", "unit": "px", "valid_until": 2**62}
            assert device.ask("move", asked, timeout_ms=10_000)["ok"]

        def require(max_sigma):
            assert control.ask("retune", {"max_sigma": max_sigma}, timeout_ms=10_000)["ok"]

        until(locked)
        yield {"jump": lambda: jump(12.0), "lost": lambda: require(1e-9)}
        jump(0.0)
        require(QualityGate().max_sigma)
        until(locked)


@pytest.mark.parametrize("what", ["jump", "lost"])
def test_the_ring_is_written_when_the_image_jumps_or_is_lost(tmp_path, recorder, upset, what):
    one = recorder(tmp_path / "ring.mcap", "--ring", "4", "--set", "recorder.ring_after_s=0.5")
    time.sleep(1.0)  # something to keep
    assert not list(tmp_path.glob("ring*.mcap"))
    upset[what]()
    one.wait_for(f"{what}: wrote ")
    first = min(tmp_path.glob(f"ring_{what}_*.mcap"))
    found = same(first)
    assert found.same
    assert found.frames > 50
    with Recording(first) as recording:
        assert recording.metadata["trigger"] == {"what": what}


def test_frames_in_shared_memory_are_recorded_with_their_pixels(tmp_path, launch, free_endpoints):
    ends = dataclasses.replace(free_endpoints(), frames=f"shm://rtreg-test-{os.getpid()}")
    locked(launch, ends, "camera.rate_hz=40")  # the ring holds 0.4 s: a busy host delays a recorder less
    path = tmp_path / "shared.mcap"
    one = Recorder(tmp_path / "shared.log", ends, path).wait_for("ready:")
    one.wait_until_it_grows(path, 500_000)
    assert one.stop() == 0
    found = same(path)
    assert found.same
    assert found.frames > 20


def test_recording_stops_at_the_floor_and_tracking_goes_on(tmp_path, recorder, ends):
    path = tmp_path / "floor.mcap"
    one = Recorder(tmp_path / "f.log", ends, path, "--floor-gib", "1000000")
    assert one.process.wait(60) == 2
    assert "the floor is 1000000.00 GiB" in one.said
    assert "Traceback" not in one.said
    assert not path.exists()
    with CorrectionSubscriber(ends.corrections, "cam") as corrections:
        assert until(lambda: corrections.receive(200))
