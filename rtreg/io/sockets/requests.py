"""Requests and answers: the control channel and the device channel, and which requests need which role."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import zmq

from rtreg.errors import ConfigError, WireError
from rtreg.io import wire
from rtreg.io.keys import Role
from rtreg.io.security import LOCAL, Guard
from rtreg.io.sockets.base import Socket
from rtreg.io.sockets.curve import role_of

__all__ = ["ControlClient", "ControlServer", "DeviceClient", "DeviceServer", "Request"]


class Request(NamedTuple):
    """A request and the envelope its answer goes back in."""

    envelope: list[bytes]
    body: dict[str, Any]


class _Server(Socket):
    """Requests in, answers out; without CURVE on this host only, whatever the config says.

    Who may only observe is answered `for_observers`, and else refused here.
    """

    for_observers: ClassVar[frozenset[str]]

    def __init__(self, endpoint: str, *, guard: Guard = LOCAL) -> None:
        super().__init__(zmq.ROUTER, endpoint, bind=True, guard=Guard(credentials=guard.credentials))

    def poll(self, timeout_ms: int = 0) -> Request | None:
        """The next request, or None; one that breaks the protocol, or is not for its sender, is refused at once."""
        if timeout_ms > 0 and not self._socket.poll(timeout_ms):
            return None
        parts = self._receive(0)
        if parts is None:
            return None
        envelope = [part.bytes for part in parts[:-1]]
        try:
            request = Request(envelope, wire.unpack_map(parts[-1].buffer))
        except WireError as error:
            self._answer(envelope, {"ok": False, "error": str(error)})
            return None
        do, role = str(request.body.get("do"))[:40], role_of(parts[-1], self._credentials)
        if role is Role.CONTROL or (role is Role.OBSERVE and do in self.for_observers):
            return request
        self.refuse(request, f"{do} is not for the role {role}; on the other host: rtreg keys authorize --role control")
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


class _Client(Socket):
    """Asks a `_Server`, one request at a time."""

    def __init__(self, endpoint: str, *, guard: Guard = LOCAL) -> None:
        super().__init__(zmq.REQ, endpoint, bind=False, guard=guard)

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
        try:
            self._socket.send(wire.pack_map({**request, **(args or {})}))
        except zmq.Again:
            raise WireError("timeout", f"no connection to {self.endpoint}: only one end has [security] curve") from None
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

    for_observers = frozenset({"status", "checkpoint"})


class ControlClient(_Client):
    """``rtreg ctl``'s end of the control channel."""


class DeviceServer(_Server):
    """The camera process's end of the device channel."""

    server = "camera"
    for_observers = frozenset({"where"})


class DeviceClient(_Client):
    """The actuator's end of the device channel."""

    server = "camera"
