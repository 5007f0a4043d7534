"""The extremum of a smooth, band-limited array between its pixels, by zooming in on it again and again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.fft_tools import zoom
from rtreg.fft_tools._arrays import filled

__all__ = ["centers_to_edges", "iterative_zoom", "iterative_zoom_1d"]

Array = npt.NDArray[Any]
Position = tuple[float, ...]

_log = logging.getLogger(__name__)


def iterative_zoom(
    image: npt.ArrayLike,
    mindiff: float = 1.0,
    zoomshape: Sequence[int] = (10, 10),
    return_zoomed: bool = False,
    zoomstep: float = 2,
    verbose: bool = False,
    minmax: Callable[..., Any] = np.min,
    ploteach: bool = False,
    return_center: bool = True,
) -> Position | tuple[Array, float, Position]:
    """Zoom in on the extremum of an image until neighbouring values differ by no more than `mindiff`.

    Parameters
    ----------
    image : (ny, nx) array_like
        Taken as periodic between its edges.
    mindiff : float
        Zooming goes on while every pixel differs by more than this from the extremum; in the image's unit (for a
        chi-squared map, 1 is one sigma). An image flatter than that is not zoomed in on.
    zoomshape : (int, int)
        Shape of the window that is looked at in each step; small is quick.
    return_zoomed : bool
        Return ``(window, zoom factor, position)``.
    zoomstep : float
        Factor between two steps, above 1.
    verbose : bool
        Log each step.
    minmax : `numpy.min` or `numpy.max`
        Which extremum.
    ploteach : bool
        Draw each step in a matplotlib figure of its own, to see what goes on.
    return_center : bool
        Return the position in pixels of the image; if False, its offset from the middle ``(n - 1) / 2``, which for
        even n lies between two pixels.

    Returns
    -------
    (y, x) : tuple of float
        Middle of the last window: the best of the positions of the window before. Where nothing had to be zoomed
        (a constant image, or a large `mindiff`), the pixel of the extremum, the first of several.

    Raises
    ------
    ValueError
        If `image` is not 2-D or has pixels that are NaN, infinite or masked, or `zoomstep` is not above 1.
    """
    values = _checked(image, 2)
    drawing = _Drawing(values, minmax) if ploteach else None
    return _zoom_in(values, mindiff, zoomshape, return_zoomed, zoomstep, verbose, minmax, return_center, drawing)


def iterative_zoom_1d(
    data: npt.ArrayLike,
    mindiff: float = 1.0,
    zoomshape: Sequence[int] = (10,),
    return_zoomed: bool = False,
    zoomstep: float = 2,
    verbose: bool = False,
    minmax: Callable[..., Any] = np.min,
    return_center: bool = True,
) -> Position | tuple[Array, float, Position]:
    """`iterative_zoom` for a 1-D array; the position is a tuple of one.

    Raises
    ------
    ValueError
        As there.
    """
    values = _checked(data, 1)
    return _zoom_in(values, mindiff, zoomshape, return_zoomed, zoomstep, verbose, minmax, return_center, None)


def _checked(data: npt.ArrayLike, ndim: int) -> Array:
    values = filled(data, np.nan)
    if values.ndim != ndim or values.size == 0:
        raise ValueError(f"the array must be {ndim}-D and not empty; it is of shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("cannot zoom in on an array with NaN, infinite or masked pixels; fill them first")
    return values


def _zoom_in(
    values: Array,
    mindiff: float,
    zoomshape: Sequence[int],
    return_zoomed: bool,
    zoomstep: float,
    verbose: bool,
    minmax: Callable[..., Any],
    return_center: bool,
    drawing: _Drawing | None,
) -> Position | tuple[Array, float, Position]:
    if not zoomstep > 1:
        raise ValueError(f"zoomstep must be above 1, not {zoomstep!r}")
    window, factor = values, 1.0
    grid = np.indices(values.shape).astype(float)
    center = _extremum(window, grid, minmax)
    finest = np.spacing(float(max(values.shape)))  # positions nearer to each other than this are the same number
    while _least_difference(window, minmax) > mindiff and factor * zoomstep * finest < 1:
        center = _extremum(window, grid, minmax)
        factor *= zoomstep
        grid, window = zoom.zoom_on_pixel(values, center, usfac=factor, outshape=zoomshape, return_xouts=True)
        if verbose:
            _log.info("zoom factor %g at %s, least difference %g", factor, center, _least_difference(window, minmax))
        if drawing is not None:
            drawing.step(grid, window, center)
    offset = tuple(c - (n - 1) / 2 for c, n in zip(center, values.shape, strict=True))
    result = center if return_center else offset
    return (window, factor, result) if return_zoomed else result


def _extremum(window: Array, grid: Array, minmax: Callable[..., Any]) -> Position:
    """Where the extremum of a window is, in pixels of the whole."""
    best = window.argmin() if "min" in minmax.__name__ else window.argmax()
    return tuple(float(axis.flat[best]) for axis in grid)


def _least_difference(window: Array, minmax: Callable[..., Any]) -> float:
    """Between the extremum and any value that is not the same; 0 if there is none."""
    difference = np.abs(window - minmax(window))
    return float(np.min(difference, where=difference > 0, initial=np.inf)) if difference.any() else 0.0


def centers_to_edges(arr: npt.ArrayLike) -> Array:
    """The n + 1 edges of n equally spaced pixels, from their centres; what matplotlib's `pcolor` wants.

    Raises
    ------
    ValueError
        If `arr` is not 1-D with two elements or more.
    """
    centers = np.asarray(arr, float)
    if centers.ndim != 1 or centers.size < 2:
        raise ValueError(f"the centres must be 1-D and two or more; they are of shape {centers.shape}")
    half = (centers[1] - centers[0]) / 2
    return np.linspace(centers.min() - abs(half), centers.max() + abs(half), centers.size + 1)


class _Drawing:
    """A matplotlib figure a step: the window, the position it was made around, and the extremum in it."""

    def __init__(self, image: Array, minmax: Callable[..., Any]) -> None:
        import matplotlib.pyplot as plt

        self._plt, self._minmax = plt, minmax
        grid = np.indices(image.shape).astype(float)
        self.step(grid, image, _extremum(image, grid, minmax))

    def step(self, grid: Array, window: Array, center: Position) -> None:
        _, axes = self._plt.subplots()
        axes.pcolormesh(centers_to_edges(grid[1][0, :]), centers_to_edges(grid[0][:, 0]), window)
        best = _extremum(window, grid, self._minmax)
        axes.plot(center[1], center[0], "wx")
        axes.plot(best[1], best[0], "w+")
