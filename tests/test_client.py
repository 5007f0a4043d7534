"""The consumer's helper: corrections that may be acted on, an exception for the rest. On real sockets."""

from __future__ import annotations

import time

import pytest
from processes import until

import rtreg
from rtreg.client import Corrections
from rtreg.io.realtime import host_id
from rtreg.io.sockets import ResultPublisher
from rtreg.records import Command, Delivery, Estimate, ReferenceInfo, Result, State, Verdict

SECOND = 10**9


@pytest.fixture
def link():
    """A tracker's mouth and a consumer's ear that hear each other; `say` publishes one correction."""
    with (
        ResultPublisher("tcp://127.0.0.1:*", "cam") as mouth,
        Corrections(mouth.endpoint, timeout_ms=150) as ear,
    ):

        def say(seq, *, valid_for=SECOND, state=State.LOCKED, host=None):
            result = Result(
                stream="cam",
                epoch=1,
                seq=seq,
                t_ns=0,
                state=state,
                estimate=Estimate(),
                verdict=Verdict.OK,
                command=Command(u=(1.0, 2.0)),
                reference=ReferenceInfo(),
            )
            until_ns = time.monotonic_ns() + valid_for
            mouth.send(result, Delivery(valid_until=until_ns, host=host_id() if host is None else host))

        def heard():
            say(0)
            try:
                return ear.newest()
            except rtreg.StaleCorrection:
                return None

        until(heard)
        yield mouth, ear, say


def test_good_corrections_come_and_of_several_the_newest(link):
    _, ear, say = link
    for seq in (1, 2, 3):
        say(seq)
    assert until(lambda: (got := ear.newest()).result.seq == 3 and got).result.command.u == (1.0, 2.0)
    say(4)
    assert next(iter(ear)).result.seq == 4


@pytest.mark.parametrize(
    ("changes", "reason", "word"),
    [
        ({"valid_for": -1}, "expired", "ms ago"),
        ({"state": State.STALE}, "stale", "no frame"),
        ({"state": State.STOPPING}, "stopping", "stops"),
        ({"host": "elsewhere"}, "another host", "elsewhere"),
        ({"host": ""}, "another host", "unknown"),
    ],
)
def test_what_may_not_be_acted_on_is_raised_and_the_next_good_one_comes(link, changes, reason, word):
    _, ear, say = link
    say(5, **changes)
    with pytest.raises(rtreg.StaleCorrection, match=word) as caught:
        ear.newest()
    assert caught.value.reason == reason
    say(6)
    assert ear.newest().result.seq == 6


def test_silence_is_raised_even_when_it_is_full_of_junk(link):
    mouth, ear, _ = link
    for _ in range(20):
        mouth._socket.send_multipart([b"c/cam/", b"junk"])
    with pytest.raises(rtreg.StaleCorrection, match="is the tracker running") as caught:
        ear.newest()
    assert caught.value.reason == "silent"


def test_what_was_good_can_expire_before_the_move(link):
    _, ear, say = link
    say(7, valid_for=SECOND // 5)
    got = ear.newest()

    def expired():
        try:
            return ear.check(got)
        except rtreg.StaleCorrection as error:
            return error

    assert until(expired).reason == "expired"
