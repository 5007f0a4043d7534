"""Corrections, events and status, out and in; and all of it as it is, for who passes it on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import zmq

from rtreg.errors import WireError
from rtreg.io import shm, wire
from rtreg.io.address import resolve, shared
from rtreg.io.security import LOCAL, Guard, Server
from rtreg.io.sockets.base import BACKLOG, DRAIN, MARGIN, Socket, buffers
from rtreg.io.sockets.curve import protect
from rtreg.records import Checkpoint, Delivery, Event, Result

__all__ = [
    "CorrectionSubscriber",
    "EventSubscriber",
    "Relay",
    "ResultPublisher",
    "StatusPublisher",
    "StatusSubscriber",
    "Tap",
]

T = TypeVar("T")

# messages: an event says what each receive brought, so that a recording has to have all of them. A tracker that works
# off the frames that wait says dozens before libzmq's own thread gets a core; they are small
RESULTS_WAITING = 512


class ResultPublisher(Socket):
    """Corrections and events out, on one socket, so that a subscriber to both sees them in their order."""

    def __init__(self, endpoint: str, stream: str, *, guard: Guard = LOCAL) -> None:
        self.stream = wire.stream_name(stream)
        super().__init__(zmq.PUB, endpoint, bind=True, guard=guard, SNDHWM=RESULTS_WAITING)

    def send(self, result: Result, delivery: Delivery) -> None:
        """Publish a correction."""
        self._send(wire.pack_correction(result, delivery))

    def send_event(self, event: Event) -> None:
        """Publish an order, a tick or an intake as it has been applied."""
        self._send(wire.pack_event(self.stream, event))

    def send_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Publish a checkpoint."""
        self._send(wire.pack_checkpoint(self.stream, checkpoint), copy=False)


class StatusPublisher(Socket):
    """The status out, about once a second."""

    def __init__(self, endpoint: str, stream: str, *, guard: Guard = LOCAL) -> None:
        self.stream = wire.stream_name(stream)
        super().__init__(zmq.PUB, endpoint, bind=True, guard=guard)

    def send(self, content: dict[str, Any]) -> None:
        """Publish `content`, a plain map."""
        self._send(wire.pack_status(self.stream, content))


class _Subscriber(Socket, Generic[T]):
    """Small messages in. What breaks the protocol is counted by reason in `refused` and passed over."""

    def __init__(self, endpoint: str, topic: bytes, unpack: Callable[[list[memoryview]], T], guard: Guard) -> None:
        self.refused: Counter[str] = Counter()
        self._unpack = unpack
        super().__init__(zmq.SUB, endpoint, bind=False, guard=guard, SUBSCRIBE=topic)

    def receive(self, timeout_ms: int) -> T | None:
        """The next message, or None if no good one came within `timeout_ms` (of the last bad one)."""
        for _ in range(DRAIN):
            parts = self._receive(timeout_ms)
            if parts is None:
                break
            try:
                return self._unpack(buffers(parts))
            except WireError as error:
                self.refused[error.reason] += 1
        return None

    def newest(self, timeout_ms: int) -> T | None:
        """Like `receive`, but of all that is waiting only the newest, however long nobody looked."""
        last = self.receive(timeout_ms)
        for _ in range(BACKLOG):
            item = self.receive(0) if last is not None else None
            if item is None:
                break
            last = item
        return last


class CorrectionSubscriber(_Subscriber[wire.Correction]):
    """Corrections in."""

    def __init__(self, endpoint: str, stream: str, *, guard: Guard = LOCAL) -> None:
        super().__init__(endpoint, wire.topic("c", wire.stream_name(stream)), wire.unpack_correction, guard)


class EventSubscriber(_Subscriber[Event]):
    """Orders, ticks and intakes in; they are published where corrections are."""

    def __init__(self, endpoint: str, stream: str, *, guard: Guard = LOCAL) -> None:
        super().__init__(endpoint, wire.topic("o", wire.stream_name(stream)), wire.unpack_event, guard)


class StatusSubscriber(_Subscriber[dict[str, Any]]):
    """The status in."""

    def __init__(self, endpoint: str, stream: str, *, guard: Guard = LOCAL) -> None:
        super().__init__(endpoint, wire.topic("s", wire.stream_name(stream)), wire.unpack_status, guard)


class Tap(Socket):
    """Messages of several publishers and topics as they are, for who passes them on without looking inside.

    What one publisher sent comes in its order. `endpoints` come with the process that binds each; `max_bytes` is the
    largest message.
    """

    def __init__(
        self,
        endpoints: Sequence[tuple[Server, str]],
        topics: Sequence[bytes],
        *,
        max_bytes: int,
        guard: Guard = LOCAL,
    ) -> None:
        self.peers = [resolve(endpoint) for _, endpoint in endpoints]
        self._fetch = shm.Reader().get if any(shared(endpoint) for _, endpoint in endpoints) else None
        self.server = endpoints[0][0]
        super().__init__(
            zmq.SUB,
            self.peers[0],
            bind=False,
            guard=guard,
            RCVHWM=1000,
            MAXMSGSIZE=max_bytes + MARGIN,
            RECONNECT_IVL_MAX=0,
        )
        for (server, _), peer in zip(endpoints[1:], self.peers[1:], strict=True):
            if guard.credentials is not None:
                protect(self._socket, guard.credentials, bind=False, server=server)
            self._socket.connect(peer)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic)

    def receive(self, timeout_ms: int) -> list[memoryview] | None:
        """The parts of the next message, or None if nothing came within `timeout_ms`.

        A frame in shared memory comes with its pixels; with none where those have been overwritten.
        """
        parts = self._receive(timeout_ms)
        if parts is None:
            return None
        views = buffers(parts)
        if self._fetch is not None and len(views) == 3 and bytes(views[0][:2]) == b"f/":
            try:
                views[2] = self._fetch(views[2])
            except WireError:
                views[2] = memoryview(b"")
        return views


class Relay(Socket):
    """Messages out as they are, in place of the process that says them: `server` names it.

    With `wait` a slow subscriber is waited for, and nothing is dropped.
    """

    def __init__(self, endpoint: str, server: Server = "camera", *, wait: bool = False, guard: Guard = LOCAL) -> None:
        self.server = server
        patient = {"XPUB_NODROP": 1, "SNDTIMEO": 1000} if wait else {}
        super().__init__(zmq.PUB, endpoint, bind=True, guard=guard, **patient)

    def send(self, parts: Sequence[wire.Buffer]) -> bool:
        """Publish a message, topic first; False if a subscriber that is waited for has not taken it for a second."""
        try:
            self._send(parts)
        except zmq.Again:
            return False
        return True
