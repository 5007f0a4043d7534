"""The tracker, as a process, against everything that goes wrong."""

from __future__ import annotations

import signal
import threading
import time

import msgpack
import numpy as np
import pytest
from processes import until
from tracked import Rig, rebound

from rtreg.estimators.registrar import Registrar
from rtreg.io.config import load
from rtreg.io.options import TrackerOptions
from rtreg.io.realtime import Stop, host_id
from rtreg.io.sockets import (
    ControlClient,
    DeviceServer,
)
from rtreg.live.bookkeeper import Bookkeeper
from rtreg.live.controller import Controller
from rtreg.live.engine import Engine
from rtreg.live.kind import CHANGED_AFTER
from rtreg.live.policy import ReferencePolicy
from rtreg.live.quality import QualityGate
from rtreg.records import (
    Frame,
    Order,
    State,
    Tick,
    Verdict,
)
from rtreg.services import tracker
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera

MS = 1_000_000


def test_warmth_is_lacking_at_once_for_the_first_frame_and_later_only_for_a_stream_that_has_changed():
    warmth, small, large = tracker.Warmth(), ((8, 8), "u2"), ((9, 9), "u2")
    assert warmth.lacks(small)
    warmth.add(small)
    assert not warmth.lacks(small)
    assert not warmth.lacks(large)  # a stray
    assert not warmth.lacks(small)
    assert [warmth.lacks(large) for _ in range(CHANGED_AFTER)] == [False] * (CHANGED_AFTER - 1) + [True]
    warmth.add(large)
    assert not warmth.lacks(large)
    assert not warmth.lacks(small)


def test_what_was_announced_and_does_not_come_is_not_waited_for():
    warmth = tracker.Warmth()
    warmth.add(((8, 8), "u2"))
    assert warmth.lacks(((9, 9), "u2"))


class Told(list):
    """A journal."""

    def say(self, message):
        self.append(message)

    def complain(self, kind, message):
        self.append(message)


@pytest.mark.parametrize("at", [(3.5, -2.0), None])
def test_the_loop_starts_from_where_the_device_is_or_from_0(at):
    journal, stop = Told(), threading.Event()
    with DeviceServer("tcp://127.0.0.1:*") as server:

        def serve():
            while not stop.is_set():
                request = server.poll(20)
                if request is not None and at is not None:
                    server.reply(request, {"at": at})
                elif request is not None:
                    server.refuse(request, "no idea")

        thread = threading.Thread(target=serve)
        thread.start()
        order = tracker.device_order(server.endpoint, journal)
        stop.set()
        thread.join()
    assert order == (Order(do="start_from", args={"position": list(at)}) if at else None)
    (said,) = journal
    assert ("3.5, -2" if at else "starts from 0") in said


def test_without_a_device_the_loop_starts_from_0(free_endpoints):
    journal = Told()
    assert tracker.device_order(free_endpoints().device, journal) is None
    assert "starts from 0" in journal[0]


@pytest.fixture(scope="module")
def rig(launch, free_endpoints):
    ends = free_endpoints()
    service = launch("track", "simulated", ends, "scene.shape=[64, 64]", "tracker.max_age_ms=1000").wait_ready()
    rig = Rig(service, ends)
    yield rig
    rig.close()


def test_before_the_first_frame_it_speaks_ten_times_a_second_and_moves_nothing(rig):
    first = until(lambda: rig.corrections.receive(200))
    second = until(lambda: rig.corrections.receive(200))
    assert {first.result.state, second.result.state} == {State.NO_REFERENCE}
    assert np.isnan(second.result.command.u).all()
    assert second.delivery.out - first.delivery.out > 0
    assert second.delivery.host == host_id()


def test_frames_give_corrections_that_follow_the_truth(rig):
    locked = rig.lock()
    truths, shifts = {}, {}

    def thirty():
        image = rig.frame()
        truths[rig.publisher.seq] = image.truth
        rig.publisher.send(image)
        got = rig.corrections.receive(50)
        if got is not None and got.result.seq in truths and not got.result.verdict:
            shifts[got.result.seq] = got.result.estimate.shift
        return len(shifts) >= 30

    until(thirty)
    offset = np.array([np.subtract(shifts[seq], truths[seq]) for seq in shifts])
    assert np.ptp(offset, axis=0).max() < 0.2  # the reference's own truth is the constant part
    delivery = locked.delivery
    assert delivery.sent <= delivery.recv <= delivery.start <= delivery.done <= delivery.out < delivery.valid_until


def test_bad_messages_are_counted_by_reason_and_tracking_goes_on(rig):
    rig.lock()
    before = rig.counts()
    socket = rig.publisher._socket
    socket.send_multipart([b"f/cam/", b"\xc1", b"x"])
    socket.send_multipart([b"f/cam/", b"x"])
    header = {
        "v": 1,
        "kind": "frame",
        "stream": "cam",
        "epoch": 5,
        "seq": 0,
        "t_ns": 0,
        "shape": [2, 2],
        "dtype": "|u1",
    }
    socket.send_multipart([b"f/cam/", msgpack.packb(header), b"xxx"])
    socket.send_multipart([b"f/cam/", msgpack.packb({**header, "v": 7}), b"xxxx"])
    rig.lock()
    after = rig.counts()
    assert after["rejected"]["size"] == before["rejected"].get("size", 0) + 1
    for reason in ("header", "parts", "version"):
        assert after["unattributable"][reason] == before["unattributable"].get(reason, 0) + 1
    assert after["span"] == after["received"] + after["lost"]
    assert after["received"] == after["used"] + after["skipped"] + sum(after["rejected"].values())
    assert "refused a message, size" in rig.service.said


def test_a_duplicate_changes_nothing(rig):
    rig.lock()
    image = rig.frame()
    rig.publisher.send(image)
    until(lambda: (got := rig.corrections.receive(20)) and got.result.seq == rig.publisher.seq - 1)
    before = rig.counts()
    rig.publisher.seq -= 1
    rig.publisher.send(image)
    after = until(lambda: (counts := rig.counts())["duplicate"] > before["duplicate"] and counts)
    assert {**after, "duplicate": 0} == {**before, "duplicate": 0}


def test_a_detector_that_cannot_be_is_a_refusal_and_tracking_goes_on(rig):
    rig.lock()
    before = rig.counts()["rejected"].get("constants", 0)
    for count, constants in enumerate(({"gain": float("nan")}, {"read_noise": -1.0}), before + 1):
        rig.send(**constants)
        until(lambda count=count: rig.counts()["rejected"].get("constants", 0) == count)
    rig.lock()


def test_a_stray_frame_is_rejected_and_warms_nothing(rig):
    rig.lock()
    before = rig.counts()["rejected"].get("frame", 0)
    rig.publisher.send(Frame(pixels=np.ones((40, 40), np.int32)))
    until(lambda: rig.counts()["rejected"].get("frame", 0) == before + 1)
    rig.lock()
    assert "(40, 40)" in rig.service.said
    assert "warming up for frames of (40, 40)" not in rig.service.said


def test_another_shape_is_warmed_for_and_acquired_anew_and_the_old_one_again(rig):
    old = rig.lock().result.reference.id
    rig.camera, camera = SimulatedCamera(Scene("stars", (48, 80)), Motion(), Detector(dtype="float32")), rig.camera
    rig.began = time.monotonic()
    new = rig.sent_until(lambda got: got.result.state is State.LOCKED and got.result.reference.id > old)
    assert rig.service.said.count("warming up for frames of (48, 80) float32") == 1
    rig.camera, rig.began = camera, rig.began - 3600
    rig.sent_until(lambda got: got.result.state is State.LOCKED and got.result.reference.id > new.result.reference.id)
    assert "warming up for frames of (64, 64)" not in rig.service.said  # it was warm for them from the start


def test_a_restarted_publisher_is_a_new_epoch_and_no_loss(rig):
    reference = rig.lock().result.reference.id
    before = rig.counts()
    rig.publisher.close()
    rig.publisher = until(lambda: rebound(rig.ends.frames))
    assert rig.lock().result.reference.id == reference
    after = rig.counts()
    assert after["epochs"] == before["epochs"] + 1
    assert after["lost"] - before["lost"] < 5


def test_silence_is_stale_and_still_spoken(rig):
    rig.lock()
    stale = until(lambda: (got := rig.corrections.receive(200)) and got.result.state is State.STALE and got)
    assert stale.result.verdict is Verdict.STALE
    assert until(lambda: isinstance(rig.orders.receive(200), Tick))
    rig.lock()


def test_orders_are_obeyed_published_and_refused(rig):
    rig.lock()
    assert rig.ask("open")["loop"] == "open"
    assert until(lambda: (got := rig.orders.receive(200)) and isinstance(got, Order) and got).do == "open"
    before = rig.counts()["held"].get("OPEN", 0)
    rig.sent_until(lambda got: got.result.state is State.LOCKED)
    assert rig.counts()["held"]["OPEN"] > before
    assert rig.ask("close")["ok"]
    refused = rig.ask("dance")
    assert refused["ok"] is False
    assert "dance" in refused["error"]
    assert rig.ask("retune", gain="high")["ok"] is False


def test_status_is_published_and_answered_alike(rig):
    asked = rig.ask("status")
    told = until(lambda: rig.statuses.receive(200))
    assert set(asked) - {"ok"} == set(told) - {"v", "kind", "stream"}
    assert set(told["latency_us"]) == {"transport", "queue", "process", "publish", "total"}
    assert set(told["latency_us"]["total"]) == {"p50", "p99", "p999", "max"}
    assert len(told["config"]) == 12


def test_a_changed_configuration_is_read_again_without_losing_the_lock(launch, free_endpoints, tmp_path):
    def write(gain, seed):
        text = f"[scene]\nshape = [64, 64]\nseed = {seed}\n[tracker]\nmax_age_ms = 1000\n[controller]\ngain = {gain}\n"
        (tmp_path / "c.toml").write_text(text, "utf-8")

    write(0.2, 0)
    ends = free_endpoints()
    service = launch("track", tmp_path / "c.toml", ends, "controller.leak=0.01").wait_ready()
    rig = Rig(service, ends)
    try:
        reference = rig.lock().result.reference.id
        before = rig.ask("status")
        write(0.3, 7)
        assert rig.ask("reload") == {"ok": True, "tune": {"gain": 0.3}, "restart": ["scene.seed"]}
        after = rig.ask("status")
        assert (after["controller"]["gain"], after["controller"]["leak"]) == (0.3, 0.01)
        assert after["config"] != before["config"]
        write(0.4, 7)
        service.process.send_signal(signal.SIGHUP)
        until(lambda: (rig.turn(), rig.ask("status")["controller"]["gain"] == 0.4)[1])
        assert "only after a restart: scene.seed" in service.said
        write("'high'", 7)
        refused = rig.ask("reload")
        assert not refused["ok"]
        assert "gain" in refused["error"]
        (tmp_path / "c.toml").write_text("nonsense")
        service.process.send_signal(signal.SIGHUP)
        until(lambda: (rig.turn(), "not reloaded" in service.said)[1])
        assert rig.lock().result.reference.id == reference
        last = rig.ask("status")
        assert last["controller"]["gain"] == 0.4
        assert last["pauses"]["collections"][2] == before["pauses"]["collections"][2]  # no full one since it was warm
        assert last["made"] == before["made"]
    finally:
        rig.close()
    assert service.stop() == 0


def test_sigterm_says_stopping_and_exits_with_0(rig):
    rig.lock()
    rig.service.process.send_signal(signal.SIGTERM)
    until(lambda: (got := rig.corrections.receive(200)) and got.result.state is State.STOPPING)
    assert rig.service.process.wait(20) == 0
    assert "Traceback" not in rig.service.said


def test_the_order_to_stop_and_an_endpoint_in_use(launch, free_endpoints):
    ends = free_endpoints()
    first = launch("track", "simulated", ends, "scene.shape=[64, 64]").wait_ready()
    second = launch("track", "simulated", ends, "scene.shape=[64, 64]")
    assert second.process.wait(60) == 2
    assert "in use" in second.said
    assert "Traceback" not in second.said
    with ControlClient(ends.control) as control:
        assert control.ask("stop", timeout_ms=10_000)["state"] == "STOPPING"
    assert first.process.wait(20) == 0


def test_a_configuration_that_does_not_fit_the_frames_is_a_rejection_not_an_end(launch, free_endpoints, tmp_path):
    """A mask for 48 x 48, nothing that says what the frames are, and frames of 64 x 64; then ones that fit."""
    mask = np.zeros((48, 48), np.uint8)
    mask[0, 0] = 1
    np.save(tmp_path / "mask.npy", mask)
    (tmp_path / "c.toml").write_text(f'[estimator]\nmask = "{tmp_path}/mask.npy"\n', "utf-8")
    ends = free_endpoints()
    service = launch("track", tmp_path / "c.toml", ends, "tracker.max_age_ms=1000").wait_ready()
    rig = Rig(service, ends)
    try:
        until(lambda: (rig.turn(), rig.counts()["rejected"].get("config", 0) >= 2)[1])
        assert "mask is (48, 48)" in service.said
        rig.camera = SimulatedCamera(Scene("stars", (48, 48)), Motion(), Detector())
        rig.lock()
    finally:
        rig.close()
    assert service.stop() == 0
    assert "Traceback" not in service.said


def test_a_closing_loop_goes_on_from_where_the_device_is(launch, free_endpoints):
    ends = free_endpoints()
    with DeviceServer(ends.device) as device:
        asked, stop = [], threading.Event()

        def serve():
            while not stop.is_set():
                request = device.poll(20)
                if request is not None:
                    asked.append(request.body["do"])
                    device.reply(request, {"at": [20.0, -10.0]})

        thread = threading.Thread(target=serve)
        thread.start()
        overrides = ("scene.shape=[64, 64]", "controller.closed=false", "tracker.max_age_ms=1000")
        service = launch("track", "simulated", ends, *overrides).wait_ready()
        rig = Rig(service, ends)
        try:
            assert np.isnan(rig.lock().result.command.u).all()
            assert asked == []
            rig.ask("close")
            got = rig.sent_until(lambda got: got.result.state is State.LOCKED and np.isfinite(got.result.command.u[0]))
            assert np.hypot(got.result.command.u[0] - 20.0, got.result.command.u[1] + 10.0) < 5.0
            rig.ask("open")
            rig.ask("close")
            assert asked == ["where"]
        finally:
            stop.set()
            thread.join()
            rig.close()
    assert service.stop() == 0


class Mouth(list):
    """A publisher of results that keeps them."""

    def send(self, result, delivery):
        self.append(result)

    def send_event(self, event):
        assert event.do == "stop"


def test_whatever_ends_the_loop_the_last_word_is_stopping(monkeypatch):
    """As a signal does while the engine warms up for another kind of frame: that takes longer than a stop may."""
    mouth = Mouth()
    engine = Engine(Registrar, reference=ReferencePolicy(), gate=QualityGate(), controller=Controller(closed=False))
    books = Bookkeeper(engine, stream="cam", host="here", max_age_ms=1.0, valid_for_ms=1.0)
    ends = tracker.Sockets(None, mouth, None, None)
    loop = tracker.Loop(books, ends, TrackerOptions(), Told(), load("simulated"))

    def signalled(stop):
        raise SystemExit(0)

    monkeypatch.setattr(loop, "_turn", signalled)
    with pytest.raises(SystemExit):
        loop.run(Stop())
    assert [result.state for result in mouth] == [State.STOPPING]
