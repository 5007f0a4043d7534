"""What `accuracy.py` measures on: scenes with exact motion, their noise, and the bounds that no estimator can beat."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rtreg import NoiseModel, Shift
from rtreg.simulate import Scene

Image = npt.NDArray[Any]

GAIN = 1.0
READ_NOISE = 3.0
BACKGROUND = 10.0
FARTHEST = 2.5  # px: shifts are drawn from ± this
FWHM = 3.0


class View(Protocol):
    """What a camera sees of a scene, exact at every shift."""

    shape: tuple[int, int]

    def render(self, shift: Shift) -> Image:
        """Mean electrons (ny, nx)."""
        ...

    def gradient(self, shift: Shift) -> tuple[Image, Image]:
        """Its derivatives with respect to x and y, electrons/px."""
        ...


class Picture:
    """A real picture seen through a point-spread function; the view is its middle.

    Every second pixel of it is sampled, in a view too large for that every one. The shift is a phase of its spectrum,
    exact up to the border of the whole picture, which the view never sees.
    """

    def __init__(self, picture: Image, size: int, peak: float) -> None:
        ny, nx = picture.shape
        self.shape = (size, size)
        self._step = 2 if 3 * size < min(ny, nx) else 1
        fy, fx = np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None, :]
        sigma = self._step * FWHM / math.sqrt(8.0 * math.log(2.0))  # of the picture's pixels
        self._waves = 2j * np.pi * fy, 2j * np.pi * fx
        self._spectrum = np.fft.rfft2(picture) * np.exp(-2.0 * (np.pi * sigma) ** 2 * (fy**2 + fx**2))
        self._fine = picture.shape
        seen = self._see(self._spectrum)
        self._spectrum *= peak / np.ptp(seen)
        self._level = BACKGROUND - float(np.fft.irfft2(self._spectrum, self._fine).min())

    def _see(self, spectrum: Image) -> Image:
        image = np.fft.irfft2(spectrum, self._fine)
        step = self._step
        top, left = ((n // step - size) // 2 * step for n, size in zip(self._fine, self.shape, strict=True))
        return image[top : top + step * self.shape[0] : step, left : left + step * self.shape[1] : step]

    def _moved(self, shift: Shift) -> Image:
        wy, wx = self._waves
        return self._spectrum * np.exp(-self._step * (wy * shift.dy + wx * shift.dx))

    def render(self, shift: Shift) -> Image:
        return self._see(self._moved(shift)) + self._level

    def gradient(self, shift: Shift) -> tuple[Image, Image]:
        moved = self._moved(shift)
        wy, wx = self._waves
        return self._step * self._see(moved * wx), self._step * self._see(moved * wy)


class Field(NamedTuple):
    """A scene of the table: how to make it at a peak (electrons), and the peaks to show it at."""

    kind: str
    size: int
    peaks: tuple[float, ...]


SCENES = {
    "stars": Field("stars", 128, (60.0, 600.0, 20_000.0)),
    "star": Field("star", 64, (15.0, 200.0, 20_000.0)),
    "cells": Field("cells", 128, (15.0, 150.0, 4_000.0)),
    "granulation": Field("granulation", 128, (50.0, 500.0, 10_000.0)),
    "moon": Field("moon", 128, (50.0, 500.0, 10_000.0)),
}


@functools.cache
def view_of(name: str, peak: float, size: int | None = None) -> View:
    """The scene of that name, in its own size or another."""
    field = SCENES[name]
    size = size or field.size
    if field.kind == "moon":
        from skimage.data import moon

        return Picture(moon().astype(float), size, peak)
    shape = (size, size)
    scene: View = Scene(field.kind, shape, seed=11, peak=peak, background=BACKGROUND, fwhm=FWHM)  # type: ignore[arg-type]
    return scene


def noise_model(**options: Any) -> NoiseModel:
    """The detector's constants, as they are."""
    return NoiseModel(gain=GAIN, read_noise=READ_NOISE, **options)


def expose(mean: Image, rng: np.random.Generator, frames: int = 1) -> Image:
    """The mean of that many exposures, whole ADU each, float32."""
    if frames > 1:  # the sum of Poisson numbers is one
        sums = rng.poisson(mean * frames) + rng.normal(0.0, math.sqrt(frames * (READ_NOISE**2 + 1 / 12)), mean.shape)
        return (sums / frames).astype(np.float32)
    return np.rint(rng.poisson(mean) + rng.normal(0.0, READ_NOISE, mean.shape)).astype(np.float32)


class Bound(NamedTuple):
    """Smallest possible errors, px, (x, y)."""

    x: float
    y: float


def bound(view: View, shift: Shift, usable: Image | None = None, throughput: Image | None = None) -> Bound:
    """Cramér-Rao bound of a frame against a noise-free reference: scale, offset and shift free.

    Only pixels that the reference also has, and that are `usable` (ny, nx), count; `throughput` (ny, nx) dims it.
    """
    mean, (gx, gy) = np.asarray(view.render(shift), float), view.gradient(shift)
    ny, nx = mean.shape
    y, x = np.mgrid[:ny, :nx]
    weight = 1.0 / (mean + READ_NOISE**2 + 1 / 12)
    if throughput is not None:
        weight = throughput**2 / (mean * throughput + READ_NOISE**2 + 1 / 12)
    weight = weight * ((y - shift.dy >= 0) & (y - shift.dy <= ny - 1) & (x - shift.dx >= 0) & (x - shift.dx <= nx - 1))
    if usable is not None:
        weight = weight * usable
    templates = np.stack([mean - mean.mean(), np.ones_like(mean), gx, gy]).reshape(4, -1)
    covariance = np.linalg.inv((templates * weight.reshape(-1)) @ templates.T)
    return Bound(math.sqrt(covariance[2, 2]), math.sqrt(covariance[3, 3]))


def hannan_thomson(view: View, frames: float) -> tuple[float, float]:
    """What noise times noise adds to √(1 + 1/K) times the bound, and q, the signal's share of the gradient energy.

    Hannan & Thomson 1973 (doi 10.1093/biomet/60.2.241): with S the signal's power and N_f, N_r the noise's,
    information is ``sum k² S² / (S (N_f + N_r) + N_f N_r)``, of which a noise-free signal would give
    ``sum k² S / (N_f + N_r)``.
    """
    mean = np.asarray(view.render(Shift(0.0, 0.0)), float)
    n = mean.shape[0]
    window = np.hanning(n + 2)[1:-1]
    window = np.outer(window, window)
    power = np.abs(np.fft.fft2((mean - np.average(mean, weights=window)) * window)) ** 2 / np.sum(window**2)
    k2 = np.add.outer(np.fft.fftfreq(n) ** 2, np.fft.fftfreq(n) ** 2)
    noise = float(mean.mean()) + READ_NOISE**2 + 1 / 12
    ring = np.rint(np.sqrt(k2) * n).astype(int)
    counts = np.bincount(ring.ravel())
    power = (np.bincount(ring.ravel(), power.ravel()) / counts)[ring]  # the ensemble's: the signal's own is not known
    per = noise / frames
    plain = np.sum(k2 * power) / (noise + per)
    true = np.sum(k2 * power**2 / (power * (noise + per) + noise * per))
    q = float(np.sum(k2 * power) / np.sum(k2 * (power + per)))
    return math.sqrt(plain / true), q
