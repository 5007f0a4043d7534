"""The actuator: what it may act on, then the real process between a tracker's mouth and a device's ear."""

from __future__ import annotations

import time

import pytest
from processes import until

from rtreg.errors import ConfigError, DeviceError
from rtreg.io.actuators import Actuator, Decision, send, where
from rtreg.io.realtime import host_id
from rtreg.io.sockets import DeviceServer, ResultPublisher
from rtreg.io.wire import Correction
from rtreg.records import Command, Delivery, Estimate, ReferenceInfo, Result, State, Verdict

NAN = float("nan")
HERE = host_id()


def correction(u, *, mode="absolute", valid_until=100, seq=2, host="", state=State.LOCKED, unit="px"):
    result = Result(
        stream="cam",
        epoch=1,
        seq=seq,
        t_ns=3,
        state=state,
        estimate=Estimate(),
        verdict=Verdict.OK,
        command=Command(u=u, mode=mode, unit=unit),
        reference=ReferenceInfo(),
    )
    return Correction(result, Delivery(valid_until=valid_until, host=host))


def test_a_valid_correction_is_a_move():
    move = Actuator().decide(correction((1.0, 2.0)), 100).move
    assert (move.u, move.mode, move.unit, move.valid_until) == ((1.0, 2.0), "absolute", "px", 100)


@pytest.mark.parametrize(
    ("u", "now", "refusal"),
    [((1.0, 2.0), 101, "expired"), ((1.0, -5.1), 0, "beyond limit")],
)
def test_what_may_not_be_acted_on_is_refused(u, now, refusal):
    decision = Actuator(limit=5.0).decide(correction(u), now)
    assert decision == Decision(refusal=refusal)


def test_nothing_is_done_twice():
    actuator = Actuator()
    move = actuator.decide(correction((1.0, 2.0)), 0).move
    assert actuator.decide(correction((1.0, 2.0)), 0).move is not None  # not obeyed yet
    actuator.obeyed(move)
    assert actuator.decide(correction((1.0, 2.0)), 0) == Decision()
    assert actuator.decide(correction((1.0, 2.5)), 0).move is not None


@pytest.mark.parametrize("mode", ["absolute", "increment"])
def test_no_position_yet_is_nothing_to_do_and_no_complaint(mode):
    actuator = Actuator(limit=5.0)
    assert actuator.decide(correction((NAN, NAN), mode=mode), 0) == Decision()
    assert actuator.decide(correction((NAN, 0.0), mode=mode), 0) == Decision()


def test_an_increment_is_made_once_for_each_frame_unless_it_is_none():
    actuator = Actuator()
    step = correction((0.5, 0.0), mode="increment")
    actuator.obeyed(actuator.decide(step, 0).move)
    assert actuator.decide(step, 0) == Decision()
    assert actuator.decide(correction((0.5, 0.0), mode="increment", seq=3), 0).move is not None
    assert actuator.decide(correction((0.0, 0.0), mode="increment", seq=4), 0) == Decision()


def test_an_increment_that_nobody_answered_is_not_made_again():
    actuator = Actuator()
    step = correction((0.5, 0.0), mode="increment")
    assert actuator.decide(step, 0).move is not None  # sent; the device may have moved, and did not say so
    assert actuator.decide(step, 0) == Decision()


def test_after_a_move_without_an_answer_the_old_position_is_asked_for_again():
    actuator = Actuator()
    actuator.obeyed(actuator.decide(correction((1.0, 2.0)), 0).move)
    assert actuator.decide(correction((5.0, 5.0), seq=3), 0).move is not None  # and no answer
    assert actuator.decide(correction((1.0, 2.0), seq=4), 0).move is not None


def test_a_correction_by_another_hosts_clock_is_refused():
    actuator = Actuator(host="here")
    assert actuator.decide(correction((1.0, 2.0), host="there"), 0) == Decision(refusal="another host")
    assert actuator.decide(correction((1.0, 2.0)), 0) == Decision(refusal="another host")
    assert actuator.decide(correction((1.0, 2.0), host="here"), 0).move is not None


@pytest.mark.parametrize("state", [State.STALE, State.STOPPING])
def test_a_tracker_that_no_longer_knows_is_not_followed(state):
    assert Actuator().decide(correction((1.0, 2.0), state=state), 0) == Decision(refusal=str(state).lower())


MS = 1_000_000
FOR_EVER = 2**62


def test_the_watchdog_sleeps_until_the_first_good_correction():
    actuator = Actuator(safe="stop", watchdog_ms=100)
    assert actuator.watch(10**15) == Decision()
    actuator.decide(correction((1.0, 2.0), valid_until=-1), 0)  # expired: not good
    assert actuator.watch(10**15) == Decision()


@pytest.mark.parametrize(
    "bad",
    [
        {"valid_until": 0},
        {"u": (11.0, 0.0)},
        {"host": "elsewhere"},
        {"state": State.STALE},
        {"u": (1.0, 2.0), "valid_until": 0},  # where it is already, which is no reason to trust a dead tracker
    ],
)
@pytest.mark.parametrize("safe", ["hold", "centre", "stop"])
def test_what_may_not_be_acted_on_does_not_feed_the_watchdog(bad, safe):
    actuator = Actuator(limit=10.0, safe=safe, watchdog_ms=100)
    actuator.obeyed(actuator.decide(correction((1.0, 2.0), unit="um"), 0).move)
    for ms in range(1, 101, 10):
        told = correction(**{"u": (3.0, 3.0), "valid_until": FOR_EVER, **bad})
        assert actuator.decide(told, ms * MS).move is None
        assert actuator.watch(ms * MS) == Decision()
    action = actuator.watch(101 * MS)
    assert safe in action.alarm
    assert action.halt == (safe == "stop")
    if safe == "centre":
        assert (action.move.u, action.move.mode, action.move.unit) == ((0.0, 0.0), "absolute", "um")
        assert actuator.watch(102 * MS).move is not None  # the device has not answered yet
        actuator.obeyed(action.move)
    else:
        assert action.move is None
        actuator.halted()
    assert actuator.watch(103 * MS) == Decision()


@pytest.mark.parametrize("safe", ["hold", "centre", "stop"])
def test_only_after_a_stop_is_a_good_correction_not_enough_to_go_on(safe):
    actuator = Actuator(safe=safe, watchdog_ms=100)
    actuator.decide(correction((1.0, 2.0)), 0)
    actuator.watch(101 * MS)
    again = actuator.decide(correction((1.5, 2.5), valid_until=FOR_EVER), 102 * MS)
    assert (again.move is None, again.refusal) == ((True, "stopped") if safe == "stop" else (False, ""))
    assert actuator.watch(103 * MS).halt == (safe == "stop")  # the device has not said that it has


def test_corrections_that_change_nothing_feed_the_watchdog():
    actuator = Actuator(safe="centre", watchdog_ms=100)
    actuator.obeyed(actuator.decide(correction((1.0, 2.0)), 0).move)
    for ms in range(50, 1000, 50):
        assert actuator.decide(correction((1.0, 2.0), valid_until=FOR_EVER), ms * MS) == Decision()
        assert actuator.watch(ms * MS) == Decision()


class FakeDevice:
    """Answers every request with the same."""

    def __init__(self, answer):
        self.answer = answer

    def ask(self, do, args, *, timeout_ms):
        return self.answer


@pytest.mark.parametrize("at", [None, "here", [1.0], [1.0, "2"], [NAN, 0.0], [1.0, 2.0, 3.0]])
def test_an_answer_that_says_no_position_is_a_device_error(at):
    device, move = FakeDevice({"ok": True, "at": at}), Actuator().decide(correction((1.0, 2.0)), 0).move
    with pytest.raises(DeviceError):
        send(device, move, 10)
    with pytest.raises(DeviceError):
        where(device, 10)


def test_the_device_says_where_it_is():
    assert where(FakeDevice({"ok": True, "at": [1, 2.5]}), 10) == (1.0, 2.5)
    with pytest.raises(DeviceError, match="stuck"):
        where(FakeDevice({"ok": False, "error": "stuck"}), 10)


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0.0},
        {"limit": NAN},
        {"timeout_ms": 0},
        {"timeout_ms": 10**12},
        {"watchdog_ms": 9.0},
        {"watchdog_ms": NAN},
        {"safe": "pray"},
    ],
)
def test_options_without_meaning_are_refused(options):
    with pytest.raises(ConfigError):
        Actuator(**options)


def test_the_process_acts_on_valid_corrections_only(launch, free_endpoints):
    ends = free_endpoints()
    service = launch("actuate", "simulated", ends, "actuator.limit=10.0").wait_ready()
    moves = []
    with ResultPublisher(ends.corrections, "cam") as results, DeviceServer(ends.device) as device:

        def say(u, valid_for_ns=10**10, host=HERE):
            results.send(*correction(u, valid_until=time.monotonic_ns() + valid_for_ns, host=host))

        def serve():
            request = device.poll(20)
            if request is not None and request.body["do"] == "where":
                device.reply(request, {"at": (0.0, 0.0)})
            elif request is not None:
                moves.append(tuple(request.body["u"]))
                if moves[-1][0] == 7.0:
                    device.refuse(request, "stuck")
                elif moves[-1][0] == 8.0:
                    device.reply(request, {"at": "over there"})
                else:
                    device.reply(request, {"at": request.body["u"]})

        def heard(u):
            say(u)
            serve()
            return u in moves

        until(lambda: heard((1.0, 2.0)))
        until(lambda: (say((9.0, 9.0), -1), "expired" in service.said)[1])
        until(lambda: (say((11.0, 0.0)), "beyond limit" in service.said)[1])
        until(lambda: heard((7.0, 0.0)) and "stuck" in service.said)
        until(lambda: heard((8.0, 0.0)) and "not understood" in service.said)
        until(lambda: (say((4.0, 4.0), host="elsewhere"), "another host" in service.said)[1])
        until(lambda: heard((3.0, 3.0)))
    assert set(moves) == {(1.0, 2.0), (7.0, 0.0), (8.0, 0.0), (3.0, 3.0)}
    assert service.stop() == 0
    assert "done: " in service.said
    assert "Traceback" not in service.said


@pytest.mark.parametrize("safe", ["centre", "stop"])
def test_the_process_takes_the_safe_action_when_the_tracker_falls_silent(launch, free_endpoints, safe):
    ends = free_endpoints()
    service = launch("actuate", "simulated", ends, f"actuator.safe={safe}", "actuator.watchdog_ms=300").wait_ready()
    asked = []
    with ResultPublisher(ends.corrections, "cam") as results, DeviceServer(ends.device) as device:

        def serve():
            request = device.poll(20)
            if request is not None:
                if request.body["do"] != "where":
                    asked.append((request.body["do"], tuple(request.body.get("u", ()))))
                device.reply(request, {"at": request.body.get("u", (1.0, 2.0))})
            return asked[-1:]

        def say(u):
            results.send(*correction(u, valid_until=time.monotonic_ns() + 10**10, host=HERE))
            return serve()

        until(lambda: say((1.0, 2.0)) == [("move", (1.0, 2.0))])
        expected = ("move", (0.0, 0.0)) if safe == "centre" else ("stop", ())
        until(lambda: serve() == [expected])
        if safe == "centre":
            until(lambda: say((3.0, 3.0)) == [("move", (3.0, 3.0))])
        else:
            until(lambda: (say((3.0, 3.0)), "refused (3.0, 3.0) px: stopped" in service.said)[1])
            assert asked[-1] == expected
    assert service.said.count("acted on for") >= 1
    assert service.stop() == 0
    assert "Traceback" not in service.said
