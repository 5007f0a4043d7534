"""Throughput of ``rtreg batch`` on a long stack beside scikit-image on the same, and a run that is killed half-way.

    python bench/bench_batch.py [--frames 20000] [--size 256] [--folder /tmp/bench_batch] [--repeats 3]

Makes a stack of noisy uint16 frames that wander (kept in the folder for the next time; 2.6 GB by default), and measures
it on one core, on two, and on a local Dask cluster of two workers, which is started beforehand. Times are of the whole
command, from its start to the table on disk, the best of some repeats in turn; "start" is the same command on the first
16 frames. scikit-image sees evenly spaced frames of the same stack, in one process, and its time is scaled up. rms
errors are against the truth. CPU time is that of the command and its processes; a cluster's is not seen.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from skimage.registration import phase_cross_correlation

from rtreg import Shift
from rtreg.simulate import Scene

READ_NOISE = 5.0
STEP = 0.05  # px rms from frame to frame
PULL = 0.01  # back to the middle, so that the field stays in view


def make(folder: Path, count: int, size: int) -> tuple[Path, Path, np.ndarray]:
    """Paths of the stack and of its reference, and the true shifts (frames, 2)."""
    stack, reference, truth = (folder / f"{name}_{count}_{size}.npy" for name in ("stack", "reference", "truth"))
    if truth.exists():
        return stack, reference, np.load(truth)
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    scene = Scene("granulation", (size, size), seed=1, peak=4000.0)
    np.save(reference, scene.render(Shift(0.0, 0.0)))
    frames = np.lib.format.open_memmap(stack, "w+", np.uint16, (count, size, size))
    shifts = np.zeros((count, 2))
    for k in range(count):
        shifts[k] = (1 - PULL) * shifts[k - 1] + rng.normal(0.0, STEP, 2) if k else 0.0
        mean = scene.render(Shift(*shifts[k])).astype(float)
        frames[k] = np.rint(rng.poisson(mean) + rng.normal(0.0, READ_NOISE, mean.shape)).clip(0)
    frames.flush()
    np.save(truth, shifts)
    return stack, reference, shifts


def command(stack: Path, reference: Path, out: Path, *more: object) -> list[str]:
    """One ``rtreg batch`` command line."""
    words = (stack, "--reference", reference, "--out", out, "--gain", 1, "--read-noise", READ_NOISE, *more)
    return [sys.executable, "-m", "rtreg", "batch", "--overwrite", *map(str, words)]


def timed(*given: object) -> tuple[float, float]:
    """Seconds of one command by the clock, and of CPU time."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command(*given), check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begin, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def rms(out: Path, truth: np.ndarray) -> float:
    """rms error of a table along an axis, px."""
    with open(out, newline="") as file:
        found = np.array([(float(row["dx"]), float(row["dy"])) for row in csv.DictReader(file)])
    return math.sqrt(np.mean((found - truth) ** 2))


def peer(
    stack: Path, reference: Path, truth: np.ndarray, count: int, normalization: str | None, upsample: int
) -> tuple[float, float, float]:
    """Seconds a frame by the clock and of CPU time, and rms error, of scikit-image on evenly spaced frames."""
    frames, image = np.load(stack, mmap_mode="r"), np.load(reference)
    picked = np.linspace(0, len(frames) - 1, count).astype(int)
    errors, begin, before = [], time.perf_counter(), time.process_time()
    for k in picked:
        (dy, dx), _, _ = phase_cross_correlation(
            image, frames[k], normalization=normalization, upsample_factor=upsample
        )
        errors.append((-dx - truth[k, 0], -dy - truth[k, 1]))
    rms_error = math.sqrt(np.mean(np.square(errors)))
    return (time.perf_counter() - begin) / count, (time.process_time() - before) / count, rms_error


def killed(stack: Path, reference: Path, out: Path, frames: int) -> int:
    """Start on two cores, kill when half is done, run again; returns how many frames were done by then."""
    process = subprocess.Popen(command(stack, reference, out, "--jobs", 2), stderr=subprocess.DEVNULL)
    done = lambda: 256 * len(list(out.parent.glob(f"{out.name}.chunks/*/[0-9]*.npy")))  # noqa: E731
    while done() < frames // 2:
        if process.poll() is not None:
            raise SystemExit("it was over before it could be killed")
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    found = done()
    said = subprocess.run(
        command(stack, reference, out, "--jobs", 2), check=True, capture_output=True, text=True
    ).stderr
    print(f"killed with {found} of {frames} frames done; then: {said.strip().rpartition('/')[2]}")
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/bench_batch"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-frames", type=int, default=200)
    options = parser.parse_args()
    from distributed import LocalCluster

    stack, reference, truth = make(options.folder, options.frames, options.size)
    few = options.folder / "few.npy"
    np.save(few, np.load(stack, mmap_mode="r")[:16])
    outs = {name: options.folder / f"{name}.csv" for name in ("one", "two", "dask", "killed", "few")}
    timed(few, reference, outs["few"], "--jobs", 1)  # compiles and plans
    best: dict[str, tuple[float, ...]] = {}

    def keep(title: str, *found: float) -> None:
        best[title] = min(best.get(title, (math.inf,)), found)

    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        ways = (
            ("one", "1 core", ("--jobs", 1)),
            ("two", "2 cores", ("--jobs", 2)),
            ("dask", "Dask, 2 workers", ("--scheduler", cluster.scheduler_address)),
        )
        for _ in range(options.repeats):
            for name, title, more in ways:
                start, _ = timed(few, reference, outs["few"], *more)
                seconds, cpu = timed(stack, reference, outs[name], *more)
                keep(
                    f"rtreg batch, {title}", seconds, start, math.nan if name == "dask" else cpu, rms(outs[name], truth)
                )
    for _ in range(options.repeats):
        for normalization, upsample in (("phase", 10), (None, 10), (None, 100)):
            each, cpu, error = peer(stack, reference, truth, options.peer_frames, normalization, upsample)
            title = f"scikit-image, normalization={normalization}, upsample {upsample}, 1 core"
            keep(title, each * options.frames, 0.0, cpu * options.frames, error)
    print(f"\n{options.frames} frames of {options.size}², uint16\n")
    print("| | s | of them start | frames/s | CPU s | rms error, px |\n|---|--:|--:|--:|--:|--:|")
    for title, (seconds, start, cpu, error) in best.items():
        rate = options.frames / seconds
        print(f"| {title} | {seconds:.1f} | {start:.1f} | {rate:.0f} | {cpu:.1f} | {error:.4f} |")
    print()
    killed(stack, reference, outs["killed"], options.frames)
    tables = [path.read_bytes() for name, path in outs.items() if name != "few"]
    same = "identical" if len(set(tables)) == 1 else "DIFFERENT"
    print(f"tables of one core, two, Dask, and killed and resumed: {same}")


if __name__ == "__main__":
    main()
