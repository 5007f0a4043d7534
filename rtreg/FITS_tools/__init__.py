"""Registration of FITS images: headers, matching pixels, world offsets, and files as stacks of images.

`load_header`, `fits_overlap` and `hcongrid` are functions in modules of the same name. They are imported here, at once,
so that the function is what the package shows whatever is imported after it: a submodule becomes an attribute of its
package only when it is loaded first. What needs numba loads at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rtreg.FITS_tools.fits_overlap import fits_overlap, header_overlap
from rtreg.FITS_tools.hcongrid import hcongrid, zoom_fits
from rtreg.FITS_tools.load_header import get_cd, load_data, load_header
from rtreg.FITS_tools.projection import project_to_header

if TYPE_CHECKING:
    from rtreg.FITS_tools import match_images
    from rtreg.FITS_tools.match_images import cross_correlation_shifts_FITS, match_fits, register_fits

__all__ = [
    "cross_correlation_shifts_FITS",
    "fits_overlap",
    "get_cd",
    "hcongrid",
    "header_overlap",
    "load_data",
    "load_header",
    "match_fits",
    "match_images",
    "project_to_header",
    "register_fits",
    "zoom_fits",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'rtreg.FITS_tools' has no attribute {name!r}")
    module = importlib.import_module("rtreg.FITS_tools.match_images")
    return module if name == "match_images" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
