"""The seed's names at the places ports import them from, in any order, without loading what is not asked for."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

import rtreg

FUNCTIONS = {"cross_correlation_shifts": "second_derivative", "register_images": "dftregistration"}
MODULES = {
    "chi2_shifts": "chi2_shift",
    "iterative_zoom": "iterative_zoom",
    "fft_tools": "shift2d",
    "tests": "make_extended",
}


def run(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_wins_over_its_module_in_any_order(name):
    """Row 37."""
    steps = [
        f"import rtreg.{name}",
        f"from rtreg.{name} import {FUNCTIONS[name]}",
        f"rtreg.{name}",
        f"from rtreg import {name}",
        "import importlib; importlib.import_module('rtreg." + name + "')",
    ]
    orders = "\n".join(
        "\n".join(
            [
                "for m in [m for m in sys.modules if m.startswith('rtreg')]: del sys.modules[m]",
                "import rtreg",
                *order,
                f"assert callable(rtreg.{name}) and rtreg.{name}.__name__ == {name!r}, {order!r}",
                f"from rtreg import {name} as again; assert again is rtreg.{name}",
                f"assert sys.modules['rtreg.{name}'].__dict__[{name!r}] is rtreg.{name}",
            ]
        )
        for order in itertools.permutations(steps, 2)
    )
    # numba and pyfftw stay loaded between the orders; only rtreg is forgotten
    run("import sys\n" + orders)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("first", ["import rtreg", "import rtreg.{name}", "from rtreg.{name} import {member}"])
def test_module_stays_the_module(name, first):
    member = MODULES[name]
    run(
        "import types, rtreg\n" + first.format(name=name, member=member) + "\n"
        f"assert isinstance(rtreg.{name}, types.ModuleType)\nassert callable(rtreg.{name}.{member})\n"
        f"from rtreg.{name} import {member}\nassert rtreg.{name}.{member} is {member}"
    )


def test_the_whole_port_is_a_rename():
    run(
        "import rtreg as image_registration, types\n"
        "from rtreg import chi2_shift, chi2_shift_iterzoom, chi2n_map, register_images, cross_correlation_shifts\n"
        "from rtreg.chi2_shifts import chi2map_to_errors\n"
        "from rtreg.tests import make_extended, make_offset_extended, make_offset_images, edge_weight\n"
        "from rtreg.version import __version__\n"
        "assert image_registration.__version__ == __version__\n"
        "for name in image_registration.__all__: getattr(image_registration, name)\n"
        "from rtreg.cross_correlation_shifts import cross_correlation_shifts_FITS\n"
        "assert cross_correlation_shifts_FITS is image_registration.cross_correlation_shifts_FITS\n"
    )


def test_every_public_name_is_listed():
    out = run(
        "import rtreg; print(*sorted(set(rtreg._HOME) ^ set(rtreg.__all__)), *(set(rtreg.__all__) - set(dir(rtreg))))"
    )
    assert out.split() == ["__version__"]


def test_import_takes_nothing_heavy():
    out = run(
        "import sys, rtreg\n"
        "print(*sorted({'numpy', 'numba', 'astropy', 'matplotlib', 'pytest', 'scipy', 'pyfftw'} & set(sys.modules)))"
    )
    assert out.split() == []
    out = run(
        "import sys, rtreg.chi2_shifts, rtreg.register_images, rtreg.cross_correlation_shifts\n"
        "print(*sorted({'astropy', 'matplotlib', 'pytest'} & set(sys.modules)))"
    )
    assert out.split() == []


def test_unknown_name_is_named():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = rtreg.nonsense
