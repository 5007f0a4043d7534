"""How much of an image is structure and how much two images have in common, by the products of neighbouring pixels.

Noise has no correlation between neighbours, and neither has a hot pixel: what is left of the products is the scene.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.estimators.pieces import Pieces
from rtreg.kernels.neighbours import products

Image = npt.NDArray[Any]


def structure(image: Image) -> float:
    """Variance of the scene in an image (ny, nx), of its noise nothing; NaN pixels are left out."""
    return float(products(image, image))


def likeness(a: Image, b: Image) -> Pieces[float]:
    """Squared correlation of the scenes in two images (ny, nx) on one grid; about 0 when they have none in common."""
    common = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(common, a, np.float32(math.nan)), np.where(common, b, np.float32(math.nan))
    yield
    own = float(products(a, a))
    yield
    own *= float(products(b, b))
    yield
    together = float(products(a, b))
    return together * together / own if own > 0.0 else 0.0
