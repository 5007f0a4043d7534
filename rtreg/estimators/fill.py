"""A reference's bad pixels: what they must have been, and how far that may be wrong.

No optics make detail finer than their point-spread function, so good neighbours foretell a bad pixel: to a tenth of
what their mean misses where a star is. What is still wrong there is in the spline about it, and counts as noise.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.estimators.core import cores
from rtreg.estimators.pieces import Pieces
from rtreg.kernels import box, bspline, inpaint

Image = npt.NDArray[Any]

REACH = 4  # px: neighbours that are asked
FWHM = 2.5  # px: of the sharpest optics that are foretold well
FLOOR = 1e-3  # of the power at frequency 0: what any image may have in fine detail
ROUNDS = 20
NEAR = 2  # px: a bad pixel with no good one so near is in the middle of nowhere, and stays as it is
WRONG = 0.1  # of what the neighbours' mean missed, for a pixel alone; as much again for each three bad ones about it
MIRROR_FELT = 8  # px from the border: so far a bright star cut by it shows in the residual
MIRROR_ERROR = 0.7  # of a pixel on the border, between it and the next; falling by the spline's pole from there
SAMPLED = 4  # px: every so many tell the level of an image
RESPONSE = np.array([math.sqrt(3.0) * abs(float(bspline.POLE)) ** abs(k) for k in range(-6, 7)], np.float32)


def fill(image: Image, good: Image) -> Pieces[Image]:
    """Fill the bad pixels of `image` (ny, nx) float32, in which they hold a first guess; in pieces.

    Returns the variance that the doubt about them adds to the pixels about them, (ny, nx) float32, and along the
    border: the spline, which a frame's bad pixels are filled from, goes on mirrored there.
    """
    level = float(np.median(image[::SAMPLED, ::SAMPLED]))
    yield
    found = yield from cores(image, good, level)
    flat, good = image.reshape(-1), good.copy()
    for core in found:
        flat[core.where] = core.values
        good.reshape(-1)[core.where] = True
    about = np.empty(image.shape, np.float32)
    box.box_sum(good, NEAR, about)
    yield
    known = np.flatnonzero(~good & (about > 0.5)).astype(np.int32)
    before = flat[known]
    for _ in range(ROUNDS):
        yield
        inpaint.inpaint(image, known, known.size, _kernel(), 1)
    yield
    box.box_sum(~good, 1, about)
    yield
    wrong = (WRONG * (1.0 + about.reshape(-1)[known] / 3.0) * np.abs(flat[known] - before)).astype(np.float32)
    felt = np.zeros(image.shape, np.float32)
    inpaint.spread(wrong, known, RESPONSE, felt)
    for core in found:
        inpaint.spread(core.wrong, core.where.astype(np.int32), RESPONSE, felt)
    yield
    np.square(felt, out=felt)
    yield
    beyond = mirror_error(image, level)
    yield
    np.square(beyond, out=beyond)
    felt += beyond
    return felt


def mirror_error(image: Image, level: float = 0.0) -> Image:
    """How wrong a spline may be near the border, for going on mirrored beyond it; (ny, nx) float32.

    `level` is what there is where there is nothing.
    """
    error = np.zeros_like(image)
    for turned, out in ((image, error), (image.T, error.T)):
        for lines, target in ((turned, out), (turned[::-1], out[::-1])):
            edge = np.pad(np.abs(lines[0] - np.float32(level)), 1, mode="edge")
            worst = MIRROR_ERROR * np.maximum.reduce((edge[:-2], edge[1:-1], edge[2:]))
            for k in range(min(MIRROR_FELT, len(lines))):
                np.maximum(target[k], worst * abs(bspline.POLE) ** k, out=target[k])
    return error


@functools.cache
def _kernel() -> Image:
    """One over the power that an image may have, as a filter on pixels."""
    n = 64
    f2 = np.add.outer(np.fft.fftfreq(n) ** 2, np.fft.fftfreq(n) ** 2)
    sigma = FWHM / math.sqrt(8.0 * math.log(2.0))
    spectrum = 1.0 / (np.exp(-((2.0 * math.pi * sigma) ** 2) * f2) + FLOOR)
    kernel = np.fft.fftshift(np.fft.ifft2(spectrum).real)
    inside = slice(n // 2 - REACH, n // 2 + REACH + 1)
    kernel = kernel[inside, inside]
    return np.asarray(kernel - kernel.mean(), np.float32)  # any level may be in an image
