"""Recorded images as a feed: a FITS cube, a multi-page TIFF, a ``.npy`` array, a folder of images."""

from __future__ import annotations

import math
import time
from typing import NoReturn

from rtreg.errors import ConfigError, DeviceError
from rtreg.io.images import open_stack
from rtreg.records import Frame

__all__ = ["FileFeed"]


class FileFeed:
    """The frames of a file, or of a folder of images in natural order, once or round and round.

    Frames bear the time they are read. How fast they are read is up to the reader.

    Parameters
    ----------
    path : str
        What `rtreg.io.images.open_stack` opens.
    loop : bool
        Begin again after the last frame.
    exposure_ms : float
        Exposure time said in each frame, ms; 0 when unknown.
    gain, read_noise, offset, saturation : float, optional
        Detector constants said in each frame: e-/ADU, e- rms, ADU, ADU.

    Raises
    ------
    ConfigError
        A number that cannot be.
    FrameError
        The file is missing, or is no stack of images.
    """

    def __init__(
        self,
        path: str,
        *,
        loop: bool = False,
        exposure_ms: float = 0.0,
        gain: float | None = None,
        read_noise: float | None = None,
        offset: float | None = None,
        saturation: float | None = None,
    ) -> None:
        if not 0 <= exposure_ms < math.inf:
            raise ConfigError(f"exposure_ms must be 0 or more, not {exposure_ms}")
        if gain is not None and not 0 < gain < math.inf:
            raise ConfigError(f"gain must be positive e-/ADU, not {gain}")
        if read_noise is not None and not 0 <= read_noise < math.inf:
            raise ConfigError(f"read_noise must be 0 or more electrons, not {read_noise}")
        self._stack = open_stack(path)
        self._loop = loop
        self._exposure_ns = round(exposure_ms * 1e6)
        self._gain = gain
        self._read_noise = read_noise
        self._offset = offset
        self._saturation = saturation
        self._next = 0

    def describe(self) -> str:
        """One line for people: what this is."""
        stack = self._stack
        again = ", looped" if self._loop else ""
        return f"{stack.path}: {len(stack)} frames, {stack.shape[1]}x{stack.shape[0]} {stack.dtype}{again}"

    def next_frame(self) -> Frame | None:
        """The next frame of the file; None after the last, unless it loops."""
        if self._next == len(self._stack):
            if not self._loop:
                return None
            self._next = 0
        pixels = self._stack[self._next]
        self._next += 1
        return Frame(
            pixels=pixels,
            t_ns=time.time_ns(),
            exp_ns=self._exposure_ns,
            gain=self._gain,
            read_noise=self._read_noise,
            offset=self._offset,
            saturation=self._saturation,
        )

    def move(self, u: tuple[float, float], mode: str, unit: str) -> NoReturn:
        """Raise `DeviceError`: a file cannot be moved."""
        raise DeviceError(f"{self._stack.path} is a recording: it has nothing to move")

    def stop(self) -> NoReturn:
        """Raise `DeviceError`: a file cannot be moved."""
        raise DeviceError(f"{self._stack.path} is a recording: it has nothing to move")

    def where(self) -> NoReturn:
        """Raise `DeviceError`: a file cannot be moved."""
        raise DeviceError(f"{self._stack.path} is a recording: it has nothing to move")

    def close(self) -> None:
        """Close the file."""
        self._stack.close()
