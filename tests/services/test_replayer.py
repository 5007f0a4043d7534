"""`rtreg replay` as a process: a recording on the wire as if it were happening now."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from recorded import record

from rtreg.io.realtime import host_id
from rtreg.io.recordings import Recording
from rtreg.io.sockets import CorrectionSubscriber, FrameSubscriber
from rtreg.services.demo import free_endpoints

NAMES = ("frames", "corrections", "control", "status", "device")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return record(tmp_path_factory.mktemp("replayed") / "night.mcap", lambda run: run.frames(12))


def replayed(recording, *words):
    """The frames and corrections that subscribers get of a replay."""
    overrides, held = free_endpoints(NAMES)
    ends = dict(override.removeprefix("endpoints.").split("=", 1) for override in overrides)
    sets = [part for override in overrides for part in ("--set", override)]
    frames, corrections = [], []
    with (
        FrameSubscriber(ends["frames"], "cam", newest=False) as frame_end,
        CorrectionSubscriber(ends["corrections"], "cam") as correction_end,
    ):
        command = [sys.executable, "-m", "rtreg", "replay", str(recording), "--wait", "3", *words, *sets]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            heard = time.monotonic()  # of the process, or after its end of a message
            while process.poll() is None or time.monotonic() < heard + 0.5:
                got, correction = frame_end.receive(50), correction_end.receive(0)
                if got is not None and got.frame is not None:
                    frames.append(got.frame)
                if correction is not None:
                    corrections.append(correction)
                if got is not None or correction is not None or process.poll() is None:
                    heard = time.monotonic()
        finally:
            process.kill()
            _, said = process.communicate()
            for each in held:
                each.close()
    assert process.returncode == 0, said
    return frames, corrections


def test_frames_and_corrections_are_those_of_the_recording_at_another_time(recording):
    with Recording(recording) as stored:
        expected = list(stored.frames())
    frames, corrections = replayed(recording, "--as-fast")
    assert [frame.seq for frame in frames] == [frame.seq for frame in expected]
    for frame, was in zip(frames, expected, strict=True):
        assert np.array_equal(frame.pixels, was.pixels)
        assert (frame.t_ns, frame.truth) == (was.t_ns, was.truth)
        assert frame.host == host_id()
        assert 0 <= time.monotonic_ns() - frame.mono_ns < 120e9  # this run's clock, not the recording's
    assert len({frame.epoch for frame in frames}) == 1
    assert frames[0].epoch != expected[0].epoch
    assert {(c.result.epoch, c.result.seq) for c in corrections} <= {(frame.epoch, frame.seq) for frame in frames}
    assert len(corrections) == len(expected)


def test_frames_alone_for_another_tracker(recording):
    frames, corrections = replayed(recording, "--frames-only", "--speed", "20")
    assert len(frames) == 12
    assert corrections == []
