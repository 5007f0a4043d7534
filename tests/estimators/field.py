"""A field of stars that moves, turns and grows, and the regions round them."""

from __future__ import annotations

import math

import numpy as np
from scenes import READ_NOISE

SIZE = 150
STARS = [(40.3, 36.7, 3000.0), (112.6, 45.2, 2000.0), (70.1, 111.4, 2500.0)]
BOXES = [(int(x) - 18, int(y) - 18, 36, 36) for x, y, _ in STARS]


def picture(motion=(0.0, 0.0, 0.0, 1.0), centre=(0.0, 0.0), stars=STARS, width=1.5):
    """Electrons of stars on a sky, moved by (dx, dy), turned and magnified about `centre`."""
    dx, dy, angle, size = motion
    c, s = size * math.cos(angle), size * math.sin(angle)
    y, x = np.mgrid[:SIZE, :SIZE]
    image = np.full((SIZE, SIZE), 60.0)
    for sx, sy, peak in stars:
        u, v = sx - centre[0], sy - centre[1]
        px, py = centre[0] + dx + c * u - s * v, centre[1] + dy + s * u + c * v
        image += peak * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * width**2))
    return image


def exposed(image, rng):
    return rng.poisson(image) + rng.normal(0, READ_NOISE, image.shape)
