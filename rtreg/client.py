"""For who consumes corrections: only those that may be acted on, and an exception when there are none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Self

from rtreg.errors import StaleCorrection
from rtreg.io.config import Endpoints
from rtreg.io.realtime import host_id
from rtreg.io.security import LOCAL, Guard
from rtreg.io.sockets import CorrectionSubscriber
from rtreg.io.wire import Correction

__all__ = ["Corrections", "StaleCorrection"]

_WHY = {
    "another host": "it comes from host {host}, by whose clock this one cannot tell when it expires",
    "expired": "it expired {late:.1f} ms ago",
    "stale": "the tracker has had no frame for too long",
    "stopping": "the tracker stops",
}


class Corrections:
    """The corrections of a tracker on this host, as long as they may be acted on.

    Parameters
    ----------
    endpoint : str, optional
        Where the tracker publishes; the default is that of ``[endpoints] corrections``.
    stream : str
        Name of the stream.
    timeout_ms : float
        How long silence is borne, ms. A tracker speaks at least ten times a second, with frames or without.
    guard : Guard
        Keys, where the endpoint asks for them: ``rtreg.build.guard(config)``.

    Examples
    --------
    ::

        with rtreg.client.Corrections() as corrections:
            for correction in corrections:               # raises StaleCorrection: stop what moves
                if correction.result.state is State.LOCKED:
                    mirror.move(correction.result.command.u)
                    ...

    Notes
    -----
    The mutable state is the subscription. For one thread.
    """

    def __init__(
        self, endpoint: str | None = None, stream: str = "cam", *, timeout_ms: float = 300.0, guard: Guard = LOCAL
    ) -> None:
        self._subscriber = CorrectionSubscriber(endpoint or Endpoints().corrections, stream, guard=guard)
        self._timeout_ns = round(timeout_ms * 1e6)
        self._host = host_id()

    def __repr__(self) -> str:
        return f"<Corrections from {self._subscriber.endpoint}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the subscription."""
        self._subscriber.close()

    def __iter__(self) -> Iterator[Correction]:
        """Corrections as they come, of several that wait only the newest; ends by raising `StaleCorrection`."""
        while True:
            yield self.newest()

    def newest(self) -> Correction:
        """The newest correction that has not been returned before.

        Raises
        ------
        StaleCorrection
            None came within `timeout_ms`, or the newest may not be acted on. The next call tries again.
        """
        deadline = time.monotonic_ns() + self._timeout_ns
        got = None
        while got is None:  # a message that breaks the protocol must not begin the wait anew
            left = deadline - time.monotonic_ns()
            if left <= 0:
                at, waited = self._subscriber.endpoint, self._timeout_ns / 1e6
                raise StaleCorrection("silent", f"nothing heard from {at} for {waited:g} ms; is the tracker running?")
            got = self._subscriber.newest(max(1, min(left // 1_000_000, 20)))
        self.check(got)
        return got

    def check(self, correction: Correction) -> None:
        """Raise `StaleCorrection` if `correction` may not be acted on now: to be asked again before a slow move."""
        now = time.monotonic_ns()
        if reason := correction.refusal(self._host, now):
            delivery = correction.delivery
            why = _WHY[reason].format(host=delivery.host or "unknown", late=(now - delivery.valid_until) / 1e6)
            raise StaleCorrection(reason, f"correction of frame {correction.result.seq} may not be acted on: {why}")
