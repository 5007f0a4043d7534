"""Centroid beside fit, and several regions in one frame: error over the bound, honesty, time. Markdown tables.

    python bench/bench_regions.py [centroid] [shapes] [field] [outliers] [time] [--trials 2000]

Fixed seeds; noise is Poisson photons and 5 e- of read noise at 1 e-/ADU. "rms / bound": rms error of both axes over the
Cramér-Rao bound of the window with scale and offset free; of a reference of K noisy frames, over sqrt(1 + 1/K) times
that. "sigma / scatter": mean reported sigma over the scatter that there is. With n trials a ratio is known to
1 / sqrt(4 n), 1.1 % for 2000; of few noisy references, less well.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from rtreg import NoiseModel, Regions, Registrar
from rtreg.estimators.regions import Box

READ_NOISE = 5.0
NOISE = NoiseModel(gain=1.0, read_noise=READ_NOISE)
SKY = 80.0
SIZE = 64
HOME = (31.3, 31.8)  # (x, y) of the star in the reference
Image = np.ndarray
Picture = Callable[[float, float], Image]  # electrons of a star at (x, y)


@dataclass
class Errors:
    """Errors of a cell, over the bound and over the reported sigma, (n, values)."""

    over_bound: list[np.ndarray] = field(default_factory=list)
    over_sigma: list[np.ndarray] = field(default_factory=list)
    asked: int = 0

    def row(self) -> str:
        """rms over bound | sigma over scatter | coverage at 1 and 2 sigma | answered."""
        bound, z = np.array(self.over_bound), np.array(self.over_sigma)
        inside = [np.mean(np.abs(z) < k) for k in (1, 2)]
        calibration = 1.0 / np.sqrt(np.mean(z * z))
        return (
            f"{np.sqrt(np.mean(bound * bound)):.3f} | {calibration:.3f} | {inside[0]:.1%} | {inside[1]:.1%} | "
            f"{len(z) / self.asked:.2%}"
        )


HEAD = "rms / bound | sigma / scatter | in 1 sigma | in 2 sigma | answered"
RULE = "--:|" * 5


def exposed(mean: Image, rng: np.random.Generator, frames: int = 1) -> Image:
    """The mean of so many exposures, float32."""
    spread = READ_NOISE / math.sqrt(frames)
    return (rng.poisson(mean * frames) / frames + rng.normal(0.0, spread, mean.shape)).astype(np.float32)


# -- one star ---------------------------------------------------------------------------------------------------------


def gaussian(peak: float, fwhm: float = 3.5, stretch: float = 1.0) -> Picture:
    """A Gaussian star, `stretch` times as long along x as along y."""
    s = fwhm / math.sqrt(8.0 * math.log(2.0))

    def picture(x: float, y: float) -> Image:
        v, u = np.mgrid[:SIZE, :SIZE]
        return SKY + peak * np.exp(-(((u - x) / stretch) ** 2 + (v - y) ** 2) / (2.0 * s * s))

    return picture


def moffat(peak: float, fwhm: float = 3.5, beta: float = 2.5) -> Picture:
    """A star with the wings of turbulence."""
    a = fwhm / (2.0 * math.sqrt(2.0 ** (1.0 / beta) - 1.0))

    def picture(x: float, y: float) -> Image:
        v, u = np.mgrid[:SIZE, :SIZE]
        return SKY + peak * (1.0 + ((u - x) ** 2 + (v - y) ** 2) / (a * a)) ** -beta

    return picture


def lopsided(peak: float) -> Picture:
    """A star with coma: a third of its light 2 px beside it."""
    core, tail = gaussian(peak), gaussian(0.35 * peak, 4.5)
    return lambda x, y: core(x, y) + tail(x + 2.0, y + 1.0) - SKY


def star_bound(picture: Picture, x: float, y: float) -> np.ndarray:
    """(sigma_x, sigma_y) that no estimator can beat, scale and offset free."""
    h = 1e-3
    mean = picture(x, y)
    slopes = [
        mean - SKY,
        np.ones_like(mean),
        (picture(x + h, y) - picture(x - h, y)) / (2 * h),
        (picture(x, y + h) - picture(x, y - h)) / (2 * h),
    ]
    templates = np.array([slope.ravel() for slope in slopes])
    covariance = np.linalg.inv((templates / (mean.ravel() + READ_NOISE**2)) @ templates.T)
    return np.sqrt(np.diag(covariance)[2:])


def star_cell(picture: Picture, method: dict, trials: int, *, known: bool = True, frames: float = math.inf) -> Errors:
    """Track one star by random shifts; a reference of `frames` frames is drawn anew for every fourth."""
    rng, cell = np.random.default_rng(1), Errors()
    clean = picture(*HOME)
    share = 1.0 if math.isinf(frames) else math.sqrt(1.0 + 1.0 / frames)
    registrar = None
    for k in range(trials):
        if registrar is None or (math.isfinite(frames) and k % 4 == 0):
            reference = clean.astype(np.float32) if math.isinf(frames) else exposed(clean, rng, int(frames))
            registrar = Registrar(reference, noise=NOISE if known else None, reference_frames=frames, **method)
            registrar.measure(exposed(clean, rng))
        if k % 20 == 0:
            dx, dy = rng.uniform(-1.0, 1.0, 2)
            mean, limit = picture(HOME[0] + dx, HOME[1] + dy), star_bound(picture, HOME[0] + dx, HOME[1] + dy)
        estimate = registrar.measure(exposed(mean, rng))
        cell.asked += 1
        if estimate.ok:
            error = np.subtract(estimate.shift, (dx, dy))
            cell.over_bound.append(error / (limit * share))
            cell.over_sigma.append(error / estimate.sigma)
    return cell


METHODS = {"centroid": {"method": "centroid"}, "fit": {}, "fit, order 5": {"order": 5}}


def centroid(trials: int) -> Iterator[str]:
    """One star: signal, noise known or not, reference clean or not."""
    yield f"| star FWHM 3.5, peak e- | noise | reference | method | {HEAD} |\n|--:|---|---|---|{RULE}"
    for frames in (math.inf, 16, 1):
        for known in (True, False):
            for peak in (60, 200, 600, 3000, 20000):
                if math.isfinite(frames) and peak not in (200, 3000):
                    continue
                for name, method in METHODS.items():
                    if name == "fit, order 5" and not (known and math.isinf(frames)):
                        continue
                    cell = star_cell(gaussian(peak), method, trials, known=known, frames=frames)
                    of = "clean" if math.isinf(frames) else f"{frames} frames"
                    yield f"| {peak} | {'known' if known else 'unknown'} | {of} | {name} | {cell.row()} |"


def shapes(trials: int) -> Iterator[str]:
    """Stars that are no Gaussians of 3.5 px."""
    yield f"| star, peak 3000 e- | method | {HEAD} |\n|---|---|{RULE}"
    pictures = {
        "FWHM 1.8": gaussian(3000, 1.8),
        "FWHM 2.5": gaussian(3000, 2.5),
        "FWHM 6": gaussian(3000, 6.0),
        "1.6 times as long as wide": gaussian(3000, 3.0, 1.6),
        "Moffat, beta 2.5": moffat(3000),
        "Moffat, beta 2.5, 20 000 e-": moffat(20000),
        "with coma": lopsided(3000),
    }
    for what, picture in pictures.items():
        for name, method in METHODS.items():
            yield f"| {what} | {name} | {star_cell(picture, method, trials).row()} |"


# -- a field ----------------------------------------------------------------------------------------------------------

WIDE = 240
PLACES = [(52.3, 48.7), (187.6, 60.2), (101.1, 186.4), (190.4, 181.3), (46.8, 150.5), (122.2, 110.9)]
REGION = 48
Motion = tuple[float, float, float, float]  # dx, dy, a, b: see rtreg.kernels.similarity
FieldPicture = Callable[[Motion, tuple[float, float]], Image]


def boxes(n: int) -> tuple[Box, ...]:
    """The regions round the first n places."""
    return tuple(Box(int(x) - REGION // 2, int(y) - REGION // 2, REGION, REGION) for x, y in PLACES[:n])


def star_field(peaks: list[float], own: np.ndarray | None = None) -> FieldPicture:
    """Stars at the places, FWHM 3.5; `own` moves each by itself, px."""
    s = 3.5 / math.sqrt(8.0 * math.log(2.0))

    def picture(motion: Motion, centre: tuple[float, float]) -> Image:
        dx, dy, a, b = motion
        v, u = np.mgrid[:WIDE, :WIDE]
        image = np.full((WIDE, WIDE), SKY)
        for k, (peak, (x, y)) in enumerate(zip(peaks, PLACES, strict=False)):
            qx, qy = x - centre[0], y - centre[1]
            px, py = x + dx + a * qx - b * qy, y + dy + a * qy + b * qx
            if own is not None:
                px, py = px + own[k, 0], py + own[k, 1]
            area = np.s_[max(0, int(py) - 16) : int(py) + 17, max(0, int(px) - 16) : int(px) + 17]
            image[area] += peak * np.exp(-((u[area] - px) ** 2 + (v[area] - py) ** 2) / (2.0 * s * s))
        return image

    return picture


def texture(peak: float) -> FieldPicture:
    """Random waves of 6 px and more, a picture without an edge that can be turned exactly."""
    rng = np.random.default_rng(5)
    angles, phases = rng.uniform(0.0, 2.0 * math.pi, (2, 40))
    k = 2.0 * math.pi / rng.uniform(6.0, 25.0, 40)
    waves = np.stack([k * np.cos(angles), k * np.sin(angles)], axis=1)

    def picture(motion: Motion, centre: tuple[float, float]) -> Image:
        dx, dy, a, b = motion
        v, u = np.mgrid[:WIDE, :WIDE]
        image = np.zeros((WIDE, WIDE))
        turn = np.linalg.inv([[1.0 + a, -b], [b, 1.0 + a]])
        for box in boxes(6):
            qx, qy = u[box.area] - centre[0] - dx, v[box.area] - centre[1] - dy
            x, y = centre[0] + turn[0, 0] * qx + turn[0, 1] * qy, centre[1] + turn[1, 0] * qx + turn[1, 1] * qy
            for (kx, ky), phase in zip(waves, phases, strict=True):
                image[box.area] += np.cos(kx * x + ky * y + phase)
        return SKY + peak * (1.0 + image / math.sqrt(8.0 * 40.0))

    return picture


def field_bound(picture: FieldPicture, motion: Motion, centre: tuple[float, float], n: int) -> np.ndarray:
    """Sigmas of (dx, dy, a, b) that no estimator can beat; scale and offset of each region free.

    Of each region only the pixels that the moved reference also has.
    """
    base = np.array(motion)
    mean = picture(motion, centre)
    flat, unmoved = [], picture((0.0, 0.0, 0.0, 0.0), centre)
    for h, e in zip((1e-3, 1e-3, 1e-5, 1e-5), np.eye(4), strict=True):
        high, low = (picture(tuple(base + sign * h * e), centre) for sign in (1, -1))
        flat.append((high - low) / (2.0 * h))
    inside = np.zeros(mean.shape, bool)
    for box in boxes(n):
        q = (box.x + box.width / 2 - centre[0], box.y + box.height / 2 - centre[1])
        dx, dy = base[0] + base[2] * q[0] - base[3] * q[1], base[1] + base[2] * q[1] + base[3] * q[0]
        rows, columns = box.area
        mine = np.zeros(mean.shape, bool)
        mine[
            math.ceil(rows.start + max(0.0, dy)) : math.floor(rows.stop + min(0.0, dy)),
            math.ceil(columns.start + max(0.0, dx)) : math.floor(columns.stop + min(0.0, dx)),
        ] = True
        flat += [mine.astype(float), mine * (mean - np.mean(unmoved[box.area]))]
        inside |= mine
    templates = np.array([image[inside] for image in flat if image.any()])  # none of a rotation where there is none
    fisher = (templates / (mean[inside] + READ_NOISE**2)) @ templates.T
    return np.sqrt(np.diag(np.linalg.inv(fisher))[:4])


def field_cell(
    picture: FieldPicture, n: int, trials: int, *, known: bool = True, frames: float = math.inf, **options
) -> tuple[Errors, Errors, Errors, int]:
    """Shift, rotation and magnification of a field in random motion, and how often a region was left out."""
    rng = np.random.default_rng(2)
    shift, turn, grow, left_out = Errors(), Errors(), Errors(), 0
    still = picture((0.0, 0.0, 0.0, 0.0), (0.0, 0.0))
    share = 1.0 if math.isinf(frames) else math.sqrt(1.0 + 1.0 / frames)
    regions = None
    for k in range(trials):
        if regions is None or (math.isfinite(frames) and k % 4 == 0):
            reference = still.astype(np.float32) if math.isinf(frames) else exposed(still, rng, int(frames))
            regions = Regions(reference, boxes(n), noise=NOISE if known else None, reference_frames=frames, **options)
            centre = regions.measure(exposed(still, rng)).field.centre
            limit = None
        if limit is None or k % 20 == 0:
            motion = (*rng.uniform(-1.0, 1.0, 2), *rng.uniform(-3e-3, 3e-3, 2))
            mean, limit = picture(motion, centre), share * field_bound(picture, motion, centre, n)
        estimate = regions.measure(exposed(mean, rng))
        found = estimate.field
        left_out += any(part.rejected for part in found.parts)
        for errors in (shift, turn, grow):
            errors.asked += 1
        if not estimate.ok:
            continue
        error = np.subtract(estimate.shift, motion[:2])
        shift.over_bound.append(error / limit[:2])
        shift.over_sigma.append(error / estimate.sigma)
        if math.isfinite(found.rotation):
            error_turn = found.rotation - math.atan2(motion[3], 1.0 + motion[2])
            error_grow = found.magnification - math.hypot(1.0 + motion[2], motion[3])
            for errors, e, sigma, bound in (
                (turn, error_turn, found.rotation_sigma, limit[3]),
                (grow, error_grow, found.magnification_sigma, limit[2]),
            ):
                errors.over_bound.append(np.array([e / bound]))
                errors.over_sigma.append(np.array([e / sigma]))
    return shift, turn, grow, left_out


def fields(trials: int) -> Iterator[str]:
    """Shift, rotation and magnification against the joint bound."""
    yield f"| regions | scene | noise | reference | method | of | {HEAD} | frames with a region left out |"
    yield f"|--:|---|---|---|---|---|{RULE}--:|"
    three = [3000.0, 1500.0, 2200.0]
    cells = [
        (3, "stars, 300 to 600 e-", star_field([600.0, 300.0, 450.0]), {"method": "centroid"}),
        (3, "stars, 1500 to 3000 e-", star_field(three), {"method": "centroid"}),
        (3, "stars, 1500 to 3000 e-", star_field(three), {}),
        (3, "stars, 1500 to 3000 e-", star_field(three), {"method": "centroid", "known": False}),
        (3, "stars, 1500 to 3000 e-", star_field(three), {"method": "centroid", "frames": 16}),
        (3, "stars, 20 000 e-", star_field([20000.0] * 3), {"method": "centroid"}),
        (2, "stars, 1500 to 3000 e-", star_field(three[:2]), {"method": "centroid"}),
        (6, "stars, 500 to 3000 e-", star_field([*three, 500.0, 900.0, 1200.0]), {"method": "centroid"}),
        (3, "texture, 1000 e-", texture(1000.0), {}),
    ]
    for n, scene, picture, options in cells:
        if n == 2:
            picture = _held(picture)
        *found, out = field_cell(picture, n, trials, **options)
        noise = "known" if options.get("known", True) else "unknown"
        reference = f"{options['frames']} frames" if "frames" in options else "clean"
        method = options.get("method", "fit")
        for of, errors in zip(("shift", "rotation", "scale"), found, strict=True):
            if errors.over_sigma:
                yield (
                    f"| {n} | {scene} | {noise} | {reference} | {method} | {of} | {errors.row()} | {out / trials:.2%} |"
                )


def _held(picture: FieldPicture) -> FieldPicture:
    """A field that only shifts."""
    return lambda motion, centre: picture((*motion[:2], 0.0, 0.0), centre)


# -- regions that do not agree ----------------------------------------------------------------------------------------


def outliers(trials: int) -> Iterator[str]:
    """One region of several is wrong by so many of its own sigma; and regions that all move a little by themselves."""
    yield "| regions | one is off by | named | another named | no answer | rms / bound of the rest | sigma / scatter |"
    yield "|--:|--:|--:|--:|--:|--:|--:|"
    for n in (2, 3, 4, 6):
        for off in (0.0, 6.0, 10.0, 20.0, 100.0):
            yield f"| {n} | {off:g} sigma | {_outlier_cell(n, off, trials)} |"
    yield ""
    yield "| regions | own motion, px rms | learnt, px | sigma / scatter: shift | rotation | no answer |"
    yield "|--:|--:|--:|--:|--:|--:|"
    for n in (2, 3, 6):
        for own in (0.0, 0.005, 0.05, 0.3):
            yield f"| {n} | {own:g} | {_scatter_cell(n, own, trials)} |"


def _regions(n: int, centroid_too: bool = True) -> tuple[Regions, FieldPicture]:
    picture = star_field([3000.0] * n)
    still = picture((0.0, 0.0, 0.0, 0.0), (0.0, 0.0)).astype(np.float32)
    method = {"method": "centroid"} if centroid_too else {}
    return Regions(still, boxes(n), noise=NOISE, reference_frames=math.inf, **method), picture


def _outlier_cell(n: int, off: float, trials: int) -> str:
    rng = np.random.default_rng(3)
    regions, picture = _regions(n)
    nothing = (0.0, 0.0, 0.0, 0.0)
    first = regions.measure(exposed(picture(nothing, (0, 0)), rng))
    sigma = first.field.parts[0].sigma.dx
    for _ in range(20):
        regions.measure(exposed(picture(nothing, (0, 0)), rng))
    named = wrong = none = 0
    scaled, z = [], []
    for k in range(trials):
        if k % 20 == 0:
            direction = rng.uniform(0.0, 2.0 * math.pi)
            own = np.zeros((n, 2))
            own[0] = off * sigma * math.cos(direction), off * sigma * math.sin(direction)
            mean = star_field([3000.0] * n, own)(nothing, (0, 0))
        got = regions.measure(exposed(mean, rng))
        out = [bool(part.rejected) for part in got.field.parts]
        none += not got.ok
        named += got.ok and out[0]
        wrong += got.ok and any(out[1:])
        if got.ok:
            scaled += [v / (sigma / math.sqrt(n - (off > 0))) for v in got.shift]
            z += [v / s for v, s in zip(got.shift, got.sigma, strict=True)]
    rms, calibration = (float(np.sqrt(np.mean(np.square(v)))) if v else math.nan for v in (scaled, z))
    shares = " | ".join(f"{count / trials:.2%}" for count in (named, wrong, none))
    return f"{shares} | {rms:.2f} | {1 / calibration:.2f}"


def _scatter_cell(n: int, own: float, trials: int) -> str:
    rng = np.random.default_rng(4)
    regions, _ = _regions(n)
    z, turns, none, learnt = [], [], 0, math.nan
    for k in range(trials + 100):
        moved = star_field([3000.0] * n, rng.normal(0.0, own, (n, 2)) if own else None)
        got = regions.measure(exposed(moved((0.0, 0.0, 0.0, 0.0), (0, 0)), rng))
        if k < 100:  # while it learns
            continue
        none += not got.ok
        if got.ok:
            z += [v / s for v, s in zip(got.shift, got.sigma, strict=True)]
            turns.append(got.field.rotation / got.field.rotation_sigma)
            learnt = got.field.scatter
    calibration = 1.0 / np.sqrt(np.mean(np.square(z)))
    turned = 1.0 / np.sqrt(np.nanmean(np.square(turns))) if n > 2 else math.nan
    return f"{learnt:.4f} | {calibration:.3f} | {turned:.3f} | {none / trials:.2%}"


# -- time -------------------------------------------------------------------------------------------------------------


def times(trials: int) -> Iterator[str]:
    """Median time of a measurement, uint16 frames, each a little moved, microseconds."""
    global SIZE, HOME
    sizes, names, rows = (32, 64, 128, 256, 512, 1024), list(METHODS), {}
    for size in sizes:
        SIZE, HOME = size, (size / 2 - 0.7, size / 2 - 0.2)
        rng = np.random.default_rng(0)
        picture = gaussian(3000.0)
        frames = [exposed(picture(*(HOME + rng.normal(0.0, 0.1, 2))), rng).clip(0).astype(np.uint16) for _ in range(10)]
        for name in names:
            registrar = Registrar(picture(*HOME), noise=NOISE, reference_frames=math.inf, **METHODS[name])
            rows.setdefault(name, []).append(_median_us(registrar.measure, frames, 400 if size < 512 else 60))
    yield f"| one star, us a frame | {' | '.join(f'{size}²' for size in sizes)} |"
    yield f"|---|{'--:|' * len(sizes)}"
    for name, row in rows.items():
        yield f"| {name} | {' | '.join(f'{value:.0f}' for value in row)} |"
    yield ""
    yield "| stars in regions of 48², us a frame | 1 | 3 | 6 |\n|---|--:|--:|--:|"
    for name in names[:2]:
        row = []
        for n in (1, 3, 6):
            regions, picture = _regions(n, name == "centroid")
            rng = np.random.default_rng(0)
            frames = [
                exposed(picture((*rng.normal(0.0, 0.1, 2), 0.0, 0.0), (0, 0)), rng).clip(0).astype(np.uint16)
                for _ in range(10)
            ]
            row.append(_median_us(regions.measure, frames, 300))
        yield f"| {name} | {' | '.join(f'{value:.0f}' for value in row)} |"


def _median_us(measure: Callable[[Image], object], frames: list[Image], repeats: int) -> float:
    taken = []
    for k in range(repeats + 20):
        start = time.perf_counter_ns()
        measure(frames[k % len(frames)])
        taken.append((time.perf_counter_ns() - start) / 1e3)
    return statistics.median(taken[20:])


TABLES = {"centroid": centroid, "shapes": shapes, "field": fields, "outliers": outliers, "time": times}


def main() -> None:
    """Print the tables that were asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="table", help=f"which of {', '.join(TABLES)}; all by default")
    parser.add_argument("--trials", type=int, default=2000)
    options = parser.parse_args()
    for name in options.tables or TABLES:
        print()
        for row in TABLES[name](options.trials):
            print(row, flush=True)


if __name__ == "__main__":
    main()
