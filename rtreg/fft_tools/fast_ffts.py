"""The choice between FFTW, by cached plans, and NumPy's transforms."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg import fft

__all__ = ["get_ffts", "has_fftw"]

Array = npt.NDArray[Any]

has_fftw = True


def get_ffts(nthreads: int = 1, use_numpy_fft: bool = False) -> tuple[Callable[..., Array], Callable[..., Array]]:
    """Forward and inverse complex transforms over all axes of an n-dimensional array.

    Parameters
    ----------
    nthreads : int
        Threads that one transform may use; FFTW only.
    use_numpy_fft : bool
        NumPy's transforms instead of FFTW's cached plans.

    Returns
    -------
    fftn, ifftn : callables of one array
        float32 and complex64 input gives complex64, everything else complex128; the inverse is normalised.
    """
    if use_numpy_fft:
        return np.fft.fftn, np.fft.ifftn
    return functools.partial(fft.fftn, threads=nthreads), functools.partial(fft.ifftn, threads=nthreads)


class RealFFTs(NamedTuple):
    """Transforms of real arrays over all axes, with the half spectrum; the inverse wants to know its shape."""

    forward: Callable[[Array], Array]
    inverse: Callable[[Array, Sequence[int]], Array]


def get_real_ffts(nthreads: int = 1, use_numpy_fft: bool = False) -> RealFFTs:
    """As `get_ffts`, for real arrays: half the work."""
    if use_numpy_fft:
        return RealFFTs(np.fft.rfftn, lambda a, shape: np.fft.irfftn(a, shape, axes=range(len(shape))))
    return RealFFTs(functools.partial(fft.rfftn, threads=nthreads), functools.partial(fft.irfftn, threads=nthreads))
