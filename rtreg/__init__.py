"""rtreg: real-time image registration with true error bars.

Every public name loads at first use (PEP 562), so that ``import rtreg`` is quick and takes neither numba nor astropy.
The names of `image_registration` are here under the same names, in the same places: ``import rtreg as
image_registration`` is the whole port.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rtreg.version import __version__

if TYPE_CHECKING:
    from rtreg import FITS_tools, chi2_shifts, fft_tools, iterative_zoom, tests
    from rtreg.chi2_shifts import chi2_shift, chi2_shift_iterzoom, chi2n_map
    from rtreg.cross_correlation_shifts import cross_correlation_shifts, cross_correlation_shifts_FITS
    from rtreg.errors import (
        ConfigError,
        DeviceError,
        FrameError,
        RecordingError,
        RtregError,
        StaleCorrection,
        WireError,
    )
    from rtreg.estimators.align import align
    from rtreg.estimators.regions import RegionPolicy, Regions
    from rtreg.estimators.registrar import Registrar, register
    from rtreg.noise import NoiseModel
    from rtreg.records import Estimate, Shift, Verdict
    from rtreg.register_images import register_images

# public name -> the module that holds it; a name that the module does not hold stands for the module itself
_HOME = {
    "ConfigError": "rtreg.errors",
    "DeviceError": "rtreg.errors",
    "Estimate": "rtreg.records",
    "FITS_tools": "rtreg.FITS_tools",
    "FrameError": "rtreg.errors",
    "NoiseModel": "rtreg.noise",
    "RecordingError": "rtreg.errors",
    "RegionPolicy": "rtreg.estimators.regions",
    "Regions": "rtreg.estimators.regions",
    "Registrar": "rtreg.estimators.registrar",
    "RtregError": "rtreg.errors",
    "Shift": "rtreg.records",
    "StaleCorrection": "rtreg.errors",
    "Verdict": "rtreg.records",
    "WireError": "rtreg.errors",
    "align": "rtreg.estimators.align",
    "chi2_shift": "rtreg.chi2_shifts",
    "chi2_shift_iterzoom": "rtreg.chi2_shifts",
    "chi2_shifts": "rtreg.chi2_shifts",
    "chi2n_map": "rtreg.chi2_shifts",
    "cross_correlation_shifts": "rtreg.cross_correlation_shifts",
    "cross_correlation_shifts_FITS": "rtreg.cross_correlation_shifts",
    "fft_tools": "rtreg.fft_tools",
    "iterative_zoom": "rtreg.iterative_zoom",
    "register": "rtreg.estimators.registrar",
    "register_images": "rtreg.register_images",
    "tests": "rtreg.tests",
}
_FUNCTIONS = frozenset({"cross_correlation_shifts", "register_images"})  # that are modules too; the function wins

__all__ = [
    "ConfigError",
    "DeviceError",
    "Estimate",
    "FITS_tools",
    "FrameError",
    "NoiseModel",
    "RecordingError",
    "RegionPolicy",
    "Regions",
    "Registrar",
    "RtregError",
    "Shift",
    "StaleCorrection",
    "Verdict",
    "WireError",
    "__version__",
    "align",
    "chi2_shift",
    "chi2_shift_iterzoom",
    "chi2_shifts",
    "chi2n_map",
    "cross_correlation_shifts",
    "cross_correlation_shifts_FITS",
    "fft_tools",
    "iterative_zoom",
    "register",
    "register_images",
    "tests",
]


class _Package(ModuleType):
    """Keeps functions what they are where a module shares their name.

    Importing ``rtreg.register_images`` makes Python set that attribute of the package to the module, whatever was there
    before; the function goes there instead.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FUNCTIONS and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'rtreg' has no attribute {name!r}")
    module = importlib.import_module(home)
    if home == f"rtreg.{name}" and name not in _FUNCTIONS:
        return module  # the import has set the attribute
    value = getattr(module, name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


sys.modules[__name__].__class__ = _Package
