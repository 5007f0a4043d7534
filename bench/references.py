"""Reference policies over a long, slow drift: error against the bound of a clean reference, and how far each walks.

    python bench/references.py [--scene stars] [--frames 10000] [--seeds 20] [--only anchored] [--figure FILE.png]

A scene drifts slowly, with a little jitter, before a camera of 100 Hz; the loop is open. The error of a shift is
against the true mean position of the frames that the reference began with, over the Cramér-Rao bound of a noise-free
reference (of the pixels that the frame has in common with the scene at rest). "sigma": reported over actual error, rms.
"true walk": where a noise-free frame is found in the reference of the moment, less where it was found in the first one,
over the bound; "reported": what the results say of it; both rms over seeds, axes and moments. Prints Markdown; a policy
takes about 3 s a seed.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "estimators"))
from scenes import NOISE, READ_NOISE, bound, clean

from rtreg.estimators.registrar import Registrar
from rtreg.live.controller import Controller
from rtreg.live.engine import Engine
from rtreg.live.policy import ReferencePolicy
from rtreg.live.quality import QualityGate
from rtreg.records import Shift
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera

PERIOD_NS = 10_000_000
LOOKS = 20  # at the true walk, in a run
SCENES = {
    "stars": ("stars", (64, 64), 600.0),
    "faint stars": ("stars", (64, 64), 60.0),
    "texture": ("granulation", (64, 64), 600.0),
    "cells": ("cells", (128, 128), 150.0),
}
POLICIES: dict[str, dict[str, Any]] = {
    "fixed": {"policy": "fixed"},
    "mean": {"policy": "mean"},
    "exponential, 32 frames": {"policy": "exponential", "memory": 32},
    "exponential": {"policy": "exponential"},
    "window": {"policy": "window"},
    "anchored": {"policy": "anchored"},
}

Image = npt.NDArray[Any]


class Run(NamedTuple):
    """What one seed gave, px: errors, reported sigmas, bounds (frames, 2); true walk (looks, 2), reported (looks,)."""

    errors: Image
    sigmas: Image
    bounds: Image
    walk: Image
    reported: Image


def run(scene: Scene, policy: ReferencePolicy, frames: int, seed: int) -> Run:
    """One stream through one engine."""
    motion = Motion(drift=(0.06, -0.05), periodic=(0.0, 0.0), walk=0.0, jitter=0.1, jitter_time=0.05, seed=seed)
    detector = Detector(seed=seed, read_noise=READ_NOISE, dtype="float32", offset=0.0)
    camera = SimulatedCamera(scene, motion, detector)
    engine = Engine(
        Registrar, reference=policy, gate=QualityGate(), controller=Controller(closed=False), noise=NOISE
    )  # fmt: skip
    truth, shifts, sigmas = np.empty((frames, 2)), np.full((frames, 2), np.nan), np.full((frames, 2), np.nan)
    places, reported, first = [], [], Shift(np.nan, np.nan)
    zero = np.full(2, np.nan)
    for k in range(frames):
        frame, truth[k] = camera.expose(k * PERIOD_NS / 1e9)
        result = engine.process(msgspec.structs.replace(frame, seq=k, epoch=1, recv_mono_ns=k * PERIOD_NS))
        engine.learn()
        if result.estimate.ok:
            shifts[k], sigmas[k] = result.estimate.shift, result.estimate.sigma
        members = engine.status()["reference"]["frames"]
        if members and np.isnan(zero[0]):
            zero = truth[[seq for _, seq in members]].mean(axis=0)
            first = place(engine, scene, Shift(*zero), Shift(0.0, 0.0))
        if members and k % (frames // LOOKS) == frames // LOOKS - 1:
            here = Shift(*truth[k])
            found = place(engine, scene, here, Shift(here.dx - zero[0], here.dy - zero[1]))
            places.append((found.dx - here.dx + zero[0] - first.dx, found.dy - here.dy + zero[1] - first.dy))
            reported.append(result.reference.walk)
    at = np.linspace(0, frames - 1, 2 * LOOKS).astype(int)
    limits = np.array([bound(scene, Shift(*truth[k])) for k in at])
    bounds = np.stack([np.interp(np.arange(frames), at, limits[:, axis]) for axis in (0, 1)], axis=1)
    return Run(shifts - truth + zero, sigmas, bounds, np.array(places), np.array(reported))


def place(engine: Engine, scene: Scene, at: Shift, guess: Shift) -> Shift:
    """Where a frame without noise, at a true position, is in the reference of the moment."""
    state = engine.snapshot()["reference"]
    held, anchor = state["registrar"], state["anchor"]
    registrar = Registrar(
        held["reference"], mask=~held["good"], noise=NOISE, reference_frames=held["frames"], calibrated=True
    )
    found = registrar.measure(clean(scene, at), guess=guess, calibrated=True).shift
    offset = anchor["places"][0] if anchor is not None and state["_rolled"] else (0.0, 0.0)
    return Shift(found.dx + offset[0], found.dy + offset[1])


def row(name: str, runs: list[Run]) -> str:
    """A policy's line of the table."""
    ratio = np.array([r.errors / r.bounds for r in runs])
    frames = ratio.shape[1]
    parts = [ratio[:, : frames // 10], ratio[:, frames // 10 : frames // 2], ratio[:, frames // 2 :], ratio]
    cells = [f"{rms(part):.3f}" for part in parts]
    sigma = rms(np.array([r.sigmas / r.bounds for r in runs])) / rms(ratio)
    scale = np.mean([r.bounds.mean() for r in runs])
    walk, reported = rms(np.array([r.walk for r in runs])) / scale, rms(np.array([r.reported for r in runs])) / scale
    walks = [f"{walk:.3f}", f"{reported:.3f}", f"{reported / walk:.2f}" if reported else "-"]
    return f"| {name} | " + " | ".join([*cells, f"{sigma:.3f}", *walks]) + " |"


def rms(values: Image) -> float:
    """Root mean square of what is not NaN."""
    return float(np.sqrt(np.nanmean(np.square(values))))


def draw(results: dict[str, list[Run]], title: str, path: Path) -> None:
    """Error over the bound in blocks of frames, a line a policy."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8.0, 4.5), layout="constrained")
    for name, runs in results.items():
        ratio = np.array([r.errors / r.bounds for r in runs])
        edges = np.unique(np.geomspace(64, ratio.shape[1], 24).astype(int))
        middles = np.sqrt(edges[1:] * edges[:-1])
        axes.plot(middles, [rms(ratio[:, a:b]) for a, b in itertools.pairwise(edges)], label=name)
    axes.axhline(np.sqrt(1 + 1 / 16), color="0.6", linestyle=":", label="16 frames' zero, nothing else")
    axes.set(xscale="log", xlabel="frames since the start", ylabel="rms error / bound", title=title, ylim=(0.95, 1.65))
    axes.legend(fontsize="small", loc="upper left")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", choices=SCENES, default="stars")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", choices=POLICIES)
    parser.add_argument("--figure", type=Path, help="where to write a PNG")
    options = parser.parse_args()
    kind, shape, peak = SCENES[options.scene]
    scene = Scene(kind, shape, seed=11, peak=peak)
    n = options.frames
    print(f"{options.scene}, {shape[1]} x {shape[0]} px, peak {peak:g} e-, {n} frames, {options.seeds} seeds\n")
    print(f"| policy | first {n // 10} | to {n // 2} | to {n} | all | sigma | true walk | reported | ratio |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    results = {}
    for name in [options.only] if options.only else POLICIES:
        results[name] = [run(scene, ReferencePolicy(**POLICIES[name]), n, seed) for seed in range(options.seeds)]
        print(row(name, results[name]), flush=True)
    if options.figure:
        draw(results, f"{options.scene}, {options.seeds} seeds", options.figure)


if __name__ == "__main__":
    main()
