"""What is known of a reference before any frame: templates, their weights and noise, and how to cut them for a window.

A frame is multiplied with templates: the reference, a constant, and its slopes, over the variance. They are cut
where a tap would leave the frame. Cut templates are still exact instruments: with ``A_i`` the cut template and
``P A_i`` what it weighs, ``M_ij = <P A_i, T_j>`` makes ``M^-1 <A, B I>`` unbiased, and the covariance is
``M^-1 <P A_i, v P A_j> M^-T``. So one pixel of margin beyond the taps is enough.
"""

from __future__ import annotations

import contextlib
import functools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg.errors import FrameError
from rtreg.estimators.cut import Content, Cut
from rtreg.estimators.fill import MIRROR_FELT
from rtreg.estimators.grid import Grid, Information, Window, choose_rows, choose_tiles
from rtreg.estimators.noise_map import PixelNoise
from rtreg.estimators.pieces import Pieces, at_once, nothing
from rtreg.estimators.spline import CUBIC, Spline
from rtreg.estimators.sums import dot
from rtreg.estimators.wiener import NoiseFilter, filter_for
from rtreg.kernels import box, bspline, gauss_newton

Image = npt.NDArray[Any]

FILL_REACH = 2  # px: so far a filled pixel is felt in the spline
LEAST_JUDGING = 200  # pixels that a chi² needs to say something
LEAST_KEPT = 0.1  # of a diagonal after its noise is taken out: stated noise above the real must not break the fit
WAVES = (np.arange(4096) + 0.5) * np.pi / 4096  # radians a px, up to Nyquist
NOISY_INFORMATION = 0.03  # of the gradients' energy: with less noise than that in it, a reference needs no filter


class Scratch:
    """Room for templates of the whole frame while they are cut: made once, and overwritten by the next ones."""

    def __init__(self) -> None:
        self._stacks: list[Image] = []

    def layers(self, shape: tuple[int, int]) -> Image:
        """(4, ny, nx) float32."""
        if not self._stacks:
            self._stacks = [np.empty((4, *shape), np.float32) for _ in range(2)]
        return self._stacks[0]

    def instruments(self, layers: Image) -> Image:
        """As large as `layers`."""
        return self._stacks[1] if self._stacks and layers is self._stacks[0] else np.empty_like(layers)


class Chosen(NamedTuple):
    """Templates on one grid, zero outside what is looked at, and what of them there is to be done by and by."""

    layers: Image  # prefiltered, (4, my, mx)
    templates: Image
    scout_blocks: Image
    share: float  # of the information, the scout's
    felt: float  # pixels where the reference's noise is


class Made(NamedTuple):
    """What there is for frames about one shift.

    Attributes
    ----------
    cut : Cut or None
        None when the templates cannot be told from each other there.
    information_left : float
        What part of the gradients' energy in them is signal.
    pending : Pieces
        What makes the templates quick, and is worth its time from the second frame on; before the same scratch is used
        for others. Kept apart from the templates, since it refers to them.
    """

    cut: Cut | None
    information_left: float
    pending: Pieces[None]


class Templates:
    """The reference's side of every fit. Nothing of it changes after construction.

    Parameters
    ----------
    reference : (ny, nx) float32
        Calibrated; bad pixels filled with something smooth.
    good : (ny, nx) bool
        False = weight 0.
    noise : PixelNoise
    reference_frames : float
        How many frames were averaged into the reference; `inf` for a noise-free one.
    slack : float
        How far the shift may move before the templates are cut anew, px.
    spline : Spline
        What frames are interpolated with.
    tiled : bool
        Look at tiles alone where that pays. Not for frames that all have bad pixels, nor while noise is learnt from
        residuals, nor to see outliers: those take the whole frame.

    Attributes
    ----------
    weights : (ny, nx) float32
        One over the variance of a frame plus that of the reference; 0 = ignore.
    judging : (ny, nx) float32
        The same for a residual.
    layers : (4, ny, nx) float32
        The reference about its `mean`, ones, and its slopes along y and x.
    coefficients : (ny, nx) float32
        Of its spline.
    per_frames : float
        One over how many frames it is the mean of; 0 for a noise-free one.
    noisy : bool
        Whether its noise is a part of its gradients that counts.
    noise_filter : NoiseFilter or None
        What it is looked at through, then.
    """

    noise_filter: NoiseFilter | None

    def __init__(self, reference: Image, good: Image, noise: PixelNoise, **options: Any) -> None:
        at_once(self._build(reference, good, noise, **options))

    @classmethod
    def built(cls, reference: Image, good: Image, noise: PixelNoise, **options: Any) -> Pieces[Templates]:
        """What the constructor makes, in pieces."""
        templates = cls.__new__(cls)
        yield from templates._build(reference, good, noise, **options)
        return templates

    def _build(
        self,
        reference: Image,
        good: Image,
        noise: PixelNoise,
        *,
        reference_frames: float = 1,
        slack: float = 0.5,
        spline: Spline = CUBIC,
        tiled: bool = True,
    ) -> Pieces[None]:
        shape = reference.shape
        if min(shape) < 8:
            raise FrameError(f"image is {shape}: registration needs at least 8 x 8 pixels")
        self.shape: tuple[int, int] = (shape[0], shape[1])
        self.slack, self.spline = slack, spline
        self.noise, self.per_frames = noise, 0.0 if math.isinf(reference_frames) else 1.0 / reference_frames
        total_variance = noise.total * np.float32(1.0 + self.per_frames)
        self.weights = np.where(good, 1.0 / total_variance, 0.0).astype(np.float32)
        yield
        self._quiet_mean = float(np.mean(noise.quiet, where=good))
        self.judging = yield from _judging(self.weights, good)
        # a cut template weighs the lines just beyond its cut: those, too, must be of good pixels
        self._inner = (_inside(np.any(good, axis=1), spline.reach), _inside(np.any(good, axis=0), spline.reach))
        total = float(self.weights.sum(dtype=np.float64))
        if total <= 0.0:
            raise FrameError("the reference has no good pixel: every one is masked, NaN or saturated")
        self.mean = float(np.sum(self.weights * reference, dtype=np.float64) / total)
        self.noise_filter: NoiseFilter | None = None
        self.noisy = False  # whether the reference's noise is a part of its gradients that counts
        yield
        self.coefficients = np.empty(shape, np.float32)
        bspline.prefilter(reference - np.float32(self.mean), True, self.coefficients)
        yield
        self.layers = yield from spline.templates(reference - np.float32(self.mean))
        yield
        weighted = yield from self._weighted()
        for layer in weighted:
            yield
            spline.prefilter(layer, False, layer)
        yield
        self._filtered = weighted
        # where a filter is needed noise is much of the slopes: what is left without it would scatter by as much
        unsaid = self._felt * np.float32(0.0 if self.noisy else self._noise_of_slopes)
        self._information = yield from Information.of(self.weights * self._felt, self.layers[2:], unsaid)
        self._tiled = tiled and self._local
        self._content = yield from Content.of(self.layers[0], self.weights, noise.quiet, noise.light)

    def _weighted(self) -> Pieces[Image]:
        """Weighted templates; those of a noisy reference, and the frame with them, through its noise filter.

        Sets what the reference's noise makes of the templates' products with themselves where it is felt (`_felt`), a
        pixel: in the normal matrix, and in the spread of what it is multiplied with; of values, dy and dx.
        """
        plain = float(np.mean(np.square(self.spline.slope_response(WAVES))))
        share = self.per_frames / (1.0 + self.per_frames)  # of the variance in the weights
        self._felt = (self.weights > 0.0).astype(np.float32)
        self._noise_of_slopes = share * plain
        self._noise_in_normal = share * np.array([1.0, plain, plain])
        self._noise_in_spread = share * self._noise_in_normal
        weighted = np.empty_like(self.layers)
        for template, layer in zip(self.layers, weighted, strict=True):
            np.multiply(template, self.weights, out=layer)
            yield
        if self.per_frames == 0.0:
            return weighted
        energy = min(dot(weighted[k], self.layers[k]) for k in (2, 3))
        noise = self._noise_in_normal[1] * np.count_nonzero(self._felt)
        self.noisy = bool(noise > NOISY_INFORMATION * energy)
        if not self.noisy:
            return weighted
        yield
        noise_filter = yield from filter_for(self.layers, self.weights, 1.0 / self.per_frames, self.spline)
        if noise_filter is None:
            return weighted
        self.noise_filter = noise_filter
        yield from self._feel_noise(noise_filter, share)
        return (yield from noise_filter.instruments())

    @property
    def _local(self) -> bool:
        """Whether templates are nothing where there is no structure: noise is everywhere, and a filter carries far."""
        return not self.noisy or (self.noise_filter is not None and self.noise_filter.local)

    def _feel_noise(self, noise_filter: NoiseFilter, share: float) -> Pieces[None]:
        """The same for filtered templates.

        What noise passes the filter is known; that it also draws the weights to itself is seen by adding some more. To
        first order in a perturbation ``e`` of the reference the instruments change by ``J e``, and the expectation of
        ``<J e, slopes of e>`` is what the noise that is there adds to ``<A, slopes>`` (Stein 1981, doi
        10.1214/aos/1176345632; with one sign a pixel as in Ramani et al. 2008, doi 10.1109/TIP.2008.2001404).
        """
        deviation = np.sqrt(self.noise.total * np.float32(self.per_frames))
        extra = self._felt * deviation * _signs(self.shape)
        self._felt = noise_filter.keep
        yield
        total = float(np.sum(self._felt, dtype=np.float64))
        squares = float(np.sum(np.square(self._felt), dtype=np.float64))
        drawn = yield from noise_filter.drawn(extra)
        templates = yield from self.spline.templates(extra)
        yield
        products = np.array([dot(change, templates[k]) for change, k in zip(drawn, (0, 2, 3), strict=True)])
        yield
        self._noise_in_normal = share * np.array(noise_filter.moments(2)) + products / total
        yield
        self._noise_in_spread = share**2 * np.array(noise_filter.moments(4)) * squares / total

    def window_at(self, dy: float, dx: float) -> Window:
        return Window.about(dy, dx, self.slack, self.shape, self._inner, self.spline.reach)

    def grid(self, window: Window, whole: bool) -> Grid:
        reach = self.spline.reach
        corners = None
        if self._tiled and not whole:
            margin = math.ceil(self.slack + 0.5) + math.floor(self.slack + 0.5) + 2 * reach + 1
            corners = choose_tiles(self._information, window, self.shape, margin)
        return Grid(self.shape, window, corners, slack=self.slack, reach=reach)

    def cut(self, grid: Grid, scratch: Scratch, replaced: Cut | None = None) -> Pieces[Made]:
        """Templates for frames about one shift. Their memory is that of `replaced`, which is of no use any more."""
        chosen, blocks = yield from self._choose(grid, scratch)
        templates, instruments = chosen.templates, scratch.instruments(chosen.layers)
        for source, target in zip(chosen.layers, instruments, strict=True):
            yield
            self.spline.smooth(source, target)
        normal, spread = np.empty((4, 4)), np.zeros((3, 4, 4))
        yield
        gauss_newton.gram(instruments, templates, templates[1], normal)
        quiet, light = grid.take(self.noise.quiet), grid.take(self.noise.light)
        for noise, target in zip((quiet, light), spread, strict=False):
            yield
            gauss_newton.gram(instruments, instruments, noise, target)
        yield
        left = self._information_left(normal, chosen.felt)
        self._subtract_reference_noise(normal, spread, chosen.felt)
        try:
            inverse = np.linalg.inv(normal)
        except np.linalg.LinAlgError:
            return Made(None, left, nothing())
        parts = inverse @ spread @ inverse.T
        covariance = self.covariance_of(parts)
        if not (np.isfinite(covariance).all() and covariance[2, 2] > 0.0 and covariance[3, 3] > 0.0):
            return Made(None, left, nothing())
        made = Cut(grid, normal, parts, self.spline.order, replaced)
        made.hold(inverse, chosen.layers, blocks, 0)
        yield
        content = self._content
        if not grid.whole:
            content = yield from Content.of(templates[0], grid.cut(self.weights), quiet, light)
        made.judge_by(grid.take(self.coefficients), self.judging if grid.whole else grid.cut(self.judging), content)
        sigmas = math.sqrt(covariance[2, 2]), math.sqrt(covariance[3, 3])
        made.know(min(sigmas), chosen.share, self.noise.slope / self._quiet_mean, self.per_frames, self.mean)
        return Made(made, left, self._pending(made, chosen, content.amplitude, sigmas))

    def instruments(self, cut: Cut) -> Image:
        """What the templates of a cut of the whole frame weigh, (4, ny, nx) float32. Allocates."""
        layers, out = cut.grid.cut(self._filtered), np.empty_like(self.layers)
        _keep(layers, cut.blocks)
        for source, target in zip(layers, out, strict=True):
            self.spline.smooth(source, target)
        return out

    def _choose(self, grid: Grid, scratch: Scratch) -> Pieces[tuple[Chosen, Image]]:
        """The templates on a grid, and the rows of them that a full pass looks at."""
        window, templates = grid.window, grid.take(self.layers)
        yield
        if grid.whole:
            layers = scratch.layers(self.shape)
            for layer, target in zip(self._filtered, layers, strict=True):
                grid.cut(layer, target)
                yield
            blocks, scout_blocks, share = choose_rows(self._information.rows, window.top, window.bottom)
            felt = self._felt[window.top : window.bottom, window.left : window.right]
        else:
            yield
            layers = grid.cut(self._filtered)
            yield
            weights = grid.cut(self.weights)
            gain = (weights * (np.square(templates[2]) + np.square(templates[3]))).sum(axis=1, dtype=np.float64)
            looked_at = np.flatnonzero(layers[0].any(axis=1))
            blocks, scout_blocks, share = choose_rows(gain, int(looked_at[0]), int(looked_at[-1]) + 1, group=1)
            felt = grid.cut(self._felt)
        _keep(layers, blocks)
        return Chosen(layers, templates, scout_blocks, share, float(np.sum(felt, dtype=np.float64))), blocks

    def _pending(self, made: Cut, chosen: Chosen, amplitude: float, sigmas: tuple[float, float]) -> Pieces[None]:
        """What costs more time than it saves on a single frame: a scout, and templates of half the size."""
        if chosen.scout_blocks.size:
            yield from self._scout(made, chosen)
            yield
        yield from made.shorten(amplitude, sigmas)

    def _scout(self, made: Cut, chosen: Chosen) -> Pieces[None]:
        """Templates for some of the rows alone, in a normal matrix of their own; none if that has no inverse."""
        layers, blocks, reach = chosen.layers, chosen.scout_blocks, self.spline.reach
        near = np.concatenate([np.arange(first - reach, last + reach) for first, last in blocks])
        held = np.zeros(layers.shape[1], bool)
        for first, last in blocks:
            held[first:last] = True
        rows = near[(near >= 0) & (near < layers.shape[1])]
        against = np.ascontiguousarray(chosen.templates[:, rows])
        yield
        part = layers[:, rows]
        part[:, ~held[rows]] = 0.0
        yield
        instruments, normal = np.empty_like(part), np.empty((4, 4))
        for source, target in zip(part, instruments, strict=True):
            self.spline.smooth(source, target)
        yield
        gauss_newton.gram(instruments, against, against[1], normal)
        self._subtract_reference_noise(normal, None, chosen.share * chosen.felt)
        with contextlib.suppress(np.linalg.LinAlgError):
            made.hold(np.linalg.inv(normal), layers, blocks, 1)

    def _information_left(self, normal: Image, count: float) -> float:
        """What part of the slopes' energy is signal."""
        if self.per_frames == 0.0:
            return 1.0
        noise = count * self._noise_in_normal
        return float(1.0 - max(noise[1] / normal[2, 2], noise[2] / normal[3, 3]))

    def _subtract_reference_noise(self, normal: Image, spread: Image | None, count: float) -> None:
        """The reference's noise looks like structure: take its expectation out of the diagonals."""
        if self.per_frames == 0.0:
            return
        noise = count * self._noise_in_normal
        for index, once, twice in zip((0, 2, 3), noise, count * self._noise_in_spread, strict=True):
            normal[index, index] -= min(once, (1.0 - LEAST_KEPT) * normal[index, index])
            if spread is not None:
                all_noise = (1.0 + self.per_frames) * (spread[0, index, index] + spread[1, index, index])
                spread[2, index, index] = min(twice, (1.0 - LEAST_KEPT) * all_noise)

    def covariance_of(self, parts: Image) -> Image:
        """Of a frame as bright as the reference."""
        return np.asarray((1.0 + self.per_frames) * (parts[0] + parts[1]) - parts[2])


@functools.cache
def _signs(shape: tuple[int, int]) -> Image:
    """One or minus one for every pixel, always the same: (ny, nx) float32."""
    return np.random.default_rng(0).choice(np.array([-1.0, 1.0], np.float32), shape)


def _keep(stack: Image, blocks: Image) -> None:
    """Zero what no block looks at."""
    row = 0
    for first, last in blocks:
        stack[:, row:first] = 0.0
        row = last
    stack[:, row:] = 0.0


def _inside(lines: Image, margin: int) -> tuple[int, int]:
    """Half-open range of the lines that lie `margin` inside the outermost True ones."""
    known = np.flatnonzero(lines)
    return (int(known[0]) + margin, int(known[-1]) + 1 - margin) if known.size else (0, 0)


def _judging(weights: Image, good: Image) -> Pieces[Image]:
    """Weights for the residual: 0 where the interpolated reference is not the scene.

    That is beside bad pixels, whose fillings it has in it, and along the border, where it goes on mirrored.
    """
    ny, nx = weights.shape
    out = np.zeros_like(weights)
    far_y, far_x = min(MIRROR_FELT, ny // 8), min(MIRROR_FELT, nx // 8)
    inner = np.s_[far_y : ny - far_y, far_x : nx - far_x]
    out[inner] = weights[inner]
    if not good.all():
        near = np.empty(weights.shape, np.float32)
        yield
        box.box_sum(~good, FILL_REACH, near)
        yield
        np.multiply(out, near <= 0.5, out=out)
        yield
    return out if np.count_nonzero(out) > LEAST_JUDGING else weights
