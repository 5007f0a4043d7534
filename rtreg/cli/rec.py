"""``rtreg rec``: what can be done with recordings, one file a verb."""

from __future__ import annotations

from typing import Any

from rtreg.cli import rec_check, rec_cut, rec_export, rec_import, rec_info, rec_recover
from rtreg.cli._parser import Parser, Verbs

_VERBS = (rec_info, rec_check, rec_recover, rec_cut, rec_export, rec_import)


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb and those under it."""
    parser = verbs.add_parser(
        "rec",
        help="recordings: info, check, recover, cut, export, import",
        description="Work on recordings. Each verb explains itself: rtreg rec VERB --help.",
    )
    under = parser.add_subparsers(dest="rec_verb", metavar="VERB", required=True, parser_class=Parser)
    for verb in _VERBS:
        verb.add(under)
