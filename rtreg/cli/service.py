"""``rtreg camera | track | actuate CONFIG``: one process each, from one config."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from rtreg.cli._parser import Verbs

# verb -> (module of rtreg.services, what it does, more of it)
_SERVICES = {
    "camera": (
        "camera",
        "publish frames: simulated, from files, or from a Micro-Manager camera",
        "Publishes frames to endpoints.frames; obeys moves sent to endpoints.device (a simulated tip-tilt, a stage).",
    ),
    "track": (
        "tracker",
        "measure every frame and publish corrections",
        "Subscribes to endpoints.frames; publishes endpoints.corrections and endpoints.status; obeys `rtreg ctl`.",
    ),
    "actuate": (
        "actuator",
        "move something by the corrections",
        "Subscribes to endpoints.corrections and sends moves to endpoints.device, where the camera process obeys.",
    ),
}

_EPILOG = """\
CONFIG is a path to a TOML file or the name of a shipped one (simulated, guide_star, solar_granulation,
microscope_drift). `rtreg check CONFIG` says what it means. Runs until Ctrl-C or SIGTERM, then exits with 0.

examples:
  rtreg {verb} simulated
  rtreg {verb} ./my_setup.toml --set stream=cam2 --set endpoints.frames=tcp://127.0.0.1:6600
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the three service verbs."""
    for verb, (_, summary, more) in _SERVICES.items():
        parser = verbs.add_parser(verb, help=summary, description=more, epilog=_EPILOG.format(verb=verb))
        add_config(parser)
        parser.set_defaults(run=run)


def add_config(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """The arguments of every verb that reads a config; CONFIG may be left out if there is a `default`."""
    parser.add_argument(
        "config",
        metavar="CONFIG",
        nargs="?" if default else None,
        default=default,
        help="path of a TOML file, or name of a shipped one" + (f" (default: {default})" if default else ""),
    )
    parser.add_argument(
        "--set",
        metavar="TABLE.KEY=VALUE",
        dest="overrides",
        action="append",
        default=[],
        help="override one key, e.g. camera.rate_hz=200; may be given again",
    )


def run(args: argparse.Namespace) -> int:
    """Load the config and run the service in this process."""
    from rtreg.io.config import load

    module, _, _ = _SERVICES[args.verb]
    config = load(args.config, args.overrides)
    service = importlib.import_module(f"rtreg.services.{module}")
    code: int = service.main(config)
    return code
