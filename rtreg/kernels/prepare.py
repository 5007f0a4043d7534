"""Raw pixels to the calibrated float32 work image, bad pixels found on the way, in one pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtreg.kernels._jit import Array, Scalar, jit

_NONE = np.empty((0, 0), np.float32)
LOWEST = np.float32(-3.0e38)


class Calibration(NamedTuple):
    """What turns raw pixels into signal: the arguments of `prepare` that follow the pixels. Nothing, by default."""

    offset: np.float32 = np.float32(0.0)
    dark: Array = _NONE
    inverse_flat: Array = _NONE
    mask: Array = _NONE.astype(bool)
    saturation: np.float32 = np.float32(np.inf)


@jit
def _usable(raw: Scalar, saturation: Scalar) -> bool:
    """Whether a pixel is neither NaN, nor infinite, nor saturated; without a branch, for the sake of vectors."""
    return bool((raw < saturation) & (raw > LOWEST))


@jit
def prepare(
    pixels: Array,
    offset: Scalar,
    dark: Array,
    inverse_flat: Array,
    mask: Array,
    saturation: Scalar,
    work: Array,
    bad: Array,
) -> tuple[int, int, int]:
    """``work = (pixels - offset - dark) * inverse_flat``; bad pixels become 0 and are listed.

    Parameters
    ----------
    pixels : (ny, nx) array of any real dtype, native byte order
    offset : float32
    dark, inverse_flat : (ny, nx) or (0, 0) float32
        An empty array leaves that step out.
    mask : (ny, nx) or (0, 0) bool
        True = bad.
    saturation : float32
        Raw values from here up are bad; inf for none.
    work : (ny, nx) float32
    bad : (capacity,) int32
        Flat indices of bad pixels; those past the capacity are counted, not listed.

    Returns
    -------
    n_bad, n_nan, n_saturated : int
        `n_bad` includes the masked; NaN and saturated pixels under the mask are not counted as such.
    """
    ny, nx = pixels.shape
    n_bad = 0
    n_nan = 0
    n_saturated = 0
    for y in range(ny):
        row = pixels[y]
        target = work[y]
        good = True  # a count of the others would take vectors of twice the width
        for x in range(nx):
            v = np.float32(row[x])
            good &= _usable(v, saturation)
            target[x] = v - offset
        if dark.size:
            d = dark[y]
            for x in range(nx):
                target[x] -= d[x]
        if inverse_flat.size:
            f = inverse_flat[y]
            for x in range(nx):
                target[x] *= f[x]
        if mask.size:
            m = mask[y]
            for x in range(nx):
                good &= not m[x]
        if not good:
            for x in range(nx):
                v = np.float32(row[x])
                masked = mask.size > 0 and mask[y, x]
                if masked or not _usable(v, saturation):
                    target[x] = np.float32(0.0)
                    if not masked:
                        if v >= saturation:
                            n_saturated += 1
                        else:
                            n_nan += 1
                    if n_bad < bad.size:
                        bad[n_bad] = y * nx + x
                    n_bad += 1
    return n_bad, n_nan, n_saturated


@jit
def prepare_frame(
    pixels: Array,
    offset: Scalar,
    dark: Array,
    inverse_flat: Array,
    mask: Array,
    saturation: Scalar,
    work: Array,
    bad: Array,
) -> tuple[int, int, int]:
    """As `prepare`, in one go where nothing but an offset is taken off a frame without bad pixels; both contiguous."""
    if dark.size + inverse_flat.size + mask.size == 0 and _plain(pixels, offset, saturation, work):
        return 0, 0, 0
    return prepare(pixels, offset, dark, inverse_flat, mask, saturation, work, bad)


@jit
def _plain(pixels: Array, offset: Scalar, saturation: Scalar, work: Array) -> bool:
    """``work = pixels - offset`` as one vector; whether every pixel is good."""
    source = pixels.reshape(pixels.size)
    target = work.reshape(work.size)
    good = True
    for i in range(target.size):
        v = np.float32(source[i])
        good &= _usable(v, saturation)
        target[i] = v - offset
    return good


@jit
def gather(
    pixels: Array,
    offset: Scalar,
    dark: Array,
    inverse_flat: Array,
    mask: Array,
    saturation: Scalar,
    tiles: Array,
    image: Array,
    bad: Array,
) -> tuple[int, int, int]:
    """As `prepare`, but only tiles of the frame, side by side.

    Parameters
    ----------
    pixels ... saturation
        As `prepare`.
    tiles : (n, 2) int64
        The frame's (y, x) that each begins with. What lies outside the frame is filled with its nearest pixel.
    image : (height, n * width) float32
        Output.
    bad : (capacity,) int32
        Flat indices in `image`.

    Returns
    -------
    n_bad, n_nan, n_saturated : int
        As `prepare`; a pixel in two tiles counts twice.
    """
    ny, nx = pixels.shape
    count = tiles.shape[0]
    height = image.shape[0]
    width = image.shape[1] // count
    n_bad = 0
    n_nan = 0
    n_saturated = 0
    for t in range(count):
        left = tiles[t, 1]
        inside = left >= 0 and left + width <= nx
        for j in range(height):
            y = min(max(tiles[t, 0] + j, 0), ny - 1)
            target = image[j, t * width : (t + 1) * width]
            good = True
            if inside:
                row = pixels[y, left : left + width]
                for i in range(width):
                    v = np.float32(row[i])
                    good &= _usable(v, saturation)
                    target[i] = v - offset
            else:
                for i in range(width):
                    v = np.float32(pixels[y, min(max(left + i, 0), nx - 1)])
                    good &= _usable(v, saturation)
                    target[i] = v - offset
            if good and dark.size + inverse_flat.size + mask.size == 0:
                continue
            for i in range(width):
                x = min(max(left + i, 0), nx - 1)
                if dark.size:
                    target[i] -= dark[y, x]
                if inverse_flat.size:
                    target[i] *= inverse_flat[y, x]
                v = np.float32(pixels[y, x])
                masked = mask.size > 0 and mask[y, x]
                if masked or not _usable(v, saturation):
                    target[i] = np.float32(0.0)
                    if not masked:
                        if v >= saturation:
                            n_saturated += 1
                        else:
                            n_nan += 1
                    if n_bad < bad.size:
                        bad[n_bad] = j * image.shape[1] + t * width + i
                    n_bad += 1
    return n_bad, n_nan, n_saturated


@jit
def patch(work: Array, bad: Array, n_bad: int, is_bad: Array) -> None:
    """Fill the listed bad pixels of `work` (ny, nx) with the mean of good neighbours within 2 px, else of all.

    `is_bad` (ny, nx) bool is scratch: all False on entry and on return.
    """
    ny, nx = work.shape
    total = 0.0
    for y in range(ny):
        s = np.float32(0.0)
        row = work[y]
        for x in range(nx):
            s += row[x]  # bad pixels hold 0
        total += np.float64(s)
    mean = total / max(1, ny * nx - n_bad)
    for k in range(n_bad):
        is_bad[bad[k] // nx, bad[k] % nx] = True
    for k in range(n_bad):
        y = bad[k] // nx
        x = bad[k] % nx
        s = np.float32(0.0)
        n = 0
        for v in range(max(0, y - 2), min(ny, y + 3)):
            for u in range(max(0, x - 2), min(nx, x + 3)):
                if not is_bad[v, u]:
                    s += work[v, u]
                    n += 1
        work[y, x] = s / n if n else np.float32(mean)
    for k in range(n_bad):
        is_bad[bad[k] // nx, bad[k] % nx] = False


@jit
def repatch(
    work: Array,
    bad: Array,
    n_bad: int,
    coefficients: Array,
    scale: Scalar,
    offset: Scalar,
    dy: Scalar,
    dx: Scalar,
    taps_y: tuple[Scalar, ...],
    taps_x: tuple[Scalar, ...],
) -> None:
    """Fill the listed bad pixels with the reference's own prediction, ``scale R(p - d) + offset``.

    Pixels filled so have no residual, hence no influence: the fit of the good ones, with no hole in the arithmetic.
    `taps_y`, `taps_x` are the four weights at the fraction of ``-d``; `coefficients` need not have the size of `work`.
    Pixels the reference does not reach stay.
    """
    nx = work.shape[1]
    my = int(np.floor(-dy))
    mx = int(np.floor(-dx))
    for k in range(n_bad):
        y = bad[k] // nx + my
        x = bad[k] % nx + mx
        if y < 1 or y + 2 >= coefficients.shape[0] or x < 1 or x + 2 >= coefficients.shape[1]:
            continue
        value = np.float64(0.0)
        for j in range(4):
            line = np.float64(0.0)
            for i in range(4):
                line += taps_x[i] * coefficients[y + j - 1, x + i - 1]
            value += taps_y[j] * line
        work[bad[k] // nx, bad[k] % nx] = np.float32(scale * value + offset)
