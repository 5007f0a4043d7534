"""The accounting identity at every instant, in every status message, whatever is on the wire.

Messages are generated as bytes, so that the reading of them is part of what is tested; a model that keeps sets of
everything says what each counter must be.
"""

from __future__ import annotations

from collections import Counter

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtreg.errors import FrameError, WireError
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

HOST, AGE_NS = "here", 1_000_000
PIXELS = np.zeros((2, 2), np.uint8)


class RuleEngine:
    """Corrects, holds or refuses a frame by its number; open and paused are reasons too, as in the real one."""

    def __init__(self):
        self.mode = ""

    def process(self, frame):
        if frame.seq % 11 == 7:
            raise FrameError("another kind")
        held = self.mode or ("JUMP" if frame.seq % 5 == 3 else "")
        return msgspec.structs.replace(NOTHING, epoch=frame.epoch, seq=frame.seq, held=held)

    def handle(self, order):
        self.mode = {"open": "OPEN", "pause": "PAUSED"}.get(order.do, "")
        return {}

    def tick(self, tick):
        return NOTHING

    def status(self):
        return {}


NOTHING = Result(
    stream="cam",
    epoch=0,
    seq=0,
    t_ns=0,
    state=State.HOLD,
    estimate=Estimate(),
    verdict=Verdict.OK,
    command=Command(),
    reference=ReferenceInfo(),
)


class Model:
    """Which frames came, as sets, and what became of each."""

    def __init__(self):
        self.seqs, self.outcomes, self.unattributable, self.duplicates = {}, Counter(), Counter(), 0

    def enter(self, epoch, seq, outcome):
        seqs = self.seqs.setdefault(epoch, set())
        if seq in seqs:
            self.duplicates += 1
        else:
            seqs.add(seq)
            self.outcomes[outcome] += 1

    def lost(self):
        return sum(max(seqs) - min(seqs) + 1 - len(seqs) for seqs in self.seqs.values())


def message(epoch, seq, fault, mono_ns):
    """A frame's three parts, with one fault; None as its fate if it has no identity, else why it is refused."""
    frame = Frame(pixels=PIXELS, stream="cam", epoch=epoch, seq=seq, host=HOST, mono_ns=mono_ns)
    topic, header, pixels = (bytes(part) for part in wire.pack_frame(frame))
    if fault == "size":
        return [topic, header, pixels[:-1]]
    if fault == "dtype":
        return [topic, msgpack.packb({**msgpack.unpackb(header), "dtype": "|O8"}), pixels]
    if fault == "version":
        return [topic, msgpack.packb({**msgpack.unpackb(header), "v": 2}), pixels]
    if fault == "header":
        return [topic, b"\xc1" + header, pixels]
    if fault == "parts":
        return [topic, header]
    return [topic, header, pixels]


NO_IDENTITY = ("version", "header", "parts")
FAULTS = ("", "", "", "", "size", "dtype", *NO_IDENTITY)

# a camera's life: on, gaps, the same again, backwards, a restart; several messages may wait at once; orders between
steps = st.lists(
    st.tuples(
        st.sampled_from(["on", "on", "on", "gap", "same", "back", "restart"]),
        st.integers(1, 40),
        st.sampled_from(FAULTS),
        st.booleans(),  # too old
    ),
    min_size=1,
    max_size=4,
)
lives = st.lists(steps | st.sampled_from(["open", "close", "pause", "resume", "tick"]), max_size=30)


def assert_balanced(counts):
    assert counts["span"] == counts["received"] + counts["lost"]
    assert counts["received"] == counts["used"] + counts["skipped"] + sum(counts["rejected"].values())
    assert counts["used"] == counts["corrected"] + sum(counts["held"].values())
    assert min(counts["lost"], counts["duplicate"], counts["skipped"]) >= 0


def assert_agrees(counts, model):
    outcomes = Counter(dict(model.outcomes))
    assert counts["received"] == sum(len(seqs) for seqs in model.seqs.values())
    assert counts["lost"] == model.lost()
    assert counts["duplicate"] == model.duplicates
    assert counts["unattributable"] == dict(model.unattributable)
    assert counts["skipped"] == outcomes.pop("skipped", 0)
    assert counts["corrected"] == outcomes.pop("corrected", 0)
    assert {**counts["rejected"], **counts["held"]} == {name: n for name, n in outcomes.items() if n}


class Camera:
    """Numbers for the messages; the mutable state is the epoch and the last seq."""

    def __init__(self):
        self.epoch, self.seq = 1, 0

    def step(self, what, by):
        if what == "restart":
            self.epoch, self.seq = self.epoch + 1, by - 1
        else:
            self.seq = max(0, self.seq + {"on": 1, "gap": by, "same": 0, "back": -by}[what])
        return self.epoch, self.seq


class Tracker:
    """What the process does between its sockets, and the model beside it."""

    def __init__(self):
        self.books = Bookkeeper(RuleEngine(), stream="cam", host=HOST, max_age_ms=AGE_NS / 1e6, valid_for_ms=1.0)
        self.model = Model()
        self.now = 10 * AGE_NS

    def counts(self):
        """The ledger as a subscriber to the status has it."""
        return wire.unpack_status(wire.pack_status("cam", self.books.status(self.now)))["ledger"]

    def receive(self, batch):
        """`batch`: (epoch, seq, fault, too old) of each message that waits; the newest good frame wins."""
        newest, skipped, refused, old = None, [], [], False
        for epoch, seq, fault, late in batch:
            parts = message(epoch, seq, fault, self.now - (2 * AGE_NS if late else 0))
            try:
                frame = wire.unpack_frame(parts, self.now, max_bytes=100)
            except WireError as error:
                refused.append(Refusal(error, b""))
                continue
            if newest is not None:
                skipped.append(newest)
            newest, old = frame, late
        self._expect(newest, skipped, refused, old)
        frame = self.books.admit(Reception(newest, skipped, refused), self.now, 0)
        if frame is not None:
            self.books.process(frame)

    def _expect(self, newest, skipped, refused, old):
        for refusal in refused:
            if refusal.error.identity is None:
                self.model.unattributable[refusal.error.reason] += 1
            else:
                self.model.enter(*refusal.error.identity, refusal.error.reason)
        for frame in skipped:
            self.model.enter(frame.epoch, frame.seq, "skipped")
        if newest is not None:
            self.model.enter(newest.epoch, newest.seq, "age" if old else self._fate(newest.seq))

    def _fate(self, seq):
        if seq % 11 == 7:
            return "frame"
        return self.books.engine.mode or ("JUMP" if seq % 5 == 3 else "corrected")


@settings(max_examples=150, deadline=None)
@given(lives)
def test_every_frame_is_accounted_for_in_every_status(life):
    tracker, camera = Tracker(), Camera()
    for event in life:
        if event == "tick":
            tracker.books.tick(Tick(mono_ns=tracker.now))
        elif isinstance(event, str):
            tracker.books.obey(Order(do=event))
        else:
            tracker.receive([(*camera.step(what, by), fault, late) for what, by, fault, late in event])
        counts = tracker.counts()
        assert_balanced(counts)
        assert_agrees(counts, tracker.model)


@pytest.mark.parametrize("fault", NO_IDENTITY)
def test_a_message_that_names_no_frame_is_in_no_account_of_frames(fault):
    tracker = Tracker()
    tracker.receive([(1, 0, fault, False)])
    counts = tracker.counts()
    assert (counts["received"], counts["unattributable"]) == (0, {fault: 1})
