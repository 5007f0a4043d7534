"""Every decoder against inputs that a stranger made: refused with a reason, or taken; never anything else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.mutate import mutations
from fuzz.seeds import seeds
from fuzz.targets import TARGETS, Device
from rtreg.io.feeds import Feed

CORPUS = Path(__file__).resolve().parent / "corpus"
STORED = sorted(path for path in CORPUS.glob("*/*") if path.is_file())
MANY = {"config": 60, "recording": 300, "keys": 300}  # what takes a millisecond or more each
EACH = 1500


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_are_taken(name):
    assert {TARGETS[name](seed) for seed in seeds()[name]} == {""}


@pytest.mark.parametrize("path", STORED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_stored_corpus_has_no_finding(path):
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_bad_inputs_are_refused_with_a_reason(name):
    refused = Counter(map(TARGETS[name], mutations(seeds()[name], MANY.get(name, EACH), 11)))
    assert sum(refused.values()) == MANY.get(name, EACH)
    assert sum(refused.values()) - refused[""] > 0.05 * sum(refused.values())


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=300))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_refused_or_taken(name, data):
    assert isinstance(TARGETS[name](data), str)


@pytest.mark.soak
@pytest.mark.parametrize("name", TARGETS)
def test_a_hundred_thousand_bad_inputs(name):
    """10 000 of each of ten targets."""
    refused = Counter(map(TARGETS[name], mutations(seeds()[name], 10_000, 12)))
    print(name, dict(refused))
    assert sum(refused.values()) == 10_000


def test_the_device_of_the_control_target_has_all_that_a_feed_can_do():
    wanted = {name for name in vars(Feed) if not name.startswith("_")} - {"next_frame", "describe", "close"}
    assert wanted <= set(dir(Device))
