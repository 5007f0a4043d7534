"""Accuracy and honesty of `chi2_shift` against the package whose interface it carries on.

    python bench/seed_accuracy.py [--trials 100] [--only stars]

For each scene and signal: rms error over the Cramér-Rao bound of the pixels common to both images, reported sigma over
the actual rms error, and the share of errors within one reported sigma (68 % when it is honest). "err" is the true
error of each pixel; "-" means that none is given. Needs the extra ``bench`` and ``image_registration``; without the
latter only our half is printed.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "estimators"))
from scenes import READ_NOISE, bound, clean

import rtreg
from rtreg.simulate import Scene

Shift = rtreg.Shift
Finder = Callable[..., Any]

CASES = {
    "stars": ("stars", (128, 128), (60.0, 600.0, 20_000.0)),
    "one star": ("star", (64, 64), (60.0, 600.0, 20_000.0)),
    "texture": ("granulation", (128, 128), (60.0, 600.0, 20_000.0)),
    "cells": ("cells", (128, 128), (60.0, 600.0, 20_000.0)),
}


def measure(finder: Finder, scene: Scene, trials: int, with_err: bool) -> tuple[float, float, float, int]:
    """rms/bound, sigma/rms, coverage, and how many were further out than 1 px (left out of the others)."""
    rng = np.random.default_rng(3)
    reference = clean(scene).astype(float)
    errors, sigmas, bounds = [], [], []
    for k in range(trials):
        if k % 10 == 0:
            shift = Shift(*rng.uniform(-2.5, 2.5, 2))
            mean = scene.render(shift).astype(float)
            limit = bound(scene, shift)
        frame = rng.poisson(mean) + rng.normal(0.0, READ_NOISE, mean.shape)
        dx, dy, ex, ey = finder(reference, frame, np.sqrt(mean + READ_NOISE**2) if with_err else None)
        errors.append((dx - shift.dx, dy - shift.dy))
        sigmas.append((ex, ey))
        bounds.append(limit)
    e, s, b = np.array(errors), np.array(sigmas), np.array(bounds)
    kept = np.all(np.abs(e) < 1.0, axis=1)  # False for NaN
    e, s, b = e[kept], s[kept], b[kept]
    rms = np.sqrt(np.mean((e / b) ** 2))
    return rms, np.sqrt(np.mean((s / b) ** 2)) / rms, float(np.mean(np.abs(e) <= s)), int(np.sum(~kept))


def finders() -> Iterator[tuple[str, Finder]]:
    """Ours, and the other one where it is installed."""
    yield "rtreg", rtreg.chi2_shift
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import image_registration
    except ImportError:
        return
    yield "seed", image_registration.chi2_shift


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--only", choices=sorted(CASES))
    options = parser.parse_args()
    print(
        f"{'scene':10} {'peak e-':>8} {'by':6} {'err':4} {'rms/bound':>9} {'sigma/rms':>9} {'in 1 s':>10} {'lost':>5}"
    )
    for name, (kind, shape, peaks) in CASES.items():
        if options.only not in (None, name):
            continue
        for peak in peaks:
            scene = Scene(kind, shape, seed=11, peak=peak, background=min(peak, 50.0))
            for by, finder in finders():
                for with_err in (True, False):
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        rms, honesty, cover, lost = measure(finder, scene, options.trials, with_err)
                    mark = "true" if with_err else "-"
                    print(f"{name:10} {peak:8g} {by:6} {mark:4} {rms:9.2f} {honesty:9.2f} {cover:10.0%} {lost:5d}")


if __name__ == "__main__":
    main()
