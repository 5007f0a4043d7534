"""A tracker at full speed for many frames: memory, descriptors, threads, plans, collections and latencies. Markdown.

    python bench/soak.py [--frames 1000000] [--size 64]

A frame is sent when the correction of the one before has come, so that none is skipped and the tracker is always busy.
The first row is taken after 1 % of the frames, the second after 10 %; the last is the end. Latencies are of the frames
since the row before.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from rtreg.io.config import load
from rtreg.io.sockets import ControlClient, CorrectionSubscriber, FramePublisher
from rtreg.services.demo import Children, free_endpoints
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera

NAMES = ("frames", "corrections", "control", "status", "device")
SHARES = (0.01, 0.1, 0.25, 0.5, 0.75, 1.0)
DIFFERENT = 256  # frames made ahead and sent in turn
WAIT_MS = 2000


class Row(NamedTuple):
    """What the tracker was like after so many frames."""

    frames: int
    rss_kib: int
    descriptors: int
    threads: int
    collections: list[int]
    made: dict[str, int]
    process_us: tuple[float, float]
    total_us: tuple[float, float]
    rate_hz: float


def images(size: int) -> list[Any]:
    """Frames of a moving scene, with their truth."""
    camera = SimulatedCamera(Scene("stars", (size, size)), Motion(), Detector())
    return [camera.expose(i / 500)[0] for i in range(DIFFERENT)]


def rss_kib(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Soak:
    """The tracker in a process of its own, and both of its ends in this one."""

    def __init__(self, size: int) -> None:
        overrides, self._held = free_endpoints(NAMES)
        sets = [*overrides, f"scene.shape=[{size}, {size}]", "controller.closed=false", "tracker.max_age_ms=2000"]
        self._children = Children()
        self._children.start("tracker", "track", "simulated", *(w for s in sets for w in ("--set", s)))
        while not self._children.ready("tracker"):
            self._children.check()
            time.sleep(0.05)
        self.pid = self._children.pids()["tracker"]
        config = load("simulated", sets)
        ends = config.endpoints
        self.publisher = FramePublisher(ends.frames, config.stream)
        self.corrections = CorrectionSubscriber(ends.corrections, config.stream)
        self.control = ControlClient(ends.control)
        self._images = images(size)

    def close(self) -> None:
        """End the tracker."""
        for end in (self.publisher, self.corrections, self.control):
            end.close()
        self._children.close()
        for reserve in self._held:
            reserve.close()

    def turn(self) -> Any:
        """One frame, and its correction; None if none came."""
        image = self._images[self.publisher.seq % DIFFERENT]
        seq = self.publisher.seq
        self.publisher.send(msgspec.structs.replace(image, t_ns=time.time_ns()))
        while (got := self.corrections.receive(WAIT_MS)) is not None:
            if got.result.seq == seq and got.result.epoch == self.publisher.epoch:
                return got
        return None

    def connect(self) -> None:
        """Send until a correction comes, and the lock with it."""
        for _ in range(200):
            self.publisher.send(self._images[0])
            if self.corrections.receive(50) is not None:
                return

    def row(self, frames: int, latencies: list[tuple[int, int]], seconds: float) -> Row:
        """Take stock."""
        status = self.control.ask("status", timeout_ms=10_000)
        process, total = np.percentile(np.array(latencies) / 1e3, (50, 99), axis=0).T
        return Row(
            frames,
            rss_kib(self.pid),
            len(os.listdir(f"/proc/{self.pid}/fd")),
            len(os.listdir(f"/proc/{self.pid}/task")),
            status["pauses"]["collections"],
            status["made"],
            tuple(process),
            tuple(total),
            len(latencies) / seconds,
        )


def run(frames: int, size: int) -> tuple[list[Row], dict[str, Any]]:
    """All rows, and the ledger at the end."""
    soak, rows = Soak(size), []
    try:
        soak.connect()
        marks = [round(share * frames) for share in SHARES]
        latencies: list[tuple[int, int]] = []
        began = time.monotonic()
        for done in range(1, frames + 1):
            got = soak.turn()
            if got is not None:
                delivery = got.delivery
                latencies.append((delivery.done - delivery.start, delivery.out - delivery.sent))
            if done == marks[len(rows)]:
                rows.append(soak.row(done, latencies, time.monotonic() - began))
                latencies, began = [], time.monotonic()
        return rows, soak.control.ask("status", timeout_ms=10_000)["ledger"]
    finally:
        soak.close()


def report(rows: list[Row], ledger: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| frames | memory, KiB | descriptors | threads | collections of generation 0, 1, 2 | FFT plans, kernels made "
        "| process p50, p99, us | camera to correction p50, p99, us | frames/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        process, total = (f"{p50:.0f}, {p99:.0f}" for p50, p99 in (row.process_us, row.total_us))
        collections, made = (", ".join(map(str, counts)) for counts in (row.collections, row.made.values()))
        lines.append(
            f"| {row.frames} | {row.rss_kib} | {row.descriptors} | {row.threads} "
            f"| {collections} | {made} | {process} | {total} | {row.rate_hz:.0f} |"
        )
    grown = rows[-1].rss_kib - rows[1].rss_kib
    lines += ["", f"Memory grew by {grown} KiB from 10 % to the end. Ledger: {ledger}"]
    return "\n".join(lines)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=64)
    args = parser.parse_args()
    print(report(*run(args.frames, args.size)))


if __name__ == "__main__":
    main()
