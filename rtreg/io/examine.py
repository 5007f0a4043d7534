"""What on this host would keep a service from starting, or make it late; each finding with what to do about it."""

from __future__ import annotations

import ctypes
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from rtreg.errors import ConfigError
from rtreg.io.address import owner, resolve, runtime_folder
from rtreg.io.keys import Keyring

__all__ = ["Finding", "clock", "cores", "endpoints", "folders", "keys", "limits", "priority", "read"]

_ERROR_STATE: Final = 5  # of adjtimex(2): nobody disciplines the clock
_ENOUGH_FILES: Final = 1024
_ENOUGH_MEMORY: Final = 2**30
_COARSE_NS: Final = 1000

Level = Literal["ok", "warn", "bad"]


class Finding(NamedTuple):
    """`bad` keeps a service from starting, `warn` costs time or truth; `fix` says what to do."""

    level: Level
    about: str
    what: str
    fix: str = ""


def read(path: str) -> str | None:
    """A one-line system file; None where there is none."""
    try:
        return Path(path).read_text().strip() or None
    except OSError:
        return None


def endpoints(bound: Mapping[str, str]) -> Iterator[Finding]:
    """Whether each of the endpoints (name to address) can be bound."""
    for name, endpoint in bound.items():
        try:
            address = resolve(endpoint)
        except ConfigError as error:
            yield Finding("bad", name, str(error), f"correct endpoints.{name}")
            continue
        holder = owner(address)
        if holder is not None:
            yield Finding("warn", name, f"{endpoint} is held by rtreg process {holder}", f"kill {holder}, or leave it")
        elif (error_text := _unbindable(address)) is not None:
            yield Finding("bad", name, f"{endpoint}: {error_text}", f"free it, or choose another endpoints.{name}")
        else:
            yield Finding("ok", name, f"{endpoint} is free")


def _unbindable(address: str) -> str | None:
    """Why it cannot be bound; None if it can."""
    scheme, _, rest = address.partition("://")
    if scheme == "ipc":
        folder = Path(rest).parent
        return None if os.access(folder, os.W_OK) else f"{folder} is no folder that we may write to"
    host, _, port = rest.rpartition(":")
    if port == "*":
        return None
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("" if host == "*" else host.strip("[]"), int(port)))
        except OSError as error:
            return f"cannot be bound: {error.strerror}"
    return None


def folders(places: Mapping[str, Path]) -> Iterator[Finding]:
    """Whether the folder of our sockets is ours alone, and whether what we keep on disk can be written."""
    try:
        yield Finding("ok", "runtime folder", str(runtime_folder()))
    except (ConfigError, OSError) as error:
        yield Finding("bad", "runtime folder", str(error), "set XDG_RUNTIME_DIR to a folder of yours with mode 0700")
    for about, place in places.items():
        found = next(folder for folder in (place, *place.parents) if folder.exists())
        if os.access(found, os.W_OK):
            yield Finding("ok", about, str(place))
        else:
            yield Finding("warn", about, f"{found} cannot be written", f"chown it, or set XDG_CACHE_HOME: {place}")


def keys(keyring: Keyring, needed: tuple[str, ...]) -> Iterator[Finding]:
    """Whether the keys that a configuration names are there, and closed to others."""
    for name in needed:
        try:
            keyring.public(name)
            keyring.peers()
        except (ConfigError, OSError) as error:
            yield Finding("bad", "keys", str(error), "see rtreg keys --help")
        else:
            yield Finding("ok", "keys", f"{name} in {keyring.folder}")


def limits() -> Iterator[Finding]:
    """Of this process: files, locked memory."""
    try:
        import resource  # not on Windows
    except ImportError:
        return
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= files < _ENOUGH_FILES:
        yield Finding("warn", "open files", f"at most {files}", f"ulimit -n {_ENOUGH_FILES}, or LimitNOFILE=")
    else:
        yield Finding("ok", "open files", f"at most {files}")
    memory, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if memory != resource.RLIM_INFINITY and memory < _ENOUGH_MEMORY and os.geteuid():
        fix = '"USER - memlock unlimited" in /etc/security/limits.d/rtreg.conf, or LimitMEMLOCK=infinity of the unit'
        yield Finding("warn", "memory lock", f"at most {memory >> 20} MiB", fix)
    else:
        yield Finding("ok", "memory lock", "as much as needed")


def clock() -> Iterator[Finding]:
    """Its source, its grain, and whether anyone keeps it right."""
    source = read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    if source in ("hpet", "acpi_pm"):
        yield Finding("warn", "clock source", f"{source}: a microsecond a reading", "boot with clocksource=tsc")
    else:
        yield Finding("ok", "clock source", source or "unknown")
    grain = round(time.get_clock_info("monotonic").resolution * 1e9)
    if grain > _COARSE_NS:
        yield Finding("warn", "clock grain", f"{grain} ns", "use a kernel with high-resolution timers")
    if _undisciplined():
        fix = "run chrony or systemd-timesyncd; needed only for ages across hosts ([tracker] clock_bound_ms)"
        yield Finding("warn", "clock time", "UTC is not synchronised", fix)
    else:
        yield Finding("ok", "clock time", "UTC is synchronised, or nobody can tell")


def _undisciplined() -> bool:
    """Whether the kernel says that nobody disciplines its clock."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return False
    return int(adjtimex(ctypes.create_string_buffer(512))) == _ERROR_STATE  # modes = 0: only asks


def cores(wanted: tuple[int, ...]) -> Iterator[Finding]:
    """Whether the cores asked for are ours, and run at one speed."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if missing := sorted({*wanted} - {*usable}):
        yield Finding("bad", "affinity", f"cores {missing} are not ours; {usable} are", "correct tracker.affinity")
    elif len(usable) < 2:
        yield Finding("warn", "cores", "only one", "give the tracker a core that the camera does not need")
    else:
        yield Finding("ok", "cores", f"{usable}, the tracker on {list(wanted) or 'any'}")
    governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor not in (None, "performance"):
        yield Finding("warn", "governor", f"{governor}: wake-ups come late", "cpupower frequency-set -g performance")
    else:
        yield Finding("ok", "governor", governor or "none: the machine decides")


def priority(wanted: int) -> Iterator[Finding]:
    """Whether SCHED_FIFO would be granted: asked for in a process of its own, so that ours stays as it is."""
    asked = wanted or 1
    code = (
        f"import sys; from rtreg.io.realtime import settle; sys.exit(settle(priority={asked})['priority'] != {asked})"
    )
    granted = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
    if granted:
        yield Finding("ok", "real time", f"SCHED_FIFO {asked} would be granted")
    else:
        fix = '"USER - rtprio 50" in /etc/security/limits.d/rtreg.conf, or LimitRTPRIO=50 of the unit'
        level: Level = "bad" if wanted else "warn"
        yield Finding(level, "real time", f"SCHED_FIFO {asked} is refused", fix)
    share = read("/proc/sys/kernel/sched_rt_runtime_us")
    if wanted and share and re.fullmatch(r"\d+", share):
        fix = "sysctl kernel.sched_rt_runtime_us=-1, on a core that nothing else needs"
        yield Finding("warn", "real time", f"the kernel takes the core away after {share} us of each second", fix)
