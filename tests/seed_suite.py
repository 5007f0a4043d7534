"""The test suite of the `image_registration` package, run against rtreg.

    python tests/seed_suite.py                     everything
    python tests/seed_suite.py fft_tools           its fft_tools tests
    python tests/seed_suite.py shifts -k issue     its shift tests; what follows goes to pytest

Its test files are taken from the installed package, and `image_registration` and all its modules are other names for
rtreg's while they run. What is changed in the files, and which tests are left out, is listed here with the reason.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import sys
import tempfile
import types
from collections.abc import Iterable
from pathlib import Path

import pytest

SEED = "image_registration"
SUITES = {
    "fft_tools": [
        f"fft_tools/tests/test_{name}.py" for name in ("downsample", "shift", "upsample", "upsample_1d", "zoomnd")
    ],
    "shifts": ["tests/registration_testing.py"],
}

# file -> (old text, new text, reason)
PATCHES = {
    "fft_tools/tests/test_zoomnd.py": [
        ("newinds[slices]", "newinds[tuple(slices)]", "NumPy from 1.23 on does not take a list for an index"),
    ],
}

# how the name of a test starts -> reason
LEFT_OUT = {
    "test_upsample[99]": "the test's own upsample_ft_raw cuts odd sizes to the wrong shape; no function of the library",
    "test_upsample[101]": "the same",
}


def main(arguments: list[str]) -> int:
    """Run the suites named first, or all; the rest of the arguments is pytest's."""
    found = importlib.util.find_spec(SEED)
    if found is None or not found.submodule_search_locations:
        print(f"{SEED} is not installed: pip install {SEED}", file=sys.stderr)
        return 2
    suites = [name for name in arguments[:1] if name in SUITES] or list(SUITES)
    options = arguments[1:] if arguments[:1] == suites else arguments
    with tempfile.TemporaryDirectory() as folder:
        files = copy_tests(Path(found.submodule_search_locations[0]), Path(folder) / SEED, suites)
        alias(Path(folder) / SEED)
        ours = ["-c", "/dev/null", "--rootdir", folder, "-p", "no:cacheprovider", "-o", "python_files=*.py", "-q"]
        return int(pytest.main([*ours, *map(str, files), *options], plugins=[Selection()]))


def copy_tests(seed: Path, target: Path, suites: Iterable[str]) -> list[Path]:
    """The suites' files, patched, in a tree of packages like the original's."""
    copies = []
    for name in (name for suite in suites for name in SUITES[suite]):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(seed / name, copy)
        text = copy.read_text()
        for old, new, _ in PATCHES.get(name, ()):
            if old not in text:
                raise RuntimeError(f"{name} of the installed {SEED} has no {old!r}: another version?")
            text = text.replace(old, new)
        copy.write_text(text)
        copies.append(copy)
    for package in {path.parent for path in copies} | {target, target / "fft_tools"}:
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
    return copies


def alias(tests: Path) -> None:
    """Let every module of the seed be rtreg's, but for the packages of tests, which are the copies."""
    package = importlib.import_module("rtreg")
    sys.modules[SEED] = package
    for path in sorted(Path(package.__path__[0]).rglob("*.py")):
        name = ".".join(path.relative_to(package.__path__[0]).with_suffix("").parts).removesuffix(".__init__")
        if name.split(".")[0] in MODULES:
            sys.modules[f"{SEED}.{name}"] = importlib.import_module(f"rtreg.{name}")
    for name in ("tests", "fft_tools.tests"):
        module = types.ModuleType(f"{SEED}.{name}")
        module.__path__ = [str(tests / name.replace(".", "/"))]
        sys.modules[module.__name__] = module


MODULES = ("chi2_shifts", "cross_correlation_shifts", "fft_tools", "iterative_zoom", "register_images")


class Selection:
    """Takes the tests of `LEFT_OUT` out, and says so."""

    def __init__(self) -> None:
        self.left_out: list[str] = []

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        gone = [item for item in items if item.name in LEFT_OUT]
        items[:] = [item for item in items if item.name not in LEFT_OUT]
        config.hook.pytest_deselected(items=gone)
        self.left_out = [item.name for item in gone]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name in self.left_out:
            terminalreporter.write_line(f"left out: {name}: {LEFT_OUT[name]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
