"""The sockets: every ZeroMQ option in one place, one thin class a role. The only user of zmq.

Mutable state is a socket and, for ipc, the lock beside its path; none of it may be shared between threads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar

import msgspec
import zmq

from rtreg.errors import ConfigError, WireError
from rtreg.io import wire
from rtreg.io.address import check_bindable, hold_ipc, resolve
from rtreg.io.realtime import host_id
from rtreg.records import Checkpoint, Delivery, Event, Frame, Reception, Refusal, Result

__all__ = [
    "ControlClient",
    "ControlServer",
    "CorrectionSubscriber",
    "DeviceClient",
    "DeviceServer",
    "EventSubscriber",
    "FramePublisher",
    "FrameSubscriber",
    "Request",
    "ResultPublisher",
    "StatusPublisher",
    "StatusSubscriber",
    "Tap",
]

DEFAULT_FRAME_BYTES: Final = 64 * 2**20
_SMALL_BYTES: Final = wire.HEADER_BYTES + 4096
_DRAIN: Final = 64  # messages looked at in one go, so that a flood cannot keep us from answering
_BACKLOG: Final = 4096  # more than a queue of small messages holds: looking at so many empties it
_MARGIN: Final = 64 * 2**20  # libzmq drops what is above its limit and tells nobody: ours is below it, and counted
_SAMPLE: Final = 32  # bytes of a refused message kept for the log: 64 hexadecimal digits

# Without heartbeats a frozen peer raises no event at all; the default linger hangs at exit; the default
# reconnect interval doubles the time to the first frame after a restart.
_COMMON: Final = MappingProxyType(
    {
        zmq.LINGER: 200,
        zmq.HEARTBEAT_IVL: 500,
        zmq.HEARTBEAT_TIMEOUT: 1500,
        zmq.HANDSHAKE_IVL: 3000,
        zmq.RECONNECT_IVL: 10,
        zmq.RECONNECT_IVL_MAX: 1000,
    }
)
# No heartbeats between publisher and subscriber: a subscriber that works for 1.5 s while its queue is full reads no
# ping, reconnects, and then libzmq (4.3.5, issue 3937) aborts the process: "Assertion failed: _input_stopped". The
# kernel's keep-alive sees a pulled cable too; a publisher that is silent is told by the time since its last message.
_STREAMING: Final = {
    zmq.HEARTBEAT_IVL: 0,
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 1,
    zmq.TCP_KEEPALIVE_INTVL: 1,
    zmq.TCP_KEEPALIVE_CNT: 3,
}
_OF_TYPE: Final = MappingProxyType(
    {
        # Subscriptions travel to the publisher: the cap on their size is what stops a subscription bomb.
        zmq.PUB: {**_STREAMING, zmq.SNDHWM: 16, zmq.MAXMSGSIZE: 64},
        zmq.SUB: {**_STREAMING, zmq.MAXMSGSIZE: _SMALL_BYTES},
        zmq.ROUTER: {zmq.MAXMSGSIZE: _SMALL_BYTES, zmq.RCVHWM: 64, zmq.SNDHWM: 64},
        # A request nobody answered is dropped, not delivered late; a late answer is not taken for the next one's.
        zmq.REQ: {zmq.MAXMSGSIZE: _SMALL_BYTES, zmq.LINGER: 0, zmq.REQ_RELAXED: 1, zmq.REQ_CORRELATE: 1},
    }
)

T = TypeVar("T")


class Request(NamedTuple):
    """A request and the envelope its answer goes back in."""

    envelope: list[bytes]
    body: dict[str, Any]


class _Socket:
    """One socket with the project's options, bound or connected; closes as a context manager."""

    def __init__(
        self, kind: zmq.SocketType, endpoint: str, *, bind: bool, allow_public: bool = False, **options: int | bytes
    ) -> None:
        address = resolve(endpoint)
        self.endpoint = address
        self._lock = -1
        self._timeout_ms = -1
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
        try:
            for option, value in {**_COMMON, **_OF_TYPE[kind]}.items():
                self._socket.setsockopt(option, value)
            for name, setting in options.items():
                self._socket.setsockopt(getattr(zmq, name), setting)
            if bind:
                check_bindable(address, allow_public=allow_public)
                self._lock = hold_ipc(address) if address.startswith("ipc://") else -1
                self._socket.bind(address)
            else:
                self._socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise ConfigError(_explain(endpoint, bind, error)) from None
        except ConfigError:
            self.close()
            raise
        self.endpoint = self._socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.endpoint}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close; what is still to be sent has 200 ms."""
        self._socket.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _receive(self, timeout_ms: int) -> list[zmq.Frame] | None:
        """The next message, or None after `timeout_ms` (0: at once). Signal handlers run meanwhile."""
        if timeout_ms != self._timeout_ms:
            self._socket.setsockopt(zmq.RCVTIMEO, timeout_ms)
            self._timeout_ms = timeout_ms
        try:
            return self._socket.recv_multipart(copy=False)
        except zmq.Again:
            return None


def _explain(endpoint: str, bind: bool, error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"endpoint {endpoint} is in use; stop the process that holds it or choose another in [endpoints]"
    return f"endpoint {endpoint}: cannot {'bind' if bind else 'connect'}: {error.strerror or error}"


def _buffers(parts: list[zmq.Frame]) -> list[memoryview]:
    return [part.buffer for part in parts]


def _refusal(error: WireError, parts: list[zmq.Frame]) -> Refusal:
    return Refusal(error, bytes(parts[min(1, len(parts) - 1)].buffer[:_SAMPLE]))


# Frames


class FramePublisher(_Socket):
    """Frames out. Adds to each what identifies it: stream, epoch, seq, hand-over time and host.

    The epoch is random and new with each publisher, so that a restart is not taken for a gap.
    """

    def __init__(self, endpoint: str, stream: str, *, allow_public: bool = False) -> None:
        self.stream = wire.stream_name(stream)
        self.epoch = int.from_bytes(os.urandom(8), "little") >> 1
        self.seq = 0
        self._host = host_id()
        super().__init__(zmq.PUB, endpoint, bind=True, allow_public=allow_public)

    def send(self, frame: Frame) -> None:
        """Publish `frame`; its pixels must not be written to afterwards, from 64 KiB up they are not copied."""
        stamped = msgspec.structs.replace(
            frame,
            stream=self.stream,
            epoch=self.epoch,
            seq=self.seq,
            mono_ns=time.monotonic_ns(),
            host=self._host,
        )
        self._socket.send_multipart(wire.pack_frame(stamped), copy=False)
        self.seq += 1


class FrameSubscriber(_Socket):
    """Frames in. `newest` (live): the queue is drained and the newest frame wins; else every frame comes, in order.

    Measured with 15 ms of work on 100 frames a second: without draining a frame is 2.7 s old after 8 s, with it 6 ms.
    """

    def __init__(
        self, endpoint: str, stream: str, *, newest: bool = True, max_bytes: int = DEFAULT_FRAME_BYTES
    ) -> None:
        self._newest, self._max_bytes = newest, max_bytes
        super().__init__(
            zmq.SUB,
            endpoint,
            bind=False,
            RCVHWM=8 if newest else 1000,
            MAXMSGSIZE=max(4 * max_bytes, max_bytes + _MARGIN),
            SUBSCRIBE=wire.topic("f", wire.stream_name(stream)),
        )

    def receive(self, timeout_ms: int) -> Reception | None:
        """What came, or None if nothing did within `timeout_ms`; never raises for what is on the wire."""
        parts = self._receive(timeout_ms)
        if parts is None:
            return None
        newest: Frame | None = None
        skipped: list[Frame] = []
        refused: list[Refusal] = []
        for seen in range(1, _DRAIN + 1):
            received = time.monotonic_ns()
            try:
                frame = wire.unpack_frame(_buffers(parts), received, max_bytes=self._max_bytes)
            except WireError as error:
                refused.append(_refusal(error, parts))
            else:
                if newest is not None:
                    skipped.append(newest)
                newest = frame
            if seen == _DRAIN or not (self._newest and self._waiting()):
                break
            parts = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
        return Reception(newest, skipped, refused)

    def _waiting(self) -> bool:
        """Whether a message is there: cheaper to ask than to catch an exception, and mostly there is none."""
        return bool(int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


# Results


class ResultPublisher(_Socket):
    """Corrections and events out, on one socket, so that a subscriber to both sees them in their order."""

    def __init__(self, endpoint: str, stream: str, *, allow_public: bool = False) -> None:
        self.stream = wire.stream_name(stream)
        super().__init__(zmq.PUB, endpoint, bind=True, allow_public=allow_public)

    def send(self, result: Result, delivery: Delivery) -> None:
        """Publish a correction."""
        self._socket.send_multipart(wire.pack_correction(result, delivery))

    def send_event(self, event: Event) -> None:
        """Publish an order, a tick or an intake as it has been applied."""
        self._socket.send_multipart(wire.pack_event(self.stream, event))

    def send_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Publish a checkpoint."""
        self._socket.send_multipart(wire.pack_checkpoint(self.stream, checkpoint), copy=False)


class StatusPublisher(_Socket):
    """The status out, about once a second."""

    def __init__(self, endpoint: str, stream: str, *, allow_public: bool = False) -> None:
        self.stream = wire.stream_name(stream)
        super().__init__(zmq.PUB, endpoint, bind=True, allow_public=allow_public)

    def send(self, content: dict[str, Any]) -> None:
        """Publish `content`, a plain map."""
        self._socket.send_multipart(wire.pack_status(self.stream, content))


class _Subscriber(_Socket, Generic[T]):
    """Small messages in. What breaks the protocol is counted by reason in `refused` and passed over."""

    def __init__(self, endpoint: str, topic: bytes, unpack: Callable[[list[memoryview]], T]) -> None:
        self.refused: Counter[str] = Counter()
        self._unpack = unpack
        super().__init__(zmq.SUB, endpoint, bind=False, SUBSCRIBE=topic)

    def receive(self, timeout_ms: int) -> T | None:
        """The next message, or None if no good one came within `timeout_ms` (of the last bad one)."""
        for _ in range(_DRAIN):
            parts = self._receive(timeout_ms)
            if parts is None:
                break
            try:
                return self._unpack(_buffers(parts))
            except WireError as error:
                self.refused[error.reason] += 1
        return None

    def newest(self, timeout_ms: int) -> T | None:
        """Like `receive`, but of all that is waiting only the newest, however long nobody looked."""
        last = self.receive(timeout_ms)
        for _ in range(_BACKLOG):
            item = self.receive(0) if last is not None else None
            if item is None:
                break
            last = item
        return last


class CorrectionSubscriber(_Subscriber[wire.Correction]):
    """Corrections in."""

    def __init__(self, endpoint: str, stream: str) -> None:
        super().__init__(endpoint, wire.topic("c", wire.stream_name(stream)), wire.unpack_correction)


class EventSubscriber(_Subscriber[Event]):
    """Orders, ticks and intakes in; they are published where corrections are."""

    def __init__(self, endpoint: str, stream: str) -> None:
        super().__init__(endpoint, wire.topic("o", wire.stream_name(stream)), wire.unpack_event)


class StatusSubscriber(_Subscriber[dict[str, Any]]):
    """The status in."""

    def __init__(self, endpoint: str, stream: str) -> None:
        super().__init__(endpoint, wire.topic("s", wire.stream_name(stream)), wire.unpack_status)


class Tap(_Socket):
    """Messages of several publishers and topics as they are, for who passes them on without looking inside.

    What one publisher sent comes in its order. `max_bytes` is the largest message.
    """

    def __init__(self, endpoints: Sequence[str], topics: Sequence[bytes], *, max_bytes: int) -> None:
        self.peers = [resolve(endpoint) for endpoint in endpoints]
        super().__init__(
            zmq.SUB, endpoints[0], bind=False, RCVHWM=1000, MAXMSGSIZE=max_bytes + _MARGIN, RECONNECT_IVL_MAX=0
        )
        for peer in self.peers[1:]:
            self._socket.connect(peer)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic)

    def receive(self, timeout_ms: int) -> list[memoryview] | None:
        """The parts of the next message, or None if nothing came within `timeout_ms`."""
        parts = self._receive(timeout_ms)
        return None if parts is None else _buffers(parts)


# Requests and answers


class _Server(_Socket):
    """Requests in, answers out; on this host only, whatever the config says."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(zmq.ROUTER, endpoint, bind=True)

    def poll(self, timeout_ms: int = 0) -> Request | None:
        """The next request, or None; one that breaks the protocol is answered with its error and passed over."""
        if timeout_ms > 0 and not self._socket.poll(timeout_ms):
            return None
        parts = self._receive(0)
        if parts is None:
            return None
        envelope = [part.bytes for part in parts[:-1]]
        try:
            return Request(envelope, wire.unpack_map(parts[-1].buffer))
        except WireError as error:
            self._answer(envelope, {"ok": False, "error": str(error)})
            return None

    def reply(self, request: Request, body: dict[str, Any]) -> None:
        """Answer `request` with ``{"ok": true, **body}``."""
        self._answer(request.envelope, {"ok": True, **body})

    def refuse(self, request: Request, error: str) -> None:
        """Answer `request` with ``{"ok": false, "error": error}``."""
        self._answer(request.envelope, {"ok": False, "error": error})

    def _answer(self, envelope: list[bytes], body: dict[str, Any]) -> None:
        with contextlib.suppress(zmq.ZMQError):  # the peer has gone, or does not read its answers
            self._socket.send_multipart([*envelope, wire.pack_map(body)], zmq.NOBLOCK)


class _Client(_Socket):
    """Asks a `_Server`, one request at a time."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(zmq.REQ, endpoint, bind=False)

    def ask(self, do: str, args: Mapping[str, Any] | None = None, *, timeout_ms: int = 2000) -> dict[str, Any]:
        """The answer to one request with its arguments, ``ok`` true or false.

        Raises
        ------
        ConfigError
            An argument has a name that every request uses itself: v, do.
        WireError
            reason "timeout": nobody answered; or the answer breaks the protocol.
        """
        request = {"v": wire.VERSION, "do": do}
        if taken := request.keys() & (args or {}).keys():
            raise ConfigError(f"{do} cannot have an argument named {min(taken)!r}")
        self._socket.send(wire.pack_map({**request, **(args or {})}))
        parts = self._receive(timeout_ms)
        if parts is None:
            raise WireError("timeout", f"no answer from {self.endpoint} in {timeout_ms} ms; is that process running?")
        return wire.unpack_answer(parts[-1].buffer)

    def tell(self, do: str) -> None:
        """Ask without waiting for an answer; what cannot be sent at once is not sent."""
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send(wire.pack_map({"v": wire.VERSION, "do": do}), zmq.NOBLOCK)


class ControlServer(_Server):
    """The tracker's end of the control channel."""


class ControlClient(_Client):
    """``rtreg ctl``'s end of the control channel."""


class DeviceServer(_Server):
    """The camera process's end of the device channel."""


class DeviceClient(_Client):
    """The actuator's end of the device channel."""
