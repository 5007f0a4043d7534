"""Analytic images with known shifts, for the shift finders of the seed's interface."""

from __future__ import annotations

import numpy as np

from rtreg.records import Shift
from rtreg.simulate import Scene


def star(shape, at, *, width=(3.0, 3.0), angle=0.0, height=100.0):
    """A Gaussian at (y, x), `width` along and across `angle`."""
    y, x = np.indices(shape) - np.array(at)[:, None, None]
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return height * np.exp(-0.5 * ((u / width[0]) ** 2 + (v / width[1]) ** 2))


def field(shape, shift=(0.0, 0.0), *, seed=0, stars=8, margin=12):
    """Stars, flat at the border; `shift` is (dx, dy)."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape)
    for _ in range(stars):
        at = rng.uniform([margin, margin], np.array(shape) - margin) + np.array([shift[1], shift[0]])
        image += star(shape, at, width=(2.0, 2.0), height=rng.uniform(20, 200))
    return image


def periodic(shape, shift=(0.0, 0.0), *, seed=0, waves=5):
    """A periodic texture, moved exactly; `shift` is (dx, dy)."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape) - np.array([shift[1], shift[0]])[:, None, None]
    image = np.zeros(shape)
    for ky in range(-waves, waves + 1):
        for kx in range(waves + 1):
            image += rng.normal() * np.cos(2 * np.pi * (ky * y / shape[0] + kx * x / shape[1]) + rng.uniform(0, 6.28))
    return image


def cells(shift=(0.0, 0.0), shape=(128, 128), **options):
    """A scene that goes on past the border, so that new content comes in; `shift` is (dx, dy)."""
    return Scene("cells", shape, seed=11, **options).render(Shift(*shift)).astype(float)


def unusual(image):
    """The same image in forms that code forgets: name -> array. Values must be whole."""
    big = image.astype(">f4")
    locked = image.astype(np.float64)
    locked.flags.writeable = False
    sparse = np.zeros((2 * image.shape[0], 3 * image.shape[1]))
    sparse[::2, ::3] = image
    masked = np.ma.masked_array(image.astype(float).copy(), np.zeros(image.shape, bool))
    masked[5, 7] = 1e9
    masked.mask[5, 7] = True
    return {
        "uint16": image.astype(np.uint16),
        "int64": image.astype(np.int64),
        "int16": image.astype(np.int16),
        "float32": image.astype(np.float32),
        "big-endian": big,
        "read-only": locked,
        "strided": sparse[::2, ::3],
        "fortran": np.asfortranarray(image),
        "reversed": image[::-1, ::-1].copy()[::-1, ::-1],
        "masked": masked,
        "list": image.tolist(),
    }
