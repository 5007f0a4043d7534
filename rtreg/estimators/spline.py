"""B-splines of order 3 and 5 as the tracker needs them: what their taps reach, and their filters on whole images.

The cubic is fast and biased by less than 0.002 px on anything a camera samples well; the quintic takes half as much
time again and a third of that bias. Facts: Unser 1999, doi 10.1109/79.799930.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.estimators.pieces import Pieces
from rtreg.kernels import bspline

Image = npt.NDArray[Any]

# Of the quintic, on the pixels: its values, and its slopes (a filter turns them round).
VALUES = np.array([1.0, 26.0, 66.0, 26.0, 1.0]) / 120.0
SLOPES = np.array([1.0, 10.0, 0.0, -10.0, -1.0]) / 24.0
TAPS5 = 3  # px: so far the quintic's taps reach
RESPONSE_REACH = 20  # px: the larger pole, 0.431, to this power is 5e-8


@dataclass(frozen=True, slots=True)
class Spline:
    """One order of spline.

    Attributes
    ----------
    order : {3, 5}
    reach : int
        Taps lie at ``-reach ... reach + 1`` from the pixel that a position falls behind; the values on the pixels mix
        as many neighbours on either side.
    """

    order: int
    reach: int

    def prefilter(self, image: Image, mirror: bool, out: Image) -> None:
        """Coefficients of `image` (ny, nx) float32, `mirror` or zero beyond the border. `out` may be `image`."""
        if self.order == 3:
            bspline.prefilter(image, mirror, out)
        else:
            bspline.convolve(image, _response(), _response(), mirror, out)

    def smooth(self, coefficients: Image, out: Image) -> None:
        """Coefficients back to pixels, zero beyond the border. `out` must be another array."""
        if self.order == 3:
            bspline.smooth(coefficients, out)
        else:
            bspline.convolve(coefficients, _VALUES32, _VALUES32, False, out)

    def gradients(self, coefficients: Image, out_y: Image, out_x: Image) -> None:
        """d/dy and d/dx on the pixels of the spline with these mirrored coefficients, per px."""
        if self.order == 3:
            bspline.gradients(coefficients, out_y, out_x)
        else:
            bspline.convolve(coefficients, _SLOPES32, _VALUES32, True, out_y)
            bspline.convolve(coefficients, _VALUES32, _SLOPES32, True, out_x)

    def templates(self, image: Image) -> Pieces[Image]:
        """Image, one, and the image's slopes along y and x: (4, ny, nx) float32; in pieces."""
        out = np.empty((4, *image.shape), np.float32)
        coefficients = np.empty(image.shape, np.float32)
        self.prefilter(image, True, coefficients)
        yield
        out[0], out[1] = image, 1.0
        yield
        self.gradients(coefficients, out[2], out[3])
        return out

    def slope_response(self, wave: Image) -> Image:
        """What the derivative makes of the amplitude of a wave, `wave` in radians a px."""
        if self.order == 3:
            return np.asarray(3.0 * np.sin(wave) / (2.0 + np.cos(wave)))
        slope = (20.0 * np.sin(wave) + 2.0 * np.sin(2.0 * wave)) / 24.0
        return np.asarray(slope / ((66.0 + 52.0 * np.cos(wave) + 2.0 * np.cos(2.0 * wave)) / 120.0))


def sampled(image: Image, fy: float, fx: float) -> Image:
    """`image` (ny, nx) float32 at ``(y + fy, x + fx)``, |f| <= 1, by quintics; it goes on mirrored past the border."""
    out = np.empty_like(image)
    bspline.convolve(image, _interpolation(fy), _interpolation(fx), True, out)
    return out


def _interpolation(f: float) -> Image:
    """The filter that reads an image `f` px further on: prefilter and taps in one."""
    whole = math.floor(f)
    taps = np.zeros(2 * (TAPS5 + abs(whole)) + 1)
    centre = TAPS5 + abs(whole)
    # the tap at n pixels ahead is the filter's weight at -n
    for n, tap in zip(range(whole - 2, whole + 4), bspline.taps5(f - whole), strict=True):
        taps[centre - n] = tap
    return np.convolve(taps, _response()).astype(np.float32)


def kept_noise(shift: float) -> float:
    """What cubic interpolation at this fraction of a pixel leaves of the variance of white noise, along one axis."""
    table = kept_noise_table()
    return float(table[round((shift - math.floor(shift)) * (table.size - 1))])


@functools.cache
def kept_noise_table() -> Image:
    """`kept_noise` at fractions from 0 to 1: (n,) float64."""
    k = (np.arange(64) + 0.5) * (np.pi / 64)
    kept = []
    for fraction in np.linspace(0.0, 1.0, 257):
        wave = sum(float(tap) * np.exp(1j * k * n) for n, tap in enumerate(bspline.taps(fraction)))
        kept.append(float(np.mean(np.abs(3.0 * wave / (2.0 + np.cos(k))) ** 2)))
    return np.array(kept)


CUBIC, QUINTIC = Spline(3, 1), Spline(5, 2)
SPLINES = {spline.order: spline for spline in (CUBIC, QUINTIC)}

_VALUES32, _SLOPES32 = VALUES.astype(np.float32), SLOPES.astype(np.float32)


@functools.cache
def _response() -> Image:
    """Response of the quintic's prefilter to a single pixel."""
    n = 256  # its tails have died out long before they would meet round the circle
    wave = 2.0 * np.pi * np.fft.rfftfreq(n)
    response = np.fft.irfft(1.0 / ((66.0 + 52.0 * np.cos(wave) + 2.0 * np.cos(2.0 * wave)) / 120.0), n)
    return np.roll(response, RESPONSE_REACH)[: 2 * RESPONSE_REACH + 1].astype(np.float32)
