"""What the seed's `measure_accuracy` and `measure_expected_offsets` measure, as tables.

    python bench/seed_measurements.py zoom     [--sizes 5 60] [--factors 1 12]
    python bench/seed_measurements.py offsets  [--samples 50]

zoom: a Gaussian is zoomed in on; the sum of squared differences from the Gaussian itself, the worst of all image sizes
and factors, for odd and even sizes. offsets: clouds are moved by (3.7, -1.2) and (-9.1, 15.9) px round the border, and
noise is added; mean error that `chi2_shift` and `chi2_shift_iterzoom` report over the scatter of their answers (1 when
it is honest), by image size and by noise. The package that the interface comes from is measured beside ours where it is
installed.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from rtreg.simulate.seed_images import make_extended, make_offset_extended

MOVES = ((3.7, -1.2), (-9.1, 15.9))  # (dx, dy) px


def packages() -> Iterator[tuple[str, Any]]:
    """Ours, and the other one where it is installed."""
    import rtreg

    yield "rtreg", rtreg
    try:
        import image_registration
        import image_registration.fft_tools.zoom
    except ImportError:
        return
    yield "seed", image_registration


def zoom_error(package: Any, size: int, factor: float, whole: bool) -> float:
    """Sum of squared differences between a zoomed Gaussian of sigma 1 px and the Gaussian at the zoomed places."""
    centre = (size - 1) / 2
    image = np.exp(-((np.indices((size, size)) - centre) ** 2).sum(axis=0) / 2)
    shape = {"outshape": [int(size * factor)] * 2} if whole else {}
    places, zoomed = package.fft_tools.zoom.zoomnd(image, usfac=factor, return_xouts=True, **shape)
    wanted = np.exp(-((np.asarray(places) - centre) ** 2).sum(axis=0) / 2)
    return float(np.sum((wanted - np.real(zoomed)) ** 2))


def zoom_table(sizes: tuple[int, int], factors: tuple[int, int]) -> None:
    """Worst deviations: of the same number of pixels, and of the whole image."""
    print(f"{'output':12} {'by':6} {'odd sizes':>11} {'even sizes':>11}   worst sum of squared differences")
    for whole in (False, True):
        for name, package in packages():
            worst = [
                max(
                    zoom_error(package, size, factor, whole)
                    for size in range(sizes[0] + (sizes[0] + even + 1) % 2, sizes[1] + 1, 2)
                    for factor in range(factors[0], factors[1] + 1)
                )
                for even in (0, 1)
            ]
            print(f"{'whole image' if whole else 'same shape':12} {name:6} {worst[0]:11.2g} {worst[1]:11.2g}")


def honesty(finder: Any, move: tuple[float, float], size: int, noise: float, samples: int) -> tuple[float, float]:
    """Mean reported error over the scatter of the answers, along x and y."""
    np.random.seed(size)  # noqa: NPY002 - the seed's images come from the global generator
    answers = []
    for _ in range(samples):
        image = make_extended(size)
        moved = make_offset_extended(image, *move, noise=noise)
        answers.append(finder(image, moved, noise, return_error=True, upsample_factor="auto")[:4])
    dx, dy, ex, ey = np.array(answers, float).T
    return float(ex.mean() / dx.std()), float(ey.mean() / dy.std())


def offsets_table(samples: int) -> None:
    """Honesty of the reported errors, by image size and by noise."""
    print(f"{'function':20} {'by':6} {'move':>13} {'size':>5} {'noise':>6} {'x':>6} {'y':>6}   sigma / scatter")
    runs = [(size, 0.5) for size in (25, 50, 75, 100)] + [(25, noise) for noise in (0.1, 0.3, 1.0, 3.0)]
    for function in ("chi2_shift", "chi2_shift_iterzoom"):
        for move in MOVES:
            for size, noise in runs:
                for name, package in packages():
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        x, y = honesty(getattr(package, function), move, size, noise, samples)
                    print(f"{function:20} {name:6} {move!s:>13} {size:5d} {noise:6.1f} {x:6.2f} {y:6.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    zoom = commands.add_parser("zoom", help="accuracy of zoomnd")
    zoom.add_argument("--sizes", type=int, nargs=2, default=(5, 60), help="smallest and largest image side")
    zoom.add_argument("--factors", type=int, nargs=2, default=(1, 12), help="smallest and largest zoom")
    offsets = commands.add_parser("offsets", help="honesty of the reported errors")
    offsets.add_argument("--samples", type=int, default=50, help="images a line")
    options = parser.parse_args()
    if options.command == "zoom":
        zoom_table(tuple(options.sizes), tuple(options.factors))
    else:
        offsets_table(options.samples)


if __name__ == "__main__":
    main()
