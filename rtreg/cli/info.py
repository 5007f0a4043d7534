"""``rtreg info``: what a real-time user must know about this machine and this installation."""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path
from typing import Any

from rtreg.cli._json import dumps
from rtreg.cli._parser import Verbs

_EPILOG = """\
What to look for:
  governor     "performance"; "powersave" adds tens of microseconds of wake-up to every frame
  rtprio       above 0 lets a process ask for SCHED_FIFO (/etc/security/limits.d)
  memlock      "unlimited" lets it lock its memory against page faults
  clock        "tsc"; "hpet" and "acpi_pm" cost a microsecond a reading
  wisdom       FFTW plans kept on disk; without any, the first frames of a new size are planned anew

examples:
  rtreg info
  rtreg info --json
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "info",
        help="versions, FFTW wisdom, CPU, scheduler and clock facts",
        description="Print versions and the facts about this machine that decide its latency.",
        epilog=_EPILOG,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the facts."""
    facts = collect()
    if args.json:
        print(dumps(facts))
        return 0
    for group, values in facts.items():
        print(group)
        for key, value in values.items():
            print(f"  {key:<12} {_text(value)}")
    return 0


def collect() -> dict[str, dict[str, Any]]:
    """All facts, in groups; None where the machine does not say."""
    return {
        "versions": _versions(),
        "fft": _fft(),
        "cpu": _cpu(),
        "real time": _real_time(),
        "caches": _caches(),
    }


def _versions() -> dict[str, Any]:
    from rtreg.io.facts import versions

    return versions(("numpy", "numba", "pyfftw", "pyzmq", "msgpack", "msgspec", "mcap", "astropy", "pymmcore-plus"))


def _fft() -> dict[str, Any]:
    from rtreg import fft

    path = fft.wisdom_path()
    return {
        "fftw": fft.fftw_version(),
        "wisdom": str(path),
        "bytes": path.stat().st_size if path.exists() else 0,
        "solved": fft.wisdom_entries(),
    }


def _cpu() -> dict[str, Any]:
    from rtreg.io.facts import cpu_model

    return {
        "model": cpu_model(),
        "cores": os.cpu_count(),
        "usable": _usable_cores(),
        "isolated": _read("/sys/devices/system/cpu/isolated"),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "kernel": f"{platform.system()} {platform.release()}",
    }


def _usable_cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _real_time() -> dict[str, Any]:
    return {
        "scheduler": _scheduler(),
        "rtprio": _limit("RLIMIT_RTPRIO"),
        "memlock": _limit("RLIMIT_MEMLOCK"),
        "clock": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "clock_ns": round(time.get_clock_info("monotonic").resolution * 1e9),
        "realtime_us": _read("/proc/sys/kernel/sched_rt_runtime_us"),
    }


def _scheduler() -> str | None:
    if not hasattr(os, "sched_getscheduler"):
        return None
    names = {os.SCHED_OTHER: "other", os.SCHED_FIFO: "fifo", os.SCHED_RR: "rr", os.SCHED_BATCH: "batch"}
    policy = os.sched_getscheduler(0)
    return names.get(policy, str(policy))


def _limit(name: str) -> int | str | None:
    """A soft resource limit; "unlimited" where it is."""
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    soft, _ = resource.getrlimit(getattr(resource, name))
    return "unlimited" if soft == resource.RLIM_INFINITY else soft


def _caches() -> dict[str, Any]:
    from rtreg import kernels

    beside = Path(str(kernels.__file__)).parent / "__pycache__"
    writable = os.access(beside if beside.exists() else beside.parent, os.W_OK)
    fallback = beside if writable else "the user's cache folder (the installation is read-only)"
    return {"kernels": os.environ.get("NUMBA_CACHE_DIR") or str(fallback)}


def _read(path: str) -> str | None:
    """A one-line system file; None where there is none."""
    try:
        return Path(path).read_text().strip() or None
    except OSError:
        return None


def _text(value: Any) -> str:
    return "-" if value is None else str(value)
