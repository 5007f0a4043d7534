"""What a process asks of its operating system: a core, a priority, memory that stays, quiet; signals; identity."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["Hangup", "Pauses", "Stop", "host_id", "quiet", "settle", "step_back"]


@functools.cache
def host_id() -> str:
    """Where a CLOCK_MONOTONIC time is valid: the kernel's boot id, else the host's name."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return platform.node()


class Stop:
    """Becomes true at the first SIGTERM or SIGINT; the second ends the process at once.

    The handler only sets a flag: the loop looks at it, publishes STOPPING and closes what it opened.
    """

    def __init__(self) -> None:
        self.asked = False
        self._starting = False

    def __bool__(self) -> bool:
        return self.asked

    def listen(self) -> Stop:
        """Take over SIGTERM and SIGINT of this process."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        return self

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """While starting up (compiling takes long, and nothing is published yet) a signal ends the process, exit 0."""
        self._starting = True
        try:
            yield
        finally:
            self._starting = False

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self.asked:
            os._exit(128 + number)
        self.asked = True
        if self._starting:
            raise SystemExit(0)


class Hangup:
    """Becomes true at SIGHUP, which asks a service to read its configuration again; `take` makes it false."""

    def __init__(self) -> None:
        self._asked = False

    def listen(self) -> Hangup:
        """Take over SIGHUP of this process, where there is one."""
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, self._on_signal)
        return self

    def take(self) -> bool:
        """Whether it was asked for since the last call."""
        asked, self._asked = self._asked, False
        return asked

    def _on_signal(self, *_: object) -> None:
        self._asked = True


def step_back() -> None:
    """Lower the priority of this thread, and of those it starts: who only watches must not delay what is watched."""
    if hasattr(os, "nice"):
        os.nice(10)


def quiet() -> None:
    """No garbage collection from here on: after the imports a full one takes 80 to 90 ms. Call it after warm-up."""
    gc.collect()
    gc.freeze()
    gc.disable()


class Pauses:
    """Garbage collections of this process since `listen`: how many of each generation, and the longest.

    `told` is what the status says of them: one map, kept current.
    """

    def __init__(self) -> None:
        self.told: dict[str, Any] = {"collections": [0, 0, 0], "longest_us": 0.0}
        self._began = 0

    def listen(self) -> Pauses:
        """Begin to count."""
        gc.callbacks.append(self._on_collection)
        return self

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter_ns()
            return
        self.told["collections"][info["generation"]] += 1
        self.told["longest_us"] = max(self.told["longest_us"], (time.perf_counter_ns() - self._began) / 1e3)


def settle(affinity: tuple[int, ...] = (), priority: int = 0, lock_memory: bool = False) -> dict[str, Any]:
    """Ask for cores, a SCHED_FIFO priority and locked memory; return what was granted, since often little is.

    Parameters
    ----------
    affinity : tuple of int
        CPU cores this process may run on; empty leaves the choice to the system.
    priority : int
        SCHED_FIFO priority, 1 to 99; 0 stays with the normal scheduler. Needs CAP_SYS_NICE or an rtprio limit.
    lock_memory : bool
        Keep all pages in memory. Needs CAP_IPC_LOCK or a memlock limit.

    Returns
    -------
    dict
        ``affinity`` (the cores now allowed), ``priority`` (0 when refused), ``lock_memory``.
    """
    sys.setswitchinterval(5e-5)  # where a helper thread is unavoidable it must not hold us for the default 5 ms
    if affinity and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, affinity)
    return {
        "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [],
        "priority": priority if priority and _fifo(priority) else 0,
        "lock_memory": lock_memory and _lock_memory(),
    }


def _fifo(priority: int) -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except (OSError, AttributeError):
        return False
    return True


def _lock_memory() -> bool:
    current, future = 1, 2
    try:
        return bool(ctypes.CDLL(None, use_errno=True).mlockall(current | future) == 0)
    except (OSError, AttributeError):
        return False
