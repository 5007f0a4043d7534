"""The peak of a circular cross-correlation, exactly: whole pixels by FFT, the rest by Newton steps on its spectrum.

``C(d) = sum_p reference(p) frame(p + d)``, the pixels going on round the border. Between whole pixels it is a finite
sum of waves, so its peak needs neither an upsampled map nor a parabola (Guizar-Sicairos 2008, doi
10.1364/OL.33.000156, for the problem). Right for images that are periodic, or flat at the border; `periodic` says
whether they are, and `pair.register_pair` is for those that are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg import fft
from rtreg.errors import ConfigError
from rtreg.kernels import dft, peak, spectrum
from rtreg.records import NO_COVARIANCE, Covariance

Image = npt.NDArray[Any]

NEWTON_STEPS = 12
GRADIENT_NOISE = math.pi**2 / 3.0  # what an exact derivative does to the variance of white noise
ENOUGH = 2e-3  # px: of a Newton step; what remains after it goes with its square
LONGEST = 0.5  # px a step: beyond that the peak is not the one that was found
SMALLEST = 16  # px: below, too little is left when the border does not count
JUMP = 6.0  # sigma of its own noise that the step across the border must differ from those beside it


@dataclass(slots=True)
class Peak:
    """A peak of the correlation: where, how high, and its second derivatives (yy, yx, xx), per px²."""

    dy: float
    dx: float
    height: float = math.nan
    curvature: tuple[float, float, float] = (math.nan, math.nan, math.nan)


class Correlation:
    """A circular correlation: its spectrum, and its values at whole-pixel shifts.

    Parameters
    ----------
    cross : (ny, count) complex array
        ``conj(reference) * frame``, of the whole plane or of half of it.
    shape : (ny, nx)
        Of the images.
    map_ : (ny, nx) float array
        The correlation at whole-pixel shifts, index d modulo the size; in any unit.
    """

    def __init__(self, cross: Image, shape: tuple[int, int], map_: Image) -> None:
        self.cross, self.shape, self.map = cross, shape, map_
        # over the number of pixels, and twice where a column of a half plane stands for both halves
        self._columns = np.full(cross.shape[1], 1.0 / (shape[0] * shape[1]))
        if cross.shape[1] < shape[1]:
            self._columns[1:] *= 2.0
        self._y, self._x = (np.empty((3, n), cross.real.dtype) for n in cross.shape)
        self._sums = np.empty(6)

    def whole_pixel(self, reach: float | None) -> tuple[int, int]:
        """(dy, dx) of the highest whole-pixel shift, within ± `reach` px along each axis if that is given."""
        ny, nx = self.shape
        if reach is None:
            j, i = peak.highest(self.map)
            return _signed(int(j), ny), _signed(int(i), nx)
        rows, columns = (_within(n, reach) for n in self.shape)
        near = self.map[np.ix_(rows, columns)]
        row, column = divmod(int(np.argmax(near)), near.shape[1])
        return int(rows[row]), int(columns[column])

    def around(self, dy: int, dx: int, reach: int) -> Image:
        """The map about a shift, (2 reach + 1) squared, going on round the border."""
        steps = np.arange(-reach, reach + 1)
        return self.map[np.ix_((dy + steps) % self.shape[0], (dx + steps) % self.shape[1])]

    def refine(self, dy: int, dx: int) -> Peak:
        """The peak near a whole-pixel one; height and curvature are those within `ENOUGH` of it."""
        vertex = np.empty(3)
        peak.refine(self.around(dy, dx, 1), 1, 1, vertex)
        free_y, free_x = self.shape[0] > 2, self.shape[1] > 2  # along one or two pixels there is nothing between them
        found = Peak(dy + float(vertex[0]) * free_y, dx + float(vertex[1]) * free_x)
        for _ in range(NEWTON_STEPS):
            step_y, step_x = self._newton(found)
            step_y, step_x = step_y * free_y, step_x * free_x
            length = math.hypot(step_y, step_x)
            if not length < math.inf:
                break
            if length > LONGEST:
                step_y, step_x = step_y * LONGEST / length, step_x * LONGEST / length
            found.dy, found.dx = found.dy + step_y, found.dx + step_x
            if length < ENOUGH or max(abs(found.dy - dy), abs(found.dx - dx)) > 1.5:
                break
        if max(abs(found.dy - dy), abs(found.dx - dx)) > 1.5:  # another peak: the one that was highest stands
            found.dy, found.dx = dy + float(vertex[0]) * free_y, dx + float(vertex[1]) * free_x
            self._newton(found)
        return found

    def _newton(self, at: Peak) -> tuple[float, float]:
        """The step to the peak from `at`, whose height and curvature are updated; 0 along an axis that is flat."""
        dft.phases(self.shape[0], self._y.shape[1], at.dy, self._y)
        dft.phases(self.shape[1], self._x.shape[1], at.dx, self._x)
        self._x[:2] *= self._columns
        dft.correlation(self.cross, self._y, self._x, self._sums)
        c, gy, gx, yy, yx, xx = self._sums.tolist()
        at.height, at.curvature = c, (yy, yx, xx)
        det = yy * xx - yx * yx
        if det > 1e-9 * yy * xx and yy < 0.0:
            return -(xx * gy - yx * gx) / det, -(yy * gx - yx * gy) / det
        return (-gy / yy if yy < 0.0 else 0.0), (-gx / xx if xx < 0.0 else 0.0)


class RealPair:
    """Two real images, their spectra and their correlation.

    Parameters
    ----------
    reference, frame : (ny, nx) float32
        With a mean of 0, but for rounding. Not written to.
    threads : int
        Of FFTW.
    use_numpy : bool
        NumPy's transforms instead.
    """

    def __init__(self, reference: Image, frame: Image, *, threads: int = 1, use_numpy: bool = False) -> None:
        self.reference, self.frame = reference, frame
        self.shape: tuple[int, int] = (reference.shape[0], reference.shape[1])
        self._plan = None if use_numpy else fft.plan(self.shape, np.float32, threads=threads)
        self._spectrum = self._forward(reference).copy()
        cross = np.empty_like(self._spectrum)
        spectrum.correlate(self._spectrum, self._forward(frame), cross)
        cross[0, 0] = 0.0
        self.correlation = Correlation(cross, self.shape, self._inverse(cross))

    def score(self, at: Peak) -> float:
        """Gain in log-likelihood over "nothing of the reference is there", as in `acquire`."""
        first, second = (_energy(image) for image in (self.reference, self.frame))
        r2 = at.height * at.height / (first * second) if at.height > 0.0 and first * second > 0.0 else 0.0
        return -self.reference.size * math.log1p(-min(r2, 0.9999))

    def covariance(
        self, at: Peak, variance: Image | None = None, reference_variance: Image | None = None
    ) -> Covariance:
        """Of the peak's place, px², (x, y).

        Parameters
        ----------
        variance, reference_variance : (ny, nx) arrays, optional
            Of the pixels of either image, in its units squared. Without either, the squared residuals stand for them,
            pixel by pixel (White 1980, doi 10.2307/1912934), so noise need be neither known nor even.
        """
        moved, gy, gx = self._moved(at)
        scale = _scale(moved, self.frame)
        hessian = np.array([[at.curvature[0], at.curvature[1]], [at.curvature[1], at.curvature[2]]])
        if not (scale > 0.0 and hessian[0, 0] < 0.0 and hessian[1, 1] < 0.0):
            return NO_COVARIANCE
        if variance is None and reference_variance is None:
            residual = self.frame - np.float32(scale) * moved
            noise: Image = np.square(residual, dtype=np.float64) * (residual.size / max(residual.size - 4.0, 1.0))
            own = max(-float(np.mean(moved * residual)) / scale, 0.0)
            twice = own * own * moved.size
        else:
            noise = np.zeros(self.shape) if variance is None else variance
            twice = 0.0
            if reference_variance is not None:
                noise = noise + scale * scale * np.roll(reference_variance, (round(at.dy), round(at.dx)), (0, 1))
                twice = float(np.sum(np.square(reference_variance)))
        spread = np.array([[np.sum(a * b * noise, dtype=np.float64) for a in (gy, gx)] for b in (gy, gx)])
        # the reference's noise is in the slopes and in the residual; in a sum over pixels the two do not add up
        spread -= np.eye(2) * min(GRADIENT_NOISE * scale * scale * twice, 0.9 * float(np.min(np.diag(spread))))
        try:
            inverse = np.linalg.inv(hessian)
        except np.linalg.LinAlgError:
            return NO_COVARIANCE
        (yy, yx), (_, xx) = inverse @ spread @ inverse
        if not (yy > 0.0 and xx > 0.0):
            return NO_COVARIANCE
        return (float(xx), float(yx)), (float(yx), float(yy))

    def _moved(self, at: Peak) -> tuple[Image, Image, Image]:
        """The reference at the peak's shift, and its derivatives along y and x."""
        count = self._spectrum.shape[1]
        along_y, along_x = np.empty((3, self.shape[0])), np.empty((3, count))
        dft.phases(self.shape[0], self.shape[0], -at.dy, along_y)
        dft.phases(self.shape[1], count, -at.dx, along_x)
        turned = self._spectrum * np.outer(along_y[0] + 1j * along_y[1], along_x[0] + 1j * along_x[1])
        turned = turned.astype(np.complex64)
        turned[0, 0] = 0.0
        gy, gx = (
            self._inverse((turned * k).astype(np.complex64))
            for k in ((1j * along_y[2])[:, None], (1j * along_x[2])[None, :])
        )
        return self._inverse(turned), gy, gx

    def _forward(self, image: Image) -> Image:
        """The spectrum of an image; the plan's own, overwritten by its next use."""
        if self._plan is None:
            return np.fft.rfft2(image).astype(np.complex64)
        self._plan.real[...] = image
        return self._plan.forward()

    def _inverse(self, spectrum: Image) -> Image:
        if self._plan is None:
            return np.fft.irfft2(spectrum, self.shape).astype(np.float32)
        self._plan.spectrum[...] = spectrum
        return self._plan.inverse().copy()


def periodic(*images: Image) -> bool:
    """Whether a circular correlation is right for these images: none jumps across the border.

    That is, none goes on across it differently than it does beside it, by more than noise explains; else it is neither
    periodic nor flat there, and the correlation is drawn towards whole periods. Images too small for anything else are
    taken for periodic.
    """
    return min(images[0].shape) < SMALLEST or not any(_jumps(lines) for image in images for lines in (image, image.T))


def _jumps(lines: Image) -> bool:
    """Whether the first line follows the last otherwise than the lines beside follow each other."""
    across = (lines[0] - lines[-1]).astype(np.float64)
    beside = np.concatenate((lines[1] - lines[0], lines[-1] - lines[-2])).astype(np.float64)
    return bool(np.mean(across**2) > np.mean(beside**2) * (1.0 + JUMP * math.sqrt(3.0 / across.size)))


def check_reach(maxoff: float | None) -> None:
    """Raise `ConfigError` unless `maxoff` is None or a number of pixels."""
    if maxoff is not None and not (math.isfinite(maxoff) and maxoff > 0):
        raise ConfigError(f"maxoff = {maxoff}: a positive number of px, or None for half the image")


def _energy(image: Image) -> float:
    """Sum of squares of an image whose mean is 0."""
    flat = image.reshape(-1)
    return float(np.dot(flat, flat))


def _scale(reference: Image, frame: Image) -> float:
    """Photometric scale of two images that lie on each other; noise of the reference makes it hardly smaller."""
    # five pixels for one: white noise is not in common with the neighbours
    wide = reference + sum(np.roll(reference, step, axis) for axis in (0, 1) for step in (-1, 1))
    wide -= wide.mean()
    energy = float(np.sum(wide * reference))
    return float(np.sum(wide * frame)) / energy if energy > 0.0 else math.nan


def _signed(index: int, n: int) -> int:
    return index if 2 * index <= n else index - n


def _within(n: int, reach: float) -> npt.NDArray[np.intp]:
    """Whole-pixel shifts along an axis of n pixels, none twice, within ± reach."""
    shifts = np.arange(-((n - 1) // 2), n // 2 + 1)
    return shifts[np.abs(shifts) <= reach]
