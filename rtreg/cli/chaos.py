"""``rtreg chaos CONFIG``: disturb the frames between camera and tracker, to see what becomes of it."""

from __future__ import annotations

import argparse
from typing import Any, Final

from rtreg.cli._parser import Verbs, finite, positive
from rtreg.cli.service import add_config

_KINDS: Final = {
    "drop": "of the frames that are lost",
    "duplicate": "of the frames that come twice",
    "reorder": "of the frames that up to three later ones overtake",
    "delay": "of the frames that come up to 50 ms late",
    "corrupt": "of the frames that have up to eight wrong bytes, in the header or in the pixels",
    "resize": "of the frames that are smaller, or whose pixels are cut short",
    "freeze": "of the time in which nothing comes; then all that waited comes at once",
}

_EPILOG = """\
A proxy: it subscribes to endpoints.frames of CONFIG and publishes at --to what has become of them. Nothing of it is
for use with a device that can be harmed. The same seed does the same to the same frames. Ends with the counts of all
that was done.

examples:
  rtreg camera simulated &
  rtreg chaos simulated --to tcp://127.0.0.1:5610 --all 0.05 --seed 1 &
  rtreg track simulated --set endpoints.frames=tcp://127.0.0.1:5610
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "chaos",
        help="disturb the frames between camera and tracker, as a test",
        description="Disturb the frames between camera and tracker, at rates, to see that nothing goes wrong silently.",
        epilog=_EPILOG,
    )
    add_config(parser)
    parser.add_argument("--to", required=True, metavar="ENDPOINT", help="where the disturbed frames are published")
    parser.add_argument("--all", type=finite, default=0.0, metavar="SHARE", help="of everything below, 0 to 1")
    for kind, what in _KINDS.items():
        parser.add_argument(f"--{kind}", type=finite, metavar="SHARE", help=what)
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--seconds", type=positive, help="how long (default: until Ctrl-C)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Disturb until interrupted."""
    from rtreg.io.chaos import Rates
    from rtreg.io.config import load
    from rtreg.services import chaos

    given = {kind: getattr(args, kind) for kind in _KINDS}
    rates = Rates(**{kind: args.all if share is None else share for kind, share in given.items()})
    return chaos.main(load(args.config, args.overrides), args.to, rates, args.seed, args.seconds)
