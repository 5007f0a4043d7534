"""Options of the processes themselves, apart from what they compute: one class a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rtreg.errors import ConfigError

__all__ = ["CameraOptions", "RecorderOptions", "TrackerOptions"]

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
    patience_ms : float
        A tracker that is late by no more than this works off the frames that wait, in order; one that is later goes on
        with the newest and skips the others, ms. 0: the newest, always.
    spin : bool
        Ask for the next frame again and again instead of sleeping until it comes: it is taken, and worked on, sooner,
        and one core is busy all the time. For a machine that has a core to spare; with `priority`, the kernel stops
        such a process for 50 ms in every second, unless its sched_rt_runtime_us is -1. Not with one core alone.
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
    patience_ms: float = 10.0
    spin: bool = False
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
        if not 0 <= self.patience_ms < 1e9:
            raise ConfigError(f"patience_ms = {self.patience_ms}: 0 or more and finite")
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


@dataclass(frozen=True)
class RecorderOptions:
    """How a stream is recorded.

    Parameters
    ----------
    compression : {"none", "lz4", "zstd"}
        Of the chunks; "none" is the fastest.
    chunk_s : float
        A chunk is ended after this long, or at 1 MiB, s: what a kill costs at most.
    rotate_mib : float
        A new file is begun when one has become so large, MiB; 0: not for its size.
    rotate_s : float
        A new file is begun after so long, s; 0: not for its age.
    keep_gib : float
        Of a recording in many files the oldest are deleted, so that no more than this is kept, GiB; 0 keeps all.
    floor_gib : float
        Recording stops before the disk has less than this left, GiB.
    budget_mib : float
        Frames that may wait for the disk, MiB; those beyond are dropped, counted, and noted in the recording.
    ring_s : float
        Record nothing but keep so much in memory, s, and write it when the lock is lost, the image jumps, or on
        request (`rtreg ctl mark`, or SIGUSR1); 0: record all.
    ring_after_s : float
        How long to go on after such a moment, s.
    ring_mib : float
        Memory that the ring may take, MiB.
    """

    compression: Literal["none", "lz4", "zstd"] = "none"
    chunk_s: float = 0.5
    rotate_mib: float = 0.0
    rotate_s: float = 0.0
    keep_gib: float = 0.0
    floor_gib: float = 1.0
    budget_mib: float = 256.0
    ring_s: float = 0.0
    ring_after_s: float = 5.0
    ring_mib: float = 2048.0

    def __post_init__(self) -> None:
        for name in ("chunk_s", "budget_mib", "ring_mib"):
            if not 0 < getattr(self, name) < 1e9:
                raise ConfigError(f"{name} = {getattr(self, name)}: must be positive and finite")
        for name in ("rotate_mib", "rotate_s", "keep_gib", "floor_gib", "ring_s", "ring_after_s"):
            if not 0 <= getattr(self, name) < 1e9:
                raise ConfigError(f"{name} = {getattr(self, name)}: 0 or more and finite")
        if self.keep_gib and not (self.rotate_mib or self.rotate_s):
            raise ConfigError(f"keep_gib = {self.keep_gib}: only of a recording in many files: give rotate_mib too")
        if self.keep_gib and self.rotate_mib > 512 * self.keep_gib:
            raise ConfigError(f"keep_gib = {self.keep_gib}: less than two files of rotate_mib = {self.rotate_mib}")
