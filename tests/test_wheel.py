"""The wheel carries everything: built, installed in a new environment outside the clone, and run from there."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command, cwd, **options):
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of the sources, so that the clone stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    run("git", "clone", "--quiet", ROOT, folder / "clone", cwd=folder)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, folder / "clone", cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_wheel_carries_services_and_configs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for service in (ROOT / "services").glob("*.py"):
        assert f"rtreg/services/{service.name}" in names
    for config in (ROOT / "configs").glob("*.toml"):
        assert f"rtreg/configs/{config.name}" in names
    assert "rtreg/py.typed" in names


@pytest.mark.slow
def test_demo_runs_from_the_wheel(wheel, tmp_path):
    run(sys.executable, "-m", "venv", "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    assert str(tmp_path) in run(python, "-c", "import rtreg; print(rtreg.__file__)", cwd=tmp_path)
    command = tmp_path / "env" / "bin" / "rtreg"
    summary = json.loads(
        run(command, "demo", "--json", "--no-view", "--seconds", "3", "--rate", "100", cwd=tmp_path, timeout=400)
    )
    assert summary["frames"] > 100
    assert summary["corrections"] > 100
    assert summary["closed_loop_rms_px"] < summary["open_loop_rms_px"]
