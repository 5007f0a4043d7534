"""Options of the processes themselves, apart from what they compute: one class a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rtreg.errors import ConfigError

__all__ = ["CameraOptions", "TrackerOptions"]

MOST_CORES = 8192  # what Linux can be built for


@dataclass(frozen=True)
class CameraOptions:
    """Where frames come from and how often; the other keys of the table belong to the source.

    Parameters
    ----------
    source : {"simulated", "file", "micromanager"}
        The kind of camera.
    rate_hz : float
        Frames a second, at absolute deadlines; 0 takes them as fast as the source gives them.
    """

    source: Literal["simulated", "file", "micromanager"] = "simulated"
    rate_hz: float = 100.0

    def __post_init__(self) -> None:
        if not 0 <= self.rate_hz <= 1e5:
            raise ConfigError(f"rate_hz = {self.rate_hz}: frames a second, 0 (as they come) to 100000")


@dataclass(frozen=True)
class TrackerOptions:
    """What the tracker asks of its frames and of its host.

    Parameters
    ----------
    max_age_ms : float
        Frames older than this when their turn comes give no correction, ms.
    valid_for_ms : float
        How long after its publication a correction may be acted on, ms.
    tick_ms : float
        Without frames, time is told to the engine, and its word published, this often, ms; at most 100.
    clock_bound_ms : float, optional
        How far the UTC clocks of this and the camera's host may differ, ms; lets the age of frames from another
        host be judged by their time stamps. Without it their age counts from receipt.
    expect_shape : (int, int), optional
        Shape (ny, nx) of the frames to come, to be warm before the first one. A simulated camera's is known.
    expect_dtype : str
        dtype of the frames to come: uint8, uint16, int16, int32, float32 or float64.
    max_frame_mib : float
        Largest frame accepted from the wire, MiB; larger ones are counted as rejected ("too_large").
    affinity : list of int
        CPU cores to run on; empty leaves the choice to the system.
    priority : int
        SCHED_FIFO priority, 1 to 99; 0 is the normal scheduler.
    lock_memory : bool
        Keep all memory resident.
    """

    max_age_ms: float = 200.0
    valid_for_ms: float = 200.0
    tick_ms: float = 80.0
    clock_bound_ms: float | None = None
    expect_shape: tuple[int, int] | None = None
    expect_dtype: Literal["uint8", "uint16", "int16", "int32", "float32", "float64"] = "uint16"
    max_frame_mib: float = 64.0
    affinity: tuple[int, ...] = ()
    priority: int = 0
    lock_memory: bool = False

    def __post_init__(self) -> None:
        for name in ("max_age_ms", "valid_for_ms", "max_frame_mib"):
            if not 0 < getattr(self, name) < 1e9:
                raise ConfigError(f"{name} = {getattr(self, name)}: must be positive and finite")
        if not 1 <= self.tick_ms <= 100:
            raise ConfigError(f"tick_ms = {self.tick_ms}: 1 to 100, since silence is failure")
        if self.clock_bound_ms is not None and not 0 <= self.clock_bound_ms < 1e9:
            raise ConfigError(f"clock_bound_ms = {self.clock_bound_ms}: 0 or more and finite, or left out")
        if not all(0 <= core < MOST_CORES for core in self.affinity):
            raise ConfigError(f"affinity = {list(self.affinity)}: numbers of CPU cores, from 0")
        if self.expect_shape is not None and min(self.expect_shape) < 1:
            raise ConfigError(f"expect_shape = {self.expect_shape}: (ny, nx), each at least 1")
        if not 0 <= self.priority <= 99:
            raise ConfigError(f"priority = {self.priority}: 1 to 99, or 0 for the normal scheduler")
