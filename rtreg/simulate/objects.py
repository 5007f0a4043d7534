"""What textures show: pictures on a torus, one sample a pixel, before any optics. Levels are arbitrary."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.float64]


def granulation(rng: np.random.Generator, world: tuple[int, int], size: float) -> Picture:
    """Solar granulation: bright cells of about `size` px, each with its own brightness, between dark lanes.

    The cells are the Voronoi cells of a jittered grid; a lane is where the nearest two centres are equally far.
    """
    wy, wx = world
    rows, columns = round(wy / size), round(wx / size)
    offsets = rng.uniform(0.1, 0.9, (rows, columns, 2))
    brightness = rng.normal(1.0, 0.12, (rows, columns))
    y = np.arange(wy)[:, None] * rows / wy  # in cells
    x = np.arange(wx)[None, :] * columns / wx
    nearest = np.full(world, np.inf)
    second = np.full(world, np.inf)
    level = np.zeros(world)
    for step_y in (-1, 0, 1):
        for step_x in (-1, 0, 1):
            i, j = np.floor(y).astype(int) + step_y, np.floor(x).astype(int) + step_x
            centre = offsets[i % rows, j % columns]
            distance = np.hypot(i + centre[..., 0] - y, j + centre[..., 1] - x)
            closer = distance < nearest
            second = np.where(closer, nearest, np.minimum(second, distance))
            level = np.where(closer, brightness[i % rows, j % columns], level)
            nearest = np.minimum(nearest, distance)
    lane = np.exp(-0.5 * ((second - nearest) / 0.16) ** 2)
    picture = level * (1 - 0.25 * nearest**2) - 0.6 * lane + 0.08 * _clouds(rng, world, size / 4)
    return np.asarray(picture)


def cells(rng: np.random.Generator, world: tuple[int, int], size: float) -> Picture:
    """Cells under a microscope, about `size` px across: a soft body, a nucleus, bright granules, on a dark ground."""
    picture = np.zeros(world)
    # one somewhere in each box of a grid: irregular, yet no view is empty
    boxes = np.maximum(1, np.round(np.array(world) / (1.4 * size)))
    corners = np.stack(np.meshgrid(np.arange(boxes[0]), np.arange(boxes[1]), indexing="ij"), axis=-1).reshape(-1, 2)
    half = math.ceil(size)
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    for centre in (corners + rng.random(corners.shape)) * world / boxes:
        whole = np.floor(centre).astype(int)
        patch = _cell(rng, y - (centre[0] - whole[0]), x - (centre[1] - whole[1]), size)
        rows = (whole[0] + np.arange(-half, half + 1)) % world[0]
        columns = (whole[1] + np.arange(-half, half + 1)) % world[1]
        np.add.at(picture, np.ix_(rows, columns), patch)  # a small torus may meet a patch twice
    return np.asarray(picture * (1 + 0.15 * _clouds(rng, world, size / 5)))


def _cell(rng: np.random.Generator, y: Picture, x: Picture, size: float) -> Picture:
    """One cell round (0, 0)."""
    angle = rng.uniform(0, 2 * math.pi)
    along, across = rng.uniform((0.42, 0.3), (0.6, 0.45)) * size
    u = (math.cos(angle) * x + math.sin(angle) * y) / along
    v = (math.cos(angle) * y - math.sin(angle) * x) / across
    theta = np.arctan2(v, u)
    phases = rng.uniform(0, 2 * math.pi, 2)
    edge = 1 + 0.08 * np.cos(2 * theta + phases[0]) + 0.06 * np.cos(3 * theta + phases[1])
    radius = np.hypot(u, v) / edge
    body = 1 / (1 + np.exp(np.minimum(12 * (radius - 0.85), 50)))
    nucleus = np.exp(-0.5 * (np.hypot(u - 0.2, v) / 0.3) ** 2)
    granules = np.zeros(y.shape)
    for centre in rng.uniform(-0.4, 0.4, (8, 2)) * size:
        granules += np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * (0.04 * size) ** 2))
    brightness = rng.uniform(0.5, 1.0)
    return np.asarray(brightness * body * (0.5 + 0.5 * nucleus + 0.5 * granules))


def _clouds(rng: np.random.Generator, world: tuple[int, int], size: float) -> Picture:
    """Smooth Gaussian noise with features of about `size` px, rms 1."""
    fy = np.fft.fftfreq(world[0])[:, None]
    fx = np.fft.rfftfreq(world[1])[None, :]
    spectrum = np.fft.rfft2(rng.standard_normal(world)) * np.exp(-2 * (0.4 * math.pi * size) ** 2 * (fy**2 + fx**2))
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, world)
    return np.asarray(noise / noise.std())
