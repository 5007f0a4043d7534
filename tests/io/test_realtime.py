"""What a process asks of its system, in a process of its own; pauses counted, signals taken."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys

import pytest

from rtreg.io.realtime import Hangup, Pauses


def asked(expression):
    """The value of an expression on `settle` in another process, as JSON."""
    code = f"import json, os, sys; from rtreg.io.realtime import settle; print(json.dumps({expression}))"
    return json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def test_a_core_that_is_ours_is_granted_and_kept_to():
    core = min(os.sched_getaffinity(0))
    granted, now = asked(f"[settle(({core},)), sorted(os.sched_getaffinity(0))]")
    assert granted["affinity"] == now == [core]


def test_a_core_that_is_not_ours_is_not_and_the_answer_says_so():
    assert asked("settle((8191,))")["affinity"] == sorted(os.sched_getaffinity(0))


def test_a_priority_is_told_as_it_is():
    granted, policy = asked("[settle(priority=1), os.sched_getscheduler(0)]")
    assert granted["priority"] == (1 if policy == os.SCHED_FIFO else 0)
    assert asked("settle(priority=1000)")["priority"] == 0


def test_nothing_asked_nothing_done():
    granted, policy = asked("[settle(), os.sched_getscheduler(0)]")
    assert (granted["priority"], granted["lock_memory"], policy) == (0, False, os.SCHED_OTHER)


@pytest.fixture
def pauses():
    made = Pauses().listen()
    yield made
    gc.callbacks.remove(made._on_collection)


def test_collections_are_counted_with_the_longest(pauses):
    before = list(pauses.told["collections"])
    gc.collect()
    gc.collect(0)
    assert pauses.told["collections"][2] - before[2] == 1
    assert pauses.told["collections"][0] - before[0] >= 1
    assert pauses.told["longest_us"] > 0


def test_a_hangup_is_taken_once():
    kept = signal.getsignal(signal.SIGHUP)
    try:
        hangup = Hangup().listen()
        assert not hangup.take()
        signal.raise_signal(signal.SIGHUP)
        assert hangup.take()
        assert not hangup.take()
    finally:
        signal.signal(signal.SIGHUP, kept)
