"""While frames flow nothing grows: no memory, no compiled kernels, no plans, no collections."""

from __future__ import annotations

import gc
import importlib
import math
import pkgutil
import tracemalloc

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher
from scenes import NOISE, clean, make, noisy

import rtreg.kernels
from rtreg import Registrar, Shift, fft

FRAMES = 10_000
SMALLEST_ARRAY = 8 << 10  # bytes: less than half a float32 image of the smallest scene here


def compiled():
    """How many machine-code versions of kernels there are."""
    modules = [
        importlib.import_module(f"rtreg.kernels.{info.name}") for info in pkgutil.iter_modules(rtreg.kernels.__path__)
    ]
    kernels = {id(v): v for module in modules for v in vars(module).values() if isinstance(v, Dispatcher)}
    assert len(kernels) > 40
    return sum(len(kernel.signatures) for kernel in kernels.values())


def over(frames, count, registrar):
    for k in range(count):
        registrar.measure(frames[k % len(frames)])


@pytest.mark.parametrize("kind", ["granulation", "stars", "star"])
def test_ten_thousand_frames_leave_no_trace(kind):
    scene, rng = make(kind, (96, 96)), np.random.default_rng(1)
    registrar = Registrar(clean(scene), noise=NOISE, reference_frames=math.inf)
    frames = [noisy(scene, Shift(*rng.normal(0.0, 0.1, 2)), rng).clip(0).astype(np.uint16) for _ in range(8)]
    over(frames, 100, registrar)
    assert registrar.locked
    gc.collect()
    gc.freeze()  # as the service does: what is there stays
    gc.disable()
    try:
        kernels, plans, collections = compiled(), len(fft.cached_plans()), gc.get_stats()[2]["collections"]
        tracemalloc.start()
        over(frames, 100, registrar)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        over(frames, FRAMES, registrar)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
        gc.unfreeze()
    assert after - before < 1024
    assert peak - before < SMALLEST_ARRAY
    assert (compiled(), len(fft.cached_plans())) == (kernels, plans)
    assert gc.get_stats()[2]["collections"] == collections
