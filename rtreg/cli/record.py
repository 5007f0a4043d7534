"""``rtreg record CONFIG FILE``: all that is published of one stream, to disk."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rtreg.cli._parser import Verbs, positive
from rtreg.cli.service import add_config

_EPILOG = """\
Subscribes to frames, corrections, orders and status of CONFIG's endpoints, and writes them to FILE, an MCAP file, as
they were. The tracker is asked for checkpoints, so that `rtreg replay --verify FILE` can repeat what it did. Whatever
can be set is in the table [recorder]: docs/configuration.md. Ends with Ctrl-C or SIGTERM, or when the disk is full.

  --ring 30         record nothing, but keep the last 30 s in memory, and write them when the lock is lost, the image
                    jumps, at `rtreg ctl mark`, or on SIGUSR1; FILE then is the beginning of the files' names
  --rotate-mib 500 --keep-gib 20
                    FILE_0001.mcap and so on, of which the oldest are deleted

exit code: 0 ended, 2 could not start, or has stopped because of the disk (one line on stderr says why)

examples:
  rtreg record simulated night.mcap
  rtreg record guide_star /data/guide.mcap --rotate-mib 1000 --keep-gib 100
  rtreg record microscope_drift drift.mcap --ring 30
"""

_OPTIONS = {
    "ring": ("ring_s", "S", "keep the last S seconds in memory, and write them when something happens"),
    "rotate-mib": ("rotate_mib", "MIB", "begin a new file when one has become so large"),
    "rotate-s": ("rotate_s", "S", "begin a new file after so long"),
    "keep-gib": ("keep_gib", "GIB", "delete the oldest files beyond this"),
    "floor-gib": ("floor_gib", "GIB", "stop before the disk has less left"),
}


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "record",
        help="write a stream to disk: frames, corrections, orders, status",
        description="Record one stream.",
        epilog=_EPILOG,
    )
    add_config(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="what to write; must not exist")
    parser.add_argument("--seconds", type=positive, help="stop after so long")
    for option, (key, unit, text) in _OPTIONS.items():
        parser.add_argument(f"--{option}", dest=key, type=positive, metavar=unit, help=text)
    parser.add_argument("--compression", choices=("none", "lz4", "zstd"), help="of the chunks")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Record in this process."""
    from rtreg.io.config import load
    from rtreg.services import recorder

    given = {key: getattr(args, key) for key in (*(key for key, _, _ in _OPTIONS.values()), "compression")}
    overrides = [f"recorder.{key}={value}" for key, value in given.items() if value is not None]
    return recorder.main(load(args.config, [*args.overrides, *overrides]), args.file, seconds=args.seconds)
