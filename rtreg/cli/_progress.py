"""Progress of long work on stderr: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

LINE_SECONDS = 10.0  # between lines of a log

Update = Callable[[int, int], None]
T = TypeVar("T")


@contextlib.contextmanager
def progress(what: str) -> Iterator[Update]:
    """A function to call with how much is done and how much there is in all; `what` names it, such as "frames"."""
    if sys.stderr.isatty():
        with _bar(what) as update:
            yield update
    else:
        yield _Lines(what)


def counted(things: Iterable[T], update: Update, total: int) -> Iterator[T]:
    """The things, each told to `update` as it is taken."""
    for done, thing in enumerate(things, 1):
        update(done, total)
        yield thing


@contextlib.contextmanager
def _bar(what: str) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=None, rate="")
        rate = _Rate()
        yield lambda done, total: bars.update(task, completed=done, total=total, rate=f"{rate(done):.0f}/s")


class _Rate:
    """Things done a second since the first call, which may find some done already."""

    def __init__(self) -> None:
        self._start: tuple[float, int] | None = None

    def __call__(self, done: int) -> float:
        now = time.monotonic()
        self._start = self._start or (now, done)
        return (done - self._start[1]) / max(now - self._start[0], 1e-9)


class _Lines:
    """What a log gets: nothing from work that is quick, a line every ten seconds from the rest."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._rate = _Rate()
        self._next = time.monotonic() + LINE_SECONDS

    def __call__(self, done: int, total: int) -> None:
        rate = self._rate(done)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_SECONDS
            print(f"{done} of {total} {self._what}, {rate:.0f}/s", file=sys.stderr, flush=True)
