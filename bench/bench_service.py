"""Latency of the whole path over real sockets, beside a bare relay of the same frames in the same run.

    python bench/bench_service.py [--sizes 64 128] [--rates 4000 1000] [--seconds 10] [--feeds tcp shm] [--spin]

The camera (2048 frames made beforehand, to and fro, at absolute deadlines), the tracker and this observer are processes
of their own. The relay takes the tracker's place and is pyzmq alone: a SUB reads each frame, a PUB passes its header's
hand-over time on, this process takes the time. "added" is what rtreg adds to that, estimator included. Rates are kept
without loss when "lost" and "skipped" are 0, and the camera has missed no deadline. Counting begins once the tracker
has made its reference.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgpack
import msgspec
import numpy as np
import zmq
from machine import describe, table

from rtreg.errors import WireError
from rtreg.io.address import resolve
from rtreg.io.realtime import quiet
from rtreg.io.shm import Reader
from rtreg.io.sockets import ControlClient, FramePublisher
from rtreg.services.camera import Pacer
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera

PERCENTILES = (50, 99, 99.9, 100)
HEADS = ("p50", "p99", "p99.9", "max")
SETTLE_S = 3.0
MADE = 2048  # frames; with fewer, the noise of a mean of hundreds would not be what that of so many frames is
LOCK_S = 60  # s at most until the reference is made


def free_port() -> int:
    """A port nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(feed: str, size: int, spin: bool = False) -> list[str]:
    """Arguments of a camera and a tracker on ports of their own; frames over tcp or shared memory."""
    names = ("frames", "corrections", "control", "status", "device")
    ends = {name: f"tcp://127.0.0.1:{free_port()}" for name in names}
    if feed == "shm":
        ends["frames"] = f"shm://bench{free_port()}"
    given = [f"endpoints.{name}={address}" for name, address in ends.items()]
    given += [f"scene.shape=[{size}, {size}]", "controller.closed=false", f"tracker.spin={str(spin).lower()}"]
    return [part for setting in given for part in ("--set", setting)]


def endpoint(arguments: list[str], name: str) -> str:
    """The value of one of them."""
    (found,) = (a.partition("=")[2] for a in arguments if a.startswith(f"endpoints.{name}="))
    return found


def play(frames: str, size: int, rate: float, ready: Any, missed: Any) -> None:
    """The camera's process; `missed` counts the deadlines that it was late for by a whole period."""
    camera = SimulatedCamera(Scene("stars", (size, size), seed=3), Motion(seed=1), Detector(seed=1))
    made = [camera.expose(k / 500)[0] for k in range(MADE // 2)]
    made += made[-2:0:-1]
    with FramePublisher(frames, "cam") as publisher:
        quiet()
        ready.set()
        pacer = Pacer(rate, time.monotonic_ns())
        for frame in itertools.cycle(made):
            left = pacer.deadline - time.monotonic_ns()
            if left > 0:
                time.sleep(left / 1e9)
            publisher.send(msgspec.structs.replace(frame, t_ns=time.time_ns()))
            pacer.advance(time.monotonic_ns())
            missed.value = pacer.missed


@contextmanager
def playing(frames: str, size: int, rate: float) -> Iterator[Any]:
    """A camera that publishes there; gives the count of deadlines that it has missed."""
    spawn = multiprocessing.get_context("spawn")
    ready, missed = spawn.Event(), spawn.Value("q", 0, lock=False)
    child = spawn.Process(target=play, args=(frames, size, rate, ready, missed), daemon=True)
    child.start()
    try:
        if not ready.wait(60):
            raise SystemExit("the camera has not begun")
        yield missed
    finally:
        child.terminate()
        child.join(10)


@contextmanager
def process(verb: str, arguments: list[str]) -> Iterator[None]:
    """An `rtreg` process, once it has said that it is ready; ended at the end."""
    command = [sys.executable, "-m", "rtreg", verb, "simulated", *arguments]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr is not None
        for line in child.stderr:
            if "ready" in line:
                break
        else:
            raise SystemExit(f"rtreg {verb} ended before it was ready")
        yield
    finally:
        child.terminate()
        child.communicate(timeout=15)


def pass_on(frames: str, out: str, shared: bool) -> None:
    """The bare relay: a SUB and a PUB; over shared memory, with the copy of the pixels that a reader makes."""
    context = zmq.Context()
    source, sink = context.socket(zmq.SUB), context.socket(zmq.PUB)
    source.setsockopt(zmq.SUBSCRIBE, b"f/")
    source.connect(frames)
    sink.bind(out)
    fetch = Reader().get if shared else None
    while True:
        _, header, pixels = source.recv_multipart(copy=False)
        if fetch is not None:
            with suppress(WireError):  # overwritten meanwhile: this reader was too slow
                fetch(pixels.buffer)
        sink.send_multipart([b"c/", header.bytes])


def observe(address: str, seconds: float, hand_over: str) -> np.ndarray:
    """Times from a frame's hand-over to the arrival of what follows from it, us."""
    subscriber = zmq.Context.instance().socket(zmq.SUB)
    subscriber.setsockopt(zmq.SUBSCRIBE, b"c/")
    subscriber.connect(address)
    times, begin, end = [], time.monotonic() + SETTLE_S, time.monotonic() + SETTLE_S + seconds
    while time.monotonic() < end:
        if not subscriber.poll(500):
            continue
        body = msgpack.unpackb(subscriber.recv_multipart()[1])
        now = time.monotonic_ns()
        sent = body["mono_ns"] if hand_over == "mono_ns" else body["lat"]["sent"]
        if sent and time.monotonic() > begin:
            times.append((now - sent) / 1e3)
    subscriber.close(0)
    return np.percentile(times or [np.nan], PERCENTILES)


def relayed(feed: str, size: int, rate: float, seconds: float) -> np.ndarray:
    """Percentiles of the bare relay."""
    arguments, out = settings(feed, size), f"tcp://127.0.0.1:{free_port()}"
    frames = endpoint(arguments, "frames")
    relay = multiprocessing.get_context("spawn").Process(
        target=pass_on, args=(resolve(frames), out, feed == "shm"), daemon=True
    )
    relay.start()
    try:
        with playing(frames, size, rate):
            return observe(out, seconds, "mono_ns")
    finally:
        relay.terminate()
        relay.join(10)


def tracked(feed: str, size: int, rate: float, seconds: float, spin: bool) -> tuple[np.ndarray, dict]:
    """Percentiles of the service, and its own accounts."""
    arguments = settings(feed, size, spin)
    with (
        process("track", arguments),
        playing(endpoint(arguments, "frames"), size, rate) as missed,
        ControlClient(endpoint(arguments, "control")) as control,
    ):
        before = settled(control, rate)
        late = missed.value
        found = observe(endpoint(arguments, "corrections"), seconds, "lat")
        after = control.ask("status")
        late = missed.value - late
    counts = {name: after["ledger"][name] - before["ledger"][name] for name in ("received", "lost", "skipped")}
    return found, {**counts, "late": late, "latency": after["latency_us"]}


def settled(control: ControlClient, rate: float) -> dict:
    """The status once the reference is made and in use."""
    for _ in range(LOCK_S):
        time.sleep(1.0)
        status = control.ask("status", timeout_ms=10_000)
        if status["state"] == "LOCKED" and status["reference"]["age_frames"] > rate:
            return status
    raise SystemExit(f"not locked after {LOCK_S} s: {status['state']}")


def main() -> None:
    """Run relay, service, relay for each size, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--rates", type=float, nargs="+", default=[1000.0, 1000.0, 500.0, 200.0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--feeds", nargs="+", choices=("tcp", "shm"), default=["tcp", "shm"])
    parser.add_argument("--spin", action="store_true", help="the tracker does not sleep: tracker.spin")
    options = parser.parse_args()
    print(describe())
    for feed in options.feeds:
        for size, rate in zip(options.sizes, options.rates, strict=True):
            before = relayed(feed, size, rate, options.seconds / 2)
            found, facts = tracked(feed, size, rate, options.seconds, options.spin)
            after = relayed(feed, size, rate, options.seconds / 2)
            bare = np.minimum(before, after)
            rows = {"bare relay, before": before, "bare relay, after": after, "rtreg": found, "added": found - bare}
            for name, stage in facts["latency"].items():
                rows[f"of which {name}"] = np.array([stage[key] for key in ("p50", "p99", "p999", "max")])
            title = f"{feed}, {size}² at {rate:g} Hz, us"
            print(f"\n{table(title, HEADS, {name: [f'{v:.0f}' for v in row] for name, row in rows.items()})}")
            print(
                f"\n{facts['received']} frames received, lost {facts['lost']}, skipped {facts['skipped']}; "
                f"the camera missed {facts['late']} deadlines",
                flush=True,
            )


if __name__ == "__main__":
    main()
