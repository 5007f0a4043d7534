"""The variance of a frame's pixels on the reference's grid: from the detector's constants, or learnt from residuals.

A detector whose constants are unknown still has a noise that grows with the light: ``v = p + q signal``. The line is
first guessed from what no optics can have made, the finest detail of a reference that has noise of its own; then
learnt from the residuals of the first good frames, a squared residual standing for ``v (1 - h)``, where h is how far a
pixel draws the fit to itself.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg.errors import FrameError
from rtreg.kernels import box
from rtreg.noise import QUANTISATION, NoiseModel, fit_variance, variance_line

Image = npt.NDArray[Any]

FLOAT_ROUNDING = 1e-6  # of the contrast: what float32 arithmetic leaves of a frame without noise
LEARNT_FROM = 16  # frames: they know the line to a few per cent, even where a lone star is all the light
RENEWED_AT = (1, 4, LEARNT_FROM)  # frames after which weights follow what was learnt
DIFFERENCE = np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / math.sqrt(70.0)  # leaves white noise as it is
LEAST_PIXELS = 100  # that a first line is guessed from
LEAST_QUIET = 1e-3  # of the noise: what does not come with the light
BINS = 32  # of signal
COPY = 1e-3  # of the noise expected: with less, the frame is the reference itself
FAINT, BRIGHT = 1.0, 99.99  # percentiles of the signal: where the line begins, and from where on pixels share a bin


class PixelNoise(NamedTuple):
    """Variance of a frame's pixels on the reference's grid: what the reference's own light makes of it, in two parts.

    `quiet` (ny, nx) float32 does not grow with the light, `light` (ny, nx) float32 does; `slope` is how much variance
    one unit of signal brings.
    """

    quiet: Image
    light: Image
    slope: float

    @property
    def total(self) -> Image:
        """Of a frame as bright as the reference."""
        return np.asarray(self.quiet + self.light, np.float32)


class NoiseMap:
    """What is known of the noise, and how it came to be known.

    Parameters
    ----------
    model : NoiseModel
        With a gain in it, nothing has to be learnt.
    shape : (int, int)
        Of the frames.

    Notes
    -----
    The mutable state: the line with the sums it was learnt from. It belongs to the detector and outlives references.
    """

    def __init__(self, model: NoiseModel, shape: tuple[int, int]) -> None:
        self.model, self._shape = model, shape
        self.line: tuple[float, float] | None = None
        self.frames = 0  # learnt from
        self.least_level = 0.0  # of a frame's noise, in units of the line
        self._faintest, self._range = 0.0, 1.0
        self._sums = np.zeros((3, BINS))  # pixels, squared residuals, signal

    @property
    def known(self) -> bool:
        """Whether there is anything to weigh pixels with."""
        return self.model.known or self.line is not None

    @property
    def learning(self) -> bool:
        """Whether more good frames would tell more."""
        return not self.model.known and self.frames < LEARNT_FROM

    def of(self, reference: Image, frames: float) -> PixelNoise:
        """For frames as bright as this reference (ny, nx), itself the mean of so many; ones until it is known."""
        if not self.known:
            none = np.zeros(self._shape, np.float32)
            return PixelNoise(none + np.float32(1.0), none, 0.0)
        quiet, slope = self._constants()
        return PixelNoise(quiet, np.float32(slope) * self._light(reference, frames, quiet, slope), slope)

    def _constants(self) -> tuple[Image, float]:
        """Variance without light, (ny, nx) float32 ADU², and what an ADU of signal adds to it."""
        if self.model.known:
            assert self.model.gain is not None
            return self.model.variance(np.zeros(self._shape, np.float32)), 1.0 / self.model.gain
        assert self.line is not None
        return np.full(self._shape, self.line[0], np.float32), self.line[1]

    def _light(self, reference: Image, frames: float, quiet: Image | float, slope: float) -> Image:
        """Signal of the reference, ADU; of a noisy one only what stands out of its noise is light."""
        signal = reference - np.float32(self._faintest)
        light = np.maximum(signal, np.float32(0.0))
        if math.isinf(frames):
            return light
        noise = (quiet + np.float32(slope) * light) / np.float32(frames)
        box.shrink(signal, noise, light)
        return np.maximum(light, np.float32(0.0), out=light)

    def guess(self, reference: Image, good: Image, frames: float) -> None:
        """A first line, from the finest detail of a reference with noise of its own, the mean of so many `frames`.

        Nothing if a line is known already, or the reference has no noise. Fourth differences along both axes: of a star
        of FWHM 3 px they leave 0.7 % (after Immerkaer 1996, doi 10.1006/cviu.1996.0060, who takes the second).
        """
        if self.known or math.isinf(frames):
            return
        detail: Image = reference.astype(np.float64)
        local, use = detail, good
        for axis in (0, 1):
            detail = np.sum([c * near for c, near in zip(DIFFERENCE, _neighbours(detail, axis), strict=True)], axis=0)
            local = np.mean(_neighbours(local, axis), axis=0)
            use = np.all(_neighbours(use, axis), axis=0)
        squares, signal = frames * np.square(detail[use]), local[use]
        if squares.size < LEAST_PIXELS or not np.mean(squares) > _rounding(signal):
            return
        self._faintest = float(np.percentile(signal, FAINT))
        p, q = fit_variance(squares, np.maximum(signal - self._faintest, 0.0))
        self.line = max(p, LEAST_QUIET * float(np.mean(squares))), q

    def snapshot(self) -> dict[str, Any]:
        """All that was learnt: plain data and an array that `learn` changes."""
        names = ("line", "frames", "least_level", "_faintest", "_range", "_sums")
        return {name.lstrip("_"): getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any]) -> None:
        """Know what the map that gave `snapshot` knew. Raises `FrameError` when the sums are not of that form."""
        sums = np.array(state["sums"], np.float64)
        if sums.shape != self._sums.shape:
            raise FrameError(f"noise sums are {sums.shape}, not {self._sums.shape}: the snapshot is of another version")
        line = state["line"]
        self.line = None if line is None else (float(line[0]), float(line[1]))
        self.frames, self.least_level = int(state["frames"]), float(state["least_level"])
        self._faintest, self._range, self._sums = float(state["faintest"]), float(state["range"]), sums

    def forget_residuals(self) -> None:
        """Begin to learn anew, with the weights known by now."""
        self.frames = 0
        self._sums[:] = 0.0

    def learn(self, squares: Image, image: Image, share: float, integer: bool) -> bool:
        """Take in the residuals of one good frame; True when `of` has changed.

        Parameters
        ----------
        squares, image : (my, mx) float32
            Squared residuals, NaN where there is none, and the mean of reference and frame. Pixels that are bright by
            their noise must not be so by that of the residual, or the line would be too flat.
        share : float
            Variance of a residual over that of a frame's pixel: more than 1 when the reference is noisy.
        integer : bool
            Whether pixels are whole ADU.
        """
        use = np.isfinite(squares)
        p, q = self.line or (0.0, 0.0)
        if self.frames == 0:
            self._faintest, brightest = (float(v) for v in np.percentile(image[use], (FAINT, BRIGHT)))
            self._range = max(brightest - self._faintest, 1e-30)
        frames = share / (share - 1.0) if share > 1.0 else math.inf  # as many as have the image's noise
        signal = self._light(image, frames, p, q)[use]
        if float(np.median(squares[use])) < COPY * share * float(np.median(p + q * signal)):
            return False
        # bins grow with the square of the signal: most pixels are dark, and the few bright ones matter most
        index = np.minimum(BINS * np.sqrt(np.minimum(signal / self._range, 1.0)), BINS - 1).astype(np.intp)
        for row, values in zip(self._sums, (None, squares[use] / share, signal), strict=True):
            row += np.bincount(index, values, BINS)
        self.frames += 1
        if self.frames not in RENEWED_AT:
            return False
        filled = self._sums[:, self._sums[0] > 0]
        p, q, _ = variance_line(filled[0], filled[1] / filled[0], filled[2] / filled[0])
        least = QUANTISATION if integer else _rounding(image[use])
        p = max(p, least)
        self.line, self.least_level = (p, q), least / p
        return True


def _rounding(signal: Image) -> float:
    """Variance that float32 arithmetic makes of a signal without noise."""
    return max(float(np.var(signal)) * FLOAT_ROUNDING**2, 1e-30)


def _neighbours(image: Image, axis: int) -> Image:
    """Five copies of an image, each a pixel further along the axis, of what they have in common: (5, ny, nx)."""
    size = image.shape[axis] - 4
    return np.stack([np.take(image, range(k, k + size), axis) for k in range(5)])
