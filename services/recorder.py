"""The recorder process: all that is published of one stream, to disk as it was. It may fall behind; nobody waits.

Pure to impure: what goes into a file besides messages, then the two kinds of keeping (all, or the last seconds), then
the thread that receives and the loop that writes.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rtreg import build
from rtreg.errors import ConfigError, RecordingError, WireError
from rtreg.io.config import Config, to_toml
from rtreg.io.facts import numerics
from rtreg.io.options import RecorderOptions
from rtreg.io.realtime import Stop, host_id, step_back
from rtreg.io.recordings.backlog import Backlog, Message
from rtreg.io.recordings.ring import Ring
from rtreg.io.recordings.series import MIB, Series
from rtreg.io.recordings.watch import Watch
from rtreg.io.security import Server
from rtreg.io.sockets import ControlClient, Tap
from rtreg.io.wire import topic
from rtreg.records import Checkpoint
from rtreg.services.journal import Journal

WAIT_S = 0.1  # a stop is noticed at least this often
LINGER_NS = 500_000_000  # after a stop: for what those who stop with us have yet to say
ASK_AGAIN_NS = 1_000_000_000  # for a checkpoint that has not come
SPACE_NS = 500_000_000  # between two looks at the disk
LARGEST_CHECKPOINT = 512 * MIB
MIN_ROOM = 64 * MIB  # for messages that are no frames


def attachments(config: Config, checkpoint: Checkpoint | None, journal: Journal) -> dict[str, bytes]:
    """What a recording carries besides messages: the tracker's configuration with its images, reference, FFT wisdom."""
    body = {} if checkpoint is None else checkpoint.body
    told = body.get("config") or {"stream": config.stream, "tables": config.tables}
    its = Config(config.source, told["tables"], told["stream"])
    if _for_tracker(its) != _for_tracker(config):
        journal.say("the tracker runs with another configuration than CONFIG: its own goes into the recording")
    found = {"config.toml": to_toml(its.stream, its.tables).encode()}
    for name, path in build.image_files(its).items():
        try:
            found[f"images/{name}/{path.name}"] = path.read_bytes()
        except OSError as error:
            journal.say(f"{path} is not in the recording, so it cannot be replayed elsewhere: {error.strerror}")
    if body:
        found["fftw-wisdom.json"] = str(body["wisdom"]).encode()
        reference = body["books"]["engine"]["reference"]
        if reference and reference["registrar"]:
            found["reference.npy"] = _npy(reference["registrar"]["reference"])
    return found


def _for_tracker(config: Config) -> dict[str, Any]:
    return {name: table for name, table in config.tables.items() if name != "recorder"}


def _npy(image: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, image, allow_pickle=False)
    return file.getvalue()


def facts(config: Config, clock: int) -> dict[str, dict[str, str]]:
    """The metadata that a file begins with."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"stream": config.stream, "config": config.digest, "started": started, "host": host_id()}
    return {"rtreg": {**about, "utc_minus_mono_ns": str(clock)}, "numerics": numerics()}


class Keeper(Protocol):
    """What becomes of messages."""

    def checkpoint(self, message: Message, now: int) -> None:
        """A checkpoint: where a file, or a cut, can begin."""

    def add(self, message: Message) -> None:
        """Any other message."""

    def happened(self, what: str, now: int) -> None:
        """Something that may be worth keeping."""

    def wants_checkpoint(self, now: int) -> bool:
        """Whether to ask the tracker for one."""

    def tend(self, now: int) -> None:
        """What is to be done now and then."""

    def close(self, now: int) -> None:
        """The end."""


class KeepAll:
    """Everything, in one file or in many. The mutable state is the `Series`, and whether it is attached to."""

    def __init__(self, series: Series, config: Config, watch: Watch, journal: Journal) -> None:
        self._series, self._config, self._watch, self._journal = series, config, watch, journal
        self._attached = False
        self._series.begin(time.monotonic_ns())

    def checkpoint(self, message: Message, now: int) -> None:
        if not self._attached:
            self._attached = True
            self._series.attach(attachments(self._config, self._watch.checkpoint, self._journal))
        if self._series.due(now):
            path = self._series.begin(now, self._watch.pending)
            self._journal.say(f"goes on in {path}")
        self._series.add(message)

    def add(self, message: Message) -> None:
        self._series.add(message)

    def happened(self, what: str, now: int) -> None:
        """All is kept anyway."""

    def wants_checkpoint(self, now: int) -> bool:
        return self._series.due(now)

    def tend(self, now: int) -> None:
        self._series.tend(now)

    def close(self, now: int) -> None:
        if not self._attached:
            self._series.attach(attachments(self._config, None, self._journal))
        self._series.close()


class KeepLast:
    """The last seconds, in memory; written when something happens, and for some seconds more.

    The mutable state is the ring, and of a dump that is due: when, and what for.
    """

    def __init__(self, make: Any, ring: Ring, after_s: float, config: Config, watch: Watch, journal: Journal) -> None:
        self._make, self._ring, self._after = make, ring, round(after_s * 1e9)
        self._config, self._watch, self._journal = config, watch, journal
        self._due = 0
        self._why = ""
        self._short = 0

    def checkpoint(self, message: Message, now: int) -> None:
        self._ring.begin(now, self._watch.pending)
        self._ring.add(message)

    def add(self, message: Message) -> None:
        self._ring.add(message)

    def happened(self, what: str, now: int) -> None:
        if not self._due:
            self._due, self._why = now + self._after, what
            self._journal.say(f"{what}: the ring will be written in {self._after / 1e9:g} s")

    def wants_checkpoint(self, now: int) -> bool:
        return self._ring.wants_checkpoint(now)

    def tend(self, now: int) -> None:
        if self._due and now >= self._due:
            self._dump(now)
        if self._ring.short > self._short:
            self._short = self._ring.short
            self._journal.complain("ring", "the ring holds less than ring_s: give it more ring_mib")

    def close(self, now: int) -> None:
        if self._due:
            self._dump(now)

    def _dump(self, now: int) -> None:
        series: Series = self._make(self._why)
        path = series.begin(now)
        series.attach(attachments(self._config, self._watch.checkpoint, self._journal))
        series.note("trigger", {"what": self._why})
        for message in self._ring.cut():
            series.add(message)
        series.close()
        self._due = 0
        self._watch.missed()  # the ring begins anew, and has to begin at a checkpoint
        self._journal.say(f"{self._why}: wrote {series.written} messages to {path}")


class Receiver(threading.Thread):
    """Takes messages off the wire into the backlog, so that a slow disk costs no message before memory is full."""

    def __init__(self, tap: Tap, backlog: Backlog) -> None:
        super().__init__(name="receiver", daemon=True)
        self._tap, self._backlog = tap, backlog
        self.done = threading.Event()

    def run(self) -> None:
        """Receive until `done`."""
        while not self.done.is_set():
            parts = self._tap.receive(int(WAIT_S * 1e3))
            if parts is None:
                continue
            frame = len(parts) == 3 and parts[0][0] == ord("f")
            size = sum(len(part) for part in parts)
            self._backlog.put(Message(parts, time.monotonic_ns()), size, frame=frame)


class Recorder:
    """The loop that writes. The mutable state: what was refused and dropped, when what was last done."""

    def __init__(self, keeper: Keeper, watch: Watch, backlog: Backlog, series: Series, control: ControlClient) -> None:
        self._keeper, self._watch, self._backlog = keeper, watch, backlog
        self._series, self._control = series, control
        self.refused: Counter[str] = Counter()
        self.dropped = self.seen = 0
        self._asked = self._looked = 0
        self.marked = False  # by a signal

    def turn(self, journal: Journal) -> None:
        """Write what has come, and see to the rest."""
        for message in self._backlog.take(WAIT_S):
            self._take(message, journal)
        now = time.monotonic_ns()
        self._account_for_drops(now, journal)
        if self.marked:
            self.marked = False
            self._keeper.happened("mark", now)
        wanted = self._watch.lacks_checkpoint or self._keeper.wants_checkpoint(now)
        if wanted and now - self._asked >= ASK_AGAIN_NS:
            self._asked = now
            self._control.tell("checkpoint")
        if now - self._looked >= SPACE_NS:
            self._looked = now
            self._series.check_space()
        self._keeper.tend(now)

    def _take(self, message: Message, journal: Journal) -> None:
        gaps = self._watch.gaps
        try:
            kind, what = self._watch.see(message)
        except WireError as error:
            self.refused[error.reason] += 1
            journal.complain(error.reason, f"refused a message, {error.reason}: {error}")
            return
        self.seen += 1
        if self._watch.gaps > gaps:
            journal.complain("gap", "events of the tracker are missing: what follows is replayed from a new checkpoint")
        if kind == "k":
            self._keeper.checkpoint(message, message.mono_ns)
        else:
            self._keeper.add(message)
        if what:
            self._keeper.happened(what, message.mono_ns)

    def _account_for_drops(self, now: int, journal: Journal) -> None:
        dropped = self._backlog.dropped().total()
        if dropped:
            self.dropped += dropped
            self._watch.missed()
            self._series.note("dropped", {"frames": dropped, "total": self.dropped, "mono_ns": now})
            journal.complain("dropped", f"the disk is too slow: {dropped} frames dropped, {self.dropped} in all")

    def summary(self) -> dict[str, Any]:
        """What a file says at its end."""
        refused = ", ".join(f"{reason} {count}" for reason, count in self.refused.items())
        return {
            "messages": self.seen,
            "dropped": self.dropped,
            "lost": self._watch.lost,
            "used but missing": self._watch.missing,
            "gaps": self._watch.gaps,
            "refused": refused or "none",
        }

    def close(self) -> OSError | None:
        """Note the accounts and end the file; why that cannot be done."""
        try:
            self._series.note("recorder", self.summary())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._keeper.close(time.monotonic_ns())
            return error
        try:
            self._keeper.close(time.monotonic_ns())
        except OSError as error:
            return error
        return None


def main(config: Config, path: Path, *, seconds: float | None = None) -> int:
    """Record the stream of `config` until SIGINT or SIGTERM, or for `seconds`; RecordingError if it has to end."""
    stop, journal = Stop().listen(), Journal("recorder")
    options = config.make("recorder", RecorderOptions)
    tracker, guard = build.tracker_options(config), build.guard(config)
    clock = time.time_ns() - time.monotonic_ns()
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder: make it first")

    def series(suffix: str = "") -> Series:
        name = path.with_stem(f"{path.stem}_{suffix}_{datetime.now(UTC):%Y%m%dT%H%M%S_%f}") if suffix else path
        return Series(name, options, facts(config, clock), clock)

    whole = series()
    whole.check_space()
    watch, backlog = Watch(), Backlog(round(options.budget_mib * MIB))
    keeper: Keeper
    if options.ring_s:
        ring = Ring(options.ring_s, round(options.ring_mib * MIB))
        keeper = KeepLast(series, ring, options.ring_after_s, config, watch, journal)
    else:
        keeper = KeepAll(whole, config, watch, journal)
    ends, topics = config.endpoints, [topic(letter, config.stream) for letter in ("f", "c", "o", "k", "s")]
    publishers: list[tuple[Server, str]] = [
        ("camera", ends.frames),
        ("tracker", ends.corrections),
        ("tracker", ends.status),
    ]
    largest = max(LARGEST_CHECKPOINT, round(tracker.max_frame_mib * MIB))
    with (
        Tap(publishers, topics, max_bytes=largest, guard=guard) as tap,
        ControlClient(ends.control, guard=guard) as control,
    ):
        recorder = Recorder(keeper, watch, backlog, whole, control)
        receiver = Receiver(tap, backlog)
        receiver.start()
        step_back()  # this thread, which writes; what only receives costs little, and late it would lose messages
        signal.signal(signal.SIGUSR1, lambda *_: setattr(recorder, "marked", True))
        journal.say(f"ready: {config.stream} to {path}, process {os.getpid()}")
        try:
            _record(recorder, stop, seconds, journal)
        except (OSError, RecordingError) as error:
            raise RecordingError(f"recording has stopped: {error}") from None
        finally:
            receiver.done.set()
            receiver.join()
            failed = recorder.close()
        if failed is not None:
            raise RecordingError(f"the end of the recording is missing: {failed}")
    journal.say(f"done: {recorder.summary()}, in {', '.join(map(str, whole.files)) or 'no file'}")
    return 0


def _record(recorder: Recorder, stop: Stop, seconds: float | None, journal: Journal) -> None:
    """Until the stop, then a little longer."""
    end = time.monotonic_ns() + round((seconds or 1e9) * 1e9)
    while not stop and time.monotonic_ns() < end:
        recorder.turn(journal)
    until = time.monotonic_ns() + LINGER_NS
    while time.monotonic_ns() < until:
        recorder.turn(journal)
