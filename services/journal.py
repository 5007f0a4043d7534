"""What a service tells people, on stderr: few lines, and of a repeated complaint one a second."""

from __future__ import annotations

import logging
import time

from rtreg.live.metrics import Limiter

__all__ = ["Journal"]


class Journal:
    """A log for one service. `complain` is rate-limited by kind; what was held back is told with the next one."""

    def __init__(self, name: str) -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
        self._log = logging.getLogger(f"rtreg {name}")
        self._limiter = Limiter()

    def say(self, message: str) -> None:
        """Log one line."""
        self._log.info(message)

    def complain(self, kind: str, message: str) -> None:
        """Log a warning, unless one of the same kind was logged within the last second."""
        held_back = self._limiter.admit(kind, time.monotonic_ns())
        if held_back is not None:
            self._log.warning("%s%s", message, f" (and {held_back} more)" if held_back else "")
