"""Kernels of the hot path, the peers and the floor side by side, a group a size.

pytest bench/test_kernels.py --benchmark-enable --benchmark-group-by=param:size --benchmark-columns=median,iqr
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from bench_estimator import READ_NOISE, exposures, ours, peers

from rtreg import NoiseModel, Registrar
from rtreg.kernels import follow, gauss_newton, prepare

SIZES = (64, 128, 256, 512)


@pytest.fixture(scope="module", params=SIZES, ids=[f"{size}²" for size in SIZES])
def size(request):
    return request.param


@pytest.fixture(scope="module")
def series(size):
    return exposures(size)


@pytest.fixture(scope="module")
def parts(series):
    """A locked registrar's exposure, cut and state: what the kernels work on."""
    noise = NoiseModel(gain=1.0, read_noise=READ_NOISE)
    registrar = Registrar(series.reference, noise=noise, reference_frames=math.inf)
    registrar.measure(series.frames[0])
    return registrar._exposure, registrar._tracker._cut, registrar._tracker._state.copy()


def test_prepare(benchmark, series, parts):
    exposure, _, _ = parts
    benchmark(prepare.prepare_frame, series.frames[1], *exposure.calibration, exposure.work, exposure.bad)


@pytest.mark.parametrize("which", [0, 1], ids=["full pass", "scout"])
def test_project(benchmark, parts, which):
    exposure, cut, _ = parts
    blocks, templates = cut.held[2 * which : 2 * which + 2]
    benchmark(gauss_newton.project, exposure.work, blocks, templates, 3, 0.1, -0.2, cut.column, np.zeros(3))


def test_judge(benchmark, parts):
    exposure, cut, state = parts
    benchmark(follow.judge, exposure.work, *cut.judged, 0.0, cut.facts, cut.column, np.zeros(4), state)


@pytest.mark.parametrize("name", ours(np.random.default_rng(0).normal(1000.0, 30.0, (32, 32))))
def test_ours_and_the_floor(benchmark, series, name):
    benchmark(ours(series.reference)[name], series.frames[1])


@pytest.mark.parametrize("name", peers(np.zeros((32, 32))))
def test_peers(benchmark, series, name):
    benchmark.pedantic(peers(series.reference)[name], (series.frames[1],), rounds=7, warmup_rounds=1)
