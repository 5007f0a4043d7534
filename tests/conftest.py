"""For runs by several workers (``pytest -n 2 --dist loadfile``): who measures time has the machine to himself."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LONGEST = "test_wheel.py"
ALONE = ("services", "test_client.py", "test_readme.py")  # folders and files
ROOM = pytest.StashKey["Room"]()


class Room:
    """Where tests are run: by all workers at once, or by one alone, who need not wait until the others are done."""

    def __init__(self, name):
        folder = Path(tempfile.gettempdir())
        self._gate, self._inside = ((folder / f"rtreg-tests-{name}-{part}").open("w") for part in ("gate", "inside"))
        self._entered = False

    def enter(self, alone):
        if self._entered:
            return
        fcntl.flock(self._gate, fcntl.LOCK_EX)  # who waits in it keeps others from going in ahead of him
        fcntl.flock(self._inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        self._entered = True

    def leave(self):
        fcntl.flock(self._inside, fcntl.LOCK_UN)
        self._entered = False

    def close(self):
        for file in (self._gate, self._inside):
            file.close()
            Path(file.name).unlink(missing_ok=True)


def alone(item):
    if item is None or not item.path.is_relative_to(HERE):
        return False
    return not set(item.path.relative_to(HERE).parts).isdisjoint(ALONE)


def pytest_collection_modifyitems(items):
    """The longest file first: one worker would be left with it at the end."""
    items.sort(key=lambda item: item.path.name != LONGEST)


def pytest_configure(config):
    if "PYTEST_XDIST_WORKER" in os.environ:
        config.stash[ROOM] = Room(os.environ["PYTEST_XDIST_TESTRUNUID"])


def pytest_unconfigure(config):
    if ROOM in config.stash:
        config.stash[ROOM].close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    room = item.config.stash.get(ROOM, None)
    if room is None:
        return (yield)
    room.enter(alone(item))
    try:
        return (yield)
    finally:
        if not (alone(item) and alone(nextitem)):
            room.leave()
