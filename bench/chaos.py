"""The demo with `rtreg chaos` between camera and tracker: accounts, locks, memory. Prints Markdown.

    python bench/chaos.py [--seconds 600] [--all 0.05] [--rate 500] [--seed 1]

Identity: `span = received + lost`, `received = used + skipped + rejected`, `used = corrected + held`, in every status.
Wrong lock: a correction that is LOCKED, with nothing against it, and further from the truth than 1 px and 8 sigma. The
truth is what the camera itself says of that frame, before chaos. Where the time stamp is not that of the frame with
this number, chaos has changed one of them, and which frame it was cannot be told: those are counted apart.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import statistics
import time
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

from rtreg.io.config import load
from rtreg.io.sockets import ControlClient, CorrectionSubscriber, EventSubscriber, FrameSubscriber, StatusSubscriber
from rtreg.records import Frame, Intake, State, Tick
from rtreg.services.demo import Children, free_endpoints

PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
TRUTHS = 5000  # frames that are remembered


class Health(NamedTuple):
    """What a process holds."""

    rss_mib: float
    descriptors: int
    threads: int


def health(pid: int) -> Health:
    """Of a running process."""
    rss = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MIB
    folders = (Path(f"/proc/{pid}/fd"), Path(f"/proc/{pid}/task"))
    return Health(rss, *(len(list(folder.iterdir())) for folder in folders))


def broken(ledger: dict[str, Any]) -> list[str]:
    """Which of the identities does not hold."""
    used = ledger["corrected"] + sum(ledger["held"].values())
    found = []
    if ledger["span"] != ledger["received"] + ledger["lost"]:
        found.append("span")
    if ledger["received"] != used + ledger["skipped"] + sum(ledger["rejected"].values()):
        found.append("received")
    if ledger["used"] != used:
        found.append("used")
    return found


class Recount:
    """Messages counted once more, from the tracker's events alone: with the frame's name and without."""

    def __init__(self) -> None:
        self.identified = self.others = self.missed = 0
        self._last = 0

    def event(self, event: Any) -> None:
        """Take in an event; they are numbered, so that none is missed unseen."""
        self.missed += event.n - self._last - 1
        self._last = event.n
        if isinstance(event, Intake):
            named = sum(identity is not None for _, identity in event.refused)
            self.identified += (event.frame is not None) + len(event.skipped) + named
            self.others += len(event.refused) - named

    def differences(self, ledger: dict[str, Any]) -> dict[str, tuple[int, int]]:
        """Between the tracker's own accounts and these."""
        pairs = {
            "identified": (ledger["received"] + ledger["duplicate"], self.identified),
            "unattributable": (sum(ledger["unattributable"].values()), self.others),
        }
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


class Watch:
    """What was seen: states, wrong locks, broken identities; the health of each process at every status."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.broken: list[str] = []
        self.closed: Counter[str] = Counter()
        self.health: dict[str, list[Health]] = {}
        self.ledger: dict[str, Any] = {}
        self.recount = Recount()
        self.statuses = self.disguised = 0
        self._truth: OrderedDict[tuple[int, int], tuple[int, tuple[float, float]]] = OrderedDict()
        self._zero: dict[int, list[tuple[float, float]]] = {}
        self._errors: list[float] = []

    def frame(self, frame: Frame) -> None:
        """Take in a frame as the camera sent it."""
        if frame.truth is not None:
            self._truth[frame.epoch, frame.seq] = (frame.t_ns, frame.truth)
        while len(self._truth) > TRUTHS:
            self._truth.popitem(last=False)

    def correction(self, got: Any) -> None:
        """Take in a correction. The zero of a reference is the median of what the first 200 say of it."""
        result = got.result
        t_ns, truth = self._truth.get((result.epoch, result.seq), (0, None))
        self.states[str(result.state)] += 1
        estimate = result.estimate
        if result.state is not State.LOCKED or result.verdict or truth is None or not math.isfinite(estimate.dx):
            return
        if t_ns != result.t_ns:
            self.disguised += 1
            return
        error = (estimate.dx - truth[0], estimate.dy - truth[1])
        zeros = self._zero.setdefault(result.reference.id, [])
        if len(zeros) < 200:
            zeros.append(error)
            return
        zero = [statistics.median(axis) for axis in zip(*zeros, strict=True)]
        off = math.hypot(error[0] - zero[0], error[1] - zero[1])
        self._errors.append(off)
        if off > max(1.0, 8 * max(estimate.sigma)):
            where = f"at ({estimate.dx:.2f}, {estimate.dy:.2f}) of reference {result.reference.id}"
            truly = f"truly ({truth[0] + zero[0]:.2f}, {truth[1] + zero[1]:.2f})"
            self.wrong.append(f"frame {result.seq}: {where}, {truly}, sigma {max(estimate.sigma):.4f}")

    def status(self, status: dict[str, Any], pids: dict[str, int]) -> None:
        """Take in a status."""
        self.statuses += 1
        self.ledger = status["ledger"]
        self.broken += broken(self.ledger)
        self.closed[status["controller"]["loop"]] += 1
        for name, pid in pids.items():
            self.health.setdefault(name, []).append(health(pid))

    @property
    def judged(self) -> int:
        """How many corrections could be compared."""
        return len(self._errors)

    def median_error(self) -> float:
        """Of the good ones, px."""
        return statistics.median(self._errors) if self._errors else math.nan


def run(seconds: float, share: float, rate: float, seed: int) -> Watch:
    """Start all four, look on, end them."""
    names = ("frames", "corrections", "control", "status", "device", "frames")
    overrides, held = free_endpoints(names)
    chaotic = overrides.pop()  # what the tracker takes for the camera
    sets = [*overrides, f"camera.rate_hz={rate:g}"]
    config = load("simulated", sets)
    words = [word for setting in sets for word in ("--set", setting)]
    children, watch = Children(), Watch()
    ends = config.endpoints
    try:
        children.start("tracker", "track", "simulated", *words, "--set", chaotic)
        wait(children, "tracker")
        events = EventSubscriber(ends.corrections, config.stream)
        children.start("actuator", "actuate", "simulated", *words)
        to = chaotic.partition("=")[2]
        children.start("chaos", "chaos", "simulated", *words, "--to", to, "--all", str(share), "--seed", str(seed))
        children.start("camera", "camera", "simulated", *words)
        for name in ("actuator", "chaos", "camera"):
            wait(children, name)
        with (
            CorrectionSubscriber(ends.corrections, config.stream) as corrections,
            StatusSubscriber(ends.status, config.stream) as statuses,
            FrameSubscriber(ends.frames, config.stream, newest=False) as frames,
            ControlClient(ends.control) as control,
        ):
            control.ask("close")
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.02)
                children.check()
                while (taken := frames.receive(0)) is not None:
                    if taken.frame is not None:
                        watch.frame(taken.frame)
                while (event := events.receive(0)) is not None:
                    watch.recount.event(event)
                while (got := corrections.receive(0)) is not None:
                    watch.correction(got)
                while (status := statuses.receive(0)) is not None:
                    watch.status(status, children.pids())
            watch.ledger = settle(children, control, events, watch.recount)
    finally:
        children.close()
        for reserve in held:
            reserve.close()
    return watch


def settle(children: Children, control: Any, events: Any, recount: Recount) -> dict[str, Any]:
    """Stop the frames, take in the last events, and ask for the accounts."""
    os.kill(children.pids()["chaos"], signal.SIGSTOP)
    while (event := events.receive(500)) is not None and not isinstance(event, Tick):
        recount.event(event)
    ledger: dict[str, Any] = control.ask("status")["ledger"]
    os.kill(children.pids()["chaos"], signal.SIGCONT)
    return ledger


def wait(children: Children, name: str) -> None:
    """Until a process has said that it is ready."""
    while not children.ready(name):
        children.check()
        time.sleep(0.05)


def report(watch: Watch, seconds: float, share: float, rate: float, seed: int) -> str:
    """What was seen, as Markdown."""
    ledger = watch.ledger
    lines = [
        f"{seconds:g} s, {share:.0%} of everything, {rate:g} Hz, seed {seed}",
        "",
        "| | |",
        "|---|---|",
        f"| statuses in which the identity held | {watch.statuses - len(watch.broken)} of {watch.statuses} |",
        f"| differences to a recount of {watch.recount.identified} frames, {watch.recount.missed} events missed "
        f"| {watch.recount.differences(ledger) or 'none'} |",
        f"| wrong locks | {len(watch.wrong)} |",
        f"| median error of good corrections, px | {watch.median_error():.4f} |",
        f"| loop at each status | {dict(watch.closed)} |",
        f"| states of corrections | {dict(watch.states)} |",
        f"| ledger | {ledger} |",
        f"| good corrections whose truth is known | {watch.judged} |",
        f"| of frames that chaos gave another's number or time | {watch.disguised} |",
        "",
        "| process | memory after 10 %, MiB | at the end | descriptors | threads |",
        "|---|---|---|---|---|",
    ]
    for name, rows in watch.health.items():
        early, late = rows[len(rows) // 10], rows[-1]
        lines.append(
            f"| {name} | {early.rss_mib:.1f} | {late.rss_mib:.1f} | {early.descriptors}, {late.descriptors} "
            f"| {early.threads}, {late.threads} |"
        )
    return "\n".join([*lines, *watch.broken[:5], *watch.wrong[:10]])


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--all", type=float, default=0.05)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    watch = run(args.seconds, args.all, args.rate, args.seed)
    print(report(watch, args.seconds, args.all, args.rate, args.seed))


if __name__ == "__main__":
    main()
