"""Time per frame of the estimator beside its peers and one forward FFT, in one run on one pinned thread.

    python bench/bench_estimator.py [--sizes 64 ... 2048] [--rounds 40] [--scenes granulation stars] [--png FILE]

Every method sees the same uint16 frames, each moved by another sub-pixel shift of about 0.1 px, as a closed loop would
show them; "search, any shift" by up to a quarter of the frame, with the fit that follows. Methods take turns of
a tenth of a second, and medians are taken of the times, and of their ratios within a turn. Ratios to one forward
float32 FFTW transform (MEASURE) of the frame carry over between machines, microseconds do not. The last table says how
far from the truth each method was on these very frames. Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from machine import describe, pin, plot, table

import rtreg.fft as fft
from rtreg import NoiseModel, Registrar, Shift
from rtreg.simulate import Scene

READ_NOISE = 5.0
COUNT = 12
SECONDS = 4.0  # a method is given hardly more than that at each size
BURST, CALLS = 0.1, 120  # nor than that at a time, nor more calls
FEWEST = 3  # times
FLOOR = "forward FFT (FFTW, float32)"
Image = np.ndarray[Any, Any]
Measure = Callable[[Image], tuple[float, float]]


class Row(NamedTuple):
    """A method at one size: time over that of the floor just before, time of a call, us, rms error, px."""

    ratio: float
    us: float
    error: float


class Series(NamedTuple):
    """A clean reference, noisy frames of it, and their true shifts."""

    reference: Image
    frames: list[Image]
    shifts: list[Shift]


def exposures(size: int, kind: str = "granulation", far: bool = False) -> Series:
    """Frames moved by about 0.1 px, or `far`: by up to a quarter of the frame."""
    rng = np.random.default_rng(size)
    margin = size // 4 + 16
    scene = Scene(kind, (size, size), seed=1, peak=4000.0, margin=max(64, margin))
    draw = (lambda: rng.uniform(-size / 4, size / 4, 2)) if far else (lambda: rng.normal(0.0, 0.1, 2))
    shifts = [Shift(*draw()) for _ in range(COUNT)]
    frames = []
    for shift in shifts:
        mean = scene.render(shift).astype(float)
        frames.append(np.rint(rng.poisson(mean) + rng.normal(0.0, READ_NOISE, mean.shape)).clip(0).astype(np.uint16))
    return Series(scene.render(Shift(0.0, 0.0)).copy(), frames, shifts)


def ours(reference: Image) -> dict[str, Measure]:
    """The estimator, and what it is compared with first of all."""
    noise = NoiseModel(gain=1.0, read_noise=READ_NOISE)
    track = Registrar(reference, noise=noise, reference_frames=math.inf)
    quintic = Registrar(reference, noise=noise, reference_frames=math.inf, order=5)
    plan = fft.plan(reference.shape, np.float32)

    def transform(_: Image) -> tuple[float, float]:
        plan.forward()
        return math.nan, math.nan

    def read(frame: Image) -> tuple[float, float]:
        np.sum(frame, dtype=np.uint32)
        return math.nan, math.nan

    return {
        FLOOR: transform,
        "read the frame (np.sum)": read,
        "rtreg, tracking": lambda frame: tuple(track.measure(frame).shift),
        "rtreg, tracking, order 5": lambda frame: tuple(quintic.measure(frame).shift),
    }


def peers(reference: Image) -> dict[str, Measure]:
    """Other packages' ways, those that are installed."""
    found: dict[str, Measure] = {}
    small = reference.astype(np.float32)
    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-5)

        def ecc(frame: Image) -> tuple[float, float]:
            warp = np.eye(2, 3, dtype=np.float32)
            _, warp = cv2.findTransformECC(small, frame.astype(np.float32), warp, cv2.MOTION_TRANSLATION, criteria)
            return float(warp[0, 2]), float(warp[1, 2])

        found["cv2.phaseCorrelate"] = lambda frame: cv2.phaseCorrelate(small, frame.astype(np.float32))[0]
        found["cv2.findTransformECC"] = ecc
    with contextlib.suppress(ImportError):
        from skimage.registration import phase_cross_correlation

        def skimage(frame: Image) -> tuple[float, float]:
            (dy, dx), _, _ = phase_cross_correlation(reference, frame, upsample_factor=100)
            return -dx, -dy

        found["scikit-image, upsample 100"] = skimage
    with contextlib.suppress(ImportError):
        stackreg = importlib.import_module("pystackreg").StackReg(2)

        def stack(frame: Image) -> tuple[float, float]:
            matrix = stackreg.register(reference, frame)
            return float(matrix[0, 2]), float(matrix[1, 2])

        found["pystackreg, translation"] = stack
    with contextlib.suppress(ImportError):
        seed = importlib.import_module("image_registration")
        found["image_registration.register_images, 100"] = lambda frame: seed.register_images(
            reference, frame.astype(float), usfac=100
        )[:2]
    return found


def searcher(series: Series) -> Measure:
    """A search with the fit that follows it, wherever the frame is."""
    noise = NoiseModel(gain=1.0, read_noise=READ_NOISE)
    registrar = Registrar(series.reference, noise=noise, reference_frames=math.inf, method="fft")
    return lambda frame: tuple(registrar.measure(frame).shift)


def burst(measure: Measure, series: Series, errors: list[float]) -> float:
    """Median time of a call, us, over as many as there is time for; each frame gives its error once."""
    times, begun = [], time.perf_counter()
    for k in range(CALLS):
        frame, shift = series.frames[k % COUNT], series.shifts[k % COUNT]
        start = time.perf_counter_ns()
        dx, dy = measure(frame)
        times.append((time.perf_counter_ns() - start) / 1e3)
        if k < COUNT:
            errors += [dx - shift.dx, dy - shift.dy]
        if time.perf_counter() - begun > BURST:
            break
    return statistics.median(times)


def compare(methods: dict[str, tuple[Measure, Series]], rounds: int) -> dict[str, Row]:
    """All methods in turn, so that one that is slow for a while has the machine's bad time in common with the floor."""
    times: dict[str, list[float]] = {name: [] for name in methods}
    errors: dict[str, list[float]] = {name: [] for name in methods}
    spent = dict.fromkeys(methods, 0.0)
    for measure, series in methods.values():
        for frame in series.frames[:2]:
            measure(frame)
    for _ in range(rounds):
        for name, (measure, series) in methods.items():
            if spent[name] < SECONDS or len(times[name]) < FEWEST:
                begun = time.perf_counter()
                times[name].append(burst(measure, series, errors[name]))
                spent[name] += time.perf_counter() - begun
    floor = times[FLOOR]
    return {
        name: Row(
            statistics.median(t / f for t, f in zip(times[name], floor, strict=False)),
            statistics.median(times[name]),
            math.sqrt(statistics.fmean(e * e for e in errors[name])),
        )
        for name in methods
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1024, 2048])
    parser.add_argument("--rounds", type=int, default=40, help="of turns")
    parser.add_argument("--scenes", nargs="+", default=["granulation", "stars"])
    parser.add_argument("--png", help="write the ratios of the first scene as a picture")
    options = parser.parse_args()
    pin()
    print(describe())
    for kind in options.scenes:
        rows: dict[str, list[Row]] = {}
        for size in options.sizes:
            series, far = exposures(size, kind), exposures(size, kind, far=True)
            methods = {
                name: (measure, series)
                for name, measure in {**ours(series.reference), **peers(series.reference)}.items()
            }
            methods["rtreg, search, any shift"] = searcher(far), far
            for name, row in compare(methods, options.rounds).items():
                rows.setdefault(name, []).append(row)
        heads = [f"{size}²" for size in options.sizes]
        ratios = {name: [row.ratio for row in found] for name, found in rows.items()}
        title = f"{kind}: time / one forward FFT"
        print(f"\n{table(title, heads, {n: [f'{r:.3g}' for r in row] for n, row in ratios.items()})}")
        print(f"\n{table('time a frame, us', heads, {n: [f'{r.us:.4g}' for r in row] for n, row in rows.items()})}")
        known = {n: [f"{r.error:.4f}" for r in row] for n, row in rows.items() if not math.isnan(row[0].error)}
        print(f"\n{table('rms error, px', heads, known)}", flush=True)
        if options.png and kind == options.scenes[0]:
            plot(options.png, options.sizes, ratios, "frame, px a side", "time / one forward FFT of the frame")


if __name__ == "__main__":
    main()
