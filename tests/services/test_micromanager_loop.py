"""Micro-Manager's demo camera through the real processes: short versions of the runs of bench/micromanager.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("pymmcore_plus", reason="needs the extra 'micromanager'")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_micromanager", ROOT / "bench" / "micromanager.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.slow
def test_stage_moves_are_measured_to_the_stages_own_read_out(bench):
    row = bench.moves(count=6)
    assert row.samples == 6
    assert row.ok, row


@pytest.mark.slow
def test_a_drift_is_measured_against_the_time_stamps(bench):
    row = bench.drift(seconds=3.0)
    assert row.samples > 20
    assert row.ok, row


@pytest.mark.slow
def test_the_loop_holds_the_microscope_still(bench):
    row = bench.loop(seconds=6.0, settle_s=8.0)  # 3 um of drift and 3 steps of 0.3 um, once all have started
    assert row.samples > 50
    assert row.ok, row
