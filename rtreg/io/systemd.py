"""A word to systemd, if it started us: ready, alive, stopping (sd_notify(3)). Without it all of this does nothing."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Final

__all__ = ["Watchdog"]

_PATIENCE_S: Final = 300  # while kernels are compiled


class Watchdog:
    """Tells systemd that the loop makes progress; it restarts a process that no longer does.

    `feed` belongs into the hot loop itself: a thread would go on feeding when the loop hangs. The mutable state is the
    socket, and when it was last fed.
    """

    def __init__(self) -> None:
        path = os.environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        if path.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
            self._path = f"\0{path[1:]}" if path.startswith("@") else path
        self.period_ns = _watchdog_us() * 1000 // 3
        self._fed = 0

    def ready(self, status: str) -> None:
        """Started; `status` is what ``systemctl status`` shows."""
        self._tell(f"READY=1\nSTATUS={status}")

    def feed(self, now_ns: int) -> None:
        """The loop has come round. Cheap enough for every turn: a comparison, and three messages in the time given."""
        if self.period_ns and now_ns - self._fed >= self.period_ns:
            self._fed = now_ns
            self._tell("WATCHDOG=1")

    @contextlib.contextmanager
    def patient(self) -> Iterator[None]:
        """While the loop may not come round for long: compiling for another kind of frame."""
        if self.period_ns:
            self._tell(f"WATCHDOG=1\nWATCHDOG_USEC={_PATIENCE_S * 1_000_000}")
        try:
            yield
        finally:
            if self.period_ns:
                self._tell(f"WATCHDOG=1\nWATCHDOG_USEC={_watchdog_us()}")

    def reloading(self, now_ns: int) -> None:
        """The configuration is read again; `ready` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={now_ns // 1000}")

    def stopping(self) -> None:
        """The loop has ended, and this with it."""
        self._tell("STOPPING=1")
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, text: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # nobody listens, or its queue is full: no reason to stop tracking
                self._socket.sendto(text.encode("utf-8", "replace"), self._path)


def _watchdog_us() -> int:
    """The time that systemd gives us, us; 0 if it does not watch this process."""
    mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) if mine and text.isdigit() else 0
