"""What a detector does to light, as far as it is known: from raw pixels to signal, and the variance of each pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError
from rtreg.kernels import line

Image = npt.NDArray[Any]
QUANTISATION = 1.0 / 12.0  # variance of rounding to whole ADU


@dataclass(frozen=True, slots=True, eq=False)
class NoiseModel:
    """The detector constants. Every field is optional; without `gain` the noise is measured from the residuals.

    Parameters
    ----------
    gain : float, optional
        Electrons an ADU.
    read_noise : float, optional
        Electrons rms; 0 when only `gain` is known.
    offset : float
        Bias level, ADU.
    saturation : float, optional
        Raw ADU from which a pixel counts as saturated and is ignored.
    dark : float or (ny, nx) array, optional
        Dark signal above `offset`, ADU.
    flat : (ny, nx) array, optional
        Relative sensitivity, mean 1. Pixels where it is not positive are bad.
    mask : (ny, nx) bool array, optional
        True = bad pixel.

    Raises
    ------
    ConfigError
        When a constant cannot be: gain <= 0, read noise < 0, read noise without a gain.
    """

    gain: float | None = None
    read_noise: float | None = None
    offset: float = 0.0
    saturation: float | None = None
    dark: float | Image | None = None
    flat: Image | None = None
    mask: Image | None = None

    def __post_init__(self) -> None:
        if self.gain is not None and not (np.isfinite(self.gain) and self.gain > 0):
            raise ConfigError(f"gain = {self.gain}: electrons an ADU, must be positive; leave it out if unknown")
        if self.read_noise is not None:
            if not (np.isfinite(self.read_noise) and self.read_noise >= 0):
                raise ConfigError(f"read_noise = {self.read_noise}: electrons rms, must be 0 or more")
            if self.gain is None:
                raise ConfigError(f"read_noise = {self.read_noise} is in electrons: give gain (electrons an ADU) too")
        if not np.isfinite(self.offset):
            raise ConfigError(f"offset = {self.offset}: the bias level in ADU must be finite")
        if self.saturation is not None and not self.saturation > self.offset:
            raise ConfigError(f"saturation = {self.saturation} ADU must lie above offset = {self.offset} ADU")

    @property
    def known(self) -> bool:
        """Whether the variance of a pixel follows from the constants."""
        return self.gain is not None

    def variance(self, signal: Image) -> Image:
        """Variance of calibrated pixels, ADU² (float32, shape of `signal`).

        Parameters
        ----------
        signal : array
            Expected calibrated signal, ADU: above offset and dark, divided by the flat.
        """
        if self.gain is None:
            raise ConfigError("the variance of a pixel needs gain (electrons an ADU)")
        flat = np.float32(1.0) if self.flat is None else np.where(self.flat > 0, self.flat, 1.0).astype(np.float32)
        dark = np.float32(0.0) if self.dark is None else np.maximum(np.float32(0.0), self.dark)
        read = ((self.read_noise or 0.0) / self.gain) ** 2 + QUANTISATION
        photons = (np.maximum(signal, 0.0) * flat + dark) / self.gain
        return np.asarray((read + photons) / (flat * flat), np.float32)

    def bad_pixels(self, shape: tuple[int, int]) -> Image | None:
        """Pixels (True = bad) of a (ny, nx) detector that are bad by `mask`, `flat` or `dark`; None when none is."""
        bad = np.zeros(shape, bool)
        if self.mask is not None:
            bad |= np.asarray(self.mask, bool)
        if self.flat is not None:
            bad |= ~(np.asarray(self.flat) > 0)
        if self.dark is not None:
            bad |= ~np.isfinite(self.dark)
        return bad if bad.any() else None

    def part(self, area: tuple[slice, slice]) -> NoiseModel:
        """The same detector, of which only an area (rows, columns) is looked at."""
        images = {name: getattr(self, name) for name in ("dark", "flat", "mask")}
        cut = {name: image[area] for name, image in images.items() if image is not None and np.ndim(image)}
        return replace(self, **cut)

    def check_shape(self, shape: tuple[int, int]) -> None:
        """Raise `ConfigError` when an image of the model does not have the frames' shape (ny, nx)."""
        for name in ("dark", "flat", "mask"):
            image = getattr(self, name)
            if image is not None and np.ndim(image) and np.shape(image) != shape:
                raise ConfigError(
                    f"{name} is {np.shape(image)} but the frames are {shape}; crop it to the frames' region"
                )


def fit_variance(squares: Image, signal: Image, *, bins: int = 24, rounds: int = 4) -> tuple[float, float]:
    """Fit ``v = p + q signal`` to squared residuals: the noise of a detector whose constants are unknown.

    Parameters
    ----------
    squares, signal : (n,) float arrays
        Squared residuals, and the noise-free signal of the same pixels.
    bins, rounds : int
        Pixels are grouped by signal; the line is fitted `rounds` times with weights 1/v².

    Returns
    -------
    p, q : float
        Both at least 0, and not both 0 unless every residual is.
    """
    order = np.argsort(signal, kind="stable")
    # equal counts would hide the few bright pixels in the last bin: halve the bin size towards the bright end
    edges = order.size - (order.size * 0.5 ** np.arange(bins)).astype(int)
    edges = np.unique(np.append(edges, order.size))
    counts = np.diff(edges).astype(float)
    mean_square = np.add.reduceat(squares[order].astype(float), edges[:-1]) / counts
    mean_signal = np.add.reduceat(signal[order].astype(float), edges[:-1]) / counts
    p, q, _ = variance_line(counts, mean_square, mean_signal, rounds=rounds)
    return p, q


def variance_line(
    counts: Image, mean_square: Image, mean_signal: Image, *, rounds: int = 4
) -> tuple[float, float, float]:
    """Fit ``v = p + q signal`` to squared residuals averaged in bins of signal; see `fit_variance`.

    Parameters
    ----------
    counts, mean_square, mean_signal : (bins,) float64 arrays
        Pixels in each bin, at least one, with their mean squared residual and mean signal.

    Returns
    -------
    p, q, chance : float
        The line, and the 1-sigma error of `q` if the noise did not grow at all.
    """
    out = np.empty(3)
    line.fit_variance(counts, mean_square, mean_signal, rounds, out)
    p, q, chance = out.tolist()
    return p, q, chance
