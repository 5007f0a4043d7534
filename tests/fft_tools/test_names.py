"""The public names: what is a function, what is a module, in any order of import and access."""

import importlib
import itertools
import subprocess
import sys

import pytest

import rtreg.fft_tools

MODULES = ["convolve_nd", "downsample", "fast_ffts", "scale", "shift", "smooth_tools", "upsample", "zoom"]

# what the seed's modules have, and where
FUNCTIONS = {
    "convolve_nd": ["convolvend"],
    "correlate2d": ["correlate2d"],
    "downsample": ["downsample", "downsample_1d", "downsample_axis", "downsample_cube"],
    "fast_ffts": ["get_ffts"],
    "scale": ["fourier_interp1d", "fourier_interp2d", "fourier_interpnd"],
    "shift": ["shift2d", "shiftnd"],
    "smooth_tools": ["make_kernel", "smooth"],
    "upsample": ["dftups", "dftups1d", "odddftups", "upsample_image"],
    "zoom": ["zoom1d", "zoom_on_pixel", "zoomnd"],
}

WAYS = {
    "import": "import rtreg.fft_tools.{0}",
    "from package": "from rtreg.fft_tools import {0}",
    "from module": "from rtreg.fft_tools.{0} import *",
    "importlib": "import importlib; importlib.import_module('rtreg.fft_tools.{0}')",
    "access": "import rtreg.fft_tools; rtreg.fft_tools.{0}",
}


def test_every_function_is_in_its_module():
    for module, names in FUNCTIONS.items():
        for name in names:
            assert callable(getattr(importlib.import_module(f"rtreg.fft_tools.{module}"), name))


@pytest.mark.parametrize(
    "name", ["correlate2d", "dftups", "get_ffts", "shift2d", "shiftnd", "smooth", "upsample_image"]
)
def test_functions_of_the_package(name):
    assert callable(getattr(rtreg.fft_tools, name))


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(WAYS, 2)))
def test_functions_and_modules_keep_their_names(first, second):
    lines = [WAYS[way].format(name) for way in (first, second) for name in ("correlate2d", *MODULES)]
    lines += [
        "import rtreg, types",
        "assert isinstance(rtreg.fft_tools.correlate2d, types.FunctionType)",
        *(f"assert isinstance(rtreg.fft_tools.{name}, types.ModuleType), '{name}'" for name in MODULES),
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
