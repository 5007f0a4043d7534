"""The accounts round the engine, with a fake engine in the middle."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from rtreg.errors import ConfigError, FrameError, WireError
from rtreg.io import wire
from rtreg.live.bookkeeper import Bookkeeper
from rtreg.records import (
    Command,
    Estimate,
    Frame,
    Order,
    Reception,
    ReferenceInfo,
    Refusal,
    Result,
    State,
    Tick,
    Verdict,
)

MS = 1_000_000
HOST = "here"


def result(frame, held=""):
    return Result(
        stream="cam",
        epoch=frame.epoch,
        seq=frame.seq,
        t_ns=frame.t_ns,
        state=State.HOLD if held else State.LOCKED,
        estimate=Estimate(),
        verdict=Verdict.OK,
        command=Command(u=(1.0, 2.0), mode="increment"),
        reference=ReferenceInfo(),
        held=held,
    )


class FakeEngine:
    """Holds odd frames and cannot look at the ninth and the eleventh."""

    def __init__(self):
        self.seen = []

    def process(self, frame):
        self.seen.append(frame.seq)
        if frame.seq == 9:
            raise FrameError("nine")
        if frame.seq == 11:
            raise ConfigError("eleven")
        return result(frame, "ODD" if frame.seq % 2 else "")

    def tick(self, tick):
        return result(frame(0), "NO_FRAME") if tick.mono_ns > 5 else None

    def status(self):
        return {"state": "LOCKED"}


def frame(seq, **changes):
    fields = {"pixels": np.zeros((2, 2)), "epoch": 1, "seq": seq, "host": HOST, "mono_ns": 100, **changes}
    return Frame(**{"recv_mono_ns": 150, **fields})


def books(**options):
    return Bookkeeper(FakeEngine(), stream="cam", host=HOST, max_age_ms=1.0, valid_for_ms=2.0, **options)


@pytest.fixture
def tracker():
    return books()


def test_used_frames_are_corrected_or_held_with_a_reason(tracker):
    for seq in (0, 1, 2):
        got = tracker.admit(Reception(frame(seq), [], []), 200, 0)
        tracker.process(got)
    counts = tracker.ledger.counts()
    assert counts["corrected"] == 2
    assert counts["held"] == {"ODD": 1}


def test_skipped_refused_duplicate_and_unusable_frames_are_accounted_for(tracker):
    refused = [Refusal(WireError("size", "", (1, 3)), b""), Refusal(WireError("header", ""), b"")]
    tracker.process(tracker.admit(Reception(frame(4), [frame(2)], refused), 200, 0))
    assert tracker.admit(Reception(frame(4), [], []), 200, 0) is None
    assert isinstance(tracker.process(tracker.admit(Reception(frame(9), [], []), 200, 0)), FrameError)
    counts = tracker.ledger.counts()
    assert (counts["skipped"], counts["duplicate"], counts["lost"]) == (1, 1, 4)
    assert counts["rejected"] == {"size": 1, "frame": 1}
    assert counts["unattributable"] == {"header": 1}
    assert tracker.engine.seen == [4, 9]


def test_a_frame_that_the_configuration_does_not_fit_is_rejected_and_the_next_is_not(tracker):
    error = tracker.process(tracker.admit(Reception(frame(11), [], []), 200, 0))
    assert isinstance(error, ConfigError)
    assert str(error) == "eleven"
    assert isinstance(tracker.process(tracker.admit(Reception(frame(12), [], []), 200, 0)), Result)
    counts = tracker.ledger.counts()
    assert (counts["rejected"], counts["corrected"]) == ({"config": 1}, 1)


def test_a_frame_that_is_too_old_gives_no_correction(tracker):
    assert tracker.admit(Reception(frame(0), [], []), 100 + 2 * MS, 0) is None
    assert tracker.ledger.counts()["rejected"] == {"age": 1}


def test_the_age_of_another_hosts_frame_needs_a_clock_bound(tracker):
    old = frame(0, host="elsewhere", mono_ns=10**15, t_ns=0)
    assert tracker.admit(Reception(old, [], []), 200, 10**12) is old
    bounded = books(clock_bound_ms=5.0)
    assert bounded.admit(Reception(old, [], []), 200, 10**12) is None
    fresh = msgspec.structs.replace(old, seq=1, t_ns=10**12 - 5 * MS)
    assert bounded.admit(Reception(fresh, [], []), 200, 10**12) is fresh


def test_a_delivery_tells_times_losses_and_validity(tracker):
    for seq, skipped in ((0, []), (5, [frame(3)])):
        got = tracker.admit(Reception(frame(seq), skipped, []), 200, 0)
        tracker.process(got)
        delivery = tracker.delivery(got, 200, 300, 400)
    assert (delivery.sent, delivery.recv, delivery.start, delivery.done, delivery.out) == (100, 150, 200, 300, 400)
    assert (delivery.lost, delivery.skipped) == (3, 1)
    assert delivery.valid_until == 400 + 2 * MS
    tracker.latencies.add(delivery)
    assert tracker.status(0)["latency_us"]["total"]["max"] == 0.3


def test_a_correction_that_left_after_its_frame_had_become_too_old_is_not_valid_for_longer_by_that(tracker):
    got = tracker.admit(Reception(frame(0), [], []), 200, 0)
    tracker.process(got)
    assert tracker.delivery(got, 200, 300, 100 + 9 * MS).valid_until == 100 + 3 * MS  # stopped for 9 ms meanwhile


def test_transport_is_unknown_across_hosts(tracker):
    other = frame(0, host="elsewhere")
    tracker.process(tracker.admit(Reception(other, [], []), 200, 0))
    delivery = tracker.delivery(other, 200, 300, 400)
    tracker.latencies.add(delivery)
    assert delivery.sent == 0
    stages = tracker.status(0)["latency_us"]
    assert np.isnan(stages["transport"]["max"])
    assert stages["process"]["max"] == 0.1


def test_ticks_are_published_when_the_engine_has_something_to_say(tracker):
    said, delivery = tracker.tick(Tick(mono_ns=9))
    assert (said.held, said.epoch) == ("NO_FRAME", 1)
    assert delivery.valid_until == 9 + 2 * MS


def test_before_the_first_frame_a_tick_says_that_there_is_no_reference_and_moves_nothing(tracker):
    said, delivery = tracker.tick(Tick(mono_ns=1))
    assert (said.state, said.stream) == (State.NO_REFERENCE, "cam")
    assert np.isnan(said.command.u).all()
    assert (delivery.out, delivery.host) == (1, HOST)
    assert tracker.order({"do": "open"}).seq == 0  # no frame has come that it could follow
    assert wire.unpack_correction(wire.pack_correction(said, delivery)).result.state is State.NO_REFERENCE


def test_every_delivery_names_the_host_of_its_clock(tracker):
    got = tracker.admit(Reception(frame(0), [], []), 200, 0)
    tracker.process(got)
    deliveries = [tracker.delivery(got, 200, 300, 400), tracker.tick(Tick(mono_ns=9))[1], tracker.farewell(7)[1]]
    assert {delivery.host for delivery in deliveries} == {HOST}


def test_after_the_largest_seq_an_order_still_fits_the_wire(tracker):
    tracker.process(tracker.admit(Reception(frame(2**64 - 2), [], []), 200, 0))
    tracker.process(tracker.admit(Reception(frame(2**64 - 1), [], []), 200, 0))
    order = tracker.order({"do": "open"})
    assert wire.unpack_event(wire.pack_event("cam", order)) == order


def test_the_largest_gap_still_fits_the_wire(tracker):
    for seq in (0, 2**64 - 2):
        got = tracker.admit(Reception(frame(seq), [], []), 200, 0)
        result = tracker.process(got)
    other = tracker.admit(Reception(frame(0, epoch=2), [], []), 200, 0)
    tracker.process(other)
    last = tracker.admit(Reception(frame(2**64 - 2, epoch=2), [], []), 200, 0)
    tracker.process(last)
    parts = wire.pack_correction(result, tracker.delivery(last, 200, 300, 400))
    assert wire.unpack_correction(parts).delivery.lost == 2**63 - 1


def test_the_farewell_cannot_be_acted_on(tracker):
    first, delivery = tracker.farewell(7)
    assert (first.state, delivery.valid_until) == (State.STOPPING, 7)
    tracker.process(tracker.admit(Reception(frame(0), [], []), 200, 0))
    last, _ = tracker.farewell(8)
    assert (last.state, last.command.u) == (State.STOPPING, (0.0, 0.0))


def test_an_order_names_the_frame_it_precedes(tracker):
    tracker.process(tracker.admit(Reception(frame(4), [], []), 200, 0))
    order = tracker.order({"v": 1, "do": "dither", "dx": 1.0, "dy": 2.0})
    assert order == Order(do="dither", args={"dx": 1.0, "dy": 2.0}, epoch=1, seq=5)


def test_rates_are_per_second(tracker):
    tracker.rate(1)
    for seq in range(4):
        tracker.process(tracker.admit(Reception(frame(seq), [], []), 200, 0))
    tracker.rate(2_000_000_001)
    assert tracker.status(0)["rates"] == {"frames_hz": 2.0, "corrections_hz": 1.0}
