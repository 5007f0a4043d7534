"""How a scene moves: drift, a periodic error, a random walk, turbulence-like jitter, steps."""

from __future__ import annotations

import math

import numpy as np

from rtreg.errors import ConfigError
from rtreg.records import Shift


class Motion:
    """A causal motion, the same for the same seed and the same sequence of times. Every amplitude may be 0.

    The defaults wander by 1.5 to 2.5 px rms in 10 s, nearly all of it below 1 Hz, where a loop at a few hundred
    frames a second can follow.

    Parameters
    ----------
    drift : (float, float)
        px/s along x and y.
    periodic : (float, float)
        Amplitude along x and y, px, of a sine; y is a quarter of a period ahead.
    period : float
        Of that sine, s.
    walk : float
        Random walk, px/sqrt(s) on each axis.
    jitter : float
        rms on each axis, px, of correlated noise: a first-order process, flat below ``1 / (2 pi jitter_time)`` Hz
        and falling with the square of the frequency above, as image motion does.
    jitter_time : float
        Over which the jitter is correlated, s.
    step : float
        Length, px, of a jump in a random direction.
    step_every : float
        Time between those jumps, s.
    seed : int
        Of everything random here.

    Raises
    ------
    ConfigError
        A time that is not positive, or an amplitude that is negative or not finite.
    """

    def __init__(
        self,
        *,
        drift: tuple[float, float] = (0.15, -0.1),
        periodic: tuple[float, float] = (2.5, 2.5),
        period: float = 4.0,
        walk: float = 0.5,
        jitter: float = 0.02,
        jitter_time: float = 0.05,
        step: float = 0.0,
        step_every: float = 2.0,
        seed: int = 0,
    ) -> None:
        for name, value in (("period", period), ("jitter_time", jitter_time), ("step_every", step_every)):
            if not 0 < value < math.inf:
                raise ConfigError(f"motion {name} must be a positive time in s, not {value}")
        for name, value in (("walk", walk), ("jitter", jitter), ("step", step)):
            if not 0 <= value < math.inf:
                raise ConfigError(f"motion {name} must be 0 or a positive number, not {value}")
        if seed < 0:
            raise ConfigError(f"motion seed must be 0 or more, not {seed}")
        if not np.isfinite([*drift, *periodic]).all():
            raise ConfigError(f"motion drift and periodic must be finite, not {drift} and {periodic}")
        self._drift = drift
        self._periodic = periodic
        self._period = period
        self._walk = walk
        self._jitter = jitter
        self._jitter_time = jitter_time
        self._step = step
        self._step_every = step_every
        # a generator each: how often `at` is called must not change where the steps go
        self._walk_rng, self._jitter_rng, self._step_rng = np.random.default_rng(seed).spawn(3)
        # the mutable state, all of it
        self._last: float | None = None
        self._steps_done = 0
        self._walked = np.zeros(2)
        self._jittered = np.zeros(2)
        self._stepped = np.zeros(2)

    @classmethod
    def still(cls) -> Motion:
        """No motion at all."""
        return cls(drift=(0.0, 0.0), periodic=(0.0, 0.0), walk=0.0, jitter=0.0)

    def at(self, t_s: float) -> Shift:
        """The shift at `t_s` seconds after the start, px; times must not go back.

        Raises
        ------
        ValueError
            `t_s` lies before the last time asked for, or before 0.
        """
        if t_s < (0.0 if self._last is None else self._last):
            raise ValueError(f"motion cannot go back in time: {t_s} s after {self._last} s")
        self._advance(t_s)
        phase = 2 * math.pi * t_s / self._period
        x, y = self._walked + self._jittered + self._stepped
        return Shift(
            float(x + self._drift[0] * t_s + self._periodic[0] * math.sin(phase)),
            float(y + self._drift[1] * t_s + self._periodic[1] * math.cos(phase)),
        )

    def _advance(self, t_s: float) -> None:
        if self._last is None:
            self._jittered = self._jitter * self._jitter_rng.standard_normal(2)
        elif t_s > self._last:
            dt = t_s - self._last
            self._walked = self._walked + self._walk * math.sqrt(dt) * self._walk_rng.standard_normal(2)
            keep = math.exp(-dt / self._jitter_time)
            fresh = self._jitter * math.sqrt(1 - keep * keep)
            self._jittered = keep * self._jittered + fresh * self._jitter_rng.standard_normal(2)
        self._last = t_s
        while self._step and self._steps_done < int(t_s / self._step_every):
            angle = self._step_rng.uniform(0, 2 * math.pi)
            self._stepped = self._stepped + self._step * np.array([math.cos(angle), math.sin(angle)])
            self._steps_done += 1
