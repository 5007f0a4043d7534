"""``rtreg keys new | show | authorize``: who may connect, when ``[security] curve = true``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rtreg.cli._parser import Parser, Verbs

_EPILOG = """\
Each host has a key; the default name is "local". Whoever wants to connect gives the other host its public key, and is
let in there with a role:

  observe   subscribe to frames, corrections and status; ask for the status
  control   give orders and moves, too
  none      may not connect; only known by name, for us to connect to it ([security] camera, tracker)

The public key may be shown to anyone, the secret one never leaves its file. A change of roles needs no restart: orders
and moves heed it at once, subscriptions when they are next made. docs/security.md has two hosts as an example.

examples:
  rtreg keys new                               make this host's key
  rtreg keys show                              print it, to give to others, and who is let in
  rtreg keys authorize desk KEY --role observe   let the holder of KEY look on
  rtreg keys authorize desk KEY --role none      and no longer
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb and what it does with keys."""
    parser = verbs.add_parser(
        "keys",
        help="make the keys for encrypted sockets, and say who is let in",
        description="Make keys for encrypted sockets (CURVE), and say who is let in.",
        epilog=_EPILOG,
    )
    parser.add_argument("--folder", type=Path, help="of the keys (default: $XDG_CONFIG_HOME/rtreg/keys)")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    new = actions.add_parser("new", help="make a key", description="Make a pair of keys.")
    new.add_argument("name", nargs="?", default="local", metavar="NAME", help="default: %(default)s")
    actions.add_parser("show", help="print the public keys and who is let in", description="Print public keys.")
    let_in = actions.add_parser("authorize", help="let a key in", description="Let a key in, or change its role.")
    let_in.add_argument("name", metavar="NAME", help="what to call its holder here")
    let_in.add_argument("key", metavar="KEY", help="the public key, 40 characters; quote it")
    let_in.add_argument(
        "--role", choices=("none", "observe", "control"), default="observe", help="default: %(default)s"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it, and say what was done."""
    from rtreg.io.keys import Keyring, Role

    ring = Keyring(args.folder)
    if args.action == "new":
        from rtreg.io.sockets import new_pair

        public, secret = new_pair()
        ring.add(args.name, public, secret)
        print(f"{args.name}  {public}\nmade in {ring.folder}; to use it: [security] curve = true")
    elif args.action == "authorize":
        ring.authorize(args.name, args.key, Role(args.role))
        print(f"{args.name}: {args.role}")
    else:
        _show(ring)
    return 0


def _show(ring: Any) -> None:
    names, peers = ring.names(), ring.peers()
    for name in names:
        print(f"{name:<16} {'own':<8} {ring.own(name)[0]}")
    for peer in peers:
        print(f"{peer.name:<16} {peer.role:<8} {peer.key}")
    if not names and not peers:
        print(f"no keys in {ring.folder}; make one: rtreg keys new")
