"""Sums and running means of aligned frames, each in one pass over the images."""

from __future__ import annotations

import numpy as np

from rtreg.kernels._jit import Array, Scalar, jit


@jit
def add(image: Array, sign: int, total: Array, count: Array) -> None:
    """``total += sign image`` and ``count += sign`` where the image has data; all (ny, nx) float32, NaN = no data."""
    weight = np.float32(sign)
    for y in range(image.shape[0]):
        row = image[y]
        t = total[y]
        c = count[y]
        for x in range(row.size):
            there = row[x] == row[x]
            t[x] += weight * (row[x] if there else np.float32(0.0))
            c[x] += weight if there else np.float32(0.0)


@jit
def merge(
    total: Array, count: Array, frames: int, weight: Scalar, memory: Scalar, least: Scalar, mean: Array, seen: Array,
    image: Array,
) -> None:  # fmt: skip
    """Take a batch of frames into a running mean; every pixel knows by itself how many frames it has seen.

    Parameters
    ----------
    total, count : (ny, nx) float32
        Sum of the batch, and how many of its `frames` had data, pixel by pixel.
    weight : float
        At which those out of view are forgotten: that of the batch in the mean.
    memory : float
        Frames that are remembered at most.
    least : float
        Frames that a pixel must have seen to be known.
    mean, seen : (ny, nx) float32
        The mean and how many frames are in it; brought up to date.
    image : (ny, nx) float32
        Output: the mean where it is known, NaN elsewhere.
    """
    part = np.float32(weight)
    share = np.float32(1.0) / np.float32(frames)
    most = np.float32(memory)
    limit = np.float32(least)
    for y in range(mean.shape[0]):
        t = total[y]
        c = count[y]
        m = mean[y]
        s = seen[y]
        target = image[y]
        for x in range(t.size):
            now = min(s[x] * (np.float32(1.0) - part * (np.float32(1.0) - c[x] * share)) + c[x], most)
            s[x] = now
            step = (t[x] - c[x] * m[x]) / max(now, np.float32(1e-30))
            m[x] += step if c[x] > np.float32(0.0) else np.float32(0.0)
            target[x] = m[x] if now >= limit else np.float32(np.nan)
