"""CURVE on a socket: the keys it uses, and the thread that decides who may connect (ZAP, https://rfc.zeromq.org/spec/27)."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from typing import Final

import zmq
import zmq.utils.z85

from rtreg.errors import ConfigError
from rtreg.io.keys import Role
from rtreg.io.security import Credentials, Server

__all__ = ["new_pair", "protect", "role_of"]

_ZAP: Final = "inproc://zeromq.zap.01"
_AFTER_DENIAL_S: Final = 0.01  # so that who is not let in cannot keep us busy with asking again


def new_pair() -> tuple[str, str]:
    """A new public and its secret key, Z85; the public one does not look like an option of a command."""
    public, secret = zmq.curve_keypair()
    while public.startswith(b"-"):
        public, secret = zmq.curve_keypair()
    return public.decode("ascii"), secret.decode("ascii")


def protect(socket: zmq.Socket[bytes], credentials: Credentials, *, bind: bool, server: Server) -> None:
    """Let `socket` speak CURVE only; `server` is the process that has its bound end."""
    socket.setsockopt(zmq.CURVE_PUBLICKEY, credentials.public.encode("ascii"))
    socket.setsockopt(zmq.CURVE_SECRETKEY, credentials.secret.encode("ascii"))
    if bind:
        _doorkeeper().admit_to(credentials)
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.ZAP_DOMAIN, _domain(credentials))
    else:
        socket.setsockopt(zmq.CURVE_SERVERKEY, credentials.servers[server].encode("ascii"))


def role_of(part: zmq.Frame, credentials: Credentials | None) -> Role:
    """What the sender of a message may do, by the list as it is now. Without CURVE all is on this host: everything."""
    if credentials is None:
        return Role.CONTROL
    with contextlib.suppress(zmq.ZMQError, KeyError):
        return _role(credentials, str(part.get("User-Id")))
    return Role.NONE


def _role(credentials: Credentials, key: str) -> Role:
    return Role.CONTROL if key == credentials.public else credentials.keyring.role(key)


def _domain(credentials: Credentials) -> bytes:
    """One for each key and keyring, so that in one process there can be several."""
    return f"{credentials.public} {credentials.keyring.folder}".encode()[:255]


class _Doorkeeper(threading.Thread):
    """Answers libzmq's question whether a peer, which has proved that it holds a key, may connect.

    The mutable state is `_domains`, written by who makes a socket and read by the thread, and its own socket. It
    sleeps in libzmq but when someone connects, so that it does not keep the hot loop from the interpreter.
    """

    def __init__(self) -> None:
        super().__init__(name="doorkeeper", daemon=True)
        self._domains: dict[bytes, Credentials] = {}
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.bind(_ZAP)
        except zmq.ZMQError:
            self._socket.close()
            raise ConfigError("another ZAP handler runs in this process; CURVE needs its own") from None

    def admit_to(self, credentials: Credentials) -> None:
        """Answer for sockets with these credentials, too."""
        self._domains[_domain(credentials)] = credentials

    def run(self) -> None:
        """Answer until the context ends."""
        try:
            while True:
                answer, admitted = self._answer(self._socket.recv_multipart())
                if not admitted:
                    time.sleep(_AFTER_DENIAL_S)
                self._socket.send_multipart(answer)
        except zmq.ZMQError:
            self._socket.close()

    def _answer(self, parts: list[bytes]) -> tuple[list[bytes], bool]:
        version, request, domain, _, _, mechanism, *rest = parts
        credentials = self._domains.get(domain)
        key = zmq.utils.z85.encode(rest[0]).decode("ascii") if len(rest) == 1 and len(rest[0]) == 32 else ""
        if mechanism == b"CURVE" and key and credentials and _role(credentials, key) is not Role.NONE:
            return [version, request, b"200", b"OK", key.encode("ascii"), b""], True
        # 300, "try again", and not 400: after that a client gives up for good, even if it is let in a minute later.
        return [version, request, b"300", b"not authorized", b"", b""], False


@functools.cache
def _doorkeeper() -> _Doorkeeper:
    """The one of this process, running."""
    keeper = _Doorkeeper()
    keeper.start()
    return keeper
