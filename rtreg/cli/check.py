"""``rtreg check CONFIG``: is this config right, and what does it mean?"""

from __future__ import annotations

import argparse
from typing import Any

from rtreg.cli._parser import Verbs
from rtreg.cli.service import add_config

_EPILOG = """\
Checks every table, key and value, and builds what they describe, without opening a socket or a device.

exit code: 0 right, 2 wrong (the line on stderr names file, table and key)

examples:
  rtreg check simulated
  rtreg check ./my_setup.toml --set gate.max_sigma=0.2
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "check",
        help="is a config right, and what does it mean",
        description="Read a config, say OK with what it means, or what is wrong with it.",
        epilog=_EPILOG,
    )
    add_config(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make all that the config describes, and print what it is."""
    from rtreg import build
    from rtreg.io.config import load

    config = load(args.config, args.overrides)
    for line in (f"OK {config.source}", *build.check(config)):
        print(line)
    return 0
