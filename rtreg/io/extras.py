"""Libraries that not everybody needs: they come with an extra, and are imported when something asks for them."""

from __future__ import annotations

import importlib
from types import ModuleType

from rtreg.errors import ConfigError

__all__ = ["need"]


def need(module: str, extra: str, purpose: str) -> ModuleType:
    """Import `module`, which ``pip install 'rtreg[extra]'`` brings.

    Raises
    ------
    ConfigError
        It is not installed; the message says what for (`purpose`) and how to get it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{purpose} needs {module} ({error}): pip install 'rtreg[{extra}]'") from None
