"""FFTW: plans that own their buffers, a cache of them, and the planner's wisdom on disk. The only user of pyfftw.

Plans are cached per thread: a plan's buffers hold one transform at a time, so two threads must never share one. The
planner itself is not thread-safe: `_planner` guards it, its wisdom and `_wisdom_read`; running a plan, or finding it
in the cache, takes no lock. pyfftw takes half a second to import (it pulls in SciPy where there is one), so that
happens with the first plan.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import math
import os
import platform
import re
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = [
    "Effort",
    "FFTPlan",
    "PlanFacts",
    "cached_plans",
    "fftn",
    "fftw_version",
    "ifftn",
    "irfftn",
    "load_wisdom",
    "next_fast_len",
    "plan",
    "plans_made",
    "rfftn",
    "save_wisdom",
    "wisdom_path",
]

Array = npt.NDArray[Any]
Effort = Literal["estimate", "measure", "patient"]

MOST_PLANS = 32  # a thread keeps no more plans than this,
MOST_BYTES = 256 << 20  # nor more bytes of buffers; with its wisdom on disk, planning anew takes milliseconds
FUNCTION_SECONDS = 1.0  # the planner's limit for a function form: its size may never be asked for again

_log = logging.getLogger(__name__)
_planner = threading.RLock()
_made = 0  # plans, with or without wisdom
_wisdom_read = False
_keep_wisdom = True  # on disk, and what is there is taken


class PlanFacts(NamedTuple):
    """What one cached plan is for and what it takes."""

    kind: str  # "real", or a function's name: "fftn", "ifftn", "rfftn", "irfftn"
    shape: tuple[int, ...]  # of the side in image space
    dtype: str
    threads: int
    effort: str
    nbytes: int


class FFTPlan:
    """Real-to-complex transform of a 2-D image and its inverse, with the buffers that both work on.

    Write the image into `real`, call `forward`, read `spectrum`; or the other way round with `inverse`.

    Parameters
    ----------
    shape : (ny, nx)
        Size of the image.
    dtype : float32 or float64
        Of the image; the spectrum is complex64 or complex128.
    threads : int
        Threads that one transform may use.
    effort : {"measure", "estimate", "patient"}
        How long FFTW may look for the fastest way: "measure" takes a fraction of a second once a machine, "patient"
        seconds to minutes for a transform that is up to 1.5 times faster, "estimate" nothing.

    Attributes
    ----------
    real : (ny, nx) ndarray
        Overwritten by `inverse`.
    spectrum : (ny, nx // 2 + 1) ndarray
        The half plane of non-negative x frequencies, unnormalised. Overwritten by `forward`; **destroyed** by
        `inverse`.

    Raises
    ------
    ValueError
        If the shape is not two positive numbers, or the dtype is none of the two.
    """

    __slots__ = ("_backward", "_forward", "_scale", "facts", "real", "spectrum", "__weakref__")

    def __init__(
        self,
        shape: tuple[int, int],
        dtype: npt.DTypeLike = np.float32,
        *,
        threads: int = 1,
        effort: Effort = "measure",
    ) -> None:
        kind = np.dtype(dtype)
        if kind not in (np.float32, np.float64):
            raise ValueError(f"an FFT plan is for float32 or float64, not {kind}")
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError(f"an FFT plan is for a shape (ny, nx) of positive numbers, not {shape!r}")
        ny, nx = shape
        half = (ny, nx // 2 + 1)
        self.real: Array = _aligned((ny, nx), kind)
        self.spectrum: Array = _aligned(half, np.result_type(kind, np.complex64))
        self._forward = _planned(self.real, self.spectrum, "FFTW_FORWARD", threads, effort)
        self._backward = _planned(self.spectrum, self.real, "FFTW_BACKWARD", threads, effort)
        self.real[...] = 0  # planning scribbles over the buffers
        self.spectrum[...] = 0
        self._scale = np.asarray(1.0 / (ny * nx), kind)
        nbytes = self.real.nbytes + self.spectrum.nbytes
        self.facts = PlanFacts("real", (ny, nx), kind.name, threads, effort, nbytes)

    def forward(self) -> Array:
        """Transform `real` into `spectrum`, and return that; `real` is left as it is."""
        self._forward.execute()
        return self.spectrum

    def inverse(self) -> Array:
        """Transform `spectrum` into `real`, and return that; normalised, so that it undoes `forward`.

        Destroys `spectrum`.
        """
        self._backward.execute()
        np.multiply(self.real, self._scale, out=self.real)
        return self.real

    def __repr__(self) -> str:
        return f"<FFTPlan {self.facts.shape} {self.facts.dtype} {self.facts.effort} threads={self.facts.threads}>"


class _FunctionPlan:
    """One transform over all axes, for the function forms; its buffers never leave this module."""

    __slots__ = ("_run", "_scale", "facts", "source", "target", "__weakref__")

    def __init__(self, kind: str, shape: tuple[int, ...], real: np.dtype[Any], threads: int, effort: Effort) -> None:
        if not shape or min(shape) < 1:
            raise ValueError(f"cannot transform an array of shape {shape!r}")
        waves = np.result_type(real, np.complex64)
        half = (*shape[:-1], shape[-1] // 2 + 1)
        sides = {
            "fftn": ((shape, waves), (shape, waves)),
            "ifftn": ((shape, waves), (shape, waves)),
            "rfftn": ((shape, real), (half, waves)),
            "irfftn": ((half, waves), (shape, real)),
        }[kind]
        direction = "FFTW_BACKWARD" if kind.startswith("i") else "FFTW_FORWARD"
        self.source, self.target = (_aligned(*side) for side in sides)
        self._run = _planned(self.source, self.target, direction, threads, effort, FUNCTION_SECONDS)
        self._scale = np.asarray(1.0 / math.prod(shape), real) if kind.startswith("i") else None
        nbytes = self.source.nbytes + self.target.nbytes
        self.facts = PlanFacts(kind, shape, real.name, threads, effort, nbytes)

    def __call__(self, data: Array) -> Array:
        """The transform of `data`, in a new array; inverse ones normalised."""
        self.source[...] = data
        self._run.execute()
        if self._scale is None:
            return self.target.copy()
        normalised: Array = self.target * self._scale
        return normalised


P = TypeVar("P", FFTPlan, _FunctionPlan)


class _Cache(threading.local):
    """The plans of one thread, least recently used first; they go with the thread."""

    def __init__(self) -> None:
        self.plans: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], P]) -> P:
        found: P | None = self.plans.get(key)
        if found is not None:
            self.plans.move_to_end(key)
            return found
        made: P = make()
        _alive.add(made)
        if made.facts.nbytes <= MOST_BYTES:  # a larger one is the caller's alone
            self.plans[key] = made
            while len(self.plans) > MOST_PLANS or self.nbytes() > MOST_BYTES:
                self.plans.popitem(last=False)
        return made

    def nbytes(self) -> int:
        return sum(plan.facts.nbytes for plan in self.plans.values())


_cache = _Cache()
_alive: weakref.WeakSet[Any] = weakref.WeakSet()  # of all threads, for `cached_plans`


def plan(
    shape: tuple[int, int], dtype: npt.DTypeLike = np.float32, *, threads: int = 1, effort: Effort = "measure"
) -> FFTPlan:
    """The calling thread's plan for images of this shape; see `FFTPlan` for the parameters.

    The same call in the same thread gives the same plan, buffers included: read what a transform left before anyone
    else in this thread may use them. Ask again in each thread that transforms; do not hand plans on to other threads.
    """
    ny, nx = shape
    key = ("real", int(ny), int(nx), np.dtype(dtype).char, threads, effort)
    return _cache.get(key, lambda: FFTPlan((int(ny), int(nx)), dtype, threads=threads, effort=effort))


def fftn(data: npt.ArrayLike, *, threads: int = 1) -> Array:
    """Complex transform over all axes: `numpy.fft.fftn`, by FFTW; float32 and complex64 give complex64."""
    return _transform("fftn", np.asanyarray(data), None, threads)


def ifftn(data: npt.ArrayLike, *, threads: int = 1) -> Array:
    """Inverse of `fftn`, normalised."""
    return _transform("ifftn", np.asanyarray(data), None, threads)


def rfftn(data: npt.ArrayLike, *, threads: int = 1) -> Array:
    """Transform of real data over all axes: the non-negative frequencies of the last one, as `numpy.fft.rfftn`."""
    return _transform("rfftn", np.asanyarray(data), None, threads)


def irfftn(data: npt.ArrayLike, shape: Sequence[int], *, threads: int = 1) -> Array:
    """Inverse of `rfftn`, normalised; `shape` is that of the answer, which the half spectrum does not tell."""
    return _transform("irfftn", np.asanyarray(data), tuple(int(n) for n in shape), threads)


def _transform(kind: str, data: Array, shape: tuple[int, ...] | None, threads: int) -> Array:
    single = data.dtype.newbyteorder("=") in (np.float16, np.float32, np.complex64)
    real = np.dtype(np.float32 if single else np.float64)
    size = data.shape if shape is None else shape
    run = _cache.get((kind, size, real.char, threads), lambda: _FunctionPlan(kind, size, real, threads, "measure"))
    return run(data)


def cached_plans() -> list[PlanFacts]:
    """All plans that are alive in this process, the largest first."""
    return sorted((plan.facts for plan in list(_alive)), key=lambda facts: -facts.nbytes)


def plans_made() -> int:
    """How many plans have been made in this process, from wisdom or anew: none when warm."""
    return _made


def next_fast_len(n: int) -> int:
    """The smallest size from `n` up that FFTW is quick at: a product of 2, 3, 5, 7, and one 11 or 13 at most."""
    import pyfftw

    return int(pyfftw.next_fast_len(int(n)))


def fftw_version() -> str:
    """Version of the FFTW library itself, such as "3.3.5"."""
    import pyfftw

    return str(pyfftw.fftw_version)


# -- planning and wisdom ----------------------------------------------------------------------------------------------


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array that FFTW may use its widest vector instructions on."""
    import pyfftw

    buffer: Array = pyfftw.zeros_aligned(shape, dtype)
    return buffer


def _planned(
    source: Array, target: Array, direction: str, threads: int, effort: Effort, seconds: float | None = None
) -> Any:
    """An FFTW plan over all axes of `source`: from wisdom, or else by planning, which overwrites both arrays."""
    import pyfftw

    global _made
    _made += 1
    if threads < 1:
        raise ValueError(f"a transform takes at least one thread, not {threads}")
    make = functools.partial(
        pyfftw.FFTW, source, target, axes=tuple(range(source.ndim)), direction=direction, threads=threads
    )
    flag = f"FFTW_{effort.upper()}"
    with _planner:
        if effort == "estimate":
            return make(flags=(flag,))
        if not _wisdom_read:
            load_wisdom()
        with contextlib.suppress(RuntimeError):  # no wisdom for this one
            return make(flags=(flag, "FFTW_WISDOM_ONLY"))
        made = make(flags=(flag,), planning_timelimit=seconds)
        save_wisdom()
        return made


def wisdom_path() -> Path:
    """Where the wisdom is kept: one file per host and FFTW version, for what it says holds on no other.

    Under ``$XDG_CACHE_HOME/rtreg`` (``~/.cache/rtreg``), or in the folder for temporary files where that cannot be
    written.
    """
    host = re.sub(r"[^\w.-]", "_", platform.node()) or "localhost"
    return _cache_folder() / f"fftw-{fftw_version()}-{host}.wisdom.json"


def load_wisdom() -> bool:
    """Give the planner what is on disk; False if there is nothing, or nothing it can use (logged)."""
    global _wisdom_read
    import pyfftw

    with _planner:
        _wisdom_read = True
        path = wisdom_path()
        try:
            stored = json.loads(path.read_text(encoding="ascii"))
            parts = tuple(stored[name].encode("ascii") for name in _PRECISIONS)
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("ignoring FFTW wisdom in %s: %s", path, error)
            return False
        taken = pyfftw.import_wisdom(parts)
        if not any(taken):
            _log.warning("ignoring FFTW wisdom in %s: FFTW does not accept it", path)
        return any(taken)


def wisdom_entries() -> int:
    """How many solved (sub)problems the wisdom on disk holds; 0 when there is none."""
    try:
        stored = json.loads(wisdom_path().read_text(encoding="ascii"))
        return sum(text.count("(fftw") - 1 for text in stored.values())  # the first bracket is the title's
    except (OSError, ValueError, AttributeError):
        return 0


def save_wisdom() -> bool:
    """Write what the planner knows, and what other processes have written meanwhile; False if that cannot be done."""
    import pyfftw

    if not _keep_wisdom:
        return False
    with _planner:
        load_wisdom()  # merge: another process may have planned other sizes
        path = wisdom_path()
        stored = dict(zip(_PRECISIONS, (part.decode("ascii") for part in pyfftw.export_wisdom()), strict=True))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(path, json.dumps(stored))
        except OSError as error:
            _log.info("FFTW wisdom is not kept: %s", error)
            return False
        return True


def wisdom_text() -> str:
    """What this process's planner knows, as it stands in the file."""
    import pyfftw

    with _planner:
        parts = (part.decode("ascii") for part in pyfftw.export_wisdom())
        return json.dumps(dict(zip(_PRECISIONS, parts, strict=True)))


@contextlib.contextmanager
def borrowed_wisdom(text: str) -> Iterator[bool]:
    """Plan with what another process knew, its `wisdom_text`, and with nothing else: to transform as it, bit for bit.

    Plans of this thread are forgotten before and after; what is on disk is left alone.

    Yields
    ------
    bool
        False when FFTW does not take it: another version, or another kind of CPU. Then plans are this machine's own.
    """
    global _wisdom_read, _keep_wisdom
    import pyfftw

    with _planner:
        _cache.plans.clear()
        pyfftw.forget_wisdom()
        taken = _import(text)
        _wisdom_read, _keep_wisdom = taken, not taken
    try:
        yield taken
    finally:
        with _planner:
            _cache.plans.clear()
            pyfftw.forget_wisdom()
            _wisdom_read, _keep_wisdom = False, True


def _import(text: str) -> bool:
    import pyfftw

    try:
        stored = json.loads(text)
        return any(pyfftw.import_wisdom(tuple(stored[name].encode("ascii") for name in _PRECISIONS)))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


_PRECISIONS = ("double", "single", "long double")  # the order of pyfftw's tuples


def _replace(path: Path, text: str) -> None:
    """Write `path` in one step, so that no reader ever sees half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "rtreg"
    if folder.is_absolute() and _writable(folder):
        return folder
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"rtreg-{user}"


def _writable(folder: Path) -> bool:
    """Whether the folder, or what would have to hold it, can be written."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK)
