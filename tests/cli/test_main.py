"""The command line as a whole: help, quick start, and errors in one line with exit code 2."""

import json
import subprocess
import sys

import pytest

from rtreg.cli import main
from rtreg.version import __version__

VERBS = ("demo", "camera", "track", "actuate", "monitor", "ctl", "register", "check", "warm", "info")
ORDERS = ("set-reference", "open", "close", "pause", "resume", "dither", "retune", "status", "stop")


def refused(capsys, *argv):
    """The one line on stderr of a command that must fail with 2."""
    assert main(list(argv)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


def helped(capsys, *argv):
    with pytest.raises(SystemExit) as stopped:
        main([*argv, "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"rtreg {__version__}\n"


def test_help_names_every_verb(capsys):
    text = helped(capsys)
    for verb in VERBS:
        assert f"\n    {verb} " in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_teaches_by_example(capsys, verb):
    text = helped(capsys, verb)
    assert f"examples:\n  rtreg {verb}" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_has_help(capsys, order):
    assert f"usage: rtreg ctl {order}" in helped(capsys, "ctl", order)


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from rtreg.cli import main\n"
        "try:\n main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'numba', 'astropy', 'zmq', 'rich', 'msgspec', 'msgpack', 'pyfftw', 'scipy'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "VERB"),
        (["fly"], "'fly'"),
        (["demo", "--size", "7"], "'7' is not a whole number from 16 to 2048"),
        (["demo", "--scene", "moon"], "'moon'"),
        (["demo", "--rate", "0"], "'0' must be above 0"),
        (["demo", "--seconds", "nan"], "'nan' is not finite"),
        (["demo", "--sec", "3"], "--sec"),
        (["camera"], "CONFIG"),
        (["camera", "no_such_setup"], "'no_such_setup'"),
        (["track", "/no/such/file.toml"], "/no/such/file.toml: No such file"),
        (["actuate", "/no/such/file.toml"], "/no/such/file.toml: No such file"),
        (["monitor", "no_such_setup"], "'no_such_setup'"),
        (["check", "no_such_setup"], "'no_such_setup'"),
        (["check"], "CONFIG"),
        (["register", "only_one.npy"], "FRAME"),
        (["register", "no_a.npy", "no_b.npy"], "no_a.npy does not exist"),
        (["register", "a.npy", "b.npy", "--gain", "-1"], "'-1' must be above 0"),
        (["register", "a.npy", "b.npy", "--max-shift", "far"], "'far' is not a number"),
        (["ctl"], "ORDER"),
        (["ctl", "jump"], "'jump'"),
        (["ctl", "dither", "1"], "DY"),
        (["ctl", "dither", "1", "inf"], "'inf' is not finite"),
        (["ctl", "retune", "gain"], "'gain' is not KEY=VALUE"),
        (["ctl", "retune", "gain=high"], "'high' is not a number"),
        (["ctl", "--endpoint", "nonsense", "status"], "'nonsense'"),
        (["ctl", "--timeout", "0", "status"], "'0' must be above 0"),
        (["info", "--yaml"], "--yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments_are_one_line_that_names_the_value(capsys, argv, expected):
    assert expected in refused(capsys, *argv)


@pytest.mark.parametrize("verb", ["camera", "track", "actuate", "check"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense", "not TOML"),
        ("[nonsense]\n", "nonsense"),
        ("stream = 'a b'\n", "'a b'"),
        ("[endpoints]\nframes = 5600\n", "frames"),
        ("[endpoints]\nframse = 'tcp://127.0.0.1:5600'\n", "did you mean 'frames'"),
    ],
)
def test_bad_configs_are_one_line_that_names_file_and_key(capsys, tmp_path, verb, text, expected):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    said = refused(capsys, verb, str(path))
    assert expected in said
    assert "bad.toml" in said


def test_bad_override_is_named(capsys):
    assert "rate_hz" in refused(capsys, "check", "simulated", "--set", "camera.rate_hz=fast")
    assert "'camera'" in refused(capsys, "check", "simulated", "--set", "camera")


def test_no_tracker_is_said_so(capsys, unused_port):
    said = refused(capsys, "ctl", "--endpoint", f"tcp://127.0.0.1:{unused_port}", "--timeout", "0.2", "status")
    assert "no answer" in said
    assert str(unused_port) in said


def test_info_as_json_has_the_facts(capsys):
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["versions"]["rtreg"] == __version__
    assert facts["versions"]["numba"]
    assert facts["cpu"]["cores"] >= 1
    assert "wisdom" in facts["fft"]
    assert {"rtprio", "memlock", "clock", "scheduler"} <= set(facts["real time"])


def test_info_for_people(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    for word in ("versions", "numpy", "governor", "wisdom", "memlock", "kernels"):
        assert word in out


def test_closed_pipe_is_no_error():
    command = f"{sys.executable} -m rtreg info | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode == 0


def test_warm_prepares_for_the_frames_of_a_config_or_of_the_command_line(capsys):
    assert main(["warm", "simulated", "--set", "scene.shape=[64, 64]"]) == 0
    assert capsys.readouterr().out.startswith("warm for 64 x 64 uint16 after ")
    assert main(["warm", "simulated", "--shape", "48", "64", "--dtype", "uint8"]) == 0
    assert capsys.readouterr().out.startswith("warm for 48 x 64 uint8 after ")
    assert "--dtype 'pixels' is no dtype" in refused(
        capsys, "warm", "simulated", "--shape", "9", "9", "--dtype", "pixels"
    )


def test_warm_needs_to_know_the_frames(capsys, tmp_path):
    config = tmp_path / "bare.toml"
    config.write_text('stream = "cam"\n')
    assert "give --shape" in refused(capsys, "warm", str(config))
