"""Latency of the whole path over real sockets, beside a bare relay of the same frames in the same run.

    python bench/bench_service.py [--seconds 20] [--size 128] [--rate 500] [--relay-seconds 5]

The relay is pyzmq alone: the demo's camera publishes, one subscriber reads the hand-over time in the header and takes
the time. It runs before and after `rtreg demo`, so that a machine that grows busier shows. "above the relay" is what
rtreg adds, estimator included.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time

import msgpack
import numpy as np
import zmq

PERCENTILES = (50, 99, 99.9, 100)


def relay(size: int, rate: float, seconds: float) -> np.ndarray:
    """One-way times of the camera's frames to a bare subscriber, us."""
    ports = [_free_port(), _free_port()]
    settings = [
        f"endpoints.frames=tcp://127.0.0.1:{ports[0]}",
        f"endpoints.device=tcp://127.0.0.1:{ports[1]}",
        f"scene.shape=[{size}, {size}]",
        f"camera.rate_hz={rate}",
    ]
    command = [sys.executable, "-m", "rtreg", "camera", "simulated"]
    command += [part for setting in settings for part in ("--set", setting)]
    subscriber = zmq.Context.instance().socket(zmq.SUB)
    subscriber.setsockopt(zmq.SUBSCRIBE, b"f/")
    subscriber.connect(f"tcp://127.0.0.1:{ports[0]}")
    camera = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        times, end = [], None
        while end is None or time.monotonic() < end:
            if end is None and camera.poll() is not None:
                raise SystemExit(f"the camera ended: {camera.stderr.read()}")
            if not subscriber.poll(1000):
                continue
            _, header, _ = subscriber.recv_multipart(copy=False)
            now = time.monotonic_ns()
            end = end or time.monotonic() + seconds
            times.append((now - msgpack.unpackb(header.buffer)["mono_ns"]) / 1e3)
    finally:
        camera.terminate()
        camera.communicate(timeout=10)
        subscriber.close(0)
    return np.array(times[10:])


def demo(size: int, rate: float, seconds: float) -> dict:
    """The demo's own summary."""
    command = [sys.executable, "-m", "rtreg", "demo", "--json", "--no-view"]
    command += ["--size", str(size), "--rate", f"{rate:g}", "--seconds", f"{seconds:g}"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Run relay, demo, relay and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--relay-seconds", type=float, default=5.0)
    options = parser.parse_args()
    before = relay(options.size, options.rate, options.relay_seconds)
    summary = demo(options.size, options.rate, options.seconds)
    after = relay(options.size, options.rate, options.relay_seconds)
    bare = np.percentile(np.concatenate([before, after]), PERCENTILES)
    print(f"{options.size}² at {options.rate:g} Hz, {summary['frames']} frames: lost {summary['lost']}, ", end="")
    print(f"skipped {summary['skipped']}, rejected {summary['rejected']}; us\n")
    print("| | p50 | p99 | p99.9 | max |\n|---|--:|--:|--:|--:|")
    print(_row("bare relay, before", np.percentile(before, PERCENTILES)))
    print(_row("bare relay, after", np.percentile(after, PERCENTILES)))
    for name, stage in summary["latency_us"].items():
        print(_row(name, [stage[key] for key in ("p50", "p99", "p999", "max")]))
    total = summary["latency_us"]["total"]
    print(_row("total above the relay", np.array([total["p50"], total["p99"], total["p999"], total["max"]]) - bare))
    x, y = summary["measure_rms_px"]
    print(f"\nmeasured to {x:.4f}, {y:.4f} px rms, reported {summary['sigma_px']:.4f};", end=" ")
    print(f"open loop {summary['open_loop_rms_px']:.3f} px, closed {summary['closed_loop_rms_px']:.3f} px")


def _row(name: str, values: object) -> str:
    return f"| {name} | " + " | ".join(f"{value:.0f}" for value in np.asarray(values)) + " |"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
