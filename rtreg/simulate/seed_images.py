"""Test images of the seed's accuracy tests: a star, and power-law clouds, moved by a known shift."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.fft_tools import shiftnd, smooth

__all__ = ["edge_weight", "make_extended", "make_offset_extended", "make_offset_images"]

Image = npt.NDArray[np.float64]


def make_offset_images(
    xsh: float,
    ysh: float,
    imsize: int,
    width: float = 3.0,
    amp: float = 1000.0,
    noiseamp: float = 1.0,
    xcen: float = 50,
    ycen: float = 50,
) -> tuple[Image, Image, float]:
    """A Gaussian star without noise, the same star moved by (xsh, ysh) px with noise, and a tolerance in px.

    Parameters
    ----------
    imsize : int
        Side of both images.
    width : float
        Standard deviation of the star, px.
    amp, noiseamp : float
        Its height, and the standard deviation of the noise, from NumPy's global generator.
    xcen, ycen : float
        Its place in the first image.
    """
    size = int(imsize)
    y, x = np.indices((size, size)) - np.array([ycen, xcen])[:, None, None]
    image = amp * np.exp(-(x**2 + y**2) / (2.0 * width**2))
    moved = amp * np.exp(-((x - xsh) ** 2 + (y - ysh) ** 2) / (2.0 * width**2))
    noise = np.random.randn(size, size) * noiseamp  # noqa: NPY002 - ports seed the global generator
    return image, moved + noise, 3.0 / float(np.sqrt(2.0 * np.pi * width**2 * amp / noiseamp))


def make_extended(imsize: int, imsize2: int | None = None, powerlaw: float = 2.0) -> Image:
    """Periodic clouds, (imsize2, imsize): the modulus of a random field with power ~ frequency**-powerlaw."""
    nx = int(imsize)
    ny = nx if imsize2 is None else int(imsize2)
    y, x = np.indices((ny, nx), dtype=float)
    radius = np.hypot(x - (nx - 1) // 2, y - (ny - 1) // 2)
    amplitude = np.where(radius > 0, np.maximum(radius, 1.0) ** (-powerlaw / 2.0), 0.0)
    parts = np.random.randn(2, ny, nx)  # noqa: NPY002 - ports seed the global generator
    spectrum = amplitude * (parts[0] + 1j * parts[1])
    return np.asarray(np.abs(np.fft.fftshift(np.fft.ifft2(spectrum))))


def make_offset_extended(
    img: npt.ArrayLike, xsh: float, ysh: float, noise: float = 1.0, mode: str = "wrap", noise_taper: bool = False
) -> Any:
    """The image moved by (xsh, ysh) px, round the border, with noise of that standard deviation.

    `mode` is accepted; the move is always circular. `noise_taper` divides the noise by `edge_weight`.
    """
    image = np.asarray(img, float)
    noisy = np.random.randn(*image.shape) * noise  # noqa: NPY002 - ports seed the global generator
    if noise_taper:
        noisy /= edge_weight(image.shape[0])
    return shiftnd(image, (ysh, xsh)) + noisy


def edge_weight(imsize: int, smoothsize: float = 5, power: float = 2) -> Any:
    """A square image that is 1 inside and falls off at the edges: ones, smoothed, to the given power."""
    return np.asarray(smooth(np.ones((int(imsize), int(imsize))), smoothsize)) ** power
