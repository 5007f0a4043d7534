"""Before a tracker is followed, its loop goes on from where the device is: the end of wind-up while nobody moved it."""

from __future__ import annotations

import time

from rtreg.errors import DeviceError, WireError
from rtreg.io.actuators import where
from rtreg.io.sockets import ControlClient, DeviceClient
from rtreg.io.wire import Correction
from rtreg.services.journal import Journal

ANSWER_MS = 500  # of the tracker, which looks at requests between two frames


class Rejoin:
    """Tells the tracker where the device is, when this process has not acted on its corrections for a while.

    An integrator cannot know that nobody makes its moves: an absolute position goes on adding up, to its limit. Who
    begins to act, or comes back, would throw the device there. So the tracker is ordered to start from where the
    device is, and what it said before is passed over.

    Parameters
    ----------
    device : DeviceClient
    control : ControlClient
        The tracker's; under CURVE the actuator's key needs the role "control" there.
    after_ms : float
        How long without a correction that could be acted on is a while, ms; no order follows another sooner.
    timeout_ms : int
        How long to wait for the device's answer, ms.
    journal : Journal
    host : str
        Whose CLOCK_MONOTONIC ours is.

    Notes
    -----
    The mutable state: when a correction was last acted on, and when the tracker was last told.
    """

    def __init__(
        self,
        device: DeviceClient,
        control: ControlClient,
        *,
        after_ms: float,
        timeout_ms: int,
        journal: Journal,
        host: str,
    ) -> None:
        self._device, self._control, self._journal, self._host = device, control, journal, host
        self._after_ns, self._timeout_ms = round(after_ms * 1e6), timeout_ms
        self._acted_ns = self._told_ns = self._valid_from = -2 * self._after_ns  # long ago

    def __repr__(self) -> str:
        return f"<Rejoin {self._control.endpoint} after {self._after_ns / 1e6:g} ms>"

    def follows(self, correction: Correction, now_ns: int) -> bool:
        """Whether this correction counts; when it is time, the tracker is told first, and then this one does not."""
        if correction.refusal(self._host, now_ns) or correction.result.command.mode != "absolute":
            return True
        if now_ns - max(self._acted_ns, self._told_ns) > self._after_ns:
            self._told_ns = now_ns
            self._valid_from = self._tell()
        return correction.delivery.sent >= self._valid_from

    def acted(self, now_ns: int) -> None:
        """A correction has been acted on, or asked for what is so already."""
        self._acted_ns = now_ns

    def _tell(self) -> int:
        """Order it; from when on corrections count: 0 if it could not be ordered, and they count as they are."""
        try:
            at = where(self._device, self._timeout_ms)
            answer = self._control.ask("start_from", {"position": list(at)}, timeout_ms=ANSWER_MS)
        except (DeviceError, WireError) as error:
            self._journal.complain("rejoin", f"the loop goes on from where it believes the device to be: {error}")
            return 0
        if not answer["ok"]:
            why = answer.get("error", "it gave no reason")
            self._journal.complain("rejoin", f"the tracker does not start from where the device is, {at}: {why}")
            return 0
        self._journal.say(f"the loop goes on from where the device is: {at[0]:g}, {at[1]:g}")
        return time.monotonic_ns()
