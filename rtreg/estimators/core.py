"""What a star's core must have been where pixels are saturated: its flanks say so.

A saturated core is too wide for its neighbours to foretell it as fine detail. But the logarithm of a star above its
background is a parabola to good approximation, whatever its width and elongation: fitted to the flank, it gives the
core, and how well it fits says how far it is to be believed. A star with wings has a higher core than that; but what
is wrong alike on all sides of a star moves it nowhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg.estimators.pieces import Pieces
from rtreg.kernels import box

Image = npt.NDArray[Any]

CROWDED = 4  # bad ones of nine: more than a few dead pixels in a row
SPARSEST = 4.0  # box about a core, in its pixels
LARGEST = 400  # px
FLANK = 2  # px about the core
FAINTEST = 0.05  # of the flank's brightest: what is fainter may be wings or another star
FEWEST = 10  # pixels that six coefficients are fitted to
WORST = 0.1  # relative residual of a flank that is a star's
DOUBT = 2.0  # times the error that the residuals say, which are of a shape and not of noise


class Core(NamedTuple):
    """Flat indices of a core's pixels, what they must have been, and how far wrong a shift may feel that: (n,) each."""

    where: Image
    values: Image
    wrong: Image


def cores(image: Image, good: Image, level: float) -> Pieces[list[Core]]:
    """Every star's core among the bad pixels of `image` (ny, nx) that its flank foretells; `level`: the background."""
    about = np.empty(image.shape, np.float32)
    box.box_sum(~good, 1, about)
    yield
    seeds = np.flatnonzero(~good & (about > CROWDED - 0.5))
    found, seen = [], np.zeros(image.shape, bool)
    for seed in seeds.tolist():
        if seen.flat[seed]:
            continue
        ys, xs = _connected(good, seen, *divmod(seed, image.shape[1]))
        yield
        if len(ys) > LARGEST or not _compact(ys, xs, image.shape):
            continue
        core = _foretold(image, good, np.array(ys), np.array(xs), level)
        if core is not None:
            found.append(core)
    return found


def _connected(good: Image, seen: Image, y: int, x: int) -> tuple[list[int], list[int]]:
    """Bad pixels connected with one of them; they are `seen` from now on."""
    ny, nx = good.shape
    ys: list[int] = []
    xs: list[int] = []
    waiting = [(y, x)]
    seen[y, x] = True
    while waiting and len(ys) <= LARGEST:
        y, x = waiting.pop()
        ys.append(y)
        xs.append(x)
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < ny and 0 <= u < nx and not (good[v, u] or seen[v, u]):
                seen[v, u] = True
                waiting.append((v, u))
    return ys, xs


def _compact(ys: list[int], xs: list[int], shape: tuple[int, ...]) -> bool:
    """Whether these pixels may be a star's core: no line, and no strip along the border of what there is."""
    box = (max(ys) - min(ys) + 1) * (max(xs) - min(xs) + 1)
    inside = min(ys) > 0 and min(xs) > 0 and max(ys) < shape[0] - 1 and max(xs) < shape[1] - 1
    return inside and box <= SPARSEST * len(ys)


def _foretold(image: Image, good: Image, ys: Image, xs: Image, level: float) -> Core | None:
    """The core at these pixels, if its flank is a star's."""
    ny, nx = image.shape
    top, left = max(0, ys.min() - FLANK), max(0, xs.min() - FLANK)
    area = np.s_[top : min(ny, ys.max() + FLANK + 1), left : min(nx, xs.max() + FLANK + 1)]
    y, x = np.nonzero(good[area])
    above = image[area][y, x].astype(np.float64) - level
    near = np.min(np.hypot(y[:, None] + top - ys, x[:, None] + left - xs), axis=1) < FLANK + 0.5
    use = near & (above > FAINTEST * above.max(where=near, initial=0.0))
    if np.count_nonzero(use) < FEWEST or not np.all(above[use] > 0.0):
        return None
    middle_y, middle_x = ys.mean(), xs.mean()
    shape = _parabola(y[use] + top - middle_y, x[use] + left - middle_x)
    weight, wanted = above[use], np.log(above[use])  # the logarithm's error goes as one over the signal
    coefficients, _, rank, _ = np.linalg.lstsq(shape * weight[:, None], wanted * weight, rcond=None)
    curved = np.array([[2.0 * coefficients[3], coefficients[4]], [coefficients[4], 2.0 * coefficients[5]]])
    residual = weight * (shape @ coefficients - wanted)
    square = float(np.sum(np.square(residual))) / (residual.size - shape.shape[1])
    if rank < shape.shape[1] or np.linalg.eigvalsh(curved)[1] >= 0.0 or square > (WORST * weight.mean()) ** 2:
        return None
    inside = _parabola(ys - middle_y, xs - middle_x)
    values = np.exp(inside @ coefficients)
    spread = np.linalg.inv((shape * weight[:, None] ** 2).T @ shape) * square
    wrong = DOUBT * values * np.sqrt(np.einsum("ki,ij,kj->k", inside, spread, inside))
    return Core(ys * nx + xs, (values + level).astype(np.float32), wrong.astype(np.float32))


def _parabola(y: Image, x: Image) -> Image:
    """(n, 6): one, y, x, y², y x, x²."""
    return np.stack([np.ones(len(y)), y, x, y * y, y * x, x * x], axis=1)
