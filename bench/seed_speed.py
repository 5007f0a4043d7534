"""Time and accuracy of the shift finders against the package whose interface they carry on; and peak memory.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/seed_speed.py [--sizes 128 512] [--rounds 15] [--memory 4096]

Stars, flat at the border, with white noise in the second image; both packages see the same frames, in turn. Times are
medians, the rms error is over both axes. Needs the extra ``bench``; without the other package only our half is printed.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

import rtreg

Image = npt.NDArray[Any]
Call = Callable[[Any, Image, Image], Any]

CALLS: dict[str, tuple[Call, dict[int, float]]] = {
    "chi2_shift": (lambda m, a, b: m.chi2_shift(a, b), {128: 50, 512: 40}),
    "chi2_shift, err": (lambda m, a, b: m.chi2_shift(a, b, 5.0), {128: 50, 512: 40}),
    "register_images, 100": (lambda m, a, b: m.register_images(a, b, 100), {128: 12, 512: 20}),
    "cross_correlation_shifts": (lambda m, a, b: m.cross_correlation_shifts(a, b), {128: 3.5, 512: 10}),
}


def stars(n: int, dx: float, dy: float) -> Image:
    """Thirty stars of FWHM 4.7 px, clear of the border."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:n, :n]
    image = np.zeros((n, n))
    for cy, cx, height in zip(*rng.uniform(16, n - 16, (2, 30)), rng.uniform(100, 1000, 30), strict=True):
        image += height * np.exp(-((x - cx - dx) ** 2 + (y - cy - dy) ** 2) / 8.0)
    return image


def frames(n: int, count: int, dtype: str) -> tuple[Image, list[tuple[Image, tuple[float, float]]]]:
    """A reference, and noisy frames with their true shifts."""
    rng = np.random.default_rng(7)
    out = []
    for _ in range(count):
        dx, dy = rng.uniform(-6, 6, 2)
        out.append(((stars(n, dx, dy) + rng.normal(0, 5, (n, n))).astype(dtype), (dx, dy)))
    return stars(n, 0, 0).astype(dtype), out


def packages() -> dict[str, Any]:
    """Ours, and the other one where it is installed."""
    found: dict[str, Any] = {"rtreg": rtreg}
    try:
        import image_registration
    except ImportError:
        return found
    return found | {"seed": image_registration}


def compare(n: int, dtype: str, rounds: int) -> None:
    """One line a function."""
    reference, shifted = frames(n, rounds, dtype)
    for label, (call, wanted) in CALLS.items():
        times: dict[str, list[float]] = {}
        errors: dict[str, list[float]] = {}
        for name, module in [*packages().items()] * 2:  # in turn, and again, each with its own warm caches
            call(module, reference, shifted[0][0])
            for frame, truth in shifted:
                start = time.perf_counter()
                dx, dy = call(module, reference, frame)[:2]
                times.setdefault(name, []).append(time.perf_counter() - start)
                errors.setdefault(name, []).extend((dx - truth[0], dy - truth[1]))
        ms = {name: 1e3 * float(np.median(values)) for name, values in times.items()}
        rms = {name: float(np.sqrt(np.mean(np.square(values)))) for name, values in errors.items()}
        line = f"{n:5} {dtype:8} {label:26} {ms['rtreg']:9.3f} {rms['rtreg']:9.5f}"
        if "seed" in ms:
            line += (
                f" {ms['seed']:9.2f} {rms['seed']:9.5f} {ms['seed'] / ms['rtreg']:8.1f} {wanted.get(n, float('nan')):6}"
            )
        print(line, flush=True)


def memory(n: int) -> None:
    """Peak of what a call allocates, in float64 images of that size; FFTW's buffers are counted by their plans."""
    reference = stars(n, 0, 0)
    frame = stars(n, 3.3, -2.2) + np.random.default_rng(1).normal(0, 5, (n, n))
    for label, (call, _) in CALLS.items():
        call(rtreg, reference, frame)
        tracemalloc.start()
        call(rtreg, reference, frame)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        from rtreg import fft

        plans = sum(plan.nbytes for plan in fft.cached_plans())
        print(f"{n:5} {label:26} peak {peak / reference.nbytes:5.1f} + plans {plans / reference.nbytes:4.1f} images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[128, 512])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--memory", type=int, default=0, help="side of the image to measure peak memory at")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("                                               ours ms       rms   seed ms       rms    ratio wanted")
    for n in options.sizes:
        for dtype in ("float64", "float32"):
            compare(n, dtype, options.rounds)
    if options.memory:
        memory(options.memory)


if __name__ == "__main__":
    main()
