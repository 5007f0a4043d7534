"""What a detector makes of light: photon and read noise, gain, offset, saturation, hot pixels, vignetting."""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError
from rtreg.kernels import render

_DTYPES = ("uint8", "uint16", "int16", "int32", "float32", "float64")


class Detector:
    """Electrons to pixels; the same seed gives the same noise.

    Photon noise is exactly Poisson below 30 electrons; above, it is a continuous number with the Poisson mean,
    variance and skewness.

    Parameters
    ----------
    gain : float
        e-/ADU.
    read_noise : float
        e- rms.
    offset : float
        ADU, added to every pixel.
    saturation : float, optional
        ADU at which pixels are clipped; by default the largest value of `dtype`.
    photon_noise : bool
        Whether photons arrive at random.
    hot_pixels : float
        Fraction of the pixels that are hot, always the same ones.
    hot_level : float
        Mean electrons that a hot pixel adds to a frame; each has its own level, exponentially distributed.
    vignetting : float
        Fraction of the light that is lost in the corners; the loss grows with the square of the distance from the
        centre.
    dtype : str
        Of the pixels: uint8, uint16, int16, int32, float32 or float64.
    seed : int
        Of the noise and of the hot pixels.

    Raises
    ------
    ConfigError
        A value out of its range.
    """

    def __init__(
        self,
        *,
        gain: float = 1.0,
        read_noise: float = 2.0,
        offset: float = 100.0,
        saturation: float | None = None,
        photon_noise: bool = True,
        hot_pixels: float = 0.0,
        hot_level: float = 2000.0,
        vignetting: float = 0.0,
        dtype: Literal["uint8", "uint16", "int16", "int32", "float32", "float64"] = "uint16",
        seed: int = 0,
    ) -> None:
        if dtype not in _DTYPES:
            raise ConfigError(f"detector dtype {dtype!r} is not one of {', '.join(_DTYPES)}")
        if not 0 < gain < math.inf:
            raise ConfigError(f"detector gain must be positive e-/ADU, not {gain}")
        for name, value in (("read_noise", read_noise), ("hot_level", hot_level)):
            if not 0 <= value < math.inf:
                raise ConfigError(f"detector {name} must be 0 or a positive number of electrons, not {value}")
        for name, value in (("hot_pixels", hot_pixels), ("vignetting", vignetting)):
            if not 0 <= value <= 1:
                raise ConfigError(f"detector {name} is a fraction from 0 to 1, not {value}")
        if seed < 0:
            raise ConfigError(f"detector seed must be 0 or more, not {seed}")
        self.dtype = np.dtype(dtype)
        self.gain = gain
        self.read_noise = read_noise
        self.offset = offset
        self._low, largest = _limits(self.dtype)
        self.saturation = largest if saturation is None else min(saturation, largest)
        if not self._low <= offset < self.saturation:
            raise ConfigError(
                f"detector offset {offset} ADU does not fit {dtype} below its saturation, {self.saturation}"
            )
        self._photon_noise = photon_noise
        self._hot_pixels = hot_pixels
        self._hot_level = hot_level
        self._vignetting = vignetting
        self._fixed = np.random.SeedSequence(seed)
        self._rng = np.random.Generator(np.random.SFC64(seed))
        self._state = self._fixed.generate_state(1, np.uint64)
        # set for the first frame and kept: the maps, and the random numbers that every frame overwrites
        self._throughput = self._dark = self._normals = np.zeros((0, 0), np.float32)

    def expose(self, electrons: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Pixels (ny, nx) of `dtype`, a new read-only array, from the mean electrons (ny, nx) of the frame."""
        if self._normals.shape != electrons.shape:
            self._prepare(electrons.shape)
        if self._photon_noise or self.read_noise > 0:
            self._rng.standard_normal(dtype=np.float32, out=self._normals)
        # a new array, since the frame may still be on its way to a socket when the next is exposed
        pixels = np.empty(electrons.shape, self.dtype)
        render.expose(
            electrons,
            self._throughput,
            self._dark,
            self._normals,
            self._photon_noise,
            *_poisson_tables(),
            self.read_noise,
            self.gain,
            self.offset,
            self._low,
            self.saturation,
            self.dtype.kind != "f",
            self._state,
            pixels,
        )
        pixels.flags.writeable = False
        return pixels

    def _prepare(self, shape: tuple[int, ...]) -> None:
        ny, nx = shape
        y = np.linspace(-1, 1, ny)[:, None]
        x = np.linspace(-1, 1, nx)[None, :]
        aspect = nx / ny
        radius2 = (y**2 + (aspect * x) ** 2) / (1 + aspect**2)  # 1 in the corners
        self._throughput = (1 - self._vignetting * radius2).astype(np.float32)
        rng = np.random.default_rng(self._fixed.spawn(1)[0])
        hot = rng.random(shape) < self._hot_pixels
        self._dark = np.where(hot, rng.exponential(self._hot_level, shape), 0).astype(np.float32)
        self._normals = np.zeros(shape, np.float32)


@functools.cache
def _poisson_tables() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]:
    shape = (int(render.EXACT_BELOW * render.PER_ELECTRON), render.OUTCOMES)
    chances, others = np.empty(shape, np.float32), np.empty(shape, np.int16)
    render.poisson_tables(chances, others)
    return chances, others


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype.kind == "f":
        return -math.inf, math.inf
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)
