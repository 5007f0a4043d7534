"""The estimators of `accuracy.py`, ours and the others', each as a function of a frame.

``make(reference, still, frames, known)`` gives ``measure(frame) -> Answer``: `reference` is the image to measure
against, the mean of `frames` exposures, `still` the detector's constants, and `known` whether they may be used.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg import NoiseModel, Registrar

Image = npt.NDArray[Any]
NAN2 = (math.nan, math.nan)


class Answer(NamedTuple):
    """A shift and its 1-sigma error, px, (x, y); NaN where none is given. `refused`: why it says it is not good."""

    shift: tuple[float, float]
    sigma: tuple[float, float] = NAN2
    refused: str = ""
    contrast: float = math.nan


Measure = Callable[[Image], Answer]
Make = Callable[[Image, NoiseModel, float, bool], Measure]


def rtreg(**options: Any) -> Make:
    """Ours."""

    def make(reference: Image, model: NoiseModel, frames: float, known: bool) -> Measure:
        noise = model if known else NoiseModel(flat=model.flat, mask=model.mask, saturation=model.saturation)
        registrar = Registrar(reference, noise=noise, reference_frames=frames, **options)

        def measure(frame: Image) -> Answer:
            estimate = registrar.measure(frame)
            refused = "|".join(estimate.flags.reasons)
            return Answer(tuple(estimate.shift), tuple(estimate.sigma), refused, estimate.contrast)

        return measure

    return make


def _plain(shift_of: Callable[[Image, Image], tuple[float, ...]]) -> Make:
    """An estimator that knows nothing but the two images; gives dx, dy and perhaps their errors."""

    def make(reference: Image, model: NoiseModel, frames: float, known: bool) -> Measure:
        def measure(frame: Image) -> Answer:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    dx, dy, *errors = (float(v) for v in shift_of(reference, frame))
                except Exception as error:  # whatever it is, there is no answer
                    return Answer(NAN2, refused=type(error).__name__)
            return Answer((dx, dy), (errors[0], errors[1]) if errors else NAN2)

        return measure

    return make


def _seed_chi2(reference: Image, frame: Image) -> tuple[float, ...]:
    import image_registration

    noise = float(np.sqrt(np.var(frame - reference)))
    return tuple(image_registration.chi2_shift(reference, frame, noise, upsample_factor="auto", return_error=True))


def _seed_images(reference: Image, frame: Image) -> tuple[float, ...]:
    import image_registration

    return tuple(image_registration.register_images(reference, frame, usfac=100, nthreads=1)[:2])


def _skimage(**options: Any) -> Callable[[Image, Image], tuple[float, ...]]:
    def shift_of(reference: Image, frame: Image) -> tuple[float, ...]:
        from skimage.registration import phase_cross_correlation

        (dy, dx), *_ = phase_cross_correlation(reference, frame, upsample_factor=100, **options)
        return -dx, -dy

    return shift_of


def _phase(reference: Image, frame: Image) -> tuple[float, ...]:
    import cv2

    (dx, dy), _ = cv2.phaseCorrelate(reference.astype(np.float32), frame.astype(np.float32))
    return dx, dy


def _ecc(reference: Image, frame: Image) -> tuple[float, ...]:
    import cv2

    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-8)
    warp = np.eye(2, 3, dtype=np.float32)
    images = (image.astype(np.float32) for image in (reference, frame))
    _, warp = cv2.findTransformECC(*images, warp, cv2.MOTION_TRANSLATION, criteria, None, 5)
    return float(warp[0, 2]), float(warp[1, 2])


def _stackreg(reference: Image, frame: Image) -> tuple[float, ...]:
    from pystackreg import StackReg

    matrix = StackReg(StackReg.TRANSLATION).register(reference, frame)
    return float(matrix[0, 2]), float(matrix[1, 2])


OURS: dict[str, Make] = {
    "rtreg": rtreg(),
    "rtreg, order 5": rtreg(order=5),
    "rtreg, robust": rtreg(robust=True),
}
OTHERS: dict[str, Make] = {
    "image_registration.chi2_shift": _plain(_seed_chi2),
    "image_registration.register_images": _plain(_seed_images),
    "scikit-image": _plain(_skimage()),
    "scikit-image, no phase": _plain(_skimage(normalization=None)),
    "cv2.phaseCorrelate": _plain(_phase),
    "cv2.findTransformECC": _plain(_ecc),
    "pystackreg": _plain(_stackreg),
}
ESTIMATORS = OURS | OTHERS
