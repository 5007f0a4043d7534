"""CURVE: who has no key gets nothing and cannot control; roles are heeded as they are now; who does has it all."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import zmq
from processes import until
from samples import RESULT

from rtreg.errors import WireError
from rtreg.io.keys import Keyring, Role
from rtreg.io.security import LOCAL, Security
from rtreg.io.sockets import (
    ControlClient,
    ControlServer,
    CorrectionSubscriber,
    DeviceClient,
    DeviceServer,
    FramePublisher,
    FrameSubscriber,
    ResultPublisher,
    StatusPublisher,
    StatusSubscriber,
    Tap,
    new_pair,
)
from rtreg.io.wire import topic
from rtreg.records import (
    Delivery,
    Frame,
)

ANY = "tcp://127.0.0.1:*"
FRAME = Frame(pixels=np.arange(90_000, dtype=np.uint16).reshape(300, 300))


class Host:
    """A host with its own keyring."""

    def __init__(self, folder):
        self.ring = Keyring(folder)
        self.ring.add("local", *new_pair())

    def knows(self, name, other, role):
        self.ring.authorize(name, other.ring.own("local")[0], role)

    def guard(self, server="local", **options):
        return Security(curve=True, folder=str(self.ring.folder), camera=server, tracker=server, **options).guard()


@pytest.fixture
def hosts(tmp_path):
    """A server, and a client that knows the server's key; the server does not know the client's yet."""
    server, client = Host(tmp_path / "server"), Host(tmp_path / "client")
    client.knows("there", server, Role.NONE)
    return server, client


def got(send, subscriber, milliseconds=1500):
    """What a subscriber gets of what is sent again and again; None if nothing in the time."""
    for _ in range(milliseconds // 20):
        send()
        received = subscriber.receive(20)
        if received is not None:
            return received
    return None


def serving(server):
    """Answer requests in a thread until `stop` is set; returns (stop, thread, what was asked)."""
    stop, asked = threading.Event(), []

    def work():
        while not stop.is_set():
            request = server.poll(20)
            if request is not None:
                asked.append(request.body["do"])
                server.reply(request, {})

    thread = threading.Thread(target=work)
    thread.start()
    return stop, thread, asked


@pytest.mark.parametrize("role", [Role.OBSERVE, Role.CONTROL])
def test_with_the_key_everything_comes(hosts, role):
    server, client = hosts
    server.knows("desk", client, role)
    mine, its = server.guard(), client.guard("there")
    with FramePublisher(ANY, "cam", guard=mine) as out, FrameSubscriber(out.endpoint, "cam", guard=its) as frames:
        np.testing.assert_array_equal(got(lambda: out.send(FRAME), frames).frame.pixels, FRAME.pixels)
    with (
        ResultPublisher(ANY, "cam", guard=mine) as out,
        CorrectionSubscriber(out.endpoint, "cam", guard=its) as corrections,
    ):
        assert got(lambda: out.send(RESULT, Delivery(out=7)), corrections).delivery.out == 7
    with StatusPublisher(ANY, "cam", guard=mine) as out, StatusSubscriber(out.endpoint, "cam", guard=its) as statuses:
        assert got(lambda: out.send({"n": 3}), statuses)["n"] == 3


def test_a_recorder_gets_what_two_processes_with_two_keys_publish(hosts, tmp_path):
    camera, tracker = hosts[0], Host(tmp_path / "tracker")
    recorder = Host(tmp_path / "recorder")
    for host, name in ((camera, "camhost"), (tracker, "trackhost")):
        host.knows("recorder", recorder, Role.OBSERVE)
        recorder.knows(name, host, Role.NONE)
    guard = Security(curve=True, folder=str(recorder.ring.folder), camera="camhost", tracker="trackhost").guard()
    with (
        FramePublisher(ANY, "cam", guard=camera.guard()) as frames,
        ResultPublisher(ANY, "cam", guard=tracker.guard()) as results,
        Tap(
            [("camera", frames.endpoint), ("tracker", results.endpoint)],
            [topic("f", "cam"), topic("c", "cam")],
            max_bytes=2**20,
            guard=guard,
        ) as tap,
    ):
        seen = set()

        def both():
            frames.send(FRAME)
            results.send(RESULT, Delivery())
            parts = tap.receive(20)
            if parts is not None:
                seen.add(bytes(parts[0]))
            return seen == {b"f/cam/", b"c/cam/"}

        until(both, 20)


@pytest.mark.parametrize("who", ["without any key", "with a key that is not let in", "with a role of none"])
def test_without_the_key_nothing_comes_and_the_good_subscriber_has_no_gap(hosts, who, tmp_path):
    server, client = hosts
    stranger = Host(tmp_path / "stranger")
    stranger.knows("there", server, Role.NONE)
    if who == "with a role of none":
        server.knows("stranger", stranger, Role.NONE)
    guard = LOCAL if who == "without any key" else stranger.guard("there")
    server.knows("desk", client, Role.OBSERVE)
    with (
        FramePublisher(ANY, "cam", guard=server.guard()) as out,
        FrameSubscriber(out.endpoint, "cam", guard=client.guard("there"), newest=False) as good,
        FrameSubscriber(out.endpoint, "cam", guard=guard) as bad,
    ):
        first = got(lambda: out.send(FRAME), good).frame.seq
        for expected in range(first + 1, out.seq + 30):
            if expected >= out.seq:
                out.send(FRAME)
            assert until(lambda: good.receive(100)).frame.seq == expected
            assert bad.receive(5) is None


def test_a_wrong_server_key_is_no_server(hosts, tmp_path):
    server, client = hosts
    other = Host(tmp_path / "other")
    client.knows("other", other, Role.NONE)
    server.knows("desk", client, Role.CONTROL)
    with (
        FramePublisher(ANY, "cam", guard=server.guard()) as out,
        FrameSubscriber(out.endpoint, "cam", guard=client.guard("other")) as frames,
    ):
        assert got(lambda: out.send(FRAME), frames, 300) is None


def test_nobody_without_the_key_controls(hosts, tmp_path):
    server, _ = hosts
    stranger = Host(tmp_path / "stranger")
    stranger.knows("there", server, Role.NONE)
    with ControlServer(ANY, guard=server.guard()) as control:
        stop, thread, asked = serving(control)
        try:
            for guard in (LOCAL, stranger.guard("there")):
                with (
                    ControlClient(control.endpoint, guard=guard) as client,
                    pytest.raises(WireError, match="no answer"),
                ):
                    client.ask("close", timeout_ms=300)
            with zmq.Context.instance().socket(zmq.DEALER) as plain:
                plain.linger = 0
                plain.connect(control.endpoint)
                plain.send(b"\x82\xa1v\x01\xa2do\xa5close")
                assert not plain.poll(300)
        finally:
            stop.set()
            thread.join()
    assert asked == []


def test_roles_are_heeded_as_they_are_now_without_a_new_connection(hosts):
    server, client = hosts
    server.knows("desk", client, Role.OBSERVE)
    with (
        ControlServer(ANY, guard=server.guard()) as control,
        ControlClient(control.endpoint, guard=client.guard("there")) as ctl,
    ):
        stop, thread, asked = serving(control)
        try:
            assert ctl.ask("status", timeout_ms=10_000)["ok"]
            refused = ctl.ask("close", timeout_ms=10_000)
            assert not refused["ok"]
            assert "role observe" in refused["error"]
            server.knows("desk", client, Role.CONTROL)
            assert ctl.ask("close", timeout_ms=10_000)["ok"]
            server.knows("desk", client, Role.NONE)
            assert "role none" in ctl.ask("open", timeout_ms=10_000)["error"]
        finally:
            stop.set()
            thread.join()
    assert asked == ["status", "close"]


def test_who_observes_may_ask_where_the_device_is_and_not_move_it(hosts):
    server, client = hosts
    server.knows("desk", client, Role.OBSERVE)
    with (
        DeviceServer(ANY, guard=server.guard()) as device,
        DeviceClient(device.endpoint, guard=client.guard("there")) as actuator,
    ):
        stop, thread, asked = serving(device)
        try:
            assert actuator.ask("where", timeout_ms=10_000)["ok"]
            assert not actuator.ask("move", {"u": [1, 1]}, timeout_ms=10_000)["ok"]
        finally:
            stop.set()
            thread.join()
    assert asked == ["where"]


def test_who_is_let_in_later_need_not_ask_again(hosts):
    server, client = hosts
    with (
        FramePublisher(ANY, "cam", guard=server.guard()) as out,
        FrameSubscriber(out.endpoint, "cam", guard=client.guard("there")) as frames,
    ):
        assert got(lambda: out.send(FRAME), frames, 200) is None
        server.knows("desk", client, Role.OBSERVE)
        assert got(lambda: out.send(FRAME), frames, 20_000) is not None


def test_with_curve_control_may_listen_beyond_this_host(hosts):
    with ControlServer("tcp://0.0.0.0:*", guard=hosts[0].guard()) as control:
        assert control.endpoint.startswith("tcp://0.0.0.0:")
