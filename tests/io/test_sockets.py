"""The sockets on loopback: what is sent arrives, the newest frame wins, nothing waits for ever, nothing goes public."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import msgpack
import numpy as np
import pytest
import zmq
from samples import RESULT

from rtreg.errors import ConfigError, WireError
from rtreg.io import sockets
from rtreg.io.address import resolve
from rtreg.io.realtime import host_id
from rtreg.io.security import Guard
from rtreg.records import (
    Delivery,
    Frame,
    Order,
    Tick,
)

ANY = "tcp://127.0.0.1:*"
SMALL = Frame(pixels=np.zeros((4, 4), np.uint8))


def until(condition, seconds=10.0):
    """Call `condition` until it is true, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (got := condition()):
        assert time.monotonic() < deadline, "gave up waiting"
    return got


def link(send, receive):
    """Send until something is received: from then on nothing gets lost on the way."""

    def once():
        send()
        return receive(20)

    until(once)
    while receive(50) is not None:
        pass


@pytest.fixture
def frames():
    with (
        sockets.FramePublisher(ANY, "cam") as publisher,
        sockets.FrameSubscriber(publisher.endpoint, "cam") as subscriber,
    ):
        link(lambda: publisher.send(SMALL), subscriber.receive)
        yield publisher, subscriber


@pytest.mark.parametrize("size", [8, 300])  # below and above the size from which pixels are not copied
def test_a_frame_arrives_with_its_identity(frames, size):
    publisher, subscriber = frames
    pixels = np.arange(size * size, dtype=np.uint16).reshape(size, size)
    seq, before = publisher.seq, time.monotonic_ns()
    publisher.send(Frame(pixels=pixels, t_ns=5, gain=2.0))
    got = until(lambda: subscriber.receive(100)).frame
    np.testing.assert_array_equal(got.pixels, pixels)
    assert (got.stream, got.epoch, got.seq, got.host) == ("cam", publisher.epoch, seq, host_id())
    assert before <= got.mono_ns <= got.recv_mono_ns <= time.monotonic_ns()
    assert (got.t_ns, got.gain) == (5, 2.0)


def test_the_newest_frame_wins_and_the_others_are_told(frames):
    publisher, subscriber = frames
    first = publisher.seq
    for _ in range(5):
        publisher.send(SMALL)
    seen = []

    def all_five():
        got = subscriber.receive(100)
        if got is not None:
            seen.extend([*got.skipped, got.frame])
        return len(seen) == 5

    time.sleep(0.05)  # not for the result, only so that several frames wait at once, as they would behind slow work
    until(all_five)
    assert [frame.seq for frame in seen] == list(range(first, first + 5))


@pytest.mark.parametrize("patience_ms", [0.0, 60_000.0])
def test_who_is_late_by_little_works_off_the_frames_that_wait(patience_ms):
    with (
        sockets.FramePublisher(ANY, "cam") as publisher,
        sockets.FrameSubscriber(publisher.endpoint, "cam", patience_ms=patience_ms) as subscriber,
    ):
        link(lambda: publisher.send(SMALL), subscriber.receive)
        first = publisher.seq
        for _ in range(4):
            publisher.send(SMALL)
        time.sleep(0.05)  # so that several wait at once; how many makes no difference to what is asked
        got = []
        while sum(1 + len(reception.skipped) for reception in got) < 4:
            reception = subscriber.receive(100)
            got += [] if reception is None else [reception]
        taken = [frame.seq for reception in got for frame in (*reception.skipped, reception.frame)]
        assert taken == list(range(first, first + 4))
        if patience_ms:
            assert not any(reception.skipped for reception in got)
        assert subscriber.idle


def test_who_spins_gets_the_same_frames_and_gives_up_in_time():
    with (
        sockets.FramePublisher(ANY, "cam") as publisher,
        sockets.FrameSubscriber(publisher.endpoint, "cam", patience_ms=60_000.0, spin=True) as subscriber,
    ):
        assert subscriber.receive(20) is None
        link(lambda: publisher.send(SMALL), subscriber.receive)
        first = publisher.seq
        for _ in range(10):
            publisher.send(SMALL)
        got = [until(lambda: subscriber.receive(100)) for _ in range(10)]
        assert [item.frame.seq for item in got] == list(range(first, first + 10))
        assert subscriber.receive(0) is None


def test_a_recorder_gets_every_frame_in_order():
    with (
        sockets.FramePublisher(ANY, "cam") as publisher,
        sockets.FrameSubscriber(publisher.endpoint, "cam", newest=False) as subscriber,
    ):
        link(lambda: publisher.send(SMALL), subscriber.receive)
        first = publisher.seq
        for _ in range(10):
            publisher.send(SMALL)
        got = [until(lambda: subscriber.receive(100)) for _ in range(10)]
    assert [item.frame.seq for item in got] == list(range(first, first + 10))
    assert not any(item.skipped for item in got)


def test_what_breaks_the_protocol_is_refused_and_the_next_frame_comes(frames):
    publisher, subscriber = frames
    publisher._socket.send_multipart([b"f/cam/", b"\xc1junk", b""])
    publisher._socket.send_multipart([b"f/cam/"])
    publisher.send(SMALL)
    refused, good = [], []

    def three():
        got = subscriber.receive(100)
        if got is not None:
            refused.extend(got.refused)
            good.extend([*got.skipped, *([got.frame] if got.frame else [])])
        return len(refused) + len(good) == 3

    until(three)
    assert [item.error.reason for item in refused] == ["header", "parts"]
    assert refused[0].sample == b"\xc1junk"
    assert len(good) == 1


def queued(make_publisher, make_subscriber, send, first, count):
    """A subscriber with `count` messages waiting, `send(publisher, i)` each, all sent before it looks at any."""
    with make_publisher() as publisher, make_subscriber(publisher.endpoint) as subscriber:
        link(lambda: send(publisher, first), subscriber.receive)
        for i in range(count):
            send(publisher, i)
            time.sleep(0.0005)  # the publisher's queue holds 16; what does not fit is dropped, which is not the matter
        time.sleep(0.05)
        yield publisher, subscriber


@pytest.fixture
def hundred_frames():
    """100 frames ahead of a subscriber that takes the newest: more than it looks at in one go."""
    yield from queued(
        lambda: sockets.FramePublisher(ANY, "cam"),
        lambda endpoint: sockets.FrameSubscriber(endpoint, "cam"),
        lambda publisher, _: publisher.send(SMALL),
        0,
        100,
    )


def test_no_frame_is_taken_from_the_queue_and_forgotten(hundred_frames, monkeypatch):
    monkeypatch.setattr("rtreg.io.sockets.frames.DRAIN", 2)  # the queue of a live subscriber holds 8
    _, subscriber = hundred_frames
    seen = []
    while (got := subscriber.receive(100)) is not None:
        assert len(got.skipped) < 2
        seen += [frame.seq for frame in [*got.skipped, got.frame]]
    assert len(seen) > 2
    assert seen == list(range(seen[0], seen[0] + len(seen)))  # the queue drops its newest only


@pytest.fixture
def many_corrections():
    """300 corrections that wait for a consumer; `out` numbers them."""
    yield from queued(
        lambda: sockets.ResultPublisher(ANY, "cam"),
        lambda endpoint: sockets.CorrectionSubscriber(endpoint, "cam"),
        lambda publisher, i: publisher.send(RESULT, Delivery(out=i)),
        -1,
        300,
    )


def test_the_newest_of_many_corrections_is_the_last_one(many_corrections):
    _, corrections = many_corrections
    assert corrections.newest(1000).delivery.out == 299
    assert corrections.newest(0) is None


def test_a_frame_that_is_too_large_is_refused_and_counted():
    with (
        sockets.FramePublisher(ANY, "cam") as publisher,
        sockets.FrameSubscriber(publisher.endpoint, "cam", max_bytes=16) as subscriber,
    ):
        link(lambda: publisher.send(SMALL), subscriber.receive)
        seq = publisher.seq
        publisher.send(Frame(pixels=np.zeros((100, 100), np.uint8)))
        (refusal,) = until(lambda: subscriber.receive(100)).refused
        assert refusal.error.reason == "too_large"
        assert refusal.error.identity == (publisher.epoch, seq)
        publisher.send(SMALL)
        assert until(lambda: subscriber.receive(100)).frame.seq == seq + 1


def test_a_stream_whose_name_begins_alike_is_not_received():
    with (
        sockets.FramePublisher(ANY, "cam10") as ten,
        sockets.FrameSubscriber(ten.endpoint, "cam10") as hears_ten,
        sockets.FrameSubscriber(ten.endpoint, "cam1") as hears_one,
    ):
        link(lambda: ten.send(SMALL), hears_ten.receive)
        assert hears_one.receive(50) is None


def test_receive_returns_after_its_timeout(frames):
    assert frames[1].receive(1) is None
    assert frames[1].receive(0) is None


def test_corrections_orders_and_ticks_keep_their_order():
    with (
        sockets.ResultPublisher(ANY, "cam") as publisher,
        sockets.CorrectionSubscriber(publisher.endpoint, "cam") as corrections,
        sockets.EventSubscriber(publisher.endpoint, "cam") as orders,
    ):
        link(lambda: publisher.send(RESULT, Delivery()), corrections.receive)
        link(lambda: publisher.send_event(Tick(mono_ns=0)), orders.receive)
        publisher.send_event(Order(do="open"))
        publisher.send_event(Tick(mono_ns=9))
        publisher.send(RESULT, Delivery(out=8))
        assert [until(lambda: orders.receive(100)) for _ in range(2)] == [Order(do="open"), Tick(mono_ns=9)]
        assert until(lambda: corrections.receive(100)).delivery.out == 8


def test_the_newest_correction_passes_over_the_others():
    with (
        sockets.ResultPublisher(ANY, "cam") as publisher,
        sockets.CorrectionSubscriber(publisher.endpoint, "cam") as corrections,
    ):
        link(lambda: publisher.send(RESULT, Delivery()), corrections.receive)
        for out in (1, 2, 3):
            publisher.send(RESULT, Delivery(out=out))
        assert until(lambda: (got := corrections.newest(100)) and got.delivery.out == 3)
        assert corrections.newest(0) is None


def test_a_subscriber_counts_what_it_refuses():
    with (
        sockets.StatusPublisher(ANY, "cam") as publisher,
        sockets.StatusSubscriber(publisher.endpoint, "cam") as statuses,
    ):
        link(lambda: publisher.send({"n": 0}), statuses.receive)
        publisher._socket.send_multipart([b"s/cam/", msgpack.packb({"v": 9})])
        publisher.send({"n": 1})
        assert until(lambda: statuses.receive(100))["n"] == 1
        assert statuses.refused == {"version": 1}


def serve(server, count):
    """Answer `count` requests in another thread, each with what it asked."""

    def work():
        for _ in range(count):
            request = until(lambda: server.poll(50))
            if request.body["do"] == "refuse":
                server.refuse(request, "no")
            else:
                server.reply(request, {"did": request.body["do"], "x": request.body.get("x")})

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_requests_are_answered():
    with sockets.ControlServer(ANY) as server, sockets.ControlClient(server.endpoint) as client:
        thread = serve(server, 2)
        assert client.ask("dither", {"x": 1.5}) == {"ok": True, "did": "dither", "x": 1.5}
        assert client.ask("refuse") == {"ok": False, "error": "no"}
        thread.join()


@pytest.mark.parametrize("name", ["do", "v"])
def test_an_argument_cannot_take_the_place_of_the_request(name):
    with sockets.ControlClient("tcp://127.0.0.1:9") as client, pytest.raises(ConfigError, match=f"'{name}'"):
        client.ask("retune", {name: 3})


def test_arguments_may_have_any_other_name():
    with sockets.ControlServer(ANY) as server, sockets.ControlClient(server.endpoint) as client:
        thread = threading.Thread(target=lambda: server.reply(*echo(until(lambda: server.poll(50)))))
        thread.start()
        assert client.ask("retune", {"timeout_ms": 3, "self": 4}) == {"ok": True, "timeout_ms": 3, "self": 4}
        thread.join()


def echo(request):
    """A request, and its own arguments as its answer."""
    return request, {key: value for key, value in request.body.items() if key not in ("v", "do")}


def test_a_plain_dealer_is_answered_too():
    with sockets.ControlServer(ANY) as server, zmq.Context.instance().socket(zmq.DEALER) as plain:
        plain.linger = 0
        plain.connect(server.endpoint)
        thread = serve(server, 1)
        plain.send(msgpack.packb({"v": 1, "do": "open"}))
        assert plain.poll(5000)
        assert msgpack.unpackb(plain.recv())["ok"] is True
        thread.join()


def test_a_request_that_breaks_the_protocol_is_told_so():
    with sockets.ControlServer(ANY) as server, zmq.Context.instance().socket(zmq.DEALER) as plain:
        plain.linger = 0
        plain.connect(server.endpoint)
        plain.send(b"\xc1")
        assert until(lambda: server.poll(50) is None and plain.poll(50))
        assert msgpack.unpackb(plain.recv())["ok"] is False


def test_a_request_without_a_server_times_out_and_its_late_answer_is_not_the_next_ones():
    with sockets.ControlServer(ANY) as server, sockets.ControlClient(server.endpoint) as client:
        with pytest.raises(WireError, match="no answer") as caught:
            client.ask("first", timeout_ms=30)
        assert caught.value.reason == "timeout"
        thread = serve(server, 2)
        assert client.ask("second", timeout_ms=5000)["did"] == "second"
        thread.join()


# Endpoints


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:*", "tcp://*:*", "tcp://192.168.1.5:5600", "tcp://eth0:5600"])
def test_nothing_listens_beyond_this_host_unless_told_in_words(endpoint):
    for make in (sockets.FramePublisher, sockets.ResultPublisher, sockets.StatusPublisher):
        with pytest.raises(ConfigError, match="allow_public"):
            make(endpoint, "cam")
    for make in (sockets.ControlServer, sockets.DeviceServer):
        with pytest.raises(ConfigError, match="allow_public"):
            make(endpoint)


def test_allow_public_allows_it():
    with sockets.FramePublisher("tcp://0.0.0.0:*", "cam", guard=Guard(public=True)) as publisher:
        assert publisher.endpoint.startswith("tcp://0.0.0.0:")


def test_a_port_in_use_is_a_config_error_that_names_it():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        endpoint = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigError, match="in use") as caught:
            sockets.ControlServer(endpoint)
    assert endpoint in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    ["", "5600", "udp://1.2.3.4:5", "tcp://127.0.0.1", "tcp://:5600", "tcp://h:99999", "tcp://h:x", "ipc://"],
)
def test_an_endpoint_that_is_none_is_a_config_error(endpoint):
    with pytest.raises(ConfigError, match="write tcp"):
        sockets.FrameSubscriber(endpoint, "cam")


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_ipc_names_live_in_a_private_folder(runtime):
    with (
        sockets.FramePublisher("ipc://frames", "cam") as publisher,
        sockets.FrameSubscriber("ipc://frames", "cam") as subscriber,
    ):
        assert publisher.endpoint == f"ipc://{runtime}/rtreg/frames"
        assert (runtime / "rtreg").stat().st_mode & 0o777 == 0o700
        link(lambda: publisher.send(SMALL), subscriber.receive)


def test_a_folder_that_others_can_enter_is_not_used(runtime):
    (runtime / "rtreg").mkdir(mode=0o755)
    with pytest.raises(ConfigError, match="0700"):
        resolve("ipc://frames")


@pytest.mark.parametrize("endpoint", ["ipc://c", "tcp://127.0.0.1:{port}"])
def test_an_endpoint_in_use_is_refused_with_its_owners_pid(runtime, endpoint):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        endpoint = endpoint.format(port=other.getsockname()[1])
    code = f"""
import sys
from rtreg.io.sockets import ControlServer
with ControlServer("{endpoint}"):
    print("up", flush=True)
    sys.stdin.read()
"""
    owner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert owner.stdout.readline() == b"up\n"
        with pytest.raises(ConfigError, match=f"process {owner.pid}"):
            sockets.ControlServer(endpoint)
    finally:
        owner.communicate()
    with sockets.ControlServer(endpoint):  # its end frees it
        pass


def test_an_ipc_path_too_long_for_a_socket_is_refused():
    with pytest.raises(ConfigError, match="longer"):
        resolve("ipc:///" + "x" * 200)


def test_closing_leaves_no_file_descriptor(runtime):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    with sockets.ControlServer("ipc://warm"):
        pass
    before = descriptors()
    for _ in range(5):
        with sockets.ControlServer("ipc://again"):
            pass
    until(lambda: descriptors() <= before)


def test_a_subscriber_that_does_not_read_costs_the_others_nothing():
    big = Frame(pixels=np.zeros((1024, 1024), np.uint8))
    with (
        sockets.FramePublisher(ANY, "cam") as publisher,
        sockets.FrameSubscriber(publisher.endpoint, "cam", newest=False) as good,
        zmq.Context.instance().socket(zmq.SUB) as slow,
    ):
        slow.linger, slow.rcvhwm = 0, 1
        slow.connect(publisher.endpoint)
        slow.subscribe(b"f/cam/")
        until(lambda: (publisher.send(SMALL), slow.poll(20))[1])  # it is connected, and from now on deaf
        link(lambda: publisher.send(SMALL), good.receive)
        first = publisher.seq
        got = []
        for _ in range(60):  # more than its queue, our queue for it, and the kernel's buffers hold
            publisher.send(big)
            got.append(until(lambda: good.receive(100)).frame.seq)
        assert got == list(range(first, first + 60))
        heard = 0
        while slow.poll(200):
            slow.recv_multipart()
            heard += 1
        assert heard < 60
