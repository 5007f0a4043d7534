"""Chaos: each kind does what it says at its rate, the same seed does the same, and without any nothing is changed."""

from __future__ import annotations

import numpy as np
import pytest

from rtreg.errors import ConfigError, WireError
from rtreg.io import wire
from rtreg.io.chaos import Chaos, Rates
from rtreg.records import Frame

MS = 1_000_000
COUNT = 2000


def messages(count=COUNT):
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    for seq in range(count):
        frame = Frame(pixels=pixels, stream="cam", epoch=7, seq=seq)
        yield [bytes(part) for part in wire.pack_frame(frame)]


def through(rates, seed=0, count=COUNT):
    """What comes out of 1 ms a message, as (time in ms, message), and the chaos it went through."""
    chaos, out = Chaos(rates, seed, 0), []
    source = messages(count)
    for now in range(count + 1000):
        if now < count:
            chaos.put(next(source), now * MS)
        out += [(now, parts) for parts in chaos.take(now * MS)]
    return out, chaos


def seqs(out):
    return [wire.unpack_frame(parts).seq for _, parts in out]


def test_without_any_all_comes_as_it_was_at_once():
    out, chaos = through(Rates())
    assert [parts for _, parts in out] == list(messages())
    assert [now for now, _ in out] == list(range(COUNT))
    assert chaos.done["sent"] == chaos.done["received"] == COUNT


def test_the_same_seed_does_the_same_and_another_does_not():
    rates = Rates(drop=0.1, duplicate=0.1, reorder=0.1, delay=0.1, corrupt=0.1, resize=0.1, freeze=0.1)
    assert through(rates, 3)[0] == through(rates, 3)[0]
    assert through(rates, 3)[0] != through(rates, 4)[0]


@pytest.mark.parametrize("kind", ["drop", "duplicate", "reorder", "delay", "corrupt", "resize"])
def test_each_happens_at_its_rate(kind):
    """Binomial: 2000 at 0.2 is 400 +- 18, and 5 sigma are allowed."""
    _, chaos = through(Rates(**{kind: 0.2}))
    assert abs(chaos.done[kind] - 400) < 90
    assert (
        sum(chaos.done[other] for other in ("drop", "duplicate", "reorder", "delay", "corrupt", "resize"))
        == (chaos.done[kind])
    )


def test_drops_are_gone_and_duplicates_come_twice():
    out, chaos = through(Rates(drop=0.2))
    assert len(set(seqs(out))) == len(out) == COUNT - chaos.done["drop"]
    out, chaos = through(Rates(duplicate=0.2))
    assert len(set(seqs(out))) == COUNT == len(out) - chaos.done["duplicate"]


def test_reordered_ones_come_after_up_to_three_later_ones_and_none_is_lost():
    out, _ = through(Rates(reorder=0.2))
    order = np.array(seqs(out))
    assert len(set(order)) == len(order) >= COUNT - 3
    assert (np.diff(order) < 0).any()
    overtaken = [np.sum(order[: np.flatnonzero(order == seq)[0]] > seq) for seq in order[::5]]
    assert max(overtaken) >= 1


def test_delayed_ones_come_within_50_ms():
    out, _ = through(Rates(delay=0.5))
    lateness = [now - seq for (now, _), seq in zip(out, seqs(out), strict=True)]
    assert len(out) == COUNT
    assert 0 <= min(lateness) < max(lateness) <= 50


def test_corrupt_ones_differ_in_header_or_pixels_and_nothing_else():
    out, _ = through(Rates(corrupt=1.0))
    pairs = [(good, bad) for good, (_, bad) in zip(messages(), out, strict=True)]
    changed = [[a != b for a, b in zip(good, bad, strict=True)] for good, bad in pairs]
    assert not any(topic for topic, _, _ in changed)
    assert {(header, pixels) for _, header, pixels in changed} >= {(True, False), (False, True)}
    assert all(len(a) == len(b) for good, bad in pairs for a, b in zip(good, bad, strict=True))


def test_resized_ones_are_smaller_frames_or_broken_ones():
    out, _ = through(Rates(resize=1.0))
    shapes, broken = set(), set()
    for _, parts in out:
        try:
            shapes.add(wire.unpack_frame(parts).pixels.shape)
        except WireError as error:
            broken.add(error.reason)
    assert broken == {"size"}
    assert len(shapes) > 5


def test_a_freeze_takes_its_share_of_the_time_and_loses_nothing():
    out, chaos = through(Rates(freeze=0.3), count=20_000)
    assert seqs(out) == list(range(20_000))
    assert chaos.done["freeze"] > 10
    silent = 20_000 - len({now for now, _ in out if now < 20_000})
    assert 0.15 < silent / 20_000 < 0.45  # of some 25 freezes


@pytest.mark.parametrize("rates", [{"drop": -0.1}, {"delay": 1.1}, {"freeze": 1.0}, {"corrupt": float("nan")}])
def test_a_rate_that_cannot_be_is_named(rates):
    with pytest.raises(ConfigError, match=next(iter(rates))):
        Rates(**rates)
