"""Doing it again: the messages of a recording in, step by step what the tracker said and what we say now."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from rtreg import build
from rtreg.errors import ConfigError, RecordingError, RtregError, WireError
from rtreg.io import checkpoint as checkpoints
from rtreg.io import wire
from rtreg.io.config import Config, parse
from rtreg.io.recordings import Item, Recording
from rtreg.live.bookkeeper import Bookkeeper
from rtreg.records import Checkpoint, Event, Frame, Intake, Reception, Refusal, Tick

__all__ = ["Rerun", "Step", "recorded_config", "repeat"]

PATIENCE_NS: Final = 2_000_000_000  # of log time: a frame can come so much later than word of it
KEPT_NS: Final = 10_000_000_000  # of log time: how long a frame is kept that nobody has asked for
_REFERENCE_TABLES: Final = ("estimator", "noise", "reference")  # what a reference depends on

Identity = tuple[int, int]
_NOTHING: Final = np.empty((0, 0), np.uint8)


class Step(NamedTuple):
    """One event's corrections: as recorded, and as we have it. None where there was none, or it is not in the file."""

    event: Event
    log_ns: int
    recorded: wire.Correction | None
    repeated: wire.Correction | None


def repeat(books: Bookkeeper, event: Event, frame: Frame | None) -> wire.Correction | None:
    """Let an event happen again, as the tracker's loop does; what that leads to, if to anything.

    Parameters
    ----------
    books : Bookkeeper
        In the state before the event.
    event : Event
    frame : Frame or None
        The one that an `Intake` names.

    Raises
    ------
    ConfigError
        An order that this configuration cannot carry out.
    """
    if isinstance(event, Tick):
        return wire.Correction(*books.tick(event))
    if not isinstance(event, Intake):
        if event.do == "stop":
            return wire.Correction(*books.farewell(0))
        books.obey(event)
        return None
    admitted = books.admit(_reception(event, frame), event.mono_ns, event.t_ns)
    if admitted is None:
        return None
    result = books.process(admitted)
    if isinstance(result, RtregError):
        return None
    correction = wire.Correction(result, books.delivery(admitted, 0, 0, 0))
    if event.learnt:
        with contextlib.suppress(RtregError):
            books.engine.learn()
    return correction


def _reception(event: Intake, frame: Frame | None) -> Reception:
    if frame is not None and event.frame is not None:
        frame = msgspec.structs.replace(frame, recv_mono_ns=event.frame[2])
    skipped = [Frame(pixels=_NOTHING, epoch=epoch, seq=seq) for epoch, seq in event.skipped]
    refused = [Refusal(WireError(reason, "", identity), b"") for reason, identity in event.refused]
    return Reception(frame, skipped, refused)


def recorded_config(recording: Recording, folder: Path, overrides: tuple[str, ...] = ()) -> Config:
    """The configuration that a recording was made with; its images are put into `folder`."""
    found = recording.attachments
    if "config.toml" not in found:
        raise RecordingError(f"{recording.path}: it has no configuration in it: give one with --config")
    config = parse(found["config.toml"], f"{recording.path}:config.toml", overrides)
    tables = {name: dict(table) for name, table in config.tables.items()}
    for name, data in found.items():
        if name.startswith("images/"):
            _, where, filename = name.split("/", 2)
            table, _, key = where.partition(".")
            path = folder / f"{table}.{key}-{Path(filename).name}"
            path.write_bytes(data)
            if key in tables.get(table, {}):
                tables[table][key] = str(path)
    return Config(config.source, tables, config.stream)


class Rerun:
    """The run of a recording, repeated.

    Parameters
    ----------
    recording : Recording
    config : Config
        With the recorded one everything is as it was. With another one the checkpoints' state is taken over as far
        as it does not depend on what is different.
    stream : str
    faithful : bool
        Whether `config` is the recorded one.

    Attributes
    ----------
    unrepeated : Counter
        Events that could not be repeated, by reason: there was no checkpoint yet, or something is missing.
    checkpoints : int
        Checkpoints that were come upon on the way, besides those that were begun from.
    unequal : list of int
        Events after which a checkpoint on the way was not what we had come to; looked at if `faithful`.
    """

    def __init__(self, recording: Recording, config: Config, stream: str, *, faithful: bool = True) -> None:
        self._recording, self._config, self._stream, self._faithful = recording, config, stream, faithful
        self.unrepeated: Counter[str] = Counter()
        self.checkpoints = 0
        self.unequal: list[int] = []
        self._books: Bookkeeper | None = None
        self._run = -1
        self._why = "before the first checkpoint"
        self._frames: OrderedDict[Identity, tuple[Frame, int]] = OrderedDict()
        self._said: dict[int, wire.Correction] = {}
        self._events: deque[tuple[Checkpoint | Event, int]] = deque()
        self._steps: deque[Step] = deque()  # whose recorded correction may yet come

    def __iter__(self) -> Iterator[Step]:
        for item in self._recording.items("fpcok", stream=self._stream):
            self._take(item)
            while self._events and self._can_go_on(item.log_ns):
                self._go_on()
            while self._steps and (self._steps[0].event.n in self._said or self._is_late(self._steps[0], item.log_ns)):
                yield self._finished(self._steps.popleft())
        while self._events:
            self._go_on()
        while self._steps:
            yield self._finished(self._steps.popleft())

    # -- messages ---------------------------------------------------------------------------------------------------

    def _take(self, item: Item) -> None:
        try:
            if item.kind in "fp":
                frame = wire.unpack_frame(item.parts)
                self._frames[frame.epoch, frame.seq] = frame, item.log_ns
                self._forget_frames(item.log_ns)
            elif item.kind == "c":
                correction = wire.unpack_correction(item.parts)
                self._said[correction.delivery.event] = correction
            elif item.kind == "k":
                self._events.append((wire.unpack_checkpoint(item.parts), item.log_ns))
            else:
                self._events.append((wire.unpack_event(item.parts), item.log_ns))
        except WireError as error:
            raise RecordingError(f"{self._recording.path}: a message breaks the wire protocol: {error}") from None

    def _forget_frames(self, now: int) -> None:
        while self._frames:
            identity, (_, log_ns) = next(iter(self._frames.items()))
            if now - log_ns < KEPT_NS:
                return
            del self._frames[identity]

    def _can_go_on(self, now: int) -> bool:
        """Whether what the next event needs is there, or will not come any more."""
        event, log_ns = self._events[0]
        waits = isinstance(event, Intake) and event.frame is not None and event.frame[:2] not in self._frames
        return not waits or now - log_ns > PATIENCE_NS

    def _is_late(self, step: Step, now: int) -> bool:
        return now - step.log_ns > PATIENCE_NS

    def _finished(self, step: Step) -> Step:
        return step._replace(recorded=self._said.pop(step.event.n, None))

    # -- events -----------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        event, log_ns = self._events.popleft()
        if isinstance(event, Checkpoint):
            self._at_checkpoint(event)
            return
        books = self._books
        if books is not None and event.n != books.events + 1:
            self._stumble("after a gap in the events")
            books = None
        frame = self._frame_of(event)
        if books is not None and frame is None and isinstance(event, Intake) and event.frame is not None:
            self._stumble("after a frame that is not in the recording")
            books = None
        if books is None:
            self.unrepeated[self._why] += 1
            self._said.pop(event.n, None)
            return
        try:
            repeated = repeat(books, event, frame)
        except ConfigError:  # not possible with this configuration; it was with the recorded one
            books.events, repeated = event.n, None
        self._steps.append(Step(event, log_ns, None, repeated))

    def _stumble(self, why: str) -> None:
        self._books, self._why = None, why

    def _frame_of(self, event: Event) -> Frame | None:
        if not isinstance(event, Intake) or event.frame is None:
            return None
        found = self._frames.pop(event.frame[:2], None)
        return None if found is None else found[0]

    def _at_checkpoint(self, checkpoint: Checkpoint) -> None:
        books = self._books
        if books is not None and checkpoint.run == self._run and books.events == checkpoint.n:
            self.checkpoints += 1
            if self._faithful and checkpoints.pack(books.snapshot()) != checkpoints.pack(checkpoint.body["books"]):
                self.unequal.append(checkpoint.n)
            return
        self._run = checkpoint.run
        self._books = self._restored(checkpoint.body)

    def _restored(self, body: Mapping[str, Any]) -> Bookkeeper:
        options = build.tracker_options(self._config)
        books = Bookkeeper(
            build.engine(self._config),
            stream=self._stream,
            host=str(body["host"]),
            max_age_ms=options.max_age_ms,
            valid_for_ms=options.valid_for_ms,
            clock_bound_ms=options.clock_bound_ms,
        )
        state = body["books"]
        if not self._faithful:
            state = _without_what_differs(state, body["config"]["tables"], self._config.tables)
        try:
            books.restore(state)
        except (RtregError, LookupError, TypeError, ValueError) as error:
            raise RecordingError(f"{self._recording.path}: a checkpoint does not fit this version: {error}") from None
        return books


def _without_what_differs(
    state: Mapping[str, Any], recorded: Mapping[str, Any], other: Mapping[str, Any]
) -> dict[str, Any]:
    """A snapshot less what would not hold under another configuration."""
    engine = dict(state["engine"])
    if any(recorded.get(name, {}) != other.get(name, {}) for name in _REFERENCE_TABLES):
        engine["reference"] = None
        engine["state"] = "NO_REFERENCE"
    if recorded.get("controller", {}).get("closed") != other.get("controller", {}).get("closed"):
        engine["controller"] = {**engine["controller"], "closed": other["controller"].get("closed", True)}
    return {**state, "engine": engine}


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Where a recording's images are put while they are needed."""
    with tempfile.TemporaryDirectory(prefix="rtreg-") as name:
        yield Path(name)
