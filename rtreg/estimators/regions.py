"""Several regions of interest in one frame, measured each by its own registrar and combined into one estimate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError, FrameError
from rtreg.estimators.consensus import Consensus, combined, lever_of
from rtreg.estimators.pixels import as_pixels
from rtreg.estimators.registrar import Registrar
from rtreg.noise import NoiseModel
from rtreg.records import Estimate, Shift

Image = npt.NDArray[Any]

SMALLEST = 8  # px a side: what a registrar needs


class Box(NamedTuple):
    """A region: its first pixel, and its size, px."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> tuple[slice, slice]:
        """Its pixels, (rows, columns)."""
        return np.s_[self.y : self.y + self.height, self.x : self.x + self.width]

    def __str__(self) -> str:
        return f"x {self.x}, y {self.y}, {self.width} x {self.height}"


def _boxes(given: Iterable[Sequence[int]]) -> tuple[Box, ...]:
    boxes = []
    for k, values in enumerate(given):
        if len(values) != 4:
            raise ConfigError(f"region {k + 1} = {list(values)}: give [x, y, width, height]")
        boxes.append(Box(*(int(v) for v in values)))
    return tuple(boxes)


class RegionPolicy:
    """Which regions of the frame are measured, and how their answers become one.

    Parameters
    ----------
    boxes : list of [x, y, width, height]
        Column and row of each region's first pixel, and its size, px. Leave room for the motion: what has left its
        region is lost there.
    outlier : float
        A region that contradicts the others by more than so many sigma is left out, as long as a majority agrees.
    scatter : float, optional
        How far regions move against each other on their own (turbulence, distortion), 1 sigma, px; part of each
        region's error. None to learn it from their disagreement.
    """

    def __init__(self, boxes: tuple[Box, ...] = (), *, outlier: float = 4.0, scatter: float | None = None) -> None:
        self.boxes = _boxes(boxes)
        for k, box in enumerate(self.boxes):
            if box.x < 0 or box.y < 0 or min(box.width, box.height) < SMALLEST:
                raise ConfigError(
                    f"region {k + 1} ({box}): x and y are 0 or more, width and height {SMALLEST} px or more"
                )
            if box in self.boxes[:k]:
                raise ConfigError(f"region {k + 1} ({box}) is there twice")
        if not (math.isfinite(outlier) and outlier >= 2.0):
            raise ConfigError(f"outlier = {outlier}: sigma, at least 2, or chance alone leaves regions out")
        if scatter is not None and not (math.isfinite(scatter) and scatter >= 0.0):
            raise ConfigError(f"scatter = {scatter}: px, 0 or more, or none to learn it")
        self.outlier, self.scatter = outlier, scatter

    def check_shape(self, shape: tuple[int, int]) -> None:
        """Raise `ConfigError` when a region does not lie in frames of this shape (ny, nx)."""
        for k, box in enumerate(self.boxes):
            if box.x + box.width > shape[1] or box.y + box.height > shape[0]:
                raise ConfigError(
                    f"region {k + 1} ({box}) reaches past the frame, {shape[1]} x {shape[0]} px (width x height)"
                )

    def consensus(self, levers: Sequence[Image]) -> Consensus:
        """What combines the regions' shifts; `levers` are `Registrar.lever`'s, about each region's first pixel."""
        of_frame = [lever + lever_of(box.x, box.y) for box, lever in zip(self.boxes, levers, strict=True)]
        return Consensus(of_frame, outlier=self.outlier, scatter=self.scatter)


class Regions:
    """Measures how a field has moved in several regions of interest, and combines what they say.

    Each region has a `Registrar` of its own. Their shifts are combined by inverse covariance; one that contradicts
    the others is left out; from three on the field's rotation and magnification are measured too.

    Parameters
    ----------
    reference : (ny, nx) array, uint8 ... float64
        The whole frame that the regions are cut from.
    regions : list of (x, y, width, height), or RegionPolicy
        Column and row of each region's first pixel, and its size, px; as a `RegionPolicy` with more to say.
    noise : NoiseModel, optional
        Of the whole detector: each region gets its part of dark, flat and mask.
    mask : (ny, nx) bool array, optional
        True = bad pixel of the reference.
    **options
        Keyword arguments of `Registrar`: `method`, `reference_frames`, `max_shift`, `order`, ...

    Raises
    ------
    FrameError
        When a region's part of the reference cannot be used; the message says which region.
    ConfigError
        When a region does not lie in the reference, or an option has no meaning.

    Notes
    -----
    The estimate's shift is that of the point `Estimate.field.centre`, in the middle of the information, where it does
    not depend on the rotation. Buffers are reused by every call: one object, one thread.
    """

    def __init__(
        self,
        reference: npt.ArrayLike,
        regions: RegionPolicy | Iterable[Sequence[int]],
        *,
        noise: NoiseModel | None = None,
        mask: Image | None = None,
        **options: Any,
    ) -> None:
        pixels = as_pixels(reference, "reference")
        self.shape: tuple[int, int] = pixels.shape
        self.policy = regions if isinstance(regions, RegionPolicy) else RegionPolicy(_boxes(regions))
        if not self.policy.boxes:
            raise ConfigError("no regions: give at least one box (x, y, width, height)")
        self.policy.check_shape(self.shape)
        (noise or NoiseModel()).check_shape(self.shape)
        self.registrars = [
            self._registrar(k, pixels, noise=noise, mask=mask, **options) for k in range(len(self.policy.boxes))
        ]
        self._consensus: Consensus | None = None
        self._cut: list[Image] = []

    def __repr__(self) -> str:
        return f"<Regions {self.shape}: {len(self.registrars)} regions>"

    def _registrar(
        self, k: int, pixels: Image, *, noise: NoiseModel | None, mask: Image | None, **options: Any
    ) -> Registrar:
        box = self.policy.boxes[k]
        try:
            return Registrar(
                pixels[box.area].copy(),
                noise=noise and noise.part(box.area),
                mask=None if mask is None else np.asarray(mask)[box.area],
                **options,
            )
        except FrameError as error:
            raise FrameError(f"region {k + 1} ({box}): {error}") from None

    def measure(self, frame: npt.ArrayLike, *, guess: Shift | None = None) -> Estimate:
        """Measure one frame.

        Parameters
        ----------
        frame : (ny, nx) array, uint8 ... float64
            Raw pixels, of the reference's shape. Never written to.
        guess : Shift, optional
            Where every region starts from, px; otherwise each from its last good answer, or a search.

        Returns
        -------
        Estimate
            Of the field's centre; `field` has rotation, magnification and what each region says. NaN with the reason
            in `flags` when no region could be measured, or when they disagree without a majority.
        """
        pixels = as_pixels(frame, "frame")
        if pixels.shape != self.shape:
            raise FrameError(f"frame is {pixels.shape} but the reference is {self.shape}; crop it or make new Regions")
        self._cut = cut(pixels, self.policy.boxes, self._cut)
        estimates = [r.measure(part, guess=guess) for r, part in zip(self.registrars, self._cut, strict=True)]
        if self._consensus is None and any(e.ok for e in estimates):
            # only now: without a noise model the first frames tell where in a noisy reference there is structure
            self._consensus = self.policy.consensus([r.lever() for r in self.registrars])
        if self._consensus is None:
            return combined(estimates, self.policy.consensus([lever_of(0.0, 0.0)] * len(estimates)))
        return combined(estimates, self._consensus)


def cut(pixels: Image, boxes: Sequence[Box], into: list[Image]) -> list[Image]:
    """The regions of an image, each contiguous: `into` overwritten if it fits, else new arrays."""
    if not into or into[0].dtype != pixels.dtype:
        into = [np.empty((box.height, box.width), pixels.dtype) for box in boxes]
    for box, part in zip(boxes, into, strict=True):
        np.copyto(part, pixels[box.area])
    return into
