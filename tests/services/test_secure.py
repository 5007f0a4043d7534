"""Processes with CURVE: who has the key sees frames and corrections and controls; who has none gets nothing."""

from __future__ import annotations

import json

import pytest
from processes import until

from rtreg.cli import main
from rtreg.errors import WireError
from rtreg.io.keys import Keyring
from rtreg.io.security import Security
from rtreg.io.sockets import ControlClient, CorrectionSubscriber, FrameSubscriber, new_pair
from rtreg.records import State


def test_a_camera_and_a_tracker_with_keys(launch, free_endpoints, tmp_path, capsys):
    Keyring(tmp_path / "keys").add("local", *new_pair())
    guard = Security(curve=True, folder=str(tmp_path / "keys")).guard()
    ends = free_endpoints()
    config = tmp_path / "secure.toml"
    config.write_text(
        f'[security]\ncurve = true\nfolder = "{tmp_path}/keys"\n'
        "[scene]\nshape = [64, 64]\n[camera]\nrate_hz = 50\n[tracker]\nmax_age_ms = 1000\n"
        f'[endpoints]\ncontrol = "{ends.control}"\n'
    )
    launch("track", config, ends).wait_ready()
    launch("camera", config, ends).wait_ready()
    with (
        CorrectionSubscriber(ends.corrections, "cam", guard=guard) as mine,
        CorrectionSubscriber(ends.corrections, "cam") as theirs,
        FrameSubscriber(ends.frames, "cam") as their_frames,
        ControlClient(ends.control) as their_control,
    ):
        until(lambda: (got := mine.receive(200)) and got.result.state is State.LOCKED)
        assert theirs.receive(300) is None
        assert their_frames.receive(300) is None
        with pytest.raises(WireError, match=r"no answer|curve"):
            their_control.ask("stop", timeout_ms=300)
    assert main(["ctl", "--config", str(config), "--timeout", "20", "status"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "LOCKED"
