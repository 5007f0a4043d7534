"""``rtreg doctor [CONFIG]``: what on this host would keep the services from starting, or make them late."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rtreg.cli._json import dumps
from rtreg.cli._parser import Verbs
from rtreg.cli.service import add_config

if TYPE_CHECKING:
    from rtreg.io.config import Config
    from rtreg.io.examine import Finding

_EPILOG = """\
Looks at endpoints, folders, keys, limits, clock, cores, real-time rights and FFTW wisdom, as the user who runs it: run
it as the user the services will have. Changes nothing. `rtreg info` has the same facts without a judgement.

exit code: 0 nothing is bad, 1 something is, 2 the config is wrong

examples:
  rtreg doctor
  rtreg doctor ./my_setup.toml
  rtreg doctor ./my_setup.toml --json
"""


def add(verbs: Verbs[Any]) -> None:
    """Describe the verb."""
    parser = verbs.add_parser(
        "doctor",
        help="what would keep the services from starting, or make them late, and what to do",
        description="Examine this host for the services of a config; each finding with its remedy.",
        epilog=_EPILOG,
    )
    add_config(parser, default="simulated")
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the findings."""
    from rtreg.io.config import load

    found = list(examine(load(args.config, args.overrides)))
    if args.json:
        print(dumps([finding._asdict() for finding in found]))
    else:
        for finding in found:
            print(f"{finding.level:<5} {finding.about:<15} {finding.what}")
            if finding.fix:
                print(f"      {'':<15} -> {finding.fix}")
    return int(any(finding.level == "bad" for finding in found))


def examine(config: Config) -> Iterator[Finding]:
    """All findings, in the order of the epilogue."""
    from pathlib import Path

    from rtreg import build, fft
    from rtreg.io import examine
    from rtreg.io.keys import Keyring
    from rtreg.io.security import Security

    options, ends = build.tracker_options(config), config.endpoints
    names = ("corrections", "control", "status", *(("frames", "device") if build.has_camera(config) else ()))
    yield from examine.endpoints({name: getattr(ends, name) for name in names})
    yield from examine.folders({"wisdom": Path(fft.wisdom_path())})
    security = config.make("security", Security)
    if security.curve:
        keyring = Keyring(Path(security.folder).expanduser() if security.folder else None)
        yield from examine.keys(keyring, tuple({security.identity, security.camera, security.tracker}))
    yield from examine.limits()
    yield from examine.clock()
    yield from examine.cores(options.affinity)
    yield from examine.priority(options.priority)
    yield _wisdom(fft.wisdom_entries())


def _wisdom(entries: int) -> Finding:
    """Whether plans have been kept."""
    from rtreg.io.examine import Finding

    if entries:
        return Finding("ok", "wisdom", f"{entries} plans kept")
    return Finding("warn", "wisdom", "no FFT plans kept: the first start will plan anew", "rtreg warm CONFIG")
