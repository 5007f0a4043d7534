"""A pytest plugin for those who record with rtreg: run a recording through a configuration, assert on the corrections.

It is installed with rtreg; the fixture is `rtreg_replay`::

    def test_a_lower_gain_keeps_the_lock(rtreg_replay):
        night = rtreg_replay("night.mcap", overrides=["controller.gain=0.2"])
        assert night.states["LOST"] == 0
        assert max(abs(night.command[:, 0])) < 3.0
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

if TYPE_CHECKING:
    from rtreg.io.wire import Correction
    from rtreg.replay import Comparison, Step

__all__ = ["Replayed", "replay", "rtreg_replay"]

Table = npt.NDArray[np.float64]


class Replayed:
    """What a configuration makes of a recording.

    Attributes
    ----------
    corrections : list of Correction
        As they are now, one for each frame that was used, and for each tick.
    recorded : list of Correction
        As they were, in the same order.
    comparison : Comparison
        Both compared; `comparison.same` is True when nothing differs.
    """

    def __init__(self, steps: Sequence[Step], comparison: Comparison) -> None:
        self.comparison = comparison
        both = [(step.recorded, step.repeated) for step in steps]
        self.recorded: list[Correction] = [was for was, now in both if was is not None and now is not None]
        self.corrections: list[Correction] = [now for was, now in both if was is not None and now is not None]

    def __repr__(self) -> str:
        return f"<Replayed {len(self.corrections)} corrections, {dict(self.states)}>"

    @functools.cached_property
    def states(self) -> Counter[str]:
        """How many corrections had each state."""
        return Counter(str(correction.result.state) for correction in self.corrections)

    @functools.cached_property
    def shift(self) -> Table:
        """Measured shifts (n, 2), x first, px; NaN where nothing was measured or something speaks against it."""
        return np.array([c.result.estimate.shift if not c.result.verdict else (np.nan,) * 2 for c in self.corrections])

    @functools.cached_property
    def sigma(self) -> Table:
        """1-sigma errors (n, 2), x first, px."""
        return np.array([c.result.estimate.sigma for c in self.corrections])

    @functools.cached_property
    def command(self) -> Table:
        """Commands (n, 2), in the controller's unit; NaN before there is one."""
        return np.array([c.result.command.u for c in self.corrections])


def replay(
    path: str | Path, config: str | Path | None = None, *, overrides: Sequence[str] = (), stream: str | None = None
) -> Replayed:
    """Run a recording through a configuration, in lock-step.

    Parameters
    ----------
    path : str or Path
        A recording, or the folder with the files of one.
    config : str or Path, optional
        A TOML file or the name of a shipped configuration; without it the recorded one.
    overrides : sequence of str
        ``table.key=value``, on top.
    stream : str, optional
        Which stream, if there are several.

    Raises
    ------
    RecordingError, ConfigError
        The recording cannot be repeated, or the configuration is wrong.
    """
    from rtreg.io.config import load
    from rtreg.io.recordings import Recording
    from rtreg.replay import verify

    steps: list[Any] = []
    other = load(config, overrides) if config is not None else None
    with Recording(path) as recording:
        found = verify(
            recording,
            stream=stream,
            config=other,
            overrides=() if other else tuple(overrides),
            watch=steps.append,
        )
    return Replayed(steps, found)


@pytest.fixture
def rtreg_replay() -> Callable[..., Replayed]:
    """`replay`: a function from a recording and a configuration to its corrections."""
    return replay
