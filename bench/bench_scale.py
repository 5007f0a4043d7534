"""Cost against the size of frames, their dtype, and the number of regions; and the memory that a stream needs.

    python bench/bench_scale.py [--sizes 64 ... 4096] [--repeats 60] [--png FILE]

Granulation, every frame moved by another shift of about 0.1 px; medians on one pinned core. Memory is what a locked
registrar has added to the resident set of its process, its first search included, in a process of its own.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from bench_estimator import READ_NOISE, exposures
from machine import describe, pin, plot, table

from rtreg import NoiseModel, Regions, Registrar

DTYPES = ("u1", "u2", "i4", "f4", "f8")
NOISE = NoiseModel(gain=1.0, read_noise=READ_NOISE)
SECONDS = 3.0


def median_us(measure: Callable[[Any], Any], frames: list[Any], repeats: int) -> float:
    """Median time of a call, us, after one for each frame."""
    for frame in frames:
        measure(frame)
    times, begun = [], time.perf_counter()
    for k in range(repeats):
        start = time.perf_counter_ns()
        measure(frames[k % len(frames)])
        times.append((time.perf_counter_ns() - start) / 1e3)
        if time.perf_counter() - begun > SECONDS and k >= 4:
            break
    return statistics.median(times)


def locked(reference: Any, frame: Any) -> Registrar:
    """A registrar that has found the frame."""
    registrar = Registrar(reference, noise=NOISE, reference_frames=math.inf)
    registrar.measure(frame)
    return registrar


def resident(size: int) -> float:
    """Peak resident set of this process with one stream of that size less that without, MiB."""
    small = exposures(64)
    locked(small.reference, small.frames[0])  # libraries and kernels
    rng = np.random.default_rng(0)
    series = rng.integers(0, 4000, (size, size)).astype(np.uint16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    locked(series, series).measure(series)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024.0


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1024, 2048, 4096])
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--regions", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--memory-only", action="store_true")
    parser.add_argument("--png", help="write time against size as a picture")
    options = parser.parse_args()
    pin()
    print(describe())
    heads = [f"{size}²" for size in options.sizes]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        memory = pool.map(resident, options.sizes, chunksize=1)
    print(f"\n{table('a stream', heads, {'memory, MiB': [f'{m:.1f}' for m in memory]})}", flush=True)
    if options.memory_only:
        return
    rows: dict[str, list[float]] = {}
    for size in options.sizes:
        series = exposures(size)
        for dtype in DTYPES:
            scale = 255.0 / 6000.0 if dtype == "u1" else 1.0
            frames = [(frame * scale).astype(dtype) for frame in series.frames]
            registrar = locked(series.reference * np.float32(scale), frames[0])
            rows.setdefault(f"rtreg, {np.dtype(dtype).name}", []).append(
                median_us(registrar.measure, frames, options.repeats)
            )
    print(f"\n{table('time a frame, us', heads, {n: [f'{t:.4g}' for t in row] for n, row in rows.items()})}")
    series = exposures(512)
    cost = []
    for count in options.regions:
        boxes = [(32 + 96 * (k % 5), 32 + 96 * (k // 5 % 5), 64, 64) for k in range(count)]
        regions = Regions(series.reference, boxes, noise=NOISE, reference_frames=math.inf)
        cost.append(f"{median_us(regions.measure, series.frames, options.repeats):.4g}")
    names = [f"{count} of 64²" for count in options.regions]
    print(f"\n{table('regions of a frame of 512²', names, {'time a frame, us': cost})}")
    if options.png:
        plot(options.png, options.sizes, rows, "frame, px a side", "time a frame, us")


if __name__ == "__main__":
    main()
