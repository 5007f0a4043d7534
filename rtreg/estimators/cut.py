"""What is prepared for frames about one shift: templates as the kernels want them, and what they are good for."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from rtreg.estimators.exposure import Exposure, aligned
from rtreg.estimators.grid import Grid
from rtreg.estimators.pieces import Pieces
from rtreg.estimators.spline import kept_noise_table
from rtreg.kernels import follow, gauss_newton

Image = npt.NDArray[Any]

JUDGED = 2048  # px that a chi² is taken from, at least: they know it to 3 %
JUDGED_ROWS = 16  # and rows of a whole frame
LARGE = 1 << 17  # px: smaller sets of templates are in the cache whatever they are made of
ROUNDING = 12.0**-0.5  # rms, of a step
UNSEEN = 0.01  # of a sigma
LEAST_NOISE = 0.1  # of the variance without light, for a frame that is said to be darker than nothing
NO_ROWS = np.zeros((0, 2), np.int64)


class Content(NamedTuple):
    """What frames show on one grid.

    `quiet_share` is the share of a pixel's variance that light has no part in, on average; `structure` the chi²/dof of
    a frame of which nothing is explained; `amplitude` the root of the sum of squares of the reference about its mean.
    """

    quiet_share: float
    structure: float
    amplitude: float

    @classmethod
    def of(cls, values: Image, weights: Image, quiet: Image, light: Image) -> Pieces[Self]:
        """Of a reference about its mean with these weights and variances, in pieces."""
        share = quiet / (quiet + light)
        yield
        used = weights > 0.0
        count = np.count_nonzero(used)
        quiet_share = float(np.sum(share * used, dtype=np.float64)) / count
        yield
        total = float(weights.sum(dtype=np.float64))
        product = weights * values
        mean = float(product.sum(dtype=np.float64)) / total
        yield
        product *= values
        square = float(product.sum(dtype=np.float64)) / total - mean * mean
        yield
        return cls(quiet_share, square * total / count, math.sqrt(float(np.sum(np.square(values), dtype=np.float64))))


class Cut:
    """Templates cut for one window of shifts, on one grid. Made by `Templates`, which may add to it later; a fit
    changes only the scratch.

    `replaced` is one that is used no more: this one takes its memory.

    Attributes
    ----------
    grid : Grid
    normal : (4, 4) array
        The normal matrix, for scale, offset, dy and dx.
    parts : (3, 4, 4) array
        The covariance by quiet noise, by light, and what the reference's noise counted twice.
    held, judged : tuples
        Arguments of `kernels.follow.follow`: of the passes, and of the residual.
    facts : (follow.FACTS,) float64
        Of `kernels.follow` too.
    image, bad, column : arrays
        Scratch: tiles of the frame, their bad pixels, and sums of rows.
    structure : float
        As `Content`.
    """

    def __init__(self, grid: Grid, normal: Image, parts: Image, order: int, replaced: Cut | None = None) -> None:
        self.grid, self.normal, self.parts = grid, normal, parts
        self.whole, self.tiles = grid.whole, grid.tiles
        self.order = order
        self._blocks = [NO_ROWS, NO_ROWS]
        self._templates: list[Image] = [np.zeros((3, 0, grid.shape[1]), np.float32) for _ in range(2)]
        self._gains = np.ones((2, 3))
        self._room: Image = aligned((0,), np.float32) if replaced is None else replaced._room
        self.facts = np.zeros(follow.FACTS)
        self.column = aligned((gauss_newton.BLOCK + 2 * grid.shape[1],), np.float32)
        self.column[:] = 0.0  # what lies past its end is multiplied with a zero
        self.image = aligned((0, 0) if grid.whole else grid.shape, np.float32)
        self.bad = np.empty(self.image.size, np.int32)

    def hold(self, inverse: Image, cut: Image, blocks: Image, which: int) -> None:
        """Take the templates' combinations for a full pass (`which` 0) or a scout's (1) over these rows."""
        rows = int((blocks[:, 1] - blocks[:, 0]).sum())
        held = self._held(3, rows, cut.shape[2]) if which == 0 else aligned((3, rows, cut.shape[2]), np.float32)
        gauss_newton.combine(inverse[[0, 2, 3]], cut, blocks, held)
        self._blocks[which], self._templates[which] = blocks, held
        self._pack()

    def _held(self, *shape: int) -> Image:
        """Room for the templates of a full pass: to be given new memory takes longer than to fill it."""
        size = math.prod(shape)
        if self._room.size < size:
            self._room = aligned((size,), np.float32)
        held: Image = self._room[:size].reshape(shape)
        return held

    def _pack(self) -> None:
        self.held: tuple[Image, Image, Image, Image, Image] = (
            self._blocks[0], self._templates[0], self._blocks[1], self._templates[1], self._gains,
        )  # fmt: skip

    @property
    def blocks(self) -> Image:
        """The rows of a full pass, (n, 2)."""
        return self._blocks[0]

    def shorten(self, amplitude: float, sigmas: tuple[float, float]) -> Pieces[None]:
        """Keep the templates of a large frame in half the bytes, if their rounding is nothing beside the noise.

        `amplitude` is the root of the sum of squares of what the frame is expected to show, about its mean; `sigmas`
        those of dy and dx, px.
        """
        full = self._templates[0]
        if full[0].size < LARGE:
            return
        steps = [float(np.abs(full[k]).max()) / gauss_newton.LARGEST for k in (1, 2)]
        if any(ROUNDING * step * amplitude > UNSEEN * sigma for step, sigma in zip(steps, sigmas, strict=True)):
            return
        shorts, gains = list[Image](), np.empty_like(self._gains)
        for held, gain in zip(self._templates, gains, strict=True):
            yield
            shorts.append(aligned(held.shape, np.int16))
            gauss_newton.quantise(held, shorts[-1], gain)
        self._templates, self._gains, self._room = shorts, gains, aligned((0,), np.float32)
        self._pack()

    def compile(self, frame: Exposure) -> None:
        """Have the kernel for the other kind of templates ready, too: the next cut of a large frame may want it."""
        held = self._templates[0]
        if held[0].size < LARGE:
            return
        other = np.zeros((3, 0, held.shape[2]), np.float32 if held.dtype == np.int16 else np.int16)
        follow.follow(
            frame.pixels, *frame.calibration, False, self.tiles, frame.work, frame.bad, NO_ROWS, other, NO_ROWS, other,
            self._gains, self.order, 0, *self.judged, self.facts, self.column, np.zeros(4), np.zeros(follow.STATE),
            False, 0.0, 0.0,
        )  # fmt: skip

    def judge_by(self, coefficients: Image, judging: Image, content: Content) -> None:
        """Take what a residual is judged with."""
        self.judged = (coefficients, judging, kept_noise_table())
        self.facts[follow.QUIET_SHARE], self.structure = content.quiet_share, content.structure

    def know(self, sigma: float, share: float, background: float, per_frames: float, mean: float) -> None:
        """Take what the kernels have to know; `share` of the information is the scout's."""
        facts, window, rows = self.facts, self.grid.window, self.grid.shape[0]
        facts[:8] = *window.low, *window.high, sigma, sigma / share**0.5, *self.grid.origin
        facts[follow.BACKGROUND], facts[follow.PER_FRAMES], facts[follow.MEAN] = background, per_frames, mean
        fewest = JUDGED_ROWS if self.grid.whole else 4
        facts[follow.STRIDE] = max(1, min(self.grid.shape[0] * self.grid.shape[1] // JUDGED, rows // fewest))
        facts[follow.LEAST] = LEAST_NOISE
        facts[follow.PARTS :] = [entry for part in self.parts for entry in entries(part)]


def entries(c: Image) -> tuple[float, float, float, float]:
    """(xx, xy, yy) and the scale's variance, of a covariance in the order (scale, offset, dy, dx)."""
    return float(c[3, 3]), 0.5 * float(c[2, 3] + c[3, 2]), float(c[2, 2]), float(c[0, 0])
