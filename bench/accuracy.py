"""Accuracy and honesty of shift estimators: ours, and the others, against the bound that nobody can beat.

    python bench/accuracy.py run --out results --group clean noisy      # in pieces, resumable
    python bench/accuracy.py report --out results --markdown docs/accuracy.md --figure docs/accuracy.png

`run` keeps one file a cell in `--out` and passes over those that are there with as many trials; `--scene`,
`--estimator`, `--noise` and `--trials` narrow it down. Groups: `clean` (a noise-free reference), `noisy` (the mean of
1 and of 16 frames, each trial has another), `faults` (dead pixels, cosmic rays, vignetting, saturation), `peers` (the
others, clean reference), `bias` (no noise, over two pixels) and `locks` (every frame searched for from nothing). Needs
the extra ``bench``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from accuracy_cells import Cell, bias, locks, run
from accuracy_estimators import ESTIMATORS, OTHERS
from accuracy_report import write
from accuracy_scenes import SCENES

TRIALS, PEER_TRIALS, LOCK_FRAMES = 2000, 400, 10_000
GROUPS = ("clean", "noisy", "faults", "peers", "bias", "locks")
FAULTS = {"dead": "rtreg", "cosmic": "rtreg, robust", "vignetted": "rtreg", "saturated": "rtreg"}
SATURATED = ("stars", "star")  # scenes with something that saturates
LOCK_SIZES = (None, 256)  # the scene's own, and one that is searched binned


def cells(group: str) -> Iterator[Cell]:
    """The cells of a group."""
    for scene, field in SCENES.items():
        for level, peak in enumerate(field.peaks):
            if group == "clean":
                yield Cell(scene, peak)
                yield Cell(scene, peak, known=False)
                yield Cell(scene, peak, "rtreg, order 5")
                yield Cell(scene, peak, "rtreg, robust")
            elif group == "noisy":
                for frames in (1, 16):
                    yield Cell(scene, peak, frames=frames)
                    yield Cell(scene, peak, frames=frames, known=False)
            elif group == "faults" and level > 0:
                for fault, estimator in FAULTS.items():
                    if fault != "saturated" or scene in SATURATED:
                        yield Cell(scene, peak, estimator, fault=fault)  # type: ignore[arg-type]
            elif group == "peers":
                for estimator in OTHERS:
                    yield Cell(scene, peak, estimator)


def keep(path: Path, kind: str, key: dict[str, Any], result: Any) -> None:
    """One result in one file."""
    path.write_text(json.dumps({"kind": kind, "key": key, "result": result}, indent=1))


def stored(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None


def run_cells(options: argparse.Namespace, group: str) -> None:
    trials = options.trials or (PEER_TRIALS if group == "peers" else TRIALS)
    for cell in cells(group):
        if options.scene and cell.scene not in options.scene:
            continue
        if options.estimator and cell.estimator not in options.estimator:
            continue
        if options.noise and cell.known != (options.noise == "known"):
            continue
        path = options.out / f"{cell.name}.json"
        before = stored(path)
        if before and before["result"]["trials"] >= trials:
            continue
        start = time.perf_counter()
        result = run(cell, trials)
        keep(path, "cell", dataclasses.asdict(cell), dataclasses.asdict(result))
        print(
            f"{cell.name:60} {result.over_bound:6.3f} {result.sigma_over_scatter:6.3f} {result.within_1:.3f} "
            f"{result.within_2:.3f} lost {result.lost} refused {result.refused} {time.perf_counter() - start:.0f} s",
            flush=True,
        )


def run_bias(options: argparse.Namespace) -> None:
    for scene in options.scene or SCENES:
        for estimator in options.estimator or ESTIMATORS:
            path = options.out / f"bias-{scene}-{estimator}.json".replace(" ", "_").replace(",", "")
            if not path.exists():
                curve = bias(scene, estimator)
                keep(path, "bias", {"scene": scene, "estimator": estimator}, curve)
                print(f"{path.stem:60} {max(abs(error) for _, error in curve):.5f} px", flush=True)


def run_locks(options: argparse.Namespace) -> None:
    frames = options.trials or LOCK_FRAMES
    for scene in options.scene or SCENES:
        peak = SCENES[scene].peaks[0]
        for size in LOCK_SIZES:
            path = options.out / f"locks-{scene}-{size or SCENES[scene].size}.json"
            before = stored(path)
            if before and before["result"]["frames"] >= frames:
                continue
            key = {"scene": scene, "peak": peak, "size": size or SCENES[scene].size}
            result = locks(frames=frames, **key)
            keep(path, "locks", key, dataclasses.asdict(result))
            print(f"{path.stem:60} {result}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    measure = verbs.add_parser("run", help="measure cells and keep their results")
    measure.add_argument("--out", type=Path, required=True, help="folder of the results")
    measure.add_argument("--group", nargs="+", choices=GROUPS, default=list(GROUPS))
    measure.add_argument("--scene", nargs="+", choices=list(SCENES))
    measure.add_argument("--estimator", nargs="+", choices=list(ESTIMATORS))
    measure.add_argument("--noise", choices=("known", "unknown"), help="only cells where the noise is that")
    measure.add_argument("--trials", type=int, help=f"{TRIALS} a cell for ours, {PEER_TRIALS} for the others")
    report = verbs.add_parser("report", help="the results as Markdown and as a figure")
    report.add_argument("--out", type=Path, required=True, help="folder of the results")
    report.add_argument("--markdown", type=Path, required=True)
    report.add_argument("--figure", type=Path, required=True)
    options = parser.parse_args()
    if options.verb == "report":
        write(sorted(options.out.glob("*.json")), options.markdown, options.figure)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    for group in options.group:
        if group == "bias":
            run_bias(options)
        elif group == "locks":
            run_locks(options)
        else:
            run_cells(options, group)


if __name__ == "__main__":
    main()
