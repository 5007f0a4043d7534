"""How to measure a frame against a reference, as data that can be sent to where the frames are."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from rtreg.noise import NoiseModel
from rtreg.records import Estimate, Shift, Verdict

if TYPE_CHECKING:
    from rtreg.estimators.registrar import Registrar

Image = npt.NDArray[Any]
Measure = Callable[[Image], Estimate]
Method = Literal["gn", "chi2", "cross", "dft"]
UPSAMPLING = 100  # of method "dft"

__all__ = ["Finder", "Measure", "Method"]


@dataclass(frozen=True, eq=False)
class Finder:
    """A reference, and the way to measure frames against it.

    Parameters
    ----------
    reference : (ny, nx) array, uint8 ... float64
    method : {"gn", "chi2", "cross", "dft"}
        "gn" is `rtreg.Registrar`; the others `chi2_shift`, `cross_correlation_shifts` and `register_images`.
    noise : NoiseModel, optional
        For "gn".
    max_shift : float, optional
        Range of the search along each axis, px; not for "chi2".
    err : (ny, nx) array, optional
        1-sigma error of each pixel of the frames; for "chi2" and "cross".
    """

    reference: Image
    method: Method = "gn"
    noise: NoiseModel | None = None
    max_shift: float | None = None
    err: Image | None = None

    def start(self) -> Measure:
        """What measures frames, with no memory of any before; for one thread.

        Raises
        ------
        FrameError, ConfigError
            The reference or an option cannot be used.
        """
        if self.method == "gn":
            return self._registrar.afresh().measure
        function, options = self._function()
        return lambda frame: self._by(function, frame, options)

    @cached_property
    def _registrar(self) -> Registrar:
        """One that is never used: weighing a noisy reference takes as long as measuring hundreds of frames."""
        from rtreg.estimators.registrar import Registrar

        return Registrar(self.reference, noise=self.noise, max_shift=self.max_shift)

    def __getstate__(self) -> dict[str, Any]:
        """What was given; the rest is made where it is needed."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _function(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """A shift finder, and what to tell it."""
        if self.method == "chi2":
            from rtreg.chi2_shifts import chi2_shift

            return chi2_shift, {}
        if self.method == "cross":
            from rtreg.cross_correlation_shifts import cross_correlation_shifts

            return cross_correlation_shifts, {"maxoff": self.max_shift}
        from rtreg.register_images import register_images

        return register_images, {"maxoff": self.max_shift, "usfac": UPSAMPLING}

    def _by(self, function: Callable[..., Any], frame: Image, options: dict[str, Any]) -> Estimate:
        from rtreg.FITS_tools.methods import measure

        dx, dy, ex, ey = measure(function, self.reference, frame, self.err, options)
        return Estimate(
            shift=Shift(dx, dy),
            covariance=((ex**2, 0.0), (0.0, ey**2)),
            flags=Verdict.OK if math.isfinite(dx + dy) else Verdict.NAN,
        )

    def digest(self) -> str:
        """A hash of all of it: two finders with the same one measure the same."""
        found = hashlib.sha256(f"{self.method} {self.max_shift!r}".encode())
        noise = self.noise or NoiseModel()
        for value in (self.reference, self.err, *(getattr(noise, name) for name in noise.__slots__)):
            array = np.asarray(math.nan if value is None else value)
            found.update(f"{array.shape} {array.dtype.str}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()
