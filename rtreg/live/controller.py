"""From a shift to a command: a leaky integrator with everything a moving mirror or stage asks for."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from rtreg.errors import ConfigError
from rtreg.live.runaway import Runaway
from rtreg.records import Command, Shift

Matrix = tuple[tuple[float, float], tuple[float, float]]
Mode = Literal["absolute", "increment"]


class Controller:
    """Leaky integrator: ``u <- (1 - leak) u - gain M (shift - set point)``, limited.

    Parameters
    ----------
    gain : float
        Part of the measured error that one frame's command takes away, 0 to 1. With one frame of delay a loop
        oscillates above 1 and rings above ~0.6.
    leak : float
        Part of the accumulated position that is forgotten each frame, 0 to 1; keeps an unseen offset from building
        up. Only in mode "absolute".
    limit : float, optional
        Largest |u| on either axis, in `unit`; the integrator stops there (no wind-up). Mode "absolute".
    max_step : float, optional
        Largest change of u in one frame on either axis, in `unit`.
    dead_band : float
        Errors shorter than this are left alone, px.
    matrix : 2x2
        Image to actuator: what to move, in `unit`, for an image error of 1 px along x (first column) and y (second).
    mode : {"absolute", "increment"}
        "absolute": the command is the accumulated position, and a hold repeats it. "increment": the command is the
        move to make now, and a hold is 0.
    unit : str
        Unit of the command: "px", "um", "ms", "V", ...
    pixel_scale : float, optional
        Size of a pixel for people to read, in `pixel_unit`.
    pixel_unit : str
        "arcsec", "um", ...
    closed : bool
        Whether the loop is closed from the start; an open one measures, and repeats its last command.
    runaway : bool
        Open the loop, and say why, when the residual grows because of the commands: a matrix of the wrong sign, or a
        device that moves much farther than it says. `rtreg calibrate` measures the matrix.

    Notes
    -----
    The mutable state is the accumulated position, the set point, what has been asked of the image, `closed`, the last
    steps, which `runaway` is told from, and `opened`: why the loop has opened itself, empty unless it has. Sans-IO; one
    thread. Until the first step of a closed loop there is no position, and an absolute command is NaN: it moves
    nothing.
    """

    TUNABLE = ("gain", "leak", "limit", "max_step", "dead_band")

    def __init__(
        self,
        *,
        gain: float = 0.4,
        leak: float = 0.0,
        limit: float | None = None,
        max_step: float | None = None,
        dead_band: float = 0.0,
        matrix: Matrix = ((1.0, 0.0), (0.0, 1.0)),
        mode: Mode = "absolute",
        unit: str = "px",
        pixel_scale: float | None = None,
        pixel_unit: str = "px",
        closed: bool = True,
        runaway: bool = True,
    ) -> None:
        (a, b), (c, d) = matrix
        determinant = a * d - b * c
        if not all(map(math.isfinite, (a, b, c, d))) or determinant == 0.0:
            raise ConfigError(f"matrix = {matrix}: image to actuator, must be finite and have an inverse")
        if mode not in get_args(Mode):
            raise ConfigError(f"mode = {mode!r}: one of {', '.join(get_args(Mode))}")
        if pixel_scale is not None and not (math.isfinite(pixel_scale) and pixel_scale > 0):
            raise ConfigError(f"pixel_scale = {pixel_scale}: {pixel_unit} a pixel, must be positive")
        self.matrix, self.mode, self.unit = matrix, mode, unit
        self.pixel_scale, self.pixel_unit = pixel_scale, pixel_unit
        self._image = (d / determinant, -b / determinant), (-c / determinant, a / determinant)  # of a move, px
        self.closed, self.opened = closed, ""
        self._watches = runaway
        self._watch: Runaway | None = None
        self.set_point = Shift(0.0, 0.0)
        self._asked = Shift(0.0, 0.0)  # how far the commands should move the image, px, since that was last asked
        self._position = (math.nan, math.nan)  # until the first step: nothing is known of where the device is
        self.retune(gain=gain, leak=leak, limit=limit, max_step=max_step, dead_band=dead_band)

    def __repr__(self) -> str:
        loop = "closed" if self.closed else "open"
        u0, u1 = self._position
        return f"<Controller {loop}, gain {self.gain:g}, at ({u0:.4g}, {u1:.4g}) {self.unit}>"

    def retune(self, **values: float | None) -> None:
        """Change tunable numbers while the loop runs; all or none. Raises `ConfigError` naming a bad one."""
        for name, value in values.items():
            if name not in self.TUNABLE:
                raise ConfigError(f"cannot retune {name!r}; what can be: {', '.join(self.TUNABLE)}")
            _check(name, value)
        for name, value in values.items():
            setattr(self, name, value)
        self._watch_anew()

    gain: float
    leak: float
    limit: float | None
    max_step: float | None
    dead_band: float

    def step(self, shift: Shift) -> Command:
        """The command that answers a good measurement, px; when the loop is open, `hold`."""
        if not self.closed:
            return self.hold()
        ex, ey = shift.dx - self.set_point.dx, shift.dy - self.set_point.dy
        residual = complex(ex, ey)
        if math.hypot(ex, ey) < self.dead_band:
            ex = ey = 0.0
        (a, b), (c, d) = self.matrix
        move = (self._bounded(-self.gain * (a * ex + b * ey)), self._bounded(-self.gain * (c * ex + d * ey)))
        if self.mode == "increment":
            return self._checked(residual, move, move)
        keep = 1.0 - self.leak
        u0, u1 = (0.0 if math.isnan(u) else u for u in self._position)
        position = (self._inside(keep * u0 + move[0]), self._inside(keep * u1 + move[1]))
        return self._checked(residual, (position[0] - u0, position[1] - u1), position)

    def _checked(self, residual: complex, move: tuple[float, float], u: tuple[float, float]) -> Command:
        """The command `u`, which makes `move`; or the hold of a loop that has just opened itself."""
        (a, b), (c, d) = self._image
        expected = complex(a * move[0] + b * move[1], c * move[0] + d * move[1])
        if self._watch is not None and (why := self._watch.tell(residual, expected)):
            self.loop(closed=False)
            self.opened = f"{why}; run `rtreg calibrate`, then close the loop again"
            return self.hold()
        self._asked = Shift(self._asked.dx + expected.real, self._asked.dy + expected.imag)
        if self.mode == "absolute":
            self._position = u
        return Command(u=u, unit=self.unit, mode=self.mode)

    def loop(self, *, closed: bool) -> None:
        """Close or open the loop."""
        self.closed, self.opened = closed, ""
        self._watch_anew()

    def aim(self, set_point: Shift) -> None:
        """Hold the image at `set_point`, px off the reference, from now on."""
        self.set_point = set_point
        self._watch_anew()

    def _watch_anew(self) -> None:
        self._watch = Runaway(self.gain) if self._watches else None

    def start_from(self, position: tuple[float, float]) -> None:
        """Where the device is, in `unit`: what the first step of the integrator starts from."""
        self._position = (float(position[0]), float(position[1]))
        self._watch_anew()

    def hold(self) -> Command:
        """The command that changes nothing: the last position (NaN before there is one), or no move."""
        u = (0.0, 0.0) if self.mode == "increment" else self._position
        return Command(u=u, unit=self.unit, mode=self.mode)

    def snapshot(self) -> dict[str, Any]:
        """Where the loop is; its numbers are the constructor's, or retuned since."""
        return {
            "closed": self.closed,
            "opened": self.opened,
            "set_point": self.set_point,
            "position": self._position,
            "asked": self._asked,
            "steps": self._watch.snapshot() if self._watch else [],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where the controller that gave `snapshot` was."""
        (dx, dy), (u0, u1) = state["set_point"], state["position"]
        self.loop(closed=bool(state["closed"]))
        self.opened, self.set_point = str(state["opened"]), Shift(float(dx), float(dy))
        self._position = (float(u0), float(u1))
        self._asked = Shift(*map(float, state["asked"]))
        if self._watch is not None:
            self._watch.restore(state["steps"])

    def take_asked(self) -> Shift:
        """How far the commands since the last call should move the image, px."""
        asked, self._asked = self._asked, Shift(0.0, 0.0)
        return asked

    def _bounded(self, move: float) -> float:
        return move if self.max_step is None else min(self.max_step, max(-self.max_step, move))

    def _inside(self, position: float) -> float:
        return position if self.limit is None else min(self.limit, max(-self.limit, position))

    def status(self) -> dict[str, Any]:
        """Plain numbers for the status message."""
        tuned = {name: getattr(self, name) for name in self.TUNABLE}
        return {
            "loop": "closed" if self.closed else "open",
            "opened": self.opened,
            "position": list(self._position),
            "unit": self.unit,
            "mode": self.mode,
            "set_point": list(self.set_point),
            "pixel_scale": self.pixel_scale,
            "pixel_unit": self.pixel_unit,
            **tuned,
        }


def _check(name: str, value: float | None) -> None:
    if name in ("limit", "max_step"):
        if value is not None and not value > 0.0:
            raise ConfigError(f"{name} = {value}: must be positive, or left out for none")
    elif value is None or not math.isfinite(value):
        raise ConfigError(f"{name} = {value}: must be a number")
    elif name == "gain" and not 0.0 < value <= 1.0:
        raise ConfigError(f"gain = {value}: above 0 and at most 1; above 1 a loop with one frame of delay oscillates")
    elif name == "leak" and not 0.0 <= value < 1.0:
        raise ConfigError(f"leak = {value}: 0 (forget nothing) to below 1")
    elif name == "dead_band" and value < 0.0:
        raise ConfigError(f"dead_band = {value}: px, 0 or more")
