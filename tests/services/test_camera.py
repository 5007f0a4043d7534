"""The camera: its pacing as arithmetic, then the real process: frames out, moves in."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
from processes import until

from rtreg.io.realtime import Stop
from rtreg.io.sockets import DeviceClient, FrameSubscriber
from rtreg.services import camera as camera_service
from rtreg.services.camera import Pacer


def test_deadlines_are_absolute():
    pacer = Pacer(100.0, 0)
    for now in (1_000_000, 13_000_000, 29_999_999):  # each frame a little late, never by a whole period
        pacer.advance(now)
    assert pacer.deadline == 30_000_000
    assert pacer.missed == 0


def test_missed_deadlines_are_counted_and_not_made_up_for():
    pacer = Pacer(100.0, 0)
    pacer.advance(47_000_000)
    assert pacer.missed == 3
    assert pacer.deadline == 40_000_000  # one frame at once, then in step again
    pacer.advance(48_000_000)
    assert pacer.deadline == 50_000_000


def test_without_a_rate_every_frame_is_due_at_once():
    pacer = Pacer(0.0, 0)
    pacer.advance(5)
    assert (pacer.deadline, pacer.missed) == (5, 0)


class Flood:
    """Requests that never end; a stop is asked for after some."""

    def __init__(self, stop, stop_after=10**6):
        self.answered, self.stop, self.stop_after = 0, stop, stop_after

    def answer(self, feed, device, timeout_ms=0):
        assert self.answered < 1000, "the frame never comes"
        self.answered += 1
        self.stop.asked = self.answered >= self.stop_after
        return True


@pytest.mark.parametrize(("stop_after", "answers"), [(10**6, camera_service.MOST_ANSWERS), (3, 3)])
def test_a_flood_of_requests_keeps_neither_frame_nor_stop_from_coming(monkeypatch, stop_after, answers):
    stop = Stop()
    flood = Flood(stop, stop_after)
    monkeypatch.setattr(camera_service, "answer", flood.answer)
    camera_service.wait(0, None, flood, stop)
    assert flood.answered == answers


STILL = (
    "scene.shape=[32, 48]",
    "motion.drift=[0, 0]",
    "motion.periodic=[0, 0]",
    "motion.walk=0",
    "motion.jitter=0",
    "camera.rate_hz=100",
)


@pytest.fixture(scope="module")
def camera(launch, free_endpoints):
    ends = free_endpoints()
    service = launch("camera", "simulated", ends, *STILL).wait_ready()
    with FrameSubscriber(ends.frames, "cam", newest=False) as frames, DeviceClient(ends.device) as device:
        yield service, frames, device


def move(device, u, mode="absolute", unit="px", valid_for_ns=10**10):
    args = {"u": u, "mode": mode, "unit": unit, "valid_until": time.monotonic_ns() + valid_for_ns}
    return device.ask("move", args, timeout_ms=10_000)


def test_frames_come_numbered_with_their_truth(camera):
    _, frames, _ = camera
    got = [until(lambda: frames.receive(100)).frame for _ in range(10)]
    assert [frame.seq - got[0].seq for frame in got] == list(range(10))
    assert {frame.epoch for frame in got} == {got[0].epoch}
    assert got[0].pixels.shape == (32, 48)
    assert got[0].pixels.dtype == np.uint16
    assert got[0].truth == (0.0, 0.0)


def test_a_move_moves_the_image(camera):
    _, frames, device = camera
    assert move(device, (1.5, -0.5)) == {"ok": True, "at": [1.5, -0.5]}
    until(lambda: (got := frames.receive(100)) and got.frame.truth == (1.5, -0.5))
    assert move(device, (0.5, 0.5), mode="increment")["at"] == [2.0, 0.0]
    assert device.ask("where", timeout_ms=10_000) == {"ok": True, "at": [2.0, 0.0]}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"do": "dance"}, "no such request"),
        ({"do": "move"}, "not understood"),
        ({"do": "move", "u": [1, 2], "mode": "sideways", "unit": "px", "valid_until": 2**62}, "not understood"),
        ({"do": "move", "u": [1, 2], "mode": "absolute", "unit": "um", "valid_until": 2**62}, "px"),
        ({"do": "move", "u": [1, 2], "mode": "absolute", "unit": "px", "valid_until": 1}, "too late"),
        ({"do": "move", "u": [float("nan"), 2], "mode": "absolute", "unit": "px", "valid_until": 2**62}, "nan"),
    ],
)
def test_requests_that_cannot_be_obeyed_are_refused(camera, request_, expected):
    _, _, device = camera
    before = device.ask("where", timeout_ms=10_000)["at"]
    do, *_ = request_.values()
    answer = device.ask(do, {key: value for key, value in request_.items() if key != "do"}, timeout_ms=10_000)
    assert answer["ok"] is False
    assert expected in answer["error"]
    assert device.ask("where", timeout_ms=10_000)["at"] == before


def test_sigint_ends_it_with_0(camera):
    service, frames, _ = camera
    until(lambda: frames.receive(100))
    assert service.stop(signal.SIGINT) == 0
    assert "deadlines missed" in service.said
    assert "Traceback" not in service.said


def test_a_file_ends_by_itself(launch, free_endpoints, tmp_path):
    np.save(tmp_path / "cube.npy", np.zeros((3, 8, 8), np.uint16))
    (tmp_path / "c.toml").write_text(f'[camera]\nsource = "file"\npath = "{tmp_path}/cube.npy"\n', "utf-8")
    service = launch("camera", tmp_path / "c.toml", free_endpoints())
    assert service.process.wait(60) == 0
    assert "done: 3 frames" in service.said


def test_a_missing_file_is_one_line_and_exit_2(launch, free_endpoints, tmp_path):
    (tmp_path / "c.toml").write_text('[camera]\nsource = "file"\npath = "/no/such.npy"\n', "utf-8")
    service = launch("camera", tmp_path / "c.toml", free_endpoints())
    assert service.process.wait(60) == 2
    assert "/no/such.npy" in service.said
    assert len(service.said.strip().splitlines()) == 1
