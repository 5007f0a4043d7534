"""Time per frame of the estimator beside its peers and one forward FFT, in one run on one pinned thread.

    python bench/bench_estimator.py [--sizes 64 128 256 512 1024] [--repeats 60]

Every method sees the same uint16 frames, each moved by another sub-pixel shift of about 0.1 px, as a closed loop would
show them. Medians; ratios to one forward float32 FFTW transform (MEASURE) of the frame carry over between machines,
microseconds do not. The last columns say how far from the truth each method was on these very frames.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from skimage.registration import phase_cross_correlation

import rtreg.fft as fft
from rtreg import NoiseModel, Registrar, Shift
from rtreg.simulate import Scene

READ_NOISE = 5.0
Measure = Callable[[np.ndarray], tuple[float, float]]


def exposures(size: int, count: int) -> tuple[np.ndarray, list[np.ndarray], list[Shift]]:
    """A clean reference, noisy uint16 frames of it, and their true shifts."""
    rng = np.random.default_rng(size)
    scene = Scene("granulation", (size, size), seed=1, peak=4000.0)
    shifts = [Shift(*rng.normal(0.0, 0.1, 2)) for _ in range(count)]
    frames = []
    for shift in shifts:
        mean = scene.render(shift).astype(float)
        frames.append(np.rint(rng.poisson(mean) + rng.normal(0.0, READ_NOISE, mean.shape)).clip(0).astype(np.uint16))
    return scene.render(Shift(0.0, 0.0)).copy(), frames, shifts


def methods(reference: np.ndarray) -> dict[str, Measure]:
    """What is timed: from a frame to (dx, dy); the transform gives none."""
    noise = NoiseModel(gain=1.0, read_noise=READ_NOISE)
    track = Registrar(reference, noise=noise, reference_frames=math.inf)
    search = Registrar(reference, noise=noise, reference_frames=math.inf, method="fft")
    plan = fft.plan(reference.shape, np.float32)
    small = reference.astype(np.float32)

    def transform(frame: np.ndarray) -> tuple[float, float]:
        plan.forward()
        return math.nan, math.nan

    def phase(frame: np.ndarray) -> tuple[float, float]:
        (dx, dy), _ = cv2.phaseCorrelate(small, frame.astype(np.float32))
        return dx, dy

    def skimage(frame: np.ndarray) -> tuple[float, float]:
        (dy, dx), _, _ = phase_cross_correlation(reference, frame, upsample_factor=100)
        return -dx, -dy

    return {
        "forward FFT (FFTW, float32)": transform,
        "rtreg, tracking": lambda frame: tuple(track.measure(frame).shift),
        "rtreg, search on every frame": lambda frame: tuple(search.measure(frame).shift),
        "cv2.phaseCorrelate": phase,
        "scikit-image, upsample 100": skimage,
    }


def timed(measure: Measure, frames: list[np.ndarray], shifts: list[Shift], repeats: int) -> tuple[float, float]:
    """Median time, us, and rms error, px, over the frames."""
    measure(frames[0])
    times, errors = [], []
    for k in range(repeats):
        frame, shift = frames[k % len(frames)], shifts[k % len(frames)]
        start = time.perf_counter_ns()
        dx, dy = measure(frame)
        times.append((time.perf_counter_ns() - start) / 1e3)
        errors += [dx - shift.dx, dy - shift.dy]
    return statistics.median(times), math.sqrt(statistics.fmean(e * e for e in errors))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--repeats", type=int, default=60)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    rows: dict[str, list[tuple[float, float]]] = {}
    for size in options.sizes:
        reference, frames, shifts = exposures(size, 12)
        for name, measure in methods(reference).items():
            slow = name.startswith("scikit") or size >= 1024
            repeats = max(5, options.repeats // 6) if slow else options.repeats
            rows.setdefault(name, []).append(timed(measure, frames, shifts, repeats))
    floor = [time_us for time_us, _ in next(iter(rows.values()))]
    heads = " | ".join(f"{size}²" for size in options.sizes)
    for title, cell in (
        ("time / one forward FFT", lambda row, k: f"{row[k][0] / floor[k]:.2f}"),
        ("time a frame, us", lambda row, k: f"{row[k][0]:.0f}"),
        ("rms error, px", lambda row, k: "" if math.isnan(row[k][1]) else f"{row[k][1]:.4f}"),
    ):
        print(f"\n| {title} | {heads} |\n|---|{'--:|' * len(options.sizes)}")
        for name, row in rows.items():
            print(f"| {name} | {' | '.join(cell(row, k) for k in range(len(options.sizes)))} |")


if __name__ == "__main__":
    main()
