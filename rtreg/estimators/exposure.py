"""One frame on its way through the estimator: raw pixels, and the calibrated image of it once somebody asks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.kernels import follow, prepare
from rtreg.kernels.prepare import Calibration
from rtreg.noise import NoiseModel
from rtreg.records import Verdict

Image = npt.NDArray[Any]

ALIGNMENT = 64  # bytes: a vector that crosses no line of the cache is read in half the time
LARGEST_BAD_FRACTION = 0.25  # of the frame: with more bad pixels than that there is no frame


def aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Image:
    """An array, not initialised, that begins at a line of the cache."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(kind).reshape(shape)


class Exposure:
    """The frame at hand. Buffers are reused: `take` forgets the frame before.

    Attributes
    ----------
    pixels : (ny, nx) array
        Raw.
    calibration : Calibration
        What turns them into signal.
    work : (ny, nx) float32
        Calibrated, bad pixels filled; of this frame once `looked`.
    bad, n_bad : (ny * nx,) int32, int
        Flat indices of bad pixels, and how many there are: 0 until `looked`.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.calibration = Calibration()
        self.pixels: Image = np.zeros((0, 0), np.float32)
        self.work = aligned(shape, np.float32)
        self.work[:] = 0.0
        self.bad = np.empty(shape[0] * shape[1], np.int32)
        self._scratch_mask = np.zeros(shape, bool)
        self.n_bad = self._n_nan = self._n_saturated = 0
        self.looked = False

    def take(self, pixels: Image, calibration: Calibration) -> None:
        """Here is another frame."""
        if pixels.flags.writeable:  # those off the wire are not: kernels are compiled for one kind alone
            pixels = pixels.view()
            pixels.setflags(write=False)
        self.pixels, self.calibration = pixels, calibration
        self.n_bad = self._n_nan = self._n_saturated = 0
        self.looked = False

    def look(self) -> bool:
        """Calibrate the whole frame, unless that is done; whether it can be measured at all."""
        if not self.looked:
            counts = prepare.prepare_frame(self.pixels, *self.calibration, self.work, self.bad)
            self.note(*counts)
        return not self.refusal

    def note(self, n_bad: int, n_nan: int, n_saturated: int) -> None:
        """What was found in the whole frame, which has been calibrated into `work`."""
        self.n_bad, self._n_nan, self._n_saturated = n_bad, n_nan, n_saturated
        self.looked = True
        if n_bad and not self.refusal:
            prepare.patch(self.work, self.bad, n_bad, self._scratch_mask)

    def reject(self, more: Image) -> None:
        """Also these pixels (flat indices) of a frame that was looked at are bad."""
        self.bad[self.n_bad : self.n_bad + more.size] = more
        self.n_bad += more.size
        self.work.reshape(-1)[more] = 0.0
        prepare.patch(self.work, self.bad, self.n_bad, self._scratch_mask)

    @property
    def refusal(self) -> Verdict:
        """Flags of a frame that cannot be measured at all; OK for one that can. Masked pixels are no fault of it."""
        if self._n_nan + self._n_saturated > LARGEST_BAD_FRACTION * self.work.size:
            saturated = Verdict.SATURATED if self._n_saturated else Verdict.OK
            return saturated | (Verdict.NAN if self._n_nan else Verdict.OK)
        return Verdict.DARK if self.looked and follow.alike(self.work) else Verdict.OK


def calibration_of(noise: NoiseModel, shape: tuple[int, int]) -> Calibration:
    """The noise model's images in the form the kernel wants them."""
    given: dict[str, Any] = {}
    offset = noise.offset
    if noise.dark is not None and np.ndim(noise.dark):
        given["dark"] = np.nan_to_num(np.asarray(noise.dark, np.float32))
    elif noise.dark is not None:
        offset += float(noise.dark)
    if noise.flat is not None:
        flat = np.asarray(noise.flat, np.float32)
        given["inverse_flat"] = np.divide(np.float32(1.0), flat, out=np.zeros_like(flat), where=flat > 0)
    if (bad := noise.bad_pixels(shape)) is not None:
        given["mask"] = bad
    if noise.saturation is not None:
        given["saturation"] = np.float32(noise.saturation)
    return Calibration(offset=np.float32(offset), **given)
