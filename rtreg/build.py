"""Configuration into objects. The one module that knows every class; each is imported when it is needed."""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError
from rtreg.io.actuators import Actuator
from rtreg.io.address import check_bindable, resolve, shared
from rtreg.io.config import REQUIRED, Config, Endpoints, Key, keys
from rtreg.io.feeds import Feed
from rtreg.io.options import CameraOptions, RecorderOptions, TrackerOptions
from rtreg.io.realtime import host_id
from rtreg.io.security import Guard, Security

if TYPE_CHECKING:
    from rtreg.estimators.regions import RegionPolicy
    from rtreg.live.controller import Controller
    from rtreg.live.engine import Engine
    from rtreg.noise import NoiseModel

__all__ = [
    "actuator",
    "camera_options",
    "check",
    "controller",
    "engine",
    "expected",
    "feed",
    "guard",
    "image_files",
    "noise",
    "reference_page",
    "tracker_options",
    "tunable",
]

Target = tuple[Callable[..., Any], tuple[str, ...]]  # a constructor, and what is given to it by us

PROBE_SHAPE = (32, 32)
_ESTIMATOR_GIVEN = ("reference", "noise", "reference_frames", "calibrated")
_ACTUATOR_GIVEN = ("host",)
_ENGINE_GIVEN = ("make_registrar", "reference", "gate", "controller", "noise", "regions", "stream")


def guard(config: Config) -> Guard:
    """What the sockets of this configuration ask of their peers, of ``[security]`` and ``[endpoints]``."""
    security = config.make("security", Security)
    with config.naming("security"):
        return security.guard(public=config.endpoints.allow_public)


# The tracker


def tracker_options(config: Config) -> TrackerOptions:
    """The process options of ``[tracker]``."""
    return _tracker(config)[0]


def _tracker(config: Config) -> tuple[TrackerOptions, dict[str, Any]]:
    """``[tracker]`` has the process's options and the engine's own."""
    from rtreg.live.engine import Engine

    options, engine_options = config.split("tracker", (TrackerOptions, ()), (Engine, _ENGINE_GIVEN))
    with config.naming("tracker"):
        return TrackerOptions(**options), engine_options


def noise(config: Config) -> NoiseModel | None:
    """The noise model of ``[noise]``; None without that table: then the frames' own constants are used."""
    from rtreg.noise import NoiseModel

    if "noise" not in config.tables:
        return None
    (arguments,) = config.split("noise", (NoiseModel, ()))
    with config.naming("noise"):
        return NoiseModel(**_loaded(arguments))


def engine(config: Config) -> Engine:
    """The engine with all its parts. Raises `ConfigError` or, for an image that cannot be read, `FrameError`."""
    from rtreg.estimators.registrar import Registrar
    from rtreg.live.engine import Engine
    from rtreg.live.policy import ReferencePolicy
    from rtreg.live.quality import QualityGate

    (estimator,) = config.split("estimator", (Registrar, _ESTIMATOR_GIVEN))
    (reference,) = config.split("reference", (ReferencePolicy, ()))
    estimator, reference = _loaded(estimator), _loaded(reference)
    model, regions = noise(config), _regions(config, estimator)
    shape = _common_shape(config, estimator, reference, model)
    with config.naming("estimator"):
        make_registrar: Callable[..., Registrar] = functools.partial(Registrar, **estimator)
        make_registrar(_probe(shape))  # the options are only checked when a registrar is made; better now than live
    with config.naming("reference"):
        policy = ReferencePolicy(**reference)
    gate, moves = config.make("gate", QualityGate), controller(config)
    _, options = _tracker(config)
    with config.naming("tracker"):
        return Engine(
            make_registrar,
            reference=policy,
            gate=gate,
            controller=moves,
            noise=model,
            regions=regions,
            stream=config.stream,
            **options,
        )


def _regions(config: Config, estimator: Mapping[str, Any]) -> RegionPolicy:
    """The regions of ``[regions]``, none by default."""
    from rtreg.estimators.regions import RegionPolicy

    regions = config.make("regions", RegionPolicy)
    frames = expected(config)
    with config.naming("regions"):
        if frames is not None:
            regions.check_shape(frames[0])
        if regions.boxes and "mask" in estimator:
            raise ConfigError("boxes cut no mask of [estimator]; give it as the mask of [noise]")
    return regions


def controller(config: Config) -> Controller:
    """What makes commands of shifts, of ``[controller]``."""
    from rtreg.live.controller import Controller

    return config.make("controller", Controller)


def tunable() -> dict[str, dict[str, Any]]:
    """Table to the keys that can be changed while the loop runs, with their defaults."""
    from rtreg.live.controller import Controller
    from rtreg.live.quality import QualityGate

    parts: dict[str, Any] = {"controller": Controller, "gate": QualityGate}
    return {table: {key: keys(part)[key].default for key in part.TUNABLE} for table, part in parts.items()}


def _common_shape(
    config: Config, estimator: Mapping[str, Any], reference: Mapping[str, Any], model: NoiseModel | None
) -> tuple[int, int]:
    """The shape (ny, nx) of the frames to come, else of the configuration's images; `ConfigError` if one differs."""
    found: list[tuple[str, str, Any]] = [
        ("noise", name, getattr(model, name, None)) for name in ("dark", "flat", "mask")
    ]
    found += [("estimator", "mask", estimator.get("mask")), ("reference", "image", reference.get("image"))]
    images = [(table, name, np.shape(image)) for table, name, image in found if np.ndim(image) == 2]
    frames = expected(config)
    if frames is not None:
        shape, whose = frames[0], "the frames will be"
    elif images:
        shape, whose = images[0][2], f"[{images[0][0]}] {images[0][1]} is"
    else:
        return PROBE_SHAPE
    for table, name, size in images:
        if size != shape:
            with config.naming(table):
                raise ConfigError(f"{name} is {size} but {whose} {shape}, (ny, nx); crop it to the frames' region")
    return shape


def expected(config: Config) -> tuple[tuple[int, int], np.dtype[Any]] | None:
    """Shape and dtype of the frames to come, if the configuration tells: to be warm before the first one."""
    from rtreg.simulate import Detector, Scene

    options = tracker_options(config)
    if options.expect_shape is not None:
        return options.expect_shape, np.dtype(options.expect_dtype)
    if has_camera(config) and camera_options(config).source == "simulated":
        (scene,) = config.split("scene", (Scene, ()))
        detector = config.make("detector", Detector)
        return scene.get("shape", keys(Scene)["shape"].default), detector.dtype
    return None


# The camera


def has_camera(config: Config) -> bool:
    """Whether the configuration describes a camera; if not, that of another one feeds this tracker."""
    return not config.tables.keys().isdisjoint(("camera", "scene", "detector"))


def camera_options(config: Config) -> CameraOptions:
    """The process options of ``[camera]``."""
    return _camera(config)[0]


def _camera(config: Config) -> tuple[CameraOptions, dict[str, Any]]:
    """``[camera]`` has the process's options and those of its source."""
    source = config.tables.get("camera", {}).get("source", CameraOptions.source)
    with config.naming("camera"):  # one that is unknown, or no text at all, is refused just below
        feed_target = _sources().get(str(source), _sources()["simulated"])
    options, source_options = config.split("camera", (CameraOptions, ()), feed_target)
    with config.naming("camera"):
        return CameraOptions(**options), source_options


def _sources() -> dict[str, Target]:
    from rtreg.io.feeds.files import FileFeed
    from rtreg.io.feeds.micromanager import MicroManagerFeed
    from rtreg.simulate import SimulatedCamera

    return {
        "simulated": (SimulatedCamera, ("scene", "motion", "detector")),
        "file": (FileFeed, ()),
        "micromanager": (MicroManagerFeed, ("disturbance",)),
    }


def feed(config: Config) -> Feed:
    """The camera of the configuration, opened."""
    from rtreg.io.feeds.simulated import SimulatedFeed
    from rtreg.simulate import Motion

    options, arguments = _camera(config)
    make, _ = _sources()[options.source]
    if options.source == "micromanager" and "motion" in config.tables:
        arguments["disturbance"] = config.make("motion", Motion)
    if options.source == "simulated":
        arguments |= _simulation(config)
    with config.naming("camera"):
        made = make(**arguments)
    return SimulatedFeed(made) if options.source == "simulated" else made


def _simulation(config: Config) -> dict[str, Any]:
    from rtreg.simulate import Detector, Motion, Scene

    return {
        "scene": config.make("scene", Scene),
        "motion": config.make("motion", Motion),
        "detector": config.make("detector", Detector),
    }


# The actuator


def actuator(config: Config) -> Actuator:
    """What decides about moves, of ``[actuator]``."""
    return config.make("actuator", Actuator, host=host_id())


# Images


def _loaded(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments` with each path replaced by its image; a mask is True where the image is not 0."""
    from rtreg.io.images import load_image

    images = {key: load_image(value) for key, value in arguments.items() if isinstance(value, Path)}
    if "mask" in images:
        images["mask"] = images["mask"] != 0
    return {**arguments, **images}


def image_files(config: Config) -> dict[str, Path]:
    """The image files that the configuration names for the tracker, by ``table.key``."""
    from rtreg.estimators.registrar import Registrar
    from rtreg.live.policy import ReferencePolicy
    from rtreg.noise import NoiseModel

    targets: dict[str, Target] = {
        "noise": (NoiseModel, ()),
        "estimator": (Registrar, _ESTIMATOR_GIVEN),
        "reference": (ReferencePolicy, ()),
    }
    found: dict[str, Path] = {}
    for table, target in targets.items():
        (arguments,) = config.split(table, target)
        found |= {f"{table}.{key}": value for key, value in arguments.items() if isinstance(value, Path)}
    return found


# Checking and describing


def check(config: Config) -> list[str]:
    """Check every table by making what it describes, without a socket or a device; lines that say what it means.

    Raises
    ------
    ConfigError
        The first thing that is wrong.
    """
    for table, targets in schema(config).items():
        config.split(table, *targets)
    _check_endpoints(config)
    ends, options = config.endpoints, tracker_options(config)
    pace = f"{camera_options(config).rate_hz:g} Hz" if camera_options(config).rate_hz else "as they come"
    lines = [f"stream {config.stream}, config {config.digest}", f"camera: {_describe_feed(config)}, {pace}"]
    made = engine(config)
    lines.append(f"engine: {made!r}")
    geometry = expected(config)
    warm = "the first frame" if geometry is None else f"{geometry[0][1]}x{geometry[0][0]} {geometry[1]}"
    lines.append(f"tracker: warm for {warm}, corrections valid {options.valid_for_ms:g} ms")
    lines.append(f"actuator: {actuator(config)!r}")
    lines.extend(f"{name}: {getattr(ends, name)}" for name in ("frames", "corrections", "control", "status", "device"))
    return lines


def _describe_feed(config: Config) -> str:
    options, arguments = _camera(config)
    if options.source == "micromanager":
        from rtreg.simulate import Motion

        config.make("motion", Motion)
        return f"Micro-Manager, {arguments.get('config') or 'the demo devices'}"
    source = feed(config)
    try:
        return source.describe()
    finally:
        source.close()


def _check_endpoints(config: Config) -> None:
    """Every endpoint is one, and what is bound here may be; frames are, only if the configuration has the camera."""
    ends = config.endpoints
    is_encrypted = guard(config).credentials is not None
    for name in ("frames", "corrections", "control", "status", "device"):
        with config.naming("endpoints", name):
            endpoint = getattr(ends, name)
            if name != "frames" and shared(endpoint) is not None:
                raise ConfigError(f"{endpoint}: only frames travel in shared memory; use ipc:// or tcp://")
            address = resolve(endpoint)
            if name != "frames" or has_camera(config):
                is_open = ends.allow_public and name not in ("control", "device")
                check_bindable(address, allow_public=is_encrypted or is_open)


def _probe(shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """An image (ny, nx) that any registrar takes: no two pixels of it are alike, so that it may be masked anywhere."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    blob = 1000 * np.exp(-((x - shape[1] // 2) ** 2 + (y - shape[0] // 2) ** 2) / 18)
    return np.asarray(blob + x + y, np.float32)


def schema(config: Config | None = None) -> dict[str, tuple[Target, ...]]:
    """Every table with the constructors it is for; of the camera's sources that of `config`, or all."""
    from rtreg.estimators.regions import RegionPolicy
    from rtreg.estimators.registrar import Registrar
    from rtreg.live.controller import Controller
    from rtreg.live.engine import Engine
    from rtreg.live.policy import ReferencePolicy
    from rtreg.live.quality import QualityGate
    from rtreg.noise import NoiseModel
    from rtreg.simulate import Detector, Motion, Scene

    sources = _sources()
    chosen = sources.values() if config is None else [sources[camera_options(config).source]]
    return {
        "endpoints": ((Endpoints, ()),),
        "security": ((Security, ()),),
        "camera": ((CameraOptions, ()), *chosen),
        "scene": ((Scene, ()),),
        "motion": ((Motion, ()),),
        "detector": ((Detector, ()),),
        "noise": ((NoiseModel, ()),),
        "estimator": ((Registrar, _ESTIMATOR_GIVEN),),
        "regions": ((RegionPolicy, ()),),
        "reference": ((ReferencePolicy, ()),),
        "gate": ((QualityGate, ()),),
        "controller": ((Controller, ()),),
        "tracker": ((TrackerOptions, ()), (Engine, _ENGINE_GIVEN)),
        "actuator": ((Actuator, _ACTUATOR_GIVEN),),
        "recorder": ((RecorderOptions, ()),),
    }


_HEAD = """\
# Configuration

<!-- Made from the constructors by `python -m rtreg.build > docs/configuration.md`; a test keeps it current. -->

A configuration is a TOML file. Commands take its path, or the name of a shipped one; `--set table.key=value` changes
a key for one run. One table is one constructor call: keys, types, defaults and texts below are the constructors' own.
An unknown table or key is an error. Paths are relative to the folder that the command runs in. Pairs are x first,
except shapes, which are `[ny, nx]`.

At the top of the file, before any table: `stream = "cam"`, the stream's name (1 to 40 letters, digits, `-`, `_`).
"""


def reference_page() -> str:
    """The reference page of all tables and keys, Markdown."""
    parts = [_HEAD]
    for table, targets in schema().items():
        parts.append(f"\n## [{table}]\n")
        for target, given in targets:
            parts.append(f"\n{_title(table, target)}\n\n| key | type | default | meaning |\n|---|---|---|---|\n")
            parts.extend(_rows(target, given))
    return "".join(parts)


def _title(table: str, target: Callable[..., Any]) -> str:
    first = (inspect.getdoc(target) or "").split("\n\n")[0].replace("\n", " ")
    names = {found: name for name, (found, _) in _sources().items()}
    return f'With `source = "{names[target]}"`: {first}' if table == "camera" and target in names else first


def _rows(target: Callable[..., Any], given: tuple[str, ...]) -> Iterator[str]:
    about = parameters(inspect.getdoc(target) or "")
    for name, key in keys(target, given).items():
        text = about.get(name, "").replace("|", "\\|")
        yield f"| `{name}` | {_type(key.type)} | {_default(key)} | {text} |\n"


class _Entry(NamedTuple):
    names: list[str]
    lines: list[str]


def parameters(docstring: str) -> dict[str, str]:
    """The descriptions in the "Parameters" section of a numpydoc docstring, by parameter name."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}$|\Z)", docstring, re.DOTALL | re.MULTILINE)
    entries: list[_Entry] = []
    for line in section.group(1).splitlines() if section else []:
        if line and not line.startswith(" "):
            entries.append(_Entry([name.strip() for name in line.split(" : ")[0].split(",")], []))
        elif line.strip():
            entries[-1].lines.append(line.strip())
    return {name: " ".join(entry.lines) for entry in entries for name in entry.names}


def _type(hint: Any) -> str:
    """A type as one would say it of a TOML value."""
    origin, members = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(f'`"{member}"`' for member in members)
    if origin is np.ndarray or hint is np.ndarray:
        return "path of an image"
    if hasattr(hint, "_fields"):  # a named tuple
        return f"[{', '.join(hint._fields)}]"
    if origin is tuple:
        return f"list of {_type(members[0])}" if members[-1] is ... else f"[{', '.join(map(_type, members))}]"
    if members and isinstance(origin, type) and issubclass(origin, Mapping):
        return "table"
    if members:  # a union
        return " or ".join(_type(member) for member in members if member is not type(None))
    return {float: "number", int: "integer", str: "text", bool: "true or false"}.get(hint, str(hint))


def _default(key: Key) -> str:
    if key.default is REQUIRED:
        return "required"
    if key.default is None:
        return "none"
    if isinstance(key.default, bool):
        return f"`{str(key.default).lower()}`"
    if isinstance(key.default, str):
        return f'`"{key.default}"`'
    return f"`{str(key.default).replace('(', '[').replace(')', ']').replace(',]', ']')}`"


if __name__ == "__main__":
    print(reference_page(), end="")
