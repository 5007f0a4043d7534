"""A part of `image_registration`'s own fft_tools tests, run against rtreg; `seed_suite.py` runs them all."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("seed_suite.py")


@pytest.mark.slow
def test_the_seeds_own_tests_pass():
    if importlib.util.find_spec("image_registration") is None:
        pytest.skip("pip install image_registration")
    some = "downsample or issue6 or [12- or [13-"  # of the sizes, one even and one odd
    command = [sys.executable, str(SCRIPT), "fft_tools", "-k", some]
    paths = os.pathsep.join(filter(None, [str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTEST_ADDOPTS": ""}  # what is for our run is not for that one
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
