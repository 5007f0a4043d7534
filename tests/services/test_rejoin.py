"""Who begins to act on a loop that has wound up meanwhile: the loop goes on from where the device is."""

from __future__ import annotations

import time

import msgspec
import pytest
from processes import until
from samples import RESULT

from rtreg.errors import WireError
from rtreg.io.realtime import host_id
from rtreg.io.sockets import ControlServer, DeviceServer, ResultPublisher
from rtreg.io.wire import Correction
from rtreg.records import Command, Delivery
from rtreg.services.journal import Journal
from rtreg.services.rejoin import Rejoin

MS = 1_000_000
HERE = host_id()


class Peer:
    """Device and tracker in one: keeps what was asked of it."""

    endpoint = "fake"

    def __init__(self, answer=None):
        self.asked, self.answer = [], answer or {"ok": True, "at": (1.0, 2.0)}

    def ask(self, do, args, *, timeout_ms):
        self.asked.append((do, args))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def rejoin(tracker, device=None):
    return Rejoin(device or Peer(), tracker, after_ms=100, timeout_ms=10, journal=Journal("test"), host=HERE)


def said(at_ns, u=(8.0, 8.0), mode="absolute", valid_until=2**62):
    result = msgspec.structs.replace(RESULT, command=Command(u=u, unit="px", mode=mode))
    return Correction(result, Delivery(valid_until=valid_until, host=HERE, sent=at_ns))


def test_the_tracker_is_told_before_it_is_followed_and_what_it_said_before_is_passed_over():
    tracker = Peer()
    joined = rejoin(tracker)
    before = time.monotonic_ns()
    assert not joined.follows(said(before), before)
    assert tracker.asked == [("start_from", {"position": [1.0, 2.0]})]
    assert not joined.follows(said(before), before + 1)
    after = time.monotonic_ns()
    assert joined.follows(said(after), after)
    assert len(tracker.asked) == 1


def test_again_only_after_a_while_without_acting():
    tracker = Peer()
    joined = rejoin(tracker)
    joined.follows(said(0), 0)
    for now in range(0, 1000 * MS, 50 * MS):
        joined.acted(now)
        joined.follows(said(now), now + 50 * MS)
    assert len(tracker.asked) == 1
    joined.follows(said(2000 * MS), 2000 * MS)  # nothing was acted on meanwhile
    assert len(tracker.asked) == 2
    joined.follows(said(2050 * MS), 2050 * MS)  # nor since, but not so soon again
    assert len(tracker.asked) == 2


@pytest.mark.parametrize("got", [said(0, mode="increment"), said(0, valid_until=-1)])
def test_neither_increments_nor_what_may_not_be_acted_on_is_a_reason(got):
    tracker = Peer()
    assert rejoin(tracker).follows(got, 0)
    assert tracker.asked == []


@pytest.mark.parametrize("answer", [WireError("timeout", "nobody"), {"ok": False, "error": "not for the role observe"}])
@pytest.mark.parametrize("who", ["device", "tracker"])
def test_when_it_cannot_be_told_that_is_said_and_the_tracker_followed(caplog, who, answer):
    joined = rejoin(Peer(answer), Peer()) if who == "tracker" else rejoin(Peer(), Peer(answer))
    assert joined.follows(said(0), 0)
    assert caplog.records
    assert "where" in caplog.text


def test_an_actuator_that_comes_late_does_not_throw_the_device(launch, free_endpoints):
    ends = free_endpoints()
    launch("actuate", "simulated", ends).wait_ready()
    moves, position = [], [40.0, -40.0]  # to where the loop has wound up
    with (
        ResultPublisher(ends.corrections, "cam") as results,
        DeviceServer(ends.device) as device,
        ControlServer(ends.control) as control,
    ):

        def turn():
            now = time.monotonic_ns()
            results.send(*said(now, tuple(position), valid_until=now + 10**10))
            if (request := device.poll(5)) is not None:
                moves.extend([request.body["u"]] if request.body["do"] == "move" else [])
                device.reply(request, {"at": request.body.get("u", (1.0, 2.0))})
            if (order := control.poll(5)) is not None:
                position[:] = order.body["position"]
                control.reply(order, {"position": position})
                position[0] += 0.5  # the next frame's step
            return moves

        until(turn)
    assert moves == [[1.5, 2.0]]
