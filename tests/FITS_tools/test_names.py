"""Names that are a function and a module: the function wins in any order of import and access, in new processes."""

import itertools
import subprocess
import sys

import pytest

IMPORTS = {
    "package": "import rtreg.FITS_tools",
    "module": "import rtreg.FITS_tools.{name}",
    "from_package": "from rtreg.FITS_tools import {name}; assert callable({name})",
    "from_module": "from rtreg.FITS_tools.{name} import {name}; assert callable({name})",
    "import_module": (
        "import importlib, types; assert isinstance("
        "importlib.import_module('rtreg.FITS_tools.{name}'), types.ModuleType)"
    ),
    "neighbours": "import rtreg.FITS_tools.match_images, rtreg.FITS_tools.cubes",
    "lazily": "import rtreg; rtreg.FITS_tools.{name}",
}


def run(*lines):
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_functions_stay_functions_in_any_order():
    """Every order of any two ways to come by them, for each name; forked from one process, since astropy is slow."""
    checks = []
    for name in ("load_header", "fits_overlap", "hcongrid"):
        for first, second in itertools.permutations(IMPORTS.values(), 2):
            after = f"import rtreg.FITS_tools as F, types; assert not isinstance(F.{name}, types.ModuleType)"
            checks.append("\n".join([first, second, after]).format(name=name))
    run(
        "import os, sys, warnings, astropy.wcs, astropy.io.fits, numpy",
        "import rtreg.kernels._jit, rtreg.estimators.registrar",
        "loaded = set(sys.modules)",
        "assert not any('FITS_tools' in name for name in loaded)",
        f"for check in {checks!r}:",
        "    with warnings.catch_warnings():",
        "        warnings.simplefilter('ignore', DeprecationWarning)  # a fork of a process with threads",
        "        child = os.fork()",
        "    if child == 0:",
        "        try:",
        "            exec(check, {})",
        "        except BaseException as error:",
        "            print(check, repr(error), sep='\\n', file=sys.stderr, flush=True)",
        "            os._exit(1)",
        "        os._exit(0)",
        "    assert os.waitpid(child, 0)[1] == 0",
    )


@pytest.mark.parametrize("first", ["import rtreg.FITS_tools.match_images", "import rtreg.FITS_tools"])
def test_match_images_is_the_module(first):
    run(
        first,
        "import types, rtreg.FITS_tools as F",
        "assert isinstance(F.match_images, types.ModuleType)",
        "from rtreg.FITS_tools import match_images, match_fits, register_fits",
        "assert match_images.match_fits is match_fits is F.match_fits",
        "assert match_images.project_to_header is F.project_to_header",
    )


def test_headers_and_cubes_need_no_kernels():
    run(
        "import sys, rtreg.FITS_tools, rtreg.FITS_tools.cubes",
        "rtreg.FITS_tools.load_header({'CRPIX1': 1.0})",
        "assert not {'numba', 'reproject', 'scipy.ndimage'} & set(sys.modules)",
    )


def test_star_import_and_dir_offer_every_name():
    run(
        "import rtreg.FITS_tools as F",
        "names = {}",
        "exec('from rtreg.FITS_tools import *', names)",
        "assert set(F.__all__) <= set(names) and set(F.__all__) <= set(dir(F))",
        "assert not hasattr(F, 'nothing')",
    )


def test_the_seed_names_lead_here_from_the_top():
    run(
        "import sys, rtreg",
        "assert 'astropy' not in sys.modules",
        "function = rtreg.cross_correlation_shifts_FITS",
        "from rtreg.FITS_tools.match_images import cross_correlation_shifts_FITS",
        "assert function is cross_correlation_shifts_FITS",
        "from rtreg.cross_correlation_shifts import cross_correlation_shifts_FITS as again",
        "assert again is function",
    )
