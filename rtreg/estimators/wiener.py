"""How much of a noisy reference is scene, by spatial frequency, and the filters that follow from it.

A fit to a noisy reference measures noise against noise wherever the reference has no structure left. With ``S`` the
power of the scene and ``N_f``, ``N_r`` that of the noise in frame and reference, the information on the shift at one
frequency is ``k² S² / (S (N_f + N_r) + N_f N_r)`` (Hannan & Thomson 1973, doi 10.1093/biomet/60.2.241): that of a
noise-free reference times ``H² = S / (S + N_f N_r / (N_f + N_r))``. To filter both images with ``H`` is to weigh by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg import fft

Image = npt.NDArray[Any]

PAD = 32  # px: so far a filter carries, the border's content is felt
SMOOTHED_BINS = 5  # of the radial spectrum
SIGNIFICANT = 3.0  # sigma that a bin must stand out of the noise
TAPER = 0.1  # of either side: the border is no edge of the scene


class NoiseFilter:
    """Filters for a reference of so many frames, from its own spectrum.

    Parameters
    ----------
    reference : (ny, nx) float32
        About 0 where there is no structure.
    weights : (ny, nx) float32
        One over the variance of a frame plus that of the reference; 0 = ignore.
    frames : float
        Averaged into the reference.

    Attributes
    ----------
    empty : bool
        No frequency stands out of the noise: there is nothing to filter by.
    """

    def __init__(self, reference: Image, weights: Image, frames: float) -> None:
        self.shape = reference.shape
        self._padded = tuple(fft.next_fast_len(n + 2 * PAD) for n in self.shape)
        # in units of the noise of frame and reference together
        noise = 1.0 / (1.0 + frames)
        radii, power = _excess_power(reference, weights, noise)
        self.empty = not power.any()
        rows, columns = np.fft.fftfreq(self._padded[0])[:, None], np.fft.rfftfreq(self._padded[1])[None, :]
        scene = np.interp(np.hypot(rows, columns), radii, power)
        self._waves = 2.0 * np.pi * rows, 2.0 * np.pi * columns
        self._power = scene / np.maximum(scene + noise * (1.0 - noise), 1e-30)
        self._wiener = (scene / (scene + noise)).astype(np.float32)
        self._half = np.sqrt(self._power).astype(np.float32)

    def smooth(self, image: Image) -> Image:
        """`image` through `H`; past its border it goes on mirrored."""
        return self._apply(np.pad(image, PAD, mode="reflect"), self._half)

    def spread(self, image: Image) -> Image:
        """`image` through `H`; past its border it is zero."""
        return self._apply(np.pad(image, PAD), self._half)

    def denoise(self, image: Image) -> Image:
        """The likeliest scene behind the reference."""
        return self._apply(np.pad(image, PAD, mode="reflect"), self._wiener)

    def moments(self, slope_response: Callable[[Image], Image], power: int) -> tuple[float, float, float]:
        """Means over all waves of ``H^power``, and of that times the squared response of a derivative along y and x."""
        gain = self._power ** (power / 2)
        twice = np.full(gain.shape[1], 2.0)  # half of the plane stands for all of it
        twice[0] = 1.0
        total = float(twice.sum()) * gain.shape[0]
        along_y, along_x = (np.square(slope_response(wave)) for wave in self._waves)
        value, slope_y, slope_x = (float(np.sum(gain * part * twice)) / total for part in (1.0, along_y, along_x))
        return value, slope_y, slope_x

    def _apply(self, padded: Image, transfer: Image) -> Image:
        plan = fft.plan((self._padded[0], self._padded[1]), np.float32)
        plan.real[:] = 0.0
        plan.real[: padded.shape[0], : padded.shape[1]] = padded
        spectrum = plan.forward()
        np.multiply(spectrum, transfer, out=plan.spectrum)
        return plan.inverse()[PAD : PAD + self.shape[0], PAD : PAD + self.shape[1]].copy()


def _excess_power(reference: Image, weights: Image, noise: float) -> tuple[Image, Image]:
    """Radii, cycles/px, and the scene's power there, that of the noise being `noise`: falling, 0 past the noise."""
    ny, nx = reference.shape
    taper = np.outer(_taper(ny), _taper(nx))
    used = float(np.sum(taper**2, where=weights > 0))
    seen = np.sqrt(weights) * reference * taper
    power = np.abs(np.fft.rfft2(seen)) ** 2 / used
    width = 1.0 / min(ny, nx)
    ring = np.rint(np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None, :]) / width).astype(int).ravel()
    counts: Image = np.bincount(ring).astype(float)
    sums: Image = np.bincount(ring, power.ravel())
    counts[0] = sums[0] = 0.0  # the level says nothing about shifts
    box = np.ones(SMOOTHED_BINS)
    counts, sums = np.convolve(counts, box, "same"), np.convolve(sums, box, "same")
    excess = sums / counts - noise
    # about half of the waves that a tapered image's spectrum has are independent
    low = np.flatnonzero(excess < SIGNIFICANT * noise * np.sqrt(2.0 / counts))
    excess[low[0] if low.size else excess.size :] = 0.0
    falling = np.maximum.accumulate(excess[::-1])[::-1]
    return np.arange(falling.size) * width, falling


def _taper(n: int) -> Image:
    """One in the middle, falling to zero like a cosine at either end."""
    edge = max(1, math.ceil(TAPER * n))
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    out = np.ones(n)
    out[:edge], out[n - edge :] = rise, rise[::-1]
    return out
