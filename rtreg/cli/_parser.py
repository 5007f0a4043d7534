"""What every verb shares: a parser whose errors are one line, and argument types that name the bad value."""

from __future__ import annotations

import argparse
import math
from typing import Any, NoReturn

from rtreg.errors import ConfigError

Verbs = argparse._SubParsersAction  # argparse has no public name for what `add_subparsers` returns


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `ConfigError` for a bad command line instead of printing its usage."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise `ConfigError` with argparse's message and where to read on."""
        raise ConfigError(f"{message}; see `{self.prog} --help`")


def finite(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not finite")
    return value


def positive(text: str) -> float:
    """A finite number above zero."""
    value = finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be above 0")
    return value


def not_negative(text: str) -> float:
    """A finite number, zero or above."""
    value = finite(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be 0 or above")
    return value


def whole(text: str) -> int:
    """A whole number, 1 or above."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be 1 or above")
    return value
