"""How much of a noisy reference is scene, by spatial frequency and by place, and the filters that follow from it.

A fit to a noisy reference measures noise against noise wherever the reference has no structure left. With ``S`` the
power of the scene and ``N_f``, ``N_r`` that of the noise in frame and reference, the information on the shift at one
frequency is ``k² S² / (S (N_f + N_r) + N_f N_r)`` (Hannan & Thomson 1973, doi 10.1093/biomet/60.2.241): that of a
noise-free reference times ``H² = S / (S + N_f N_r / (N_f + N_r))``. To filter both images with ``H`` is to weigh by it.

That is all there is to know of a scene which is the same everywhere. Few are: where the slopes that `H` leaves have
more energy than noise gives them, the same ratio, by place, is a weight. Stars in a dark sky are found that way; and
the spectrum of what was found, without the sky, makes a better `H`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg import fft
from rtreg.estimators.pieces import Pieces, at_once
from rtreg.estimators.spline import Spline
from rtreg.estimators.sums import dot
from rtreg.kernels import box

Image = npt.NDArray[Any]

PAD = 32  # px: so far a filter carries, the border's content is felt
SMOOTHED_BINS = 5  # of the radial spectrum
DISTINCT = 5.0  # sigma that the most distinct bin must stand out of the noise
SIGNIFICANT = 3.0  # and those beyond it
TAPER = 0.1  # of either side: the border is no edge of the scene
ROUNDS = 2  # of a filter by frequency, and weights by place
REACH = 3  # px: energy is summed over boxes of 2 REACH + 1, twice
WINDOW = 108.0  # px²: so many independent pixels such a sum is a mean of, as its variance goes
EXCESS = 0.5  # of the noise's energy that structure must have on top of it, where a scene is sparse
ALL_POWER = 1e30  # a scene with that at every frequency is not filtered
CLEAN = 0.7  # of the energy of slopes must be scene for a variance that can be believed
LITTLE = 0.02  # of the energy of slopes: so much noise, or so much left out, is not worth a filter
NEARLY = 1.02  # times the variance: weights by place alone are cheaper, and may be that much worse
BANDS = 8  # of a transform, each done by itself
PROBE = 0.02  # of a perturbation: small enough for first order


def filter_for(templates: Image, weights: Image, frames: float, spline: Spline) -> Pieces[NoiseFilter | None]:
    """The filter by which a shift is known best, in pieces; None when no frequency stands out of the noise.

    Parameters
    ----------
    templates : (4, ny, nx) float32
        Of the reference, which is about 0 where there is no structure.
    weights : (ny, nx) float32
        One over the variance of a frame plus that of the reference; 0 = ignore.
    frames : float
        Averaged into the reference.
    spline : Spline
        That slopes are taken with.
    """
    unfiltered = yield from NoiseFilter.built(weights, frames, spline, UNFILTERED)
    yield
    yield from unfiltered.take(templates)
    yield
    if (yield from unfiltered.suffices()):
        return unfiltered
    filtered, keep = None, np.ones(weights.shape, np.float32)
    for _ in range(ROUNDS):
        yield
        spectrum = yield from _excess_power(templates[0], weights, keep, 1.0 / (1.0 + frames))
        if not spectrum.power.any():
            break
        yield
        filtered = yield from NoiseFilter.built(weights, frames, spline, spectrum)
        yield
        smooth = filtered.smooth(templates[0])
        yield
        smooth = yield from spline.templates(smooth)
        yield
        yield from filtered.take(smooth)
        keep = filtered.keep
    if filtered is None:
        return None
    variance = yield from filtered.variance(templates)
    if math.isinf(variance):
        return filtered
    # a bright star rings in a filter, and the dark about it has large weights: there, places alone are better
    other = yield from unfiltered.variance(templates)
    return unfiltered if other < NEARLY * variance else filtered


class Spectrum(NamedTuple):
    """Power of a scene at radii, cycles/px: (n,) each."""

    radii: Image
    power: Image


UNFILTERED = Spectrum(np.zeros(1), np.full(1, 1e30))


class NoiseFilter:
    """Filters by a spectrum of the scene, and weights by where the reference is more than its noise.

    `filter_for` says which spectrum, and what the others are.

    Attributes
    ----------
    local : bool
        Whether there are weights alone.
    keep : (ny, nx) float32
        Weights by place, 0 to 1; 0 where the reference has none.
    """

    keep: Image
    _made: Image | None = None  # the instruments

    def __init__(self, weights: Image, frames: float, spline: Spline, spectrum: Spectrum) -> None:
        at_once(self._build(weights, frames, spline, spectrum))

    @classmethod
    def built(cls, weights: Image, frames: float, spline: Spline, spectrum: Spectrum) -> Pieces[NoiseFilter]:
        """What the constructor makes, in pieces."""
        made = cls.__new__(cls)
        yield from made._build(weights, frames, spline, spectrum)
        return made

    def _build(self, weights: Image, frames: float, spline: Spline, spectrum: Spectrum) -> Pieces[None]:
        self.shape, self._weights, self._spline = weights.shape, weights, spline
        self.local = spectrum is UNFILTERED
        self._padded = tuple(fft.next_fast_len(n + 2 * PAD) for n in self.shape)
        # in units of the noise of frame and reference together
        self._noise = 1.0 / (1.0 + frames)
        self._beside = self._noise * (1.0 - self._noise)  # N_f N_r / (N_f + N_r)
        radii, self._slopes = _waves((self._padded[0], self._padded[1]), spline)
        yield
        scene = np.interp(radii, spectrum.radii, spectrum.power)
        yield
        self._power = scene / np.maximum(scene + self._beside, 1e-30)
        self._wiener = (scene / (scene + self._noise)).astype(np.float32)
        yield
        self._half = np.sqrt(self._power).astype(np.float32)
        yield
        # energy of the slopes of white noise of variance 1, and of its mean over the window the relative variance
        self._energy = sum(self.moments(2)[1:])
        yield
        area = 2.0 * self._mean(np.square(self._power * sum(self._slopes))) / self._energy**2
        self._scatter = area / (area + WINDOW)

    def take(self, templates: Image) -> Pieces[None]:
        """Look at the templates (4, ny, nx) of the smoothed reference."""
        self._seen, self._made = templates, None
        self.keep = yield from self._places(templates)

    def suffices(self) -> Pieces[bool]:
        """Whether what is kept has hardly any noise in it, and what is not kept hardly anything else."""
        energy = self._weights * (np.square(self._seen[2]) + np.square(self._seen[3]))
        yield
        noise, count = self._noise * self._energy, np.count_nonzero(self._weights)
        total, places = float(np.sum(energy, dtype=np.float64)), float(np.sum(self.keep, dtype=np.float64))
        kept = dot(self.keep, energy)
        lost = total - kept - noise * (count - places)
        scatter = 6.0 * noise * math.sqrt(2.0 * count)  # of the energy of pure noise: only what is more is a loss
        return bool(noise * places < LITTLE * kept and lost < LITTLE * kept + scatter)

    def variance(self, templates: Image) -> Pieces[float]:
        """Of a shift that is measured so, both axes together, px²; `templates` are the reference's own, unfiltered.

        Infinite when so much of them is noise that the places looked at may have been chosen by it.
        """
        instruments = yield from self._weighted(self.keep)
        self._made = instruments
        known = self._weights > 0.0
        kept, squared = float(np.sum(self.keep, dtype=np.float64)), dot(self.keep, self.keep)
        total = 0.0
        for k, once, twice in zip((2, 3), self.moments(2)[1:], self.moments(4)[1:], strict=True):
            product = dot(instruments[k], templates[k])
            slope = product - self._noise * once * kept
            yield
            spread = np.sum(np.square(instruments[k][known]) / self._weights[known], dtype=np.float64)
            if not slope > CLEAN * product:
                return math.inf
            total += float(spread - self._noise**2 * twice * squared) / slope**2
        return total

    def moments(self, power: int) -> tuple[float, float, float]:
        """Means over all waves of ``H^power``, and of that times the squared response of a derivative along y and x."""
        gain = self._power ** (power / 2)
        along_y, along_x = self._slopes
        return self._mean(gain), self._mean(gain * along_y), self._mean(gain * along_x)

    def _mean(self, half_plane: Image) -> float:
        """Of a whole plane of waves, of which half stands for all."""
        twice = np.full(half_plane.shape[1], 2.0)
        twice[0] = 1.0
        return float(np.sum(half_plane * twice) / (twice.sum() * half_plane.shape[0]))

    def smooth(self, image: Image) -> Image:
        """`image` through `H`; past its border it goes on mirrored."""
        if self.local:
            return image
        return self._apply(np.pad(image, PAD, mode="reflect"), self._half)

    def spread(self, image: Image) -> Image:
        """`image` through `H`; past its border it is zero."""
        if self.local:
            return image
        return self._apply(np.pad(image, PAD), self._half)

    def _places(self, templates: Image) -> Pieces[Image]:
        """How much of the slopes is scene, by place."""
        energy = self._weights * (np.square(templates[2]) + np.square(templates[3]))
        yield
        energy = yield from _smoothed(energy)
        used = self._weights > 0.0
        yield
        energy /= np.maximum((yield from _smoothed(used)), 1e-6)
        yield
        mean = float(np.mean(energy, where=used))
        yield
        variance = float(np.var(energy, where=used))
        yield
        # of a scene that is the same everywhere the energy scatters, too: that much of its variation says nothing
        sparse = max(0.0, 1.0 - self._scatter * mean**2 / max(variance, 1e-30))
        noise, beside = self._noise * self._energy, self._beside * self._energy
        here, anywhere = np.maximum(energy - (1.0 + EXCESS) * noise, 0.0), max(mean - noise, 0.0)
        yield
        keep = sparse * here / (here + beside) + (1.0 - sparse) * anywhere / (anywhere + beside)
        return np.where(used, keep, np.float32(0.0)).astype(np.float32)

    def instruments(self) -> Pieces[Image]:
        """What a fit multiplies frames with, for the scale, the offset, dy and dx: (4, ny, nx) float32. Once."""
        made, self._made = self._made, None  # by `variance`, if that was asked for
        return made if made is not None else (yield from self._weighted(self.keep))

    def drawn(self, extra: Image) -> Pieces[Image]:
        """How the `instruments` change with the places that more noise, `extra` (ny, nx), would make them look at.

        Those for the scale, dy and dx: (3, ny, nx).
        """
        smooth = self.smooth(extra)
        yield
        more = yield from self._spline.templates(smooth)
        for layer, seen in zip(more, self._seen, strict=True):
            yield
            layer *= np.float32(PROBE)
            layer += seen
        yield
        moved = yield from self._places(more)
        return (yield from self._weighted((moved - self.keep) / np.float32(PROBE), (0, 2, 3)))

    def _weighted(self, keep: Image, which: Sequence[int] = range(4)) -> Pieces[Image]:
        out, weights = np.empty((len(which), *self.shape), np.float32), self._weights * keep
        for k, layer in zip(which, out, strict=True):
            yield
            layer[:] = self.spread(self._seen[k] * weights)
        return out

    def denoise(self, image: Image) -> Image:
        """The likeliest scene behind the reference."""
        if self.local:
            return image
        return self._apply(np.pad(image, PAD, mode="reflect"), self._wiener)

    def _apply(self, padded: Image, transfer: Image) -> Image:
        plan = fft.plan((self._padded[0], self._padded[1]), np.float32)
        plan.real[:] = 0.0
        plan.real[: padded.shape[0], : padded.shape[1]] = padded
        spectrum = plan.forward()
        np.multiply(spectrum, transfer, out=plan.spectrum)
        return plan.inverse()[PAD : PAD + self.shape[0], PAD : PAD + self.shape[1]].copy()


def _smoothed(image: Image) -> Pieces[Image]:
    """Means over boxes, twice; what lies past the border counts as 0."""
    once, twice = np.empty(image.shape, np.float32), np.empty(image.shape, np.float32)
    box.box_sum(image, REACH, once)
    yield
    box.box_sum(once, REACH, twice)
    return np.asarray(twice / np.float32((2 * REACH + 1) ** 4))


@functools.cache
def _waves(shape: tuple[int, int], spline: Spline) -> tuple[Image, tuple[Image, Image]]:
    """Of a half plane of waves: their radii, cycles/px, and squared responses of a derivative along y and x."""
    rows, columns = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    along_y, along_x = (np.square(spline.slope_response(2.0 * np.pi * waves)) for waves in (rows, columns))
    return np.hypot(rows, columns), (along_y, along_x)


def _excess_power(reference: Image, weights: Image, keep: Image, noise: float) -> Pieces[Spectrum]:
    """Power of what `keep` keeps of the scene, in units of that of `noise` and one: falling, 0 past the noise."""
    ny, nx = reference.shape
    taper = np.outer(_taper(ny), _taper(nx)) * keep
    yield
    squared = np.square(taper) * (weights > 0.0)
    used = float(np.sum(squared))
    if not used > 0.0:
        return Spectrum(np.zeros(1), np.zeros(1))
    independent = used**2 / float(np.sum(np.square(squared))) / squared.size  # of the waves of a windowed image
    yield
    seen = np.sqrt(weights) * reference * taper
    yield
    spectrum = yield from _transform(seen)
    yield
    power = np.abs(spectrum) ** 2 / used
    width = 1.0 / min(ny, nx)
    yield
    ring = _rings((ny, nx))
    counts: Image = np.bincount(ring).astype(float)
    yield
    sums: Image = np.bincount(ring, power.ravel())
    counts[0] = sums[0] = 0.0  # the level says nothing about shifts
    box = np.ones(SMOOTHED_BINS)
    counts, sums = np.convolve(counts, box, "same"), np.convolve(sums, box, "same")
    excess = sums / np.maximum(counts, 1.0) - noise
    distinct = excess * np.sqrt(0.5 * independent * counts) / noise  # sigma
    best = int(np.argmax(distinct))
    low = np.flatnonzero(distinct[best:] < SIGNIFICANT)
    excess[best + low[0] if low.size else excess.size :] = 0.0
    if not distinct[best] > DISTINCT:
        excess[:] = 0.0
    falling = np.maximum.accumulate(excess[::-1])[::-1]
    return Spectrum(np.arange(falling.size) * width, falling)


@functools.cache
def _rings(shape: tuple[int, int]) -> Image:
    """Which ring of waves, in steps of the lowest, each of half a plane of them belongs to; flat."""
    radii = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :])
    return np.asarray(np.rint(radii * min(shape)).astype(int).ravel())


def _bands(n: int) -> list[slice]:
    size = -(-n // BANDS)
    return [slice(start, start + size) for start in range(0, n, size)]


def _transform(image: Image) -> Pieces[Image]:
    """`np.fft.rfft2`, some lines at a time."""
    out = np.empty((image.shape[0], image.shape[1] // 2 + 1), complex)
    for rows in _bands(out.shape[0]):
        out[rows] = np.fft.rfft(image[rows], axis=1)
        yield
    for columns in _bands(out.shape[1]):
        out[:, columns] = np.fft.fft(out[:, columns], axis=0)
        yield
    return out


def _taper(n: int) -> Image:
    """One in the middle, falling to zero like a cosine at either end."""
    edge = max(1, math.ceil(TAPER * n))
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    out = np.ones(n)
    out[:edge], out[n - edge :] = rise, rise[::-1]
    return out
