"""A Micro-Manager camera, and the XY stage beside it, through the plain core of `pymmcore`.

Camera and stage live in one core, hence in one process: frames leave by `next_frame`, corrections come back by
`move`. The core is used without its Python callbacks: a stage that reports its moves would call into Python from
a thread of its own, between our frames and while the interpreter shuts down.
"""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rtreg.errors import ConfigError, DeviceError
from rtreg.records import Frame, Shift

if TYPE_CHECKING:
    from rtreg.simulate import Motion

__all__ = ["DEMO_PROPERTIES", "MicroManagerFeed"]

#: What the demo camera is set to when no configuration file is named: noise-free beads that follow the stage.
DEMO_PROPERTIES: Mapping[str, str] = {"PixelType": "16bit", "Mode": "Fluorescent Beads"}

_INSTALL = "pip install 'rtreg[micromanager]'"
_SUPPORTED_BYTES = (1, 2)
_BUSY_POLL_S = 0.0002

Setting = str | float | int | bool


class MicroManagerFeed:
    """Frames from a Micro-Manager camera, and moves of its XY stage.

    Every frame is one snap: the stage settles, the camera exposes, the frame is handed over. `next_frame` blocks
    for as long as that takes. Use it from one thread.

    Positions are µm, x first, **from home**: where the stage stood when the feed was opened. So a loop that has
    corrected nothing yet commands (0, 0) and a real stage stays where it is.

    Parameters
    ----------
    config : str, optional
        A Micro-Manager configuration file (``.cfg``). Without it, the demo devices: camera "DCam" and stage
        "DXYStage", one pixel a µm; content moves by **minus** the stage's move.
    adapters : str, optional
        The folder with the device adapters; the default is the one that pymmcore-plus finds (the environment
        variable MICROMANAGER_PATH, an installed Micro-Manager, the demo adapters of the extra).
    camera, stage : str, optional
        Device labels; the defaults are the configuration's own camera and XY stage. Without any stage the feed
        is a camera only.
    properties : mapping of str to value, optional
        Camera properties to set, by name. With the demo devices they come on top of `DEMO_PROPERTIES`.
    exposure_ms : float
        Exposure time, ms.
    roi : (x0, y0, nx, ny), optional
        Read out only this part of the sensor, px.
    settle_ms : float
        The longest wait for the stage to come to rest before an exposure, ms. After it the frame is taken all
        the same: a frame during a move is better than none.
    travel_um : float
        How far from home a command may take the stage along either axis, µm. A loop closed with the wrong sign
        ends here and not at the objective.
    truth : bool
        Put the true shift, px, into every frame: minus the stage's own read-out (the mean of before and after
        the exposure) at one pixel a µm. Only for the demo camera, whose truth that is.
    disturbance : Motion, optional
        Motion in µm added to the stage before every frame, ``stage = home + command + disturbance(t)``, so that
        a loop has something to correct.

    Raises
    ------
    DeviceError
        The extra, the adapters or a device is missing, or a device refuses a setting; the message says which.
    ConfigError
        A number is out of its range.
    """

    def __init__(
        self,
        *,
        config: str | None = None,
        adapters: str | None = None,
        camera: str | None = None,
        stage: str | None = None,
        properties: Mapping[str, Setting] | None = None,
        exposure_ms: float = 10.0,
        roi: tuple[int, int, int, int] | None = None,
        settle_ms: float = 200.0,
        travel_um: float = 100.0,
        truth: bool = False,
        disturbance: Motion | None = None,
    ) -> None:
        for name, value in (("exposure_ms", exposure_ms), ("travel_um", travel_um)):
            if not value > 0:
                raise ConfigError(f"{name} is {value}; it must be positive")
        if not settle_ms >= 0:
            raise ConfigError(f"settle_ms is {settle_ms}; it must be zero or positive")
        if roi is not None and not (min(roi[:2]) >= 0 and min(roi[2:]) > 0):
            raise ConfigError(f"roi is {list(roi)}; it must be [x0, y0, nx, ny] with nx, ny positive")
        demo = config is None
        self._core = core = _open_core(adapters)
        try:
            if config is None:
                _load_demo(core)
            else:
                _load_config(core, config)
            self._camera = _camera_label(core, camera)
            self._stage = _stage_label(core, stage)
            _set_properties(core, self._camera, {**(DEMO_PROPERTIES if demo else {}), **(properties or {})})
            with _device_errors(f"camera {self._camera!r}"):
                core.setExposure(exposure_ms)
                if roi is not None:
                    core.setROI(*roi)
            self._about = _frame_facts(core, self._camera)
            if truth and not (self._stage and core.getDeviceLibrary(self._camera) == "DemoCamera"):
                raise DeviceError("truth is known for Micro-Manager's demo camera and stage only; drop truth = true")
            if disturbance is not None and not self._stage:
                raise DeviceError("a disturbance needs an XY stage, and this configuration has none")
            # A command for a stage that still moves from before would take a passing place for home.
            self._settle_s = settle_ms * 1e-3
            self._settle()
            self._home = self._read_stage() if self._stage else (0.0, 0.0)
        except BaseException:
            _close_core(core)
            raise
        self._travel = travel_um
        self._truth = truth
        self._disturbance = disturbance
        # The mutable state: what was commanded, µm from home, and when the disturbance began, CLOCK_MONOTONIC ns.
        self._commanded = (0.0, 0.0)
        self._moved: tuple[int, int] | None = None  # UTC ns: when the last command was given, and the stage at rest
        self._moving = False
        self._began_ns: int | None = None

    def describe(self) -> str:
        """One line: the camera with its size and exposure, and the stage with its home."""
        core = self._core
        ny, nx = core.getImageHeight(), core.getImageWidth()
        line = (
            f"Micro-Manager camera {self._camera} ({core.getDeviceName(self._camera)}), {nx} x {ny} px, "
            f"{core.getImageBitDepth()} bit, {core.getExposure():g} ms"
        )
        if not self._stage:
            return line + "; no stage"
        x, y = self._home
        return f"{line}; stage {self._stage} ({core.getDeviceName(self._stage)}), home ({x:g}, {y:g}) um"

    def next_frame(self) -> Frame | None:
        """Settle, expose, read out. Blocks for the exposure; never ends by itself.

        Returns
        -------
        Frame
            `pixels` (ny, nx) uint8 or uint16, read-only; `t_ns` the middle of the snap, UTC ns, which is
            mid-exposure to within half of what the snap took beyond the exposure; `truth` on request.

        Raises
        ------
        DeviceError
            The camera or the stage reports an error.
        """
        core = self._core
        with _device_errors(f"camera {self._camera!r}"):
            if self._disturbance is not None:
                self._send_stage()
            at_rest, rest_ns = self._settle(), time.time_ns()
            before = self._read_stage() if self._truth else None
            start_ns = time.monotonic_ns()
            core.snapImage()
            end_ns = time.monotonic_ns()
            t_ns = time.time_ns() - (end_ns - start_ns) // 2
            self._note_rest(at_rest, rest_ns if at_rest else time.time_ns())
            shift = self._true_shift(before)
            pixels = core.getImage()
        pixels.flags.writeable = False
        return Frame(pixels=pixels, t_ns=t_ns, truth=shift, moved=self._moved, **self._about)

    def move(self, u: tuple[float, float], mode: str, unit: str) -> tuple[float, float]:
        """Command the stage and return at once; the next frame waits for it to settle.

        Parameters
        ----------
        u : (x, y)
            µm. In mode "absolute" the position from home, in mode "increment" what to add to the last command.
        mode : {"absolute", "increment"}
            What `u` means.
        unit : {"um"}
            The stage knows no other.

        Returns
        -------
        (x, y)
            The position commanded, µm from home, without the disturbance.

        Raises
        ------
        DeviceError
            No stage, another unit or mode, no numbers, or beyond `travel_um`; then the stage does not move.
        """
        if not self._stage:
            raise DeviceError("this Micro-Manager configuration has no XY stage; nothing to move")
        self._commanded = _checked_target(self._commanded, u, mode, unit, self._travel)
        self._moved, self._moving = (time.time_ns(),) * 2, True
        with _device_errors(f"stage {self._stage!r}"):
            self._send_stage()
        return self._commanded

    def stop(self) -> tuple[float, float]:
        """Stop the stage; returns where it came to rest, µm from home, (x, y); raises as `where`."""
        if self._stage:
            with _device_errors(f"stage {self._stage!r}"):
                self._core.stop(self._stage)
        self._commanded = self.where()
        return self._commanded

    def where(self) -> tuple[float, float]:
        """The stage's own read-out, µm from home, (x, y), the disturbance included.

        Raises
        ------
        DeviceError
            There is no stage, or it does not answer.
        """
        if not self._stage:
            raise DeviceError("this Micro-Manager configuration has no XY stage; nowhere to be")
        with _device_errors(f"stage {self._stage!r}"):
            x, y = self._read_stage()
        return x - self._home[0], y - self._home[1]

    def close(self) -> None:
        """Stop the stage and let go of all devices. Closing twice is fine."""
        _close_core(self._core)

    def _send_stage(self) -> None:
        """Set the stage to home + command + disturbance as it will be in the middle of the coming exposure."""
        x, y = (h + c for h, c in zip(self._home, self._commanded, strict=True))
        if self._disturbance is not None:
            now = time.monotonic_ns()
            self._began_ns = now if self._began_ns is None else self._began_ns
            dx, dy = self._disturbance.at((now - self._began_ns + self._about["exp_ns"] // 2) * 1e-9)
            x, y = x + dx, y + dy
        self._core.setXYPosition(self._stage, x, y)

    def _note_rest(self, at_rest: bool, now_ns: int) -> None:
        """The last move ended by `now_ns`, UTC, or goes on until then."""
        if self._moving and self._moved is not None:
            self._moved, self._moving = (self._moved[0], max(self._moved[0], now_ns)), not at_rest

    def _settle(self) -> bool:
        """Wait until the stage is at rest, for `settle_ms` at most; whether it is."""
        if not self._stage:
            return True
        # The core's own waitForDevice looks only every 10 ms, as long as a whole exposure.
        deadline = time.monotonic() + self._settle_s
        while self._core.deviceBusy(self._stage):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_BUSY_POLL_S)
        return True

    def _read_stage(self) -> tuple[float, float]:
        x, y = self._core.getXYPosition(self._stage)
        return float(x) + 0.0, float(y) + 0.0  # the demo stage starts at -0.0

    def _true_shift(self, before: tuple[float, float] | None) -> Shift | None:
        """Minus the mean of the stage's read-outs before and after the exposure: one pixel a µm."""
        if before is None:
            return None
        after = self._read_stage()
        return Shift(*(h - (b + a) / 2 for h, b, a in zip(self._home, before, after, strict=True)))


def _checked_target(
    last: tuple[float, float], u: tuple[float, float], mode: str, unit: str, travel: float
) -> tuple[float, float]:
    """The new command, µm from home, or a DeviceError that says why there is none."""
    if unit != "um":
        raise DeviceError(f'the stage takes um, not {unit!r}; set [controller] unit = "um"')
    if mode == "absolute":
        target = (float(u[0]), float(u[1]))
    elif mode == "increment":
        target = (last[0] + u[0], last[1] + u[1])
    else:
        raise DeviceError(f'mode is {mode!r}; it must be "absolute" or "increment"')
    if not all(math.isfinite(value) for value in target):
        raise DeviceError(f"{u} is no position")
    if max(map(abs, target)) > travel:
        x, y = target
        raise DeviceError(
            f"({x:.2f}, {y:.2f}) um is beyond travel_um = {travel:g} from home; "
            "check the sign of [controller] matrix, or allow more travel"
        )
    return target


@contextmanager
def _device_errors(what: str) -> Iterator[None]:
    """Micro-Manager's errors (RuntimeError, OSError, ...) as a DeviceError that names the device."""
    try:
        yield
    except (RuntimeError, OSError, ValueError, TypeError) as error:
        raise DeviceError(f"{what}: {error}") from error


def _open_core(adapters: str | None) -> Any:
    """A core that knows where the device adapters are; imports pymmcore only now."""
    try:
        pymmcore = importlib.import_module("pymmcore")
        discovery = importlib.import_module("pymmcore_plus")
    except ImportError as error:
        raise DeviceError(f"Micro-Manager needs {error.name}, which is not installed: {_INSTALL}") from error
    folder = adapters or discovery.find_micromanager()
    if not folder:
        raise DeviceError(
            f"no Micro-Manager device adapters found; {_INSTALL} brings the demo devices, `mmcore install` the "
            "others, or set [camera] adapters to the folder of an installed Micro-Manager"
        )
    core = pymmcore.CMMCore()
    core.setDeviceAdapterSearchPaths([folder])
    return core


def _load_demo(core: Any) -> None:
    with _device_errors(f"the demo devices do not load; {_INSTALL} brings them, for other adapters set config"):
        core.loadDevice("Camera", "DemoCamera", "DCam")
        # The demo camera follows a stage of this label.
        core.loadDevice("XY", "DemoCamera", "DXYStage")
        core.initializeAllDevices()
        core.setCameraDevice("Camera")
        core.setXYStageDevice("XY")


def _load_config(core: Any, config: str) -> None:
    with _device_errors(f"Micro-Manager configuration {config!r} does not load"):
        core.loadSystemConfiguration(config)


def _camera_label(core: Any, label: str | None) -> str:
    """The camera's label, and the core set to it."""
    if label is not None:
        with _device_errors(f"no camera {label!r} among {', '.join(core.getLoadedDevices())}"):
            core.setCameraDevice(label)
    if not core.getCameraDevice():
        raise DeviceError("the Micro-Manager configuration names no camera; set [camera] camera to its label")
    return str(core.getCameraDevice())


def _stage_label(core: Any, label: str | None) -> str:
    """The XY stage's label, and the core set to it; empty when there is none."""
    if label is not None:
        with _device_errors(f"no XY stage {label!r} among {', '.join(core.getLoadedDevices())}"):
            core.setXYStageDevice(label)
    return str(core.getXYStageDevice())


def _set_properties(core: Any, device: str, properties: Mapping[str, Setting]) -> None:
    known = core.getDevicePropertyNames(device)
    for name, value in properties.items():
        if name not in known:
            raise DeviceError(f"camera {device!r} has no property {name!r}; it has {', '.join(known)}")
        text = str(int(value)) if isinstance(value, bool) else str(value)
        allowed = core.getAllowedPropertyValues(device, name)
        hint = f" (one of {', '.join(allowed)})" if allowed else ""
        with _device_errors(f"camera {device!r}, property {name!r}{hint}"):
            core.setProperty(device, name, text)


def _frame_facts(core: Any, camera: str) -> dict[str, Any]:
    """What every frame says about its camera: fixed once the camera is set up."""
    size, components = core.getBytesPerPixel(), core.getNumberOfComponents()
    if size not in _SUPPORTED_BYTES or components != 1:
        raise DeviceError(
            f"camera {camera!r} gives {components} component(s) of {size} bytes a pixel; "
            "set its PixelType to 8bit or 16bit, without colour"
        )
    x0, y0, _, _ = core.getROI()
    facts: dict[str, Any] = {
        "exp_ns": round(core.getExposure() * 1e6),
        "roi": (int(x0), int(y0)),
        "saturation": float(2 ** core.getImageBitDepth() - 1),
    }
    if core.hasProperty(camera, "Binning"):
        with suppress(ValueError):
            binning = int(core.getProperty(camera, "Binning"))
            facts["bin"] = (binning, binning)
    return facts


def _close_core(core: Any) -> None:
    with suppress(RuntimeError):
        if core.getXYStageDevice():
            core.stop(core.getXYStageDevice())
    core.unloadAllDevices()
