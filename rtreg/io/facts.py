"""What decides the last bit of a result: code, versions and CPU. Recordings carry it; a replay compares it."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rtreg.fft import fftw_version
from rtreg.version import __version__

__all__ = ["cpu_model", "numerics", "versions"]

_NUMERIC: Final = ("numpy", "numba", "llvmlite", "pyfftw")
_DECIDING: Final = ("estimators", "kernels", "live", "fft.py", "noise.py", "records.py")  # of our own files


def versions(names: Iterable[str]) -> dict[str, str | None]:
    """Versions of rtreg, Python and the packages named; None for one that is not installed."""
    found: dict[str, str | None] = {"rtreg": __version__, "python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def cpu_model() -> str | None:
    """The CPU as it names itself."""
    return _of_cpu("model name") or platform.processor() or None


@functools.cache
def numerics() -> dict[str, str]:
    """What must be the same for results to be the same to the last bit; one short text each."""
    flags = " ".join(sorted((_of_cpu("flags") or "").split()))
    return {
        **{name: str(version) for name, version in versions(_NUMERIC).items()},
        "fftw": fftw_version(),
        "cpu": str(cpu_model()),
        "cpu flags": _digest(flags.encode()),
        "code": _code(),
    }


def _code() -> str:
    root = Path(__file__).resolve().parents[1]
    files = [path for name in _DECIDING for path in ((root / name).rglob("*.py") if "." not in name else [root / name])]
    return _digest(b"".join(path.read_bytes() for path in sorted(files)))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _of_cpu(wanted: str) -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == wanted:
            return value.strip()
    return None
