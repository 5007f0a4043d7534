"""What all sockets share: every ZeroMQ option in one place, the guard, the lock on the endpoint."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, Self

import zmq

from rtreg.errors import ConfigError, WireError
from rtreg.io import wire
from rtreg.io.address import check_bindable, hold, owner, resolve
from rtreg.io.security import LOCAL, Guard, Server
from rtreg.io.sockets.curve import protect
from rtreg.records import Refusal

__all__ = ["BACKLOG", "DRAIN", "MARGIN", "NOBLOCK", "POLLIN", "SMALL_BYTES", "Socket", "buffers", "refusal"]

SMALL_BYTES: Final = wire.HEADER_BYTES + 4096
DRAIN: Final = 64  # messages looked at in one go, so that a flood cannot keep us from answering
BACKLOG: Final = 4096  # more than a queue of small messages holds: looking at so many empties it
MARGIN: Final = 64 * 2**20  # libzmq drops what is above its limit and tells nobody: ours is below it, and counted
NOBLOCK: Final = int(zmq.NOBLOCK)  # plain numbers: pyzmq's flags take a microsecond to combine
POLLIN: Final = int(zmq.POLLIN)
_MORE: Final = int(zmq.SNDMORE)
_SAMPLE: Final = 32  # bytes of a refused message kept for the log: 64 hexadecimal digits

# Without heartbeats a frozen peer raises no event at all; the default linger hangs at exit; the default
# reconnect interval doubles the time to the first frame after a restart, and one that backs off further than 100 ms
# breaks the promise of 250 ms once a publisher was away for a second.
_COMMON: Final = MappingProxyType(
    {
        zmq.LINGER: 200,
        zmq.HEARTBEAT_IVL: 500,
        zmq.HEARTBEAT_TIMEOUT: 1500,
        zmq.HANDSHAKE_IVL: 3000,
        zmq.RECONNECT_IVL: 10,
        zmq.RECONNECT_IVL_MAX: 100,
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
        # Subscriptions travel to the publisher: the cap on their size is what stops a subscription bomb. CURVE's own
        # handshake is larger, see `Socket`.
        zmq.PUB: {**_STREAMING, zmq.SNDHWM: 16, zmq.MAXMSGSIZE: 64},
        zmq.SUB: {**_STREAMING, zmq.MAXMSGSIZE: SMALL_BYTES},
        zmq.ROUTER: {zmq.MAXMSGSIZE: SMALL_BYTES, zmq.RCVHWM: 64, zmq.SNDHWM: 64},
        # A request nobody answered is dropped, not delivered late; a late answer is not taken for the next one's.
        # Sending does not wait either: a peer that does not speak CURVE, or alone does, is given up by libzmq for good.
        zmq.REQ: {
            zmq.MAXMSGSIZE: SMALL_BYTES,
            zmq.LINGER: 0,
            zmq.SNDTIMEO: 0,
            zmq.REQ_RELAXED: 1,
            zmq.REQ_CORRELATE: 1,
        },
    }
)
_CURVE_SUBSCRIPTION: Final = 512  # MAXMSGSIZE of a PUB with CURVE: its handshake does not fit into 64 bytes


class Socket:
    """One socket with the project's options, bound or connected; closes as a context manager.

    `server` is the process that has the bound end. Its CURVE key is what the others must know.
    """

    server: Server = "tracker"

    def __init__(
        self, kind: zmq.SocketType, endpoint: str, *, bind: bool, guard: Guard = LOCAL, **options: int | bytes
    ) -> None:
        address = resolve(endpoint)
        self.endpoint = address
        self._lock = -1
        self._credentials = guard.credentials
        self._timeout_ms = -1
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
        try:
            for option, value in {**_COMMON, **_OF_TYPE[kind]}.items():
                self._socket.setsockopt(option, value)
            for name, setting in options.items():
                self._socket.setsockopt(getattr(zmq, name), setting)
            if guard.credentials is not None:
                if kind == zmq.PUB:
                    self._socket.setsockopt(zmq.MAXMSGSIZE, _CURVE_SUBSCRIPTION)
                protect(self._socket, guard.credentials, bind=bind, server=self.server)
            if bind:
                check_bindable(address, allow_public=guard.public or guard.credentials is not None)
                self._lock = hold(address)
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
            return self._parts(0)
        except zmq.Again:
            return None

    def _parts(self, flags: int) -> list[zmq.Frame]:
        """The next message: as `recv_multipart`, which asks the socket, and not the part, whether there are more."""
        part = self._socket.recv(flags, copy=False)
        parts = [part]
        while part.more:
            part = self._socket.recv(0, copy=False)
            parts.append(part)
        return parts

    def _send(self, parts: Sequence[wire.Buffer], *, copy: bool = True) -> None:
        """Send a message: as `send_multipart`, which pays for the type of its flags at each part."""
        for part in parts[:-1]:
            self._socket.send(part, _MORE, copy)
        self._socket.send(parts[-1], 0, copy)


def _explain(endpoint: str, bind: bool, error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = owner(resolve(endpoint))
        who = f"process {holder}" if holder else "another process"
        return f"endpoint {endpoint} is in use by {who}; stop it or choose another in [endpoints]"
    return f"endpoint {endpoint}: cannot {'bind' if bind else 'connect'}: {error.strerror or error}"


def buffers(parts: list[zmq.Frame]) -> list[memoryview]:
    return [part.buffer for part in parts]


def refusal(error: WireError, parts: list[zmq.Frame]) -> Refusal:
    return Refusal(error, bytes(parts[min(1, len(parts) - 1)].buffer[:_SAMPLE]))


def last_words() -> None:
    """Wait until what closed sockets have sent is on its way, at most their linger: at the end of a process alone.

    On one core at real-time priority the thread that sends has had no turn since; an exit would take it along.
    """
    zmq.Context.instance().term()
