"""Scenes that can be seen at any shift, exactly.

Stars are evaluated where they are. Textures are defined on a torus larger than the view, cut off at the pixels'
Nyquist frequency and kept twice oversampled as quintic B-spline coefficients: sampling them is then wrong by about
1e-6 of their contrast, which moves no estimate by 0.0001 px.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError
from rtreg.kernels import render
from rtreg.records import Shift
from rtreg.simulate import objects

Image = npt.NDArray[np.float32]

_SIGMA_OF_FWHM = 1 / math.sqrt(8 * math.log(2))
_UNMOVED = Shift(0.0, 0.0)
_REACH = 6.0  # sigma to which a star is drawn: 1.5e-8 of its peak
_LARGEST = 4096  # px: beyond, a texture takes gigabytes
_MOST_STARS = 10_000
# what the texture of a kind looks like unless told otherwise: feature size in px, and contrast
_TEXTURES = {"granulation": (16.0, 0.4), "cells": (28.0, 1.0)}


class Scene:
    """What the camera looks at: larger than the view, deterministic, and exact at every sub-pixel shift.

    The world is a torus, the view plus `margin` on each side: new content enters at the border as the scene moves,
    and it never runs out, however far a drift goes.

    Parameters
    ----------
    kind : {"star", "stars", "granulation", "cells"}
        One star in the middle of the view; a field of stars with power-law fluxes; solar granulation, bright cells
        with dark lanes all over the field; cells under a microscope, soft blobs with structure on a dark ground.
    shape : (int, int)
        Of the view, ``(ny, nx)``.
    seed : int
        The same seed gives the same scene.
    fwhm : float
        Of the point-spread function, a Gaussian, px.
    peak : float
        Electrons of the brightest point above `background` at zero shift: the brightest star of the view, or the
        brightest of the texture.
    background : float
        Electrons everywhere.
    stars : int
        Number of stars in the view at zero shift (kind "stars").
    feature : float, optional
        Size of a granule or a cell, px; by default 16 and 28.
    contrast : float, optional
        Of a texture: ``1 - darkest / brightest`` over the background; by default 0.4 for granulation, 1 for cells.
    margin : int
        How much larger than the view the world is on each side, px.

    Raises
    ------
    ConfigError
        A value out of its range.
    """

    def __init__(
        self,
        kind: Literal["star", "stars", "granulation", "cells"] = "stars",
        shape: tuple[int, int] = (128, 128),
        *,
        seed: int = 0,
        fwhm: float = 3.0,
        peak: float = 5000.0,
        background: float = 50.0,
        stars: int = 40,
        feature: float | None = None,
        contrast: float | None = None,
        margin: int = 64,
    ) -> None:
        if kind not in ("star", "stars", *_TEXTURES):
            raise ConfigError(f"scene kind {kind!r} is not one of star, stars, {', '.join(_TEXTURES)}")
        if len(shape) != 2 or not 1 <= min(shape) <= max(shape) <= _LARGEST:
            raise ConfigError(f"scene shape must be (ny, nx) of 1 to {_LARGEST} px each, not {tuple(shape)}")
        if not 1 <= fwhm <= 100:
            raise ConfigError(f"scene fwhm must be 1 to 100 px, not {fwhm}: below 1 px no estimator can be exact")
        if not (0 <= peak < math.inf and 0 <= background < math.inf):
            raise ConfigError(f"scene peak and background are electrons, 0 or more, not {peak} and {background}")
        if not 1 <= stars <= _MOST_STARS:
            raise ConfigError(f"scene stars must be 1 to {_MOST_STARS}, not {stars}")
        if seed < 0:
            raise ConfigError(f"scene seed must be 0 or more, not {seed}")
        self.kind = kind
        self.shape = (int(shape[0]), int(shape[1]))
        self.fwhm = fwhm
        self.peak = peak
        self.background = background
        self.sigma = fwhm * _SIGMA_OF_FWHM
        self._reach = _REACH * self.sigma
        if not self._reach <= margin <= _LARGEST:
            least = math.ceil(self._reach)
            raise ConfigError(f"scene margin must be {least} to {_LARGEST} px at this fwhm, not {margin}")
        self.world = (self.shape[0] + 2 * margin, self.shape[1] + 2 * margin)
        rng = np.random.default_rng(seed)
        if kind in _TEXTURES:
            default_feature, default_contrast = _TEXTURES[kind]
            size = default_feature if feature is None else feature
            depth = default_contrast if contrast is None else contrast
            if not 4 <= size <= min(self.world) / 3:
                raise ConfigError(f"scene feature must be 4 to {min(self.world) / 3:.0f} px in this view, not {size}")
            if not 0 < depth <= 1:
                raise ConfigError(f"scene contrast must be above 0 and at most 1, not {depth}")
            draw = objects.granulation if kind == "granulation" else objects.cells
            self.spectrum = self._levels(draw(rng, self.world, size), depth)
            self._phases = _phases(self.spectrum, self.world)
        else:
            self.star_y, self.star_x, self.star_peak = self._place_stars(rng, stars if kind == "stars" else 1)

    def render(self, shift: Shift = _UNMOVED, out: Image | None = None) -> Image:
        """The mean electrons (ny, nx), float32, of ``frame(y, x) = scene(y - dy, x - dx)``, into `out` if given."""
        if out is None:
            out = np.empty(self.shape, np.float32)
        self._draw(shift, False, False, out)
        return out

    def gradient(self, shift: Shift = _UNMOVED) -> tuple[Image, Image]:
        """``d frame / dx, d frame / dy`` of the frame at `shift`, electrons/px, each (ny, nx): x comes first."""
        along_x = np.empty(self.shape, np.float32)
        along_y = np.empty(self.shape, np.float32)
        self._draw(shift, False, True, along_x)
        self._draw(shift, True, False, along_y)
        return along_x, along_y

    def _draw(self, shift: Shift, slope_y: bool, slope_x: bool, out: Image) -> None:
        if self.kind in _TEXTURES:
            my, taps_y = _taps(-shift.dy, slope_y)
            mx, taps_x = _taps(-shift.dx, slope_x)
            render.texture(self._phases, my, mx, taps_y, taps_x, out)
            return
        out.fill(0.0 if slope_y or slope_x else self.background)
        ys = _wrap(self.star_y + shift.dy, self._reach, self.world[0])
        xs = _wrap(self.star_x + shift.dx, self._reach, self.world[1])
        render.stars(ys, xs, self.star_peak, self.sigma, self._reach, slope_y, slope_x, out)

    def _place_stars(
        self, rng: np.random.Generator, count: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Centres y, x (px, in the view at zero shift) and peaks (electrons) of all the world's stars."""
        ny, nx = self.shape
        if self.kind == "star":
            return np.array([(ny - 1) / 2]), np.array([(nx - 1) / 2]), np.array([self.peak])
        total = round(count * self.world[0] * self.world[1] / (ny * nx))
        inside = rng.uniform((-0.5, -0.5), (ny - 0.5, nx - 0.5), (count, 2))
        margin_y, margin_x = (self.world[0] - ny) / 2, (self.world[1] - nx) / 2
        low, high = (-0.5 - margin_y, -0.5 - margin_x), (ny - 0.5 + margin_y, nx - 0.5 + margin_x)
        anywhere = rng.uniform(low, high, (total, 2))
        seen = np.all((anywhere >= -0.5) & (anywhere < (ny - 0.5, nx - 0.5)), axis=1)
        centres = np.concatenate([inside, anywhere[~seen]])
        brightness = 1 / (1 + 99 * rng.random(len(centres)))  # number above a flux ~ 1 / flux, over a factor of 100
        peaks = self.peak * brightness / brightness[:count].max()
        return centres[:, 0].copy(), centres[:, 1].copy(), peaks

    def _levels(self, picture: npt.NDArray[np.float64], contrast: float) -> npt.NDArray[np.complex128]:
        """Half-plane spectrum (wy, wx // 2 + 1) of the object seen through the PSF, in electrons, band-limited."""
        fy = np.fft.fftfreq(self.world[0])[:, None]
        fx = np.fft.rfftfreq(self.world[1])[None, :]
        spectrum = np.fft.rfft2(picture) * np.exp(-2 * (math.pi * self.sigma) ** 2 * (fy**2 + fx**2))
        # the Nyquist frequency itself has no phase, so it cannot be shifted
        spectrum[np.abs(np.broadcast_to(fy, spectrum.shape)) == 0.5] = 0
        spectrum[np.broadcast_to(fx, spectrum.shape) == 0.5] = 0
        seen = np.fft.irfft2(spectrum, self.world)
        low, high = float(seen.min()), float(seen[: self.shape[0], : self.shape[1]].max())
        scale = self.peak * contrast / (high - low)
        spectrum *= scale
        spectrum[0, 0] += picture.size * (self.background + self.peak * (1 - contrast) - scale * low)
        return np.asarray(spectrum, np.complex128)


def _phases(spectrum: npt.NDArray[np.complex128], world: tuple[int, int]) -> Image:
    """Spline coefficients of the twice oversampled torus, (2, 2, wy, wx), from its half-plane spectrum."""
    wy, wx = world
    padded = np.zeros((2 * wy, wx + 1), np.complex128)
    top, columns = (wy + 1) // 2, (wx + 1) // 2
    padded[:top, :columns] = spectrum[:top, :columns]
    padded[-(wy // 2) :, :columns] = spectrum[wy - wy // 2 :, :columns]
    # the prefilter, exactly: on a torus the spline's samples are a product of spectra
    padded /= _spline_spectrum(np.fft.fftfreq(2 * wy))[:, None] * _spline_spectrum(np.fft.rfftfreq(2 * wx))
    fine = np.fft.irfft2(4 * padded, (2 * wy, 2 * wx))
    return np.ascontiguousarray(fine.reshape(wy, 2, wx, 2).transpose(1, 3, 0, 2), np.float32)


def _spline_spectrum(f: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    w = 2 * math.pi * f
    return np.asarray((66 + 52 * np.cos(w) + 2 * np.cos(2 * w)) / 120)


def _taps(position: float, slope: bool) -> tuple[int, npt.NDArray[np.float32]]:
    """First coefficient, and the quintic's six weights, for the sample at pixel 0 plus `position` px."""
    fine = 2 * position
    whole = math.floor(fine)
    t = fine - whole + 2 - np.arange(render.TAPS)  # distances to the coefficients whole - 2 ... whole + 3
    powers = np.maximum(t[:, None] + 3 - np.arange(7), 0)
    signs = np.array([1, -6, 15, -20, 15, -6, 1])
    weights = 2 * (powers**4 @ signs) / 24 if slope else (powers**5 @ signs) / 120
    return whole - 2, weights.astype(np.float32)


def _wrap(positions: npt.NDArray[np.float64], reach: float, size: int) -> npt.NDArray[np.float64]:
    """Positions round the torus, into the one turn that begins where a star would first be seen."""
    return np.asarray((positions + reach) % size - reach)
