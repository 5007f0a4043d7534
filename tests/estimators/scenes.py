"""Frames with known shifts, noise, and the bound that no estimator can beat."""

from __future__ import annotations

import numpy as np

from rtreg.noise import NoiseModel
from rtreg.records import Shift
from rtreg.simulate import Scene

READ_NOISE = 5.0
NOISE = NoiseModel(gain=1.0, read_noise=READ_NOISE)
STILL = Shift(0.0, 0.0)


def clean(scene, shift=STILL):
    """Electrons without noise, float32."""
    return scene.render(shift).copy()


def noisy(scene, shift, rng):
    """One exposure, float32 electrons."""
    mean = scene.render(shift).astype(float)
    return (rng.poisson(mean) + rng.normal(0.0, READ_NOISE, mean.shape)).astype(np.float32)


def bound(scene, shift):
    """Cramér-Rao bound (sigma_x, sigma_y), px, of the pixels of the reference that the shifted frame also has.

    Free parameters are scale, offset, dy, dx. Gradients by central differences of the scene itself.
    """
    h = 1e-2
    r = clean(scene).astype(float)
    gx = (clean(scene, Shift(-h, 0)).astype(float) - clean(scene, Shift(h, 0))) / (2 * h)
    gy = (clean(scene, Shift(0, -h)).astype(float) - clean(scene, Shift(0, h))) / (2 * h)
    ny, nx = r.shape
    y, x = np.mgrid[:ny, :nx]
    common = (y + shift.dy >= 0) & (y + shift.dy <= ny - 1) & (x + shift.dx >= 0) & (x + shift.dx <= nx - 1)
    templates = np.stack([r - r.mean(), np.ones_like(r), gy, gx])
    fisher = np.einsum("iyx,jyx,yx->ij", templates, templates, common / (r + READ_NOISE**2))
    covariance = np.linalg.inv(fisher)
    return np.sqrt(covariance[3, 3]), np.sqrt(covariance[2, 2])


def make(kind, shape, **options):
    """A scene of moderate signal."""
    return Scene(kind, shape, seed=11, **options)
