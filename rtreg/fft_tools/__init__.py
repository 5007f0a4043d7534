"""Fourier tools for images: shift, zoom, upsample, correlate, convolve, smooth; and block averages.

`correlate2d` is the function, though there is a module of that name; `shift`, `zoom`, `scale`, `upsample`,
`downsample`, `fast_ffts`, `smooth_tools` and `convolve_nd` are the modules. Everything is imported here, at once:
Python makes a submodule an attribute of its package only when it is loaded first, so these names stay what they are
whatever is imported later. FFTW and Numba load with the first call that needs them.
"""

from __future__ import annotations

from rtreg.fft_tools import convolve_nd, downsample, fast_ffts, scale, shift, smooth_tools, upsample, zoom
from rtreg.fft_tools.correlate2d import correlate2d
from rtreg.fft_tools.fast_ffts import get_ffts
from rtreg.fft_tools.shift import shift2d, shiftnd
from rtreg.fft_tools.smooth_tools import smooth
from rtreg.fft_tools.upsample import dftups, upsample_image

__all__ = [
    "convolve_nd",
    "correlate2d",
    "dftups",
    "downsample",
    "fast_ffts",
    "get_ffts",
    "scale",
    "shift",
    "shift2d",
    "shiftnd",
    "smooth",
    "smooth_tools",
    "upsample",
    "upsample_image",
    "zoom",
]
