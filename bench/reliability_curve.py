"""Who has no key, or one that nobody let in, at a camera and a tracker with CURVE; and what CURVE costs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from curve import times_us
from processes import Service, until
from reliability_rig import Measured, endpoints, overrides_of

from rtreg.errors import WireError
from rtreg.io.config import Endpoints
from rtreg.io.keys import Keyring
from rtreg.io.security import LOCAL, Guard, Security
from rtreg.io.sockets import ControlClient, CorrectionSubscriber, FrameSubscriber, new_pair
from rtreg.records import State

LISTEN_S = 2.0
ORDERS = 5


def stranger(logs: Path) -> Measured:
    """Two strangers listen and give orders, while who has the key is served; then latencies with and without CURVE."""
    with tempfile.TemporaryDirectory() as folder:
        mine, other = (_guard(Path(folder) / name) for name in ("keys", "other"))
        ends = endpoints()
        settings = [*overrides_of(ends), "scene.shape=[64, 64]", "camera.rate_hz=100", "tracker.max_age_ms=1000"]
        settings += ["security.curve=true", f"security.folder={folder}/keys"]
        processes = [Service(verb, "simulated", settings, logs / f"curve_{verb}.log") for verb in ("track", "camera")]
        try:
            for process in processes:
                process.wait_ready()
            good, leaked, obeyed = _listen(ends, mine, [LOCAL, other])
        finally:
            for process in processes:
                process.kill()
        plain, keyed, again = (np.median(times_us(keys, 64, 400, 3.0)[0]) for keys in (None, f"{folder}/keys", None))
    added = keyed - (plain + again) / 2
    return Measured(
        f"{leaked} messages to two strangers, {obeyed} of {2 * ORDERS} orders obeyed",
        f"with the key {added:+.0f} us one way, 64²",
        f"0 of {good} for who has the key",
        good > 0 and leaked == 0 and obeyed == 0,
    )


def _guard(folder: Path) -> Guard:
    Keyring(folder).add("local", *new_pair())
    return Security(curve=True, folder=str(folder)).guard()


def _listen(ends: Endpoints, mine: Guard, strangers: list[Guard]) -> tuple[int, int, int]:
    """Corrections that the owner heard, messages that strangers did, orders of theirs that were obeyed."""
    theirs = [kind(end, "cam", guard=guard) for guard in strangers
              for kind, end in ((CorrectionSubscriber, ends.corrections), (FrameSubscriber, ends.frames))]  # fmt: skip
    controls = [ControlClient(ends.control, guard=guard) for guard in strangers]
    good = leaked = obeyed = 0
    with CorrectionSubscriber(ends.corrections, "cam", guard=mine) as owner:
        until(lambda: (got := owner.receive(200)) and got.result.state is State.LOCKED)
        end = time.monotonic() + LISTEN_S
        while time.monotonic() < end:
            good += owner.receive(20) is not None
            leaked += sum(each.receive(0) is not None for each in theirs)
        for control in controls * ORDERS:
            try:
                obeyed += bool(control.ask("stop", timeout_ms=200)["ok"])
            except WireError:
                continue
        until(lambda: (got := owner.receive(200)) and got.result.state is State.LOCKED)
    for each in (*theirs, *controls):
        each.close()
    return good, leaked, obeyed
