"""What CURVE costs: one-way times of frames from one process to another, with keys and without. Prints Markdown.

    python bench/curve.py [--seconds 4] [--rate 100]

Each size runs plain, with CURVE, and plain once more, so that a machine that grows busier shows; a connection that is
made anew is timed, too: from the subscriber's first step to its first frame, at 1000 frames a second.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np

from rtreg.io.keys import Keyring
from rtreg.io.security import LOCAL, Guard, Security
from rtreg.io.sockets import FramePublisher, FrameSubscriber, new_pair
from rtreg.records import Frame

SIZES = (64, 256, 512, 1024)


def guard_of(folder: str | None) -> Guard:
    """That of a keyring; without one, none."""
    return Security(curve=True, folder=folder).guard() if folder else LOCAL


def publish(pipe: Any, folder: str | None, size: int, rate: float, stop: Event) -> None:
    """Frames at absolute deadlines."""
    frame = Frame(pixels=np.zeros((size, size), np.uint16))
    with FramePublisher("tcp://127.0.0.1:*", "cam", guard=guard_of(folder)) as publisher:
        pipe.send(publisher.endpoint)
        due = time.monotonic()
        while not stop.is_set():
            publisher.send(frame)
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))


def times_us(folder: str | None, size: int, rate: float, seconds: float) -> tuple[np.ndarray[Any, Any], float]:
    """One-way times, us, and how long the first frame took, ms."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    stop = context.Event()
    process = context.Process(target=publish, args=(its, folder, size, rate, stop))
    process.start()
    endpoint = mine.recv()
    took, began, first = [], time.monotonic(), 0.0
    with FrameSubscriber(endpoint, "cam", guard=guard_of(folder)) as frames:
        while time.monotonic() - began < seconds:
            got = frames.receive(1000)
            now = time.monotonic_ns()
            if got is not None and got.frame is not None:
                first = first or time.monotonic() - began
                took.append((now - got.frame.mono_ns) / 1e3)
    stop.set()
    process.join()
    return np.array(took[20:]), 1e3 * first


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=float, default=100.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Keyring(Path(folder) / "keys").add("local", *new_pair())
        keys = f"{folder}/keys"
        print(f"One way, us, p50 and p99, {args.rate:g} Hz, uint16\n")
        print("| frame | plain | CURVE | plain again | added, p50 |\n|---|---|---|---|---|")
        for size in SIZES:
            runs = [times_us(each, size, args.rate, args.seconds)[0] for each in (None, keys, None)]
            cells = [f"{p50:.0f}, {p99:.0f}" for p50, p99 in (np.percentile(run, (50, 99)) for run in runs)]
            plain, with_curve, again = (float(np.median(run)) for run in runs)
            print(f"| {size}² | {' | '.join(cells)} | {with_curve - (plain + again) / 2:.0f} |", flush=True)
        joined = [times_us(each, 64, 1000, 0.5)[1] for each in (None, keys)]
        print(f"\nFirst frame of a new subscriber: plain {joined[0]:.0f} ms, CURVE {joined[1]:.0f} ms")


if __name__ == "__main__":
    main()
