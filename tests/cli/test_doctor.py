"""``rtreg doctor``: findings for people and for programs, and an exit code."""

import json
import socket

from rtreg.cli import main


def test_findings_are_for_people_and_programs(capsys, free_overrides):
    assert main(["doctor", "simulated", *free_overrides, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"corrections", "frames", "runtime folder", "open files", "real time", "wisdom"} <= {
        f["about"] for f in found
    }
    assert all(finding["fix"] for finding in found if finding["level"] != "ok")
    main(["doctor", "simulated", *free_overrides])
    assert "corrections" in capsys.readouterr().out


def test_what_is_bad_is_told_by_the_exit_code(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        assert main(["doctor", "--set", f"endpoints.control={taken}"]) == 1
    assert f"{taken}: cannot be bound" in capsys.readouterr().out
