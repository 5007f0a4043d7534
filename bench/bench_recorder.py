"""Tracker and recorder side by side: what each loses, what the recorder costs the tracker; and kills at random times.

    python bench/bench_recorder.py [--size 512] [--rate 500] [--seconds 60] [--folder DIR] [--feed tcp] [--kills 20]

This process is the camera: 2048 frames made beforehand, to and fro, at absolute deadlines. A tracker runs for the time
asked, alone and then with a recorder; in the table are its own counters, from when it has made its reference, and its
histograms, since its start; and what the recording says of itself. Then recorders are killed (SIGKILL) after random
times, and each file is checked, recovered, and every frame in it compared with what was sent.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from rtreg.io.recordings import Recording
from rtreg.io.recordings.salvage import check, recover
from rtreg.io.sockets import ControlClient, FramePublisher
from rtreg.replay import verify
from rtreg.services.demo import free_endpoints
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera

MADE = 2048  # fewer, and the noise of a mean of hundreds would not be what that of so many frames is
SETTLE_S = 20
NAMES = ("frames", "corrections", "control", "status", "device")


def made(size: int) -> list:
    """Frames of a star field that wanders."""
    camera = SimulatedCamera(Scene("stars", (size, size), seed=3), Motion(seed=1), Detector(seed=1))
    frames = [camera.expose(k / 500)[0] for k in range(MADE // 2)]
    return frames + frames[-2:0:-1]  # to and fro: the image makes no jump where they begin again, and none comes twice


class Rig:
    """A tracker, this process as its camera, and recorders."""

    def __init__(self, size: int, folder: Path, feed: str) -> None:
        self.frames, self.folder = made(size), folder
        ends, self.held = free_endpoints(NAMES)
        if feed == "shm":
            ends[0] = f"endpoints.frames=shm://rtreg-bench-{os.getpid()}"
        self.sets = [
            word
            for setting in (*ends, f"scene.shape=[{size}, {size}]", "controller.closed=false")
            for word in ("--set", setting)
        ]
        self.at = dict(end.removeprefix("endpoints.").split("=") for end in ends)
        self.running: list[subprocess.Popen] = []
        self.logs = contextlib.ExitStack()
        self.camera = FramePublisher(self.at["frames"], "cam")

    def start(self, *words: str) -> subprocess.Popen:
        """``rtreg`` with `words`; returns when it is ready."""
        said = self.logs.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        process = subprocess.Popen([sys.executable, "-m", "rtreg", *words, *self.sets], stderr=said)
        self.running.append(process)
        while b" ready: " not in _read(said):
            if process.poll() is not None:
                raise SystemExit(_read(said).decode())
            time.sleep(0.02)
        return process

    def end(self, process: subprocess.Popen) -> None:
        """Ask it to end, and wait."""
        process.terminate()
        process.wait(120)
        self.running.remove(process)

    def play(self, rate: float, seconds: float) -> int:
        """Publish for `seconds`; deadlines missed."""
        period, missed = 1.0 / rate, 0
        due = time.monotonic()
        for k in range(round(seconds * rate)):
            due += period
            left = due - time.monotonic()
            if left > 0:
                time.sleep(left)
            elif left < -period:
                missed += 1
                due -= left
            self.camera.send(msgspec.structs.replace(self.frames[k % len(self.frames)], t_ns=time.time_ns()))
        return missed

    def settle(self, rate: float) -> dict:
        """Play until the tracker has made its reference and is locked; its counters then."""
        for _ in range(SETTLE_S):
            self.play(rate / 5, 1.0)  # so that few frames wait while the reference is made: histograms begin with it
            time.sleep(0.2)
            status = self.status()
            if status["state"] in ("LOCKED", "STALE", "HOLD") and status["reference"]["age_frames"] > rate / 10:
                return status["ledger"]
        raise SystemExit(f"not locked after {SETTLE_S} s: {status['state']}")

    def status(self) -> dict:
        """The tracker's own counters."""
        with ControlClient(self.at["control"]) as control:
            return control.ask("status", timeout_ms=10_000)

    def close(self) -> None:
        """End all."""
        for process in self.running:
            process.kill()
            process.wait()
        self.camera.close()
        self.logs.close()
        for held in self.held:
            held.close()


def _read(file) -> bytes:
    return os.pread(file.fileno(), 1 << 20, 0)


def side_by_side(rig: Rig, rate: float, seconds: float, record: Path | None) -> tuple[dict, int]:
    """One run of the tracker, with a recorder or without."""
    tracker = rig.start("track", "simulated")
    recorder = rig.start("record", "simulated", str(record)) if record else None
    before = rig.settle(rate)
    missed = rig.play(rate, seconds)
    time.sleep(0.5)
    status = rig.status()
    for name in ("received", "lost", "skipped"):
        status["ledger"][name] -= before[name]
    rig.end(tracker)
    if recorder is not None:
        rig.end(recorder)
    return status, missed


def table(runs: dict[str, tuple[dict, int]]) -> None:
    """Counters and latencies of each run."""
    print("| | frames | lost | skipped | deadlines missed | process p50 | p99 | total p50 | p99 | max, us |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, (status, missed) in runs.items():
        ledger, latency = status["ledger"], status["latency_us"]
        process, total = latency["process"], latency["total"]
        print(
            f"| {name} | {ledger['received']} | {ledger['lost']} | {ledger['skipped']} | {missed} "
            f"| {process['p50']:.0f} | {process['p99']:.0f} "
            f"| {total['p50']:.0f} | {total['p99']:.0f} | {total['max']:.0f} |"
        )


def kills(rig: Rig, rate: float, count: int) -> None:
    """Recorders killed at random times; each file recovered, every frame in it compared with what was sent."""
    rng = random.Random(5)
    tracker = rig.start("track", "simulated")
    rig.play(rate, 2.0)
    wrong = torn = same = frames = 0
    lost = []
    for k in range(count):
        path, out = rig.folder / f"kill{k}.mcap", rig.folder / f"kill{k}_good.mcap"
        recorder = rig.start("record", "simulated", str(path))
        before = rig.camera.seq
        rig.play(rate, rng.uniform(0.3, 3.0))
        recorder.kill()
        recorder.wait()
        rig.running.remove(recorder)
        sent = rig.camera.seq
        torn += not check(path).closed
        recover(path, out)
        with Recording(out) as recording:
            found = list(recording.frames())
            with contextlib.suppress(Exception):
                same += verify(recording).same
        wrong += sum(not np.array_equal(f.pixels, rig.frames[(f.seq - before) % len(rig.frames)].pixels) for f in found)
        wrong += [f.seq for f in found] != list(range(found[0].seq, found[-1].seq + 1))
        lost.append(sent - 1 - found[-1].seq)
        frames += len(found)
        path.unlink()
        out.unlink()
    rig.end(tracker)
    print(f"\n{count} kills: {torn} files torn, all recovered, {same} verify bit for bit; {frames} frames read back,")
    print(f"{wrong} wrong; lost at the end, frames: median {np.median(lost):.0f}, most {max(lost)} at {rate:g} Hz")


def main() -> None:
    """Run all and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--feed", choices=("tcp", "shm"), default="tcp", help="of the frames (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        if options.seconds:
            runs = {}
            for title, record in (("tracker alone", None), ("with a recorder", folder / "run.mcap")):
                rig = Rig(options.size, folder, options.feed)
                try:
                    runs[title] = side_by_side(rig, options.rate, options.seconds, record)
                finally:
                    rig.close()
            print(f"{options.size}² uint16 at {options.rate:g} Hz for {options.seconds:g} s\n")
            table(runs)
            with Recording(folder / "run.mcap") as recording:
                size = (folder / "run.mcap").stat().st_size / 2**30
                print(f"\nrecorded: {recording.counts}, {size:.2f} GiB; {recording.metadata['recorder']}")
        if options.kills:
            rig = Rig(min(options.size, 128), folder, options.feed)
            try:
                kills(rig, min(options.rate, 200.0), options.kills)
            finally:
                rig.close()


if __name__ == "__main__":
    main()
