"""A hundred thousand frames through the engine: what grows, and how long the slowest frame took and why.

    python bench/bench_steady.py [--frames 100000] [--size 128] [--scene granulation]

As the service does it: warmed up, then the garbage collector frozen and off, generation 0 collected once in a thousand
frames. The reference learns as ever, after each frame and outside its time. A frame is said to have been interrupted
when the kernel took the core away from it (involuntary context switches), and to have cut templates when the shift had
left the window of the old ones.
"""

from __future__ import annotations

import argparse
import gc
import resource
import time
import tracemalloc
from typing import Any

import numpy as np
from machine import describe, pin
from numba.core.dispatcher import Dispatcher

import rtreg.fft as fft
from rtreg import NoiseModel, Registrar
from rtreg.live.controller import Controller
from rtreg.live.engine import Engine
from rtreg.live.policy import ReferencePolicy
from rtreg.live.quality import QualityGate
from rtreg.records import Frame
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera

PERIOD_NS = 1_000_000
FRAMES = 256  # different ones


def signatures() -> int:
    """How many machine-code versions of kernels there are."""
    return sum(len(kernel.signatures) for kernel in gc.get_objects() if isinstance(kernel, Dispatcher))


def interruptions() -> int:
    """How often the kernel took the core away from this thread."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def exposures(kind: str, size: int) -> list[np.ndarray[Any, Any]]:
    """Frames of a scene that drifts a little to and fro."""
    camera = SimulatedCamera(Scene(kind, (size, size), seed=1), Motion.still(), Detector())
    rng = np.random.default_rng(0)
    from rtreg import Shift

    frames = [camera.expose(k * 1e-3, Shift(*rng.normal(0.0, 0.1, 2)))[0].pixels for k in range(FRAMES)]
    for frame in frames:
        frame.flags.writeable = False
    return frames


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--scene", default="granulation")
    options = parser.parse_args()
    pin()
    pixels = exposures(options.scene, options.size)
    engine = Engine(
        Registrar,
        reference=ReferencePolicy(),
        gate=QualityGate(),
        controller=Controller(closed=False),
        noise=NoiseModel(gain=1.0, read_noise=5.0),
    )
    engine.warm_up((options.size, options.size), pixels[0].dtype)
    times = np.zeros(options.frames)
    worst = (0.0, 0, 0)

    def run(first: int, count: int, keep: bool) -> int:
        nonlocal worst
        held = 0
        for k in range(first, first + count):
            now = k * PERIOD_NS
            frame = Frame(pixels=pixels[k % FRAMES], seq=k, recv_mono_ns=now)
            switches = interruptions()
            start = time.perf_counter_ns()
            result = engine.process(frame)
            took = (time.perf_counter_ns() - start) / 1e3
            held += result.held not in ("", "OPEN")
            if keep:
                times[k - first] = took
                if took > worst[0]:
                    worst = (took, k - first, interruptions() - switches)
            engine.learn()
            if k % 1000 == 0:
                gc.collect(0)
        return held

    run(0, 2000, keep=False)
    gc.collect()
    gc.freeze()
    gc.disable()
    before = signatures(), len(fft.cached_plans()), gc.get_stats()[2]["collections"]
    tracemalloc.start()
    run(2000, 1000, keep=False)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    held = run(3000, options.frames, keep=True)
    after = signatures(), len(fft.cached_plans()), gc.get_stats()[2]["collections"]
    tracemalloc.start()
    run(3000 + options.frames, 1000, keep=False)
    grown = tracemalloc.get_traced_memory()[0] - size
    print(describe())
    p50, p99, p999 = np.percentile(times, (50, 99, 99.9))
    print(f"\n{options.frames} frames of {options.size}², {options.scene}; held {held}")
    print("\n| process(), us | p50 | p99 | p99.9 | max |\n|---|--:|--:|--:|--:|")
    print(f"| engine | {p50:.1f} | {p99:.1f} | {p999:.1f} | {worst[0]:.1f} |")
    names = ("compiled signatures", "FFT plans", "full collections")
    grew = ", ".join(f"{name} +{b - a}" for name, a, b in zip(names, before, after, strict=True))
    print(f"\ngrowth: {grew}, traced memory of a thousand frames after against before {grown:+d} bytes")
    print(f"slowest: frame {worst[1]}, {worst[2]} interruptions by the kernel during it")


if __name__ == "__main__":
    main()
