"""``rtreg rec``: what can be done with recordings, one file a verb."""

from __future__ import annotations

from typing import Any

from rtreg.cli import rec_export, rec_import
from rtreg.cli._parser import Parser, Verbs

_VERBS = (rec_export, rec_import)


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb and those under it."""
    parser = verbs.add_parser(
        "rec",
        help="recordings: export to other programs' files, import from them",
        description="Work on recordings. Each verb explains itself: rtreg rec VERB --help.",
    )
    under = parser.add_subparsers(dest="rec_verb", metavar="VERB", required=True, parser_class=Parser)
    for verb in _VERBS:
        verb.add(under)
