"""The ledger balances at every instant and agrees with a set-based twin; the histogram's quantiles are honest."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtreg.live.metrics import WINDOW, Histogram, Ledger, Limiter

OUTCOMES = [("corrected", ""), ("held", "OPEN"), ("held", "JUMP"), ("rejected", "size"), ("skipped", "")]


class NaiveLedger:
    """Sets of everything: one per publisher start."""

    def __init__(self):
        self.spans = []  # [epoch, seqs]
        self.duplicate = 0
        self.outcomes = Counter()

    def record(self, epoch, seq, outcome, reason):
        seqs = next((seqs for known, seqs in reversed(self.spans) if known == epoch), None)
        if seqs is None or seq <= max(seqs) - WINDOW:
            seqs = set()
            self.spans.append((epoch, seqs))
        if seq in seqs:
            self.duplicate += 1
            return
        seqs.add(seq)
        self.outcomes[outcome, reason] += 1

    @property
    def received(self):
        return sum(len(seqs) for _, seqs in self.spans)

    @property
    def lost(self):
        return sum(max(seqs) - min(seqs) + 1 - len(seqs) for _, seqs in self.spans)


def assert_balanced(ledger):
    counts = ledger.counts()
    assert counts["span"] == counts["received"] + counts["lost"]
    assert counts["received"] == counts["used"] + counts["skipped"] + sum(counts["rejected"].values())
    assert counts["used"] == counts["corrected"] + sum(counts["held"].values())
    assert counts["lost"] >= 0


seqs = st.integers(0, 40) | st.integers(0, 3 * WINDOW) | st.integers(0, 2**64 - 1)


@given(st.lists(st.tuples(st.integers(1, 4), seqs, st.sampled_from(OUTCOMES)), max_size=60))
def test_the_ledger_balances_and_agrees_with_sets(events):
    ledger, naive = Ledger(), NaiveLedger()
    for epoch, seq, (outcome, reason) in events:
        ledger.record(epoch, seq, outcome, reason)
        naive.record(epoch, seq, outcome, reason)
        assert (ledger.received, ledger.lost, ledger.duplicate) == (naive.received, naive.lost, naive.duplicate)
        assert ledger.epochs == len(naive.spans)
        if ledger.received + ledger.lost < 2**63:
            assert_balanced(ledger)
    assert ledger.corrected == naive.outcomes["corrected", ""]
    assert ledger.skipped == naive.outcomes["skipped", ""]
    assert ledger.held["JUMP"] == naive.outcomes["held", "JUMP"]
    assert ledger.rejected["size"] == naive.outcomes["rejected", "size"]


def test_a_late_frame_moves_from_lost_to_received():
    ledger = Ledger()
    for seq in (10, 11, 14):
        ledger.record(1, seq, "corrected")
    assert (ledger.received, ledger.lost) == (3, 2)
    assert ledger.record(1, 12, "skipped")
    assert (ledger.received, ledger.lost) == (4, 1)


def test_a_duplicate_changes_nothing_else():
    ledger = Ledger()
    ledger.record(1, 5, "corrected")
    before = {**ledger.counts(), "duplicate": 1}
    assert ledger.knows(1, 5)
    assert not ledger.record(1, 5, "held", "JUMP")
    assert ledger.counts() == before


def test_many_publisher_restarts_keep_the_totals_in_bounded_memory():
    ledger = Ledger()
    for epoch in range(1000):
        for seq in (0, 2):
            ledger.record(epoch, seq, "corrected")
    assert (ledger.received, ledger.lost, ledger.epochs) == (2000, 1000, 1000)
    assert len(ledger._spans) <= 4
    assert_balanced(ledger)


def test_refused_messages_are_rejected_frames_only_if_they_tell_which():
    ledger = Ledger()
    ledger.refuse((1, 3), "size")
    ledger.refuse(None, "header")
    assert ledger.counts()["rejected"] == {"size": 1}
    assert ledger.counts()["unattributable"] == {"header": 1}
    assert ledger.received == 1


def test_a_hostile_seq_leaves_counts_that_can_be_sent():
    ledger = Ledger()
    for epoch in range(3):
        ledger.record(epoch, 0, "corrected")
        ledger.record(epoch, 2**64 - 1, "corrected")
    assert 0 < ledger.counts()["lost"] < 2**63


@given(st.lists(st.integers(0, 2**41), min_size=1, max_size=200), st.floats(0.0, 1.0))
def test_percentiles_are_within_a_bucket_of_the_exact_ones(values, quantile):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[max(1, math.ceil(quantile * len(values))) - 1]
    assert exact <= histogram.percentile(quantile) <= exact * (1 + 1 / 64) + 1
    assert histogram.total == len(values)
    assert histogram.max == max(values)


def test_histograms_merge_and_extremes_stay_inside():
    one, two = Histogram(), Histogram()
    for value in (-5, 0, 100):
        one.add(value)
    two.add(2**62)
    one.merge(two)
    assert one.total == 4
    assert one.max == 2**62
    assert one.percentile(0.5) == 0
    assert one.counts.dtype == np.int64


def test_an_empty_histogram_knows_nothing():
    assert all(map(math.isnan, Histogram().summary_us().values()))


def test_summary_is_in_microseconds():
    histogram = Histogram()
    for _ in range(99):
        histogram.add(10_000)
    histogram.add(5_000_000)
    summary = histogram.summary_us()
    assert summary["p50"] == pytest.approx(10, rel=0.02)
    assert summary["max"] == 5000


def test_the_limiter_tells_how_many_it_held_back():
    limiter = Limiter(interval_ns=10)
    assert limiter.admit("a", 0) == 0
    assert limiter.admit("a", 5) is None
    assert limiter.admit("a", 9) is None
    assert limiter.admit("b", 9) == 0
    assert limiter.admit("a", 10) == 2
    assert limiter.admit("a", 20) == 0
