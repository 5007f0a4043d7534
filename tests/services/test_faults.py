"""The rows of docs/reliability.md that a camera of floats can show, against a real tracker, one after the other."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import hostile
import msgspec
import numpy as np
import pytest
import zmq
from processes import until
from tracked import Rig, rebound

from rtreg.io.sockets import DeviceClient, StatusSubscriber
from rtreg.records import State
from rtreg.simulate import Detector

MIB, MS = 2**20, 1_000_000
LARGEST = 2**64 - 1
OVERRIDES = (
    "scene.shape=[64, 64]",
    "detector.dtype=float32",
    "tracker.max_age_ms=1000",
    "tracker.max_frame_mib=1",
    "controller.closed=false",
)


@pytest.fixture(scope="module")
def rig(launch, free_endpoints):
    ends = free_endpoints()
    service = launch("track", "simulated", ends, *OVERRIDES).wait_ready()
    rig = Rig(service, ends, Detector(dtype="float32", saturation=60_000.0))
    yield rig
    rig.close()


def numbered(rig, seq):
    """Send the frame of now as number `seq`, and wait for what the tracker says of it."""
    rig.publisher.seq = seq
    rig.send()
    return answer(rig, lambda got: (got.result.epoch, got.result.seq) == (rig.publisher.epoch, seq))


def answer(rig, condition):
    """The first correction that fulfils `condition`."""
    return until(lambda: (got := rig.corrections.receive(100)) and condition(got) and got)


def balanced(counts):
    assert counts["span"] == counts["received"] + counts["lost"]
    assert counts["received"] == counts["used"] + counts["skipped"] + sum(counts["rejected"].values())
    assert counts["used"] == counts["corrected"] + sum(counts["held"].values())
    return counts


def test_a_frozen_publisher_is_hold_then_stale_and_the_command_stays(rig):
    rig.lock()
    said = []

    def stale():
        got = rig.corrections.receive(200)
        if got is not None:
            said.append(got)
        return said and said[-1].result.state is State.STALE

    until(stale)
    states = [got.result.state for got in said]
    quiet = [got for got in said if got.result.state is not State.LOCKED]
    assert states.index(State.HOLD) < states.index(State.STALE)
    assert len({str(got.result.command) for got in quiet}) == 1
    assert len(quiet) > 5  # more than a few words in the second until it is stale
    assert all(got.delivery.valid_until > got.delivery.out for got in quiet)
    rig.lock()


def test_gaps_and_reversals_are_counted_to_the_frame_and_tracking_goes_on(rig):
    rig.lock()
    before, last = balanced(rig.counts()), rig.publisher.seq - 1
    gap = numbered(rig, last + 11)
    assert (gap.result.state, gap.delivery.lost) == (State.LOCKED, 10)
    late = numbered(rig, last + 5)
    assert late.result.state is State.LOCKED
    after = balanced(rig.counts())
    assert after["lost"] - before["lost"] == 9
    assert after["received"] - before["received"] == 2
    rig.publisher.seq = last + 12
    rig.lock()


def test_a_seq_that_wraps_is_neither_a_loss_nor_a_duplicate(rig):
    rig.publisher.close()
    rig.publisher = until(lambda: rebound(rig.ends.frames))
    rig.publisher.seq = LARGEST - 400
    rig.lock()
    before = rig.counts()
    for seq in (LARGEST, 0, 1):
        assert numbered(rig, seq).result.state is State.LOCKED
    after = balanced(rig.counts())
    assert after["duplicate"] == before["duplicate"]
    assert after["received"] - before["received"] == 3
    assert after["lost"] - before["lost"] < 400
    assert rig.lock()


@pytest.mark.parametrize("by_s", [-7200, 7200])
def test_a_step_of_the_utc_clock_changes_nothing_but_the_label(rig, by_s):
    rig.lock()
    before = rig.counts()
    stepped = time.time_ns() + by_s * 10**9
    rig.send(t_ns=stepped)
    got = answer(rig, lambda got: got.result.t_ns == stepped)
    assert got.result.state is State.LOCKED
    assert rig.counts()["rejected"] == before["rejected"]


@pytest.mark.parametrize(
    ("spoil", "reasons"),
    [
        (lambda pixels: np.full_like(pixels, np.nan), {"NAN"}),
        (lambda pixels: np.full_like(pixels, np.inf), {"NAN", "SATURATED"}),
        (np.zeros_like, {"DARK"}),
        (lambda pixels: np.full_like(pixels, 500.0), {"DARK"}),
        (lambda pixels: np.full_like(pixels, 60_000.0), {"SATURATED"}),
    ],
    ids=["nan", "inf", "zero", "constant", "saturated"],
)
def test_frames_without_a_picture_are_held_with_the_reason_and_never_learnt_from(rig, spoil, reasons):
    rig.lock()
    image = rig.frame()
    pixels = spoil(image.pixels)
    pixels.flags.writeable = False
    seq = rig.publisher.seq
    rig.publisher.send(msgspec.structs.replace(image, pixels=pixels))
    got = answer(rig, lambda got: got.result.seq == seq)
    assert got.result.state in (State.HOLD, State.LOST)
    assert set(got.result.verdict.reasons) & reasons, got.result.verdict
    rig.lock()
    assert [rig.publisher.epoch, seq] not in rig.ask("status")["reference"]["frames"]


def test_a_tracker_that_was_stopped_drops_what_is_too_old_and_takes_the_newest(rig):
    rig.lock()
    before = rig.counts()
    rig.service.process.send_signal(signal.SIGSTOP)
    rig.send()
    time.sleep(1.2)  # older than max_age
    rig.service.process.send_signal(signal.SIGCONT)
    until(lambda: rig.counts()["rejected"].get("age", 0) > before["rejected"].get("age", 0))
    said = []
    rig.sent_until(lambda got: said.append(got) or len(said) > 20)
    for got in said:
        if got.delivery.sent and got.result.state is State.LOCKED:
            assert got.delivery.valid_until - got.delivery.sent <= (1000 + 200) * MS
    rig.lock()
    balanced(rig.counts())


def test_hostile_peers_make_no_gap_for_the_good_subscriber_and_memory_stays_bounded(rig):
    rig.lock()
    before, junk = hostile.memory(rig.service.process.pid), hostile.Junk()
    events, ends = [], (rig.ends.corrections, rig.ends.status, rig.ends.control)
    with StatusSubscriber(rig.ends.status, "cam") as statuses:
        bombs = []
        try:
            for round_ in range(60):
                if round_ % 10 == 5:
                    junk.connect(ends[round_ % 3], 40)
                if round_ % 20 == 10:
                    bombs += hostile.subscription_bomb(rig.ends.corrections, 1, 3000)
                rig.send()
                while (got := rig.corrections.receive(10)) is not None and len(events) < 10_000:
                    events.append(got.delivery.event)
                    if got.result.seq == rig.publisher.seq - 1:
                        break
            until(lambda: statuses.receive(200))
        finally:
            junk.close()
            for bomb in bombs:
                bomb.close(0)
    assert events == list(range(events[0], events[0] + len(events)))
    assert hostile.memory(rig.service.process.pid) - before < 48 * MIB
    rig.lock()


def test_oversize_and_nesting_bombs_are_counted_by_reason_and_make_no_gap(rig):
    rig.lock()
    before, start = rig.counts(), rig.publisher.seq
    for parts, _, _ in hostile.bad_frames("cam", rig.publisher.epoch, start):
        rig.publisher._socket.send_multipart(parts)
        rig.counts()  # a live queue holds 8: let it have looked
    rig.publisher.seq = start + 4
    rig.lock()
    after = balanced(rig.counts())
    expected = {}
    for _, reason, attributable in hostile.bad_frames("cam", 0, 0):
        key = ("rejected" if attributable else "unattributable", reason)
        expected[key] = expected.get(key, 0) + 1
    for (table, reason), count in expected.items():
        assert after[table].get(reason, 0) - before[table].get(reason, 0) == count, reason
    assert "Traceback" not in rig.service.said


def test_bombs_on_the_control_channel_are_answered_and_counted_out(rig):
    with zmq.Context.instance().socket(zmq.DEALER) as plain:
        plain.linger = 0
        plain.connect(rig.ends.control)
        for body in (hostile.nested(50_000), hostile.nested(20), b"\xdf\xff\xff\xff\xff", b""):
            plain.send(body)
            assert until(lambda: plain.poll(50) and plain.recv())
        plain.send(b"x" * (4 * MIB))  # beyond the cap: the connection ends, nothing more
    assert rig.counts()["received"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_process_at_once(number):
    code = """
import time
from rtreg.io.realtime import Stop
stop = Stop().listen()
print("up", flush=True)
while True:  # deaf to the first
    time.sleep(0.01)
    if stop and not told:
        print("asked", flush=True)
        told = True
""".replace("stop = ", "told = False\nstop = ")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(number)
        assert process.wait(30) == 128 + number


def test_a_loop_of_the_wrong_sign_opens_itself_and_the_process_says_why(launch, free_endpoints):
    ends = free_endpoints()
    still = ("motion.drift=[0, 0]", "motion.periodic=[0, 0]", "motion.walk=0", "motion.jitter=0")
    overrides = (*still, "scene.shape=[64, 64]", "camera.rate_hz=100", "camera.mirror=[[-1.0, 0.0], [0.0, 1.0]]")
    tracker = launch("track", "simulated", ends, *overrides)
    launch("camera", "simulated", ends, *overrides).wait_ready()
    launch("actuate", "simulated", ends, *overrides).wait_ready()
    until(lambda: "the loop has opened itself" in tracker.said, 120)
    assert re.search(r"turned by -?1[678]\d degrees", tracker.said)
    with DeviceClient(ends.device) as device:
        x, y = device.ask("where", timeout_ms=10_000)["at"]
    assert abs(x) < 20
    assert abs(y) < 5
