"""The monitor process: corrections and status in, a picture out. Looks on; the tracker does not know it is there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live

from rtreg import build
from rtreg.io.config import Config
from rtreg.io.realtime import Stop, step_back
from rtreg.io.sockets import CorrectionSubscriber, StatusSubscriber
from rtreg.services.view import View, line, render

BATCH_S = 0.02  # one wake-up for many messages: the cores belong to the tracker
VIEW_S = 0.2
LINE_S = 1.0

Show = Callable[[View], None]


@contextlib.contextmanager
def display(console: Console) -> Iterator[Show]:
    """A function that shows a `View`, as often as is good for it: live on a terminal, else a line a second."""
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(Live(console=console, auto_refresh=False)) if console.is_terminal else None
        due = 0.0

        def show(view: View) -> None:
            nonlocal due
            now = time.monotonic_ns()
            if now / 1e9 < due:
                return
            due = now / 1e9 + (VIEW_S if live else LINE_S)
            if live:
                live.update(render(view, now), refresh=True)
            else:
                console.print(line(view, now), soft_wrap=True, highlight=False)

        yield show


def main(config: Config) -> int:
    """Watch the tracker of `config` until SIGINT or SIGTERM."""
    stop = Stop().listen()
    step_back()
    ends, guard = config.endpoints, build.guard(config)
    view = View(config.stream, note=f"listening to {ends.corrections}")
    with (
        CorrectionSubscriber(ends.corrections, config.stream, guard=guard) as corrections,
        StatusSubscriber(ends.status, config.stream, guard=guard) as statuses,
        display(Console()) as show,
    ):
        while not stop:
            time.sleep(BATCH_S)
            while (got := corrections.receive(0)) is not None:
                view.correction(got.result, got.delivery, time.monotonic_ns())
            while (status := statuses.receive(0)) is not None:
                view.status = status
            show(view)
    return 0
