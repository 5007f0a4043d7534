"""The tracker process: frames in, corrections out. It owns sockets and clock; `live` decides everything."""

from __future__ import annotations

import gc
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from rtreg import build
from rtreg.errors import ConfigError, DeviceError, RtregError
from rtreg.fft import plans_made, wisdom_text
from rtreg.io.actuators import where
from rtreg.io.config import Config, load
from rtreg.io.facts import numerics
from rtreg.io.options import TrackerOptions
from rtreg.io.realtime import Hangup, Pauses, Stop, host_id, quiet, settle
from rtreg.io.reload import Changes, changes, tuned
from rtreg.io.security import LOCAL, Guard
from rtreg.io.sockets import (
    ControlServer,
    DeviceClient,
    FrameSubscriber,
    Request,
    ResultPublisher,
    StatusPublisher,
    last_words,
)
from rtreg.io.systemd import Watchdog
from rtreg.kernels._jit import specialisations
from rtreg.live.bookkeeper import Bookkeeper
from rtreg.live.engine import RUNAWAY
from rtreg.live.kind import CHANGED_AFTER
from rtreg.records import Checkpoint, Frame, Order, Reception, State, Tick
from rtreg.services.journal import Journal

STATUS_NS = 1_000_000_000
WHERE_MS = 300  # how long the device may take to say where it is, before the loop closes
UNLEARNT = 8  # frames in a row that wait may keep the reference from learning
POLL_NS = 2_000_000  # between two looks for a request, while frames come
WARM_KINDS = 4  # kinds of frame remembered as warm

Kind = tuple[tuple[int, ...], Any]  # shape and dtype


class Sockets(NamedTuple):
    """The tracker's four ends."""

    frames: FrameSubscriber
    results: ResultPublisher
    status: StatusPublisher
    control: ControlServer


def made() -> dict[str, int]:
    """What a warm tracker makes no more of."""
    return {"plans": plans_made(), "kernels": specialisations()}


class Warmth:
    """Which kinds of frame the engine is warm for, and whether it should be for another. Sans-IO.

    The first frame of all decides at once; later a kind must come `CHANGED_AFTER` times in a row, as for the engine
    itself: until then they are strays, which it refuses, and not worth the seconds that warming up takes.
    """

    def __init__(self) -> None:
        self._warm: deque[Kind] = deque(maxlen=WARM_KINDS)
        self._flowing = False
        self._other: Kind | None = None
        self._others = 0

    def add(self, kind: Kind) -> None:
        """The engine is warm for frames of this kind."""
        self._warm.append(kind)

    def lacks(self, kind: Kind) -> bool:
        """Whether to warm up before this frame."""
        if kind in self._warm:
            self._flowing, self._others = True, 0
            return False
        self._others = self._others + 1 if kind == self._other else 1
        self._other = kind
        return not self._flowing or self._others >= CHANGED_AFTER


def spins(wanted: bool, cores: list[int], journal: Journal) -> bool:
    """Whether to wait for frames without sleep: ZeroMQ's own thread, which fetches them, needs a core, too."""
    if wanted and len(cores) == 1:
        journal.say(f"spin is off: on core {cores[0]} alone, nobody would fetch the frames that are waited for")
        return False
    return wanted


def deliver(books: Bookkeeper, frame: Frame, results: ResultPublisher, journal: Journal) -> bool:
    """The path of one frame, from receipt to command; whether a correction left."""
    start = time.monotonic_ns()
    result = books.process(frame)
    if isinstance(result, RtregError):
        journal.complain("rejected", f"rejected frame {frame.seq}: {result}")
        return False
    done = time.monotonic_ns()
    delivery = books.delivery(frame, start, done, time.monotonic_ns())
    results.send(result, delivery)
    books.latencies.add(delivery)
    if result.held == RUNAWAY:
        journal.complain(RUNAWAY, f"the loop has opened itself: {books.engine.status()['controller']['opened']}")
    return True


def device_order(endpoint: str, journal: Journal, guard: Guard = LOCAL) -> Order | None:
    """The order to let an absolute loop go on from where the device is; None, for from 0, if no device says so."""
    try:
        with DeviceClient(endpoint, guard=guard) as device:
            at = where(device, WHERE_MS)
    except DeviceError as error:
        journal.say(f"the loop starts from 0, since the device does not say where it is: {error}")
        return None
    journal.say(f"the loop starts from where the device is: {at[0]:g}, {at[1]:g}")
    return Order(do="start_from", args={"position": list(at)})


def obey(books: Bookkeeper, request: Request, sockets: Sockets) -> bool:
    """Carry out one control request and answer it; whether it was the order to stop."""
    order = books.order(request.body)
    if order.do == "status":
        sockets.control.reply(request, books.status(time.monotonic_ns()))
        return False
    if order.do == "stop":
        sockets.control.reply(request, {"state": str(State.STOPPING)})
        return True
    try:
        applied, reply = books.obey(order)
    except ConfigError as error:
        sockets.control.refuse(request, str(error))
        return False
    sockets.results.send_event(applied)
    sockets.control.reply(request, reply)
    return False


class Loop:
    """The tracker's loop.

    The mutable state is when it last spoke, last told its status and last looked for a request, which frames it is warm
    for, how many the reference has not learnt from, whether the device has been asked where it is.
    """

    def __init__(
        self, books: Bookkeeper, sockets: Sockets, options: TrackerOptions, journal: Journal, config: Config
    ) -> None:
        self._books, self._sockets, self._journal, self._config = books, sockets, journal, config
        self._device, self._run = config.endpoints.device, secrets.randbits(63)
        self._guard, self._watchdog, self._hangup = build.guard(config), Watchdog(), Hangup()
        self._tick_ms = int(options.tick_ms)
        self._warmth = Warmth()
        self._asked_to_stop = self._has_position = False
        self._unlearnt = 0
        self._polled = 0
        self._spoke = self._told = time.monotonic_ns()

    def warm_up(self, frame_shape: tuple[int, ...], dtype: Any) -> None:
        """Compile and plan for these frames, then keep the garbage collector out."""
        ny, nx = frame_shape
        self._books.engine.warm_up((ny, nx), dtype)
        quiet()
        self._books.note(made=made())
        self._warmth.add((frame_shape, dtype))

    def run(self, stop: Stop) -> None:
        """Track until a stop is asked for; the last word is STOPPING."""
        self._hangup.listen()
        self._watchdog.ready(f"tracking {self._config.stream}")
        try:
            if self._books.engine.status()["controller"]["loop"] == "closed":
                self._find_device()
            while not (stop or self._asked_to_stop):
                self._turn(stop)
        finally:
            self._watchdog.stopping()
            last = self._books.farewell(time.monotonic_ns())
            self._sockets.results.send_event(Order(do="stop", n=self._books.events))
            self._sockets.results.send(*last)

    def _find_device(self) -> None:
        """Before the loop is closed for the first time: an absolute position has to start from somewhere."""
        if not self._has_position and self._books.engine.status()["controller"]["mode"] == "absolute":
            self._has_position = True
            order = device_order(self._device, self._journal, self._guard)
            if order is not None:
                self._sockets.results.send_event(self._books.obey(order)[0])

    def _turn(self, stop: Stop) -> None:
        books, sockets = self._books, self._sockets
        got = sockets.frames.receive(self._tick_ms)
        if got is not None:
            if got.frame is not None and self._warmth.lacks((got.frame.pixels.shape, got.frame.pixels.dtype)):
                self._change(got.frame, stop)
            now, utc_now = time.monotonic_ns(), time.time_ns()
            frame = books.admit(got, now, utc_now)
            learns = False
            if frame is not None and deliver(books, frame, sockets.results, self._journal):
                self._spoke = time.monotonic_ns()
                learns = self._may_learn()
            sockets.results.send_event(books.intake(got, now, utc_now, learns))
            if frame is not None and learns:
                self._learn(frame)
            self._complain(got)
        self._attend()

    def _may_learn(self) -> bool:
        """Whether the reference may learn now: when no frame waits, or none has been learnt from for too long."""
        self._unlearnt += 1
        if self._unlearnt <= UNLEARNT and not self._sockets.frames.idle:
            return False
        self._unlearnt = 0
        return True

    def _learn(self, frame: Frame) -> None:
        try:
            self._books.engine.learn()
        except RtregError as error:
            self._journal.complain("learn", f"the reference cannot learn from frame {frame.seq}: {error}")

    def _attend(self) -> None:
        """What is due besides frames: the word when there are none, the status, one request."""
        books, sockets = self._books, self._sockets
        now = time.monotonic_ns()
        if now - self._spoke >= self._tick_ms * 1_000_000:
            self._tick(now)
        if now - self._told >= STATUS_NS:
            self._told = now
            books.rate(now)
            books.note(made=made())
            sockets.status.send(books.status(now))
            gc.collect(0)  # what little cyclic garbage a second leaves, since the collector is off
        if now - self._polled >= POLL_NS:
            self._polled = now
            request = sockets.control.poll()
            if request is not None:
                self._answer(request)
        if self._hangup.take():
            self._journal.say(self._reload_or_say_why())
        self._watchdog.feed(now)

    def _answer(self, request: Request) -> None:
        do = request.body.get("do")
        if do == "checkpoint":
            self._tell_all()
            self._sockets.control.reply(request, {"n": self._books.events})
            return
        if do == "reload":
            self._answer_reload(request)
            return
        if do == "close":
            self._find_device()
        self._asked_to_stop = obey(self._books, request, self._sockets)

    def _answer_reload(self, request: Request) -> None:
        try:
            self._sockets.control.reply(request, self._reload()._asdict())
        except ConfigError as error:
            self._sockets.control.refuse(request, str(error))

    def _reload_or_say_why(self) -> str:
        now = time.monotonic_ns()
        self._watchdog.reloading(now)
        try:
            done = self._reload()
        except ConfigError as error:
            return f"not reloaded: {error}"
        finally:
            self._watchdog.ready(f"tracking {self._config.stream}")
        return f"reloaded: {done.tune or 'nothing new'}" + (
            f"; only after a restart: {', '.join(done.restart)}" if done.restart else ""
        )

    def _reload(self) -> Changes:
        """Read the configuration again and do what can be done without losing the lock; an order like any other."""
        tunable = build.tunable()
        found = changes(self._config, load(self._config.source, self._config.overrides), tunable)
        if found.tune:
            applied, _ = self._books.obey(self._books.order({"do": "retune", **found.tune}))
            self._sockets.results.send_event(applied)
            self._config = tuned(self._config, found.tune, tunable)
            self._books.note(config=self._config.digest)
        return found

    def _tell_all(self) -> None:
        """Publish a checkpoint: what it takes to go on from here, for those who record."""
        config = self._config
        body = {
            "books": self._books.snapshot(),
            "config": {"source": config.source, "stream": config.stream, "tables": config.tables},
            "host": host_id(),
            "wisdom": wisdom_text(),
            "numerics": numerics(),
        }
        self._sockets.results.send_checkpoint(Checkpoint(self._books.events, self._run, body))

    def _change(self, frame: Frame, stop: Stop) -> None:
        """Warm up for frames of another kind; this one will be too old.

        It takes seconds, in a thread of its own: meanwhile this one goes on to speak and to answer.
        """
        self._tick(time.monotonic_ns())
        shape, dtype = frame.pixels.shape, frame.pixels.dtype
        self._journal.say(f"warming up for frames of {shape} {dtype}")
        try:
            with stop.at_once(), self._watchdog.patient():
                self._meanwhile(lambda: self.warm_up(shape, dtype))
        except RtregError as error:  # every frame of this kind will be rejected for it; the next kind may do
            self._warmth.add((shape, dtype))
            self._journal.complain("warm up", f"cannot use frames of {shape} {dtype}: {error}")

    def _meanwhile(self, work: Callable[[], None]) -> None:
        """Do `work` in another thread and attend to all but frames until it is done; raises what it raised."""
        failed: list[Exception] = []

        def run() -> None:
            try:
                work()
            except Exception as error:
                failed.append(error)

        helper = threading.Thread(target=run, daemon=True)  # a stop does not wait for it
        helper.start()
        while helper.is_alive() and not self._asked_to_stop:
            self._attend()
            helper.join(self._tick_ms / 4e3)
        for error in failed:
            raise error

    def _tick(self, now: int) -> None:
        self._spoke = now
        tick = Tick(mono_ns=now, t_ns=time.time_ns())
        said = self._books.tick(tick)
        self._sockets.results.send_event(msgspec.structs.replace(tick, n=self._books.events))
        self._sockets.results.send(*said)

    def _complain(self, got: Reception) -> None:
        for error, sample in got.refused:
            self._journal.complain(error.reason, f"refused a message, {error.reason}: {error} [{sample.hex()}]")


def main(config: Config) -> int:
    """Run the tracker of `config` until SIGINT, SIGTERM or the order to stop."""
    stop, journal, ends = Stop().listen(), Journal("tracker"), config.endpoints
    with stop.at_once():
        options, guard = build.tracker_options(config), build.guard(config)
        granted = settle(options.affinity, options.priority, options.lock_memory)
        engine = build.engine(config)
        numerics()  # found out once, now: a checkpoint has to be quick
        expected = build.expected(config)
    books = Bookkeeper(
        engine,
        stream=config.stream,
        host=host_id(),
        max_age_ms=options.max_age_ms,
        valid_for_ms=options.valid_for_ms,
        clock_bound_ms=options.clock_bound_ms,
        facts={"config": config.digest, "granted": granted, "pauses": Pauses().listen().told},
    )
    with (
        ResultPublisher(ends.corrections, config.stream, guard=guard) as results,
        StatusPublisher(ends.status, config.stream, guard=guard) as status,
        ControlServer(ends.control, guard=guard) as control,
        FrameSubscriber(
            ends.frames,
            config.stream,
            patience_ms=options.patience_ms,
            spin=spins(options.spin, granted["affinity"], journal),
            max_bytes=int(options.max_frame_mib * 2**20),
            guard=guard,
        ) as frames,
    ):
        loop = Loop(books, Sockets(frames, results, status, control), options, journal, config)
        if expected is not None:
            with stop.at_once():
                loop.warm_up(*expected)
        journal.say(f"ready: {frames.endpoint} to {results.endpoint}, control {control.endpoint}, granted {granted}")
        loop.run(stop)
    last_words()
    journal.say(f"done: {books.ledger!r}")
    return 0
