"""What has changed between two readings of a configuration, and what of that can be changed while the loop runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from rtreg.io.config import Config

__all__ = ["Changes", "changes", "tuned"]


class Changes(NamedTuple):
    """`tune` is what can be done now, by key; `restart` names the rest, ``table.key``."""

    tune: dict[str, Any]
    restart: list[str]


def changes(old: Config, new: Config, tunable: Mapping[str, Mapping[str, Any]]) -> Changes:
    """Compare two readings.

    Parameters
    ----------
    old, new : Config
        As the process runs, and as the file is now.
    tunable : mapping
        Table to its keys that can be changed live, with the default of each, for a key that is no longer written.
    """
    tune: dict[str, Any] = {}
    restart: list[str] = [] if old.stream == new.stream else ["stream"]
    for table in _both(old.tables, new.tables):
        before, after = old.tables.get(table, {}), new.tables.get(table, {})
        for key in _both(before, after):
            if before.get(key) == after.get(key):
                continue
            defaults = tunable.get(table, {})
            if key in defaults:
                tune[key] = after.get(key, defaults[key])
            else:
                restart.append(f"{table}.{key}")
    return Changes(tune, restart)


def _both(one: Collection[str], other: Collection[str]) -> list[str]:
    return sorted({*one, *other})


def tuned(config: Config, tune: Mapping[str, Any], tunable: Mapping[str, Mapping[str, Any]]) -> Config:
    """`config` with what was tuned: as the process runs now."""
    tables = {name: dict(table) for name, table in config.tables.items()}
    for table, defaults in tunable.items():
        for key in tune.keys() & defaults.keys():
            tables.setdefault(table, {})[key] = tune[key]
    return dataclasses.replace(config, tables=tables)
