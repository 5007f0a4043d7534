"""``rtreg ctl ORDER``: give a running tracker an order and print its reply."""

from __future__ import annotations

import argparse
from typing import Any

from rtreg.cli._json import dumps
from rtreg.cli._parser import Parser, Verbs, finite, positive
from rtreg.errors import RtregError

MIN_TIMEOUT_S, MAX_TIMEOUT_S = 0.001, 3600.0  # a millisecond is the least that can be waited

_ORDERS = {
    "set-reference": "start a new reference from the next frames",
    "open": "open the loop: go on measuring, move nothing",
    "close": "close the loop",
    "pause": "stop measuring until resume",
    "resume": "go on after a pause",
    "dither": "hold the image off the reference by DX DY pixels (0 0: back on it)",
    "retune": "change numbers of [controller] and [gate], e.g. gain=0.4 max_sigma=0.2",
    "mark": "note this moment in a recording; one with --ring writes its last seconds",
    "reload": "read the config again; what can be changed without losing the lock is, the rest is named",
    "status": "print all counters, rates and percentiles",
    "stop": "stop the tracker",
}

_EPILOG = """\
The reply is printed as JSON. exit code: 0 obeyed, 2 refused or no answer

examples:
  rtreg ctl close
  rtreg ctl dither 0.5 -0.25
  rtreg ctl retune gain=0.3 leak=0.01
  rtreg ctl --config ./my_setup.toml status
  rtreg ctl --endpoint tcp://127.0.0.1:6602 status
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb and its orders."""
    parser = verbs.add_parser(
        "ctl",
        help="give a running tracker an order",
        description="Give a running tracker an order and print its reply.",
        epilog=_EPILOG,
    )
    parser.add_argument("--endpoint", help="the tracker's control endpoint (default: that of the config)")
    parser.add_argument(
        "--config",
        default="simulated",
        help="the tracker's, for its endpoint and keys (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=2.0,
        metavar="S",
        help="seconds to wait for the reply (default: %(default)s)",
    )
    orders = parser.add_subparsers(dest="order", metavar="ORDER", required=True, parser_class=Parser)
    for name, summary in _ORDERS.items():
        order = orders.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == "dither":
            order.add_argument("dx", type=finite, metavar="DX", help="pixels along x (columns)")
            order.add_argument("dy", type=finite, metavar="DY", help="pixels along y (rows)")
        elif name == "retune":
            order.add_argument("settings", nargs="+", metavar="KEY=VALUE", type=_setting, help="a number each")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Send the order, print the reply."""
    from rtreg import build
    from rtreg.io.config import load
    from rtreg.io.sockets import ControlClient

    config = load(args.config)
    with ControlClient(args.endpoint or config.endpoints.control, guard=build.guard(config)) as client:
        reply = client.ask(args.order.replace("-", "_"), _arguments(args), timeout_ms=round(args.timeout * 1e3))
    if not reply["ok"]:
        raise RtregError(f"the tracker refuses {args.order}: {reply.get('error', 'no reason given')}")
    print(dumps(reply))
    return 0


def _arguments(args: argparse.Namespace) -> dict[str, float]:
    if args.order == "dither":
        return {"dx": args.dx, "dy": args.dy}
    return dict(args.settings) if args.order == "retune" else {}


def _seconds(text: str) -> float:
    seconds = positive(text)
    if not MIN_TIMEOUT_S <= seconds <= MAX_TIMEOUT_S:
        raise argparse.ArgumentTypeError(f"{text!r} must lie within {MIN_TIMEOUT_S:g} and {MAX_TIMEOUT_S:g} s")
    return seconds


def _setting(text: str) -> tuple[str, float]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, finite(value)
