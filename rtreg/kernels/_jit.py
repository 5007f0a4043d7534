"""The project's one JIT decorator, so that every kernel is compiled under the same rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]  # any dtype: numba specialises
Scalar = float | np.floating[Any]

F = TypeVar("F", bound=Callable[..., Any])

_kernels: list[Any] = []  # all of them, for `specialisations`


def jit(function: F) -> F:
    """Compile a kernel with numba.

    * ``nopython``: a kernel that falls back to objects is a bug, not a slow path.
    * ``cache``: compiled once per machine; a service must not compile for seconds at every start.
    * ``nogil``: a receiving thread may run while a kernel does.
    * ``fastmath`` without ``nnan`` and ``ninf``: sums may be reordered into SIMD lanes, but NaN and inf keep their
      meaning, since screening bad pixels depends on it.
    * ``error_model="numpy"``: a division by zero is inf or NaN, which screening sees; Python's check for it would keep
      a loop from using vectors.
    * ``forceinline``: a kernel that calls another has that one's code within it. Else the linker would take the copy of
      whichever kernel was loaded first, vectorised otherwise: results would differ in the last bit between a process
      that compiled and one that found the kernels on disk, and no replay would be exact.
    * no ``boundscheck``, no ``parallel``: one hot thread; the callers own sizes, and tests run them against
      `tests/naive.py`.
    """
    fastmath = {"reassoc", "contract", "nsz", "arcp", "afn"}
    compiled: F = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=fastmath, forceinline=True)(function)
    _kernels.append(compiled)
    return compiled


def specialisations() -> int:
    """How many times a kernel has been compiled, or read from disk, for argument types of its own: none when warm."""
    return sum(len(kernel.signatures) for kernel in _kernels)
