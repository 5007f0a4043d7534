"""Configuration: TOML in, constructor arguments out. One table is one constructor call.

A constructor's signature is the schema: its parameters are the keys, its annotations the types, its defaults the
defaults. An array parameter is written as the path of an image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import hashlib
import inspect
import json
import sys
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import numpy as np

from rtreg.errors import ConfigError
from rtreg.io.wire import stream_name

__all__ = ["REQUIRED", "TABLES", "Config", "Endpoints", "Key", "keys", "load", "parse", "shipped", "to_toml"]

TABLES: Final = (
    "endpoints",
    "security",
    "camera",
    "scene",
    "motion",
    "detector",
    "noise",
    "estimator",
    "regions",
    "reference",
    "gate",
    "controller",
    "tracker",
    "actuator",
    "recorder",
)

REQUIRED: Final = inspect.Parameter.empty

T = TypeVar("T")
Target = Callable[..., Any]


@dataclass(frozen=True)
class Endpoints:
    """Where the processes meet: ``tcp://host:port``, or ``ipc://name`` for a socket in the user's runtime folder.

    Parameters
    ----------
    frames : str
        The camera publishes frames here. On one host ``shm://name`` has them in shared memory, which pays from
        512 x 512 pixels up.
    corrections : str
        The tracker publishes corrections, orders and ticks here.
    control : str
        The tracker takes orders here; without CURVE on this host only.
    status : str
        The tracker publishes its status here.
    device : str
        The camera process takes moves here; without CURVE on this host only.
    allow_public : bool
        Let frames, corrections and status be bound where other hosts can reach them even without CURVE, unencrypted
        and to anyone.
    """

    frames: str = "tcp://127.0.0.1:5600"
    corrections: str = "tcp://127.0.0.1:5601"
    control: str = "tcp://127.0.0.1:5602"
    status: str = "tcp://127.0.0.1:5603"
    device: str = "tcp://127.0.0.1:5604"
    allow_public: bool = False


@dataclass(frozen=True)
class Config:
    """A configuration as read: where from, the stream's name, the raw tables, and what of them was overridden.

    What a table means is only known where its constructor is, so that a typing mistake is found when it is made.
    """

    source: str
    tables: Mapping[str, Mapping[str, Any]]
    stream: str = "cam"
    overrides: tuple[str, ...] = ()

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints of this configuration."""
        return self.make("endpoints", Endpoints)

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with any key."""
        text = json.dumps([self.stream, self.tables], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def make(self, table: str, target: Callable[..., T], **given: Any) -> T:
        """Call `target` with the keys of `table` and what is `given`; a table may not set what is given.

        Raises
        ------
        ConfigError
            An unknown key, a wrong type, or a value that the constructor refuses; names file, table and key.
        """
        (arguments,) = self.split(table, (target, given))
        with self.naming(table):
            return target(**arguments, **given)

    @contextlib.contextmanager
    def naming(self, table: str, key: str = "") -> Iterator[None]:
        """Let a `ConfigError` that passes through say which file, table and key it is about."""
        try:
            yield
        except ConfigError as error:
            raise ConfigError(f"{self.source}: [{table}] {key and f'{key}: '}{error}") from error

    def split(self, table: str, *targets: tuple[Target, Iterable[str]]) -> list[dict[str, Any]]:
        """The keys of `table` as arguments for each of several targets; every key must belong to one of them.

        Parameters
        ----------
        table : str
            Its name.
        targets : (callable, iterable of str)
            Each with the names of the parameters that the caller gives, and the table may not. A parameter without
            a default must be in the table.

        Returns
        -------
        list of dict
            Arrays come back as `Path`, for the caller to read.
        """
        schemas = [keys(target, given) for target, given in targets]
        values = self.tables.get(table, {})
        valid = [name for schema in schemas for name in schema]
        for written in values:
            if written not in valid:
                raise ConfigError(f"{self.source}: [{table}] has no key {written!r}{_suggest(written, valid)}")
        for schema in schemas:
            for name, key in schema.items():
                if key.default is REQUIRED and name not in values:
                    raise ConfigError(f"{self.source}: [{table}] needs the key {name!r}")
        return [
            {name: self._convert(table, name, values[name], key.type) for name, key in schema.items() if name in values}
            for schema in schemas
        ]

    def _convert(self, table: str, key: str, value: Any, hint: Any) -> Any:
        is_array = _mentions_array(hint)
        try:
            converted = msgspec.convert(value, _without_arrays(hint) if is_array else hint)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{self.source}: [{table}] {key} = {value!r}: {_expected(hint) or error}") from None
        return Path(converted) if is_array and isinstance(converted, str) else converted


class Key(NamedTuple):
    """What a key may be: its type, and the default, `REQUIRED` where there is none."""

    type: Any
    default: Any


def keys(target: Target, given: Iterable[str] = ()) -> dict[str, Key]:
    """The keys a table for `target` may have: its parameters, less those that the caller gives."""
    scope = vars(sys.modules[target.__module__])
    return {
        name: Key(_resolve(parameter.annotation, scope), parameter.default)
        for name, parameter in inspect.signature(target).parameters.items()
        if name not in given and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


def _expected(hint: Any) -> str:
    """The choices of a `Literal`, which msgspec's own message does not tell."""
    if typing.get_origin(hint) is not typing.Literal:
        return ""
    return f"must be one of {', '.join(map(repr, typing.get_args(hint)))}"


def _resolve(annotation: Any, scope: dict[str, Any]) -> Any:
    """A parameter's type; `object` where it is known to type checkers only (such a one is always given)."""
    if not isinstance(annotation, str):
        return annotation
    holder = types.SimpleNamespace(__annotations__={"key": annotation})
    try:
        return typing.get_type_hints(holder, scope)["key"]
    except NameError:
        return object


def _mentions_array(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    return origin is np.ndarray or hint is np.ndarray or any(map(_mentions_array, _members(hint)))


def _without_arrays(hint: Any) -> Any:
    """`hint` with each array replaced by `str`, the path of an image."""
    members = _members(hint)
    if not members:
        return str if _mentions_array(hint) else hint
    return typing.Union[tuple(_without_arrays(member) for member in members)]  # noqa: UP007


def _members(hint: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else ()


def _suggest(key: str, valid: list[str]) -> str:
    """What to write instead of `key`."""
    near = difflib.get_close_matches(key, valid, n=1)
    guess = f", did you mean {near[0]!r}?" if near else ";"
    return f"{guess} valid: {', '.join(sorted(valid))}"


# Files


def shipped() -> dict[str, Path]:
    """The configurations that come with rtreg, by name."""
    folder = Path(str(resources.files("rtreg") / "configs"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load(name: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a configuration, by path or by the name of a shipped one.

    Parameters
    ----------
    name : str or Path
        ``guide_star``, or the path of a TOML file.
    overrides : iterable of str
        ``table.key=value``, applied on top; the value is TOML, or else taken as a string.

    Raises
    ------
    ConfigError
        No such file, not TOML, an unknown table, or an override that is not ``table.key=value``.
    """
    path = _find(name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    return parse(content, str(name), overrides)


def parse(content: bytes, source: str, overrides: Iterable[str] = ()) -> Config:
    """A configuration from the text of its file; `source` is what messages call it. Raises as `load`."""
    try:
        raw = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: not TOML: {error}") from None
    overrides = tuple(overrides)
    for override in overrides:
        _override(raw, override)
    return dataclasses.replace(_checked(source, raw), overrides=overrides)


def to_toml(stream: str, tables: Mapping[str, Mapping[str, Any]]) -> str:
    """A configuration as the text of a file that means the same."""
    lines = [f"stream = {_toml(stream)}"]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{_toml_key(key)} = {_toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml_key(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value) if isinstance(value, int | float) else str(value)


def _toml_key(key: str) -> str:
    return key if key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key) else _toml(key)


def _find(name: str | Path) -> Path:
    text = str(name)
    if text.endswith(".toml") or "/" in text or Path(text).is_file():
        return Path(text)
    known = shipped()
    if text not in known:
        valid = list(known)
        raise ConfigError(f"no configuration {text!r}: give the path of a .toml file or a name{_suggest(text, valid)}")
    return known[text]


def _checked(source: str, raw: dict[str, Any]) -> Config:
    stream = raw.pop("stream", Config.stream)
    if not isinstance(stream, str):
        raise ConfigError(f"{source}: stream = {stream!r}: must be a string")
    for name, table in raw.items():
        if name not in TABLES:
            raise ConfigError(f"{source}: no table [{name}]{_suggest(name, ['stream', *TABLES])}")
        if not isinstance(table, dict):
            raise ConfigError(f"{source}: {name} = {table!r}: must be a table, [{name}]")
    try:
        return Config(source, raw, stream_name(stream))
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def _override(raw: dict[str, Any], text: str) -> None:
    """Apply one ``table.key=value`` to `raw`."""
    name, equals, value = text.partition("=")
    *tables, key = name.strip().split(".")
    if not equals or not all((*tables, key)):
        raise ConfigError(f"override {text!r}: write table.key=value, e.g. camera.rate_hz=200")
    for table in tables:
        raw = raw.setdefault(table, {})
        if not isinstance(raw, dict):
            raise ConfigError(f"override {text!r}: {table} is not a table")
    raw[key] = _value(value.strip())


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text
