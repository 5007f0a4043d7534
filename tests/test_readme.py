"""The README's snippets run as they stand, on the default ports, against a real tracker."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import rtreg
from rtreg.cli import _VERBS
from rtreg.cli._parser import Parser

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def snippet(containing):
    """The one Python block of the README that contains `containing`."""
    found = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if containing in block]
    assert len(found) == 1, f"{len(found)} snippets with {containing!r}"
    return found[0]


def code_lines(block):
    return [line for line in block.splitlines() if line.strip()]


CLIENT, PUBLISHER, LIBRARY = snippet("zmq.SUB"), snippet("zmq.PUB"), snippet("rtreg.register")


def test_the_client_is_six_lines_and_the_publisher_ten():
    assert len(code_lines(CLIENT)) == 6
    assert len(code_lines(PUBLISHER)) == 10
    for block in (CLIENT, PUBLISHER):
        assert "rtreg" not in block


def test_library_snippet():
    y, x = np.mgrid[:64, :64]
    reference = 1000 * np.exp(-((x - 31) ** 2 + (y - 30) ** 2) / 30) + 100
    frame = 1000 * np.exp(-((x - 32) ** 2 + (y - 30) ** 2) / 30) + 100
    rng = np.random.default_rng(0)
    names = {"reference": rng.poisson(reference), "frame": rng.poisson(frame)}
    names["frames"] = [names["frame"]] * 2
    exec(LIBRARY, names)
    assert names["estimate"].dx == pytest.approx(1, abs=0.1)
    assert [shift.dx for shift in names["shifts"]] == pytest.approx([1, 1], abs=0.1)
    assert names["aligned"].shape == frame.shape


def test_regions_snippet():
    y, x = np.mgrid[:440, :460]
    places = [(63.2, 52.7), (424.1, 84.6), (233.8, 402.5)]

    def sky(dx):
        return 100 + sum(3000 * np.exp(-((x - px - dx) ** 2 + (y - py) ** 2) / 5) for px, py in places)

    rng = np.random.default_rng(0)
    names = {"rtreg": rtreg, "reference": rng.poisson(sky(0.0)), "frame": rng.poisson(sky(0.7))}
    names["noise"] = rtreg.NoiseModel(gain=1.0)
    exec(snippet("rtreg.Regions"), names)
    estimate = names["estimate"]
    assert estimate.dx == pytest.approx(0.7, abs=5 * estimate.sigma.dx)
    assert abs(estimate.field.rotation) < 5 * estimate.field.rotation_sigma
    assert all(part.rejected == "" for part in estimate.field.parts)


def test_every_verb_is_in_the_table():
    parser = Parser()
    verbs = parser.add_subparsers()
    for verb in _VERBS:
        verb.add(verbs)
    listed = set(re.findall(r"^\| `rtreg (\w+)", README, re.MULTILINE))
    assert listed == set(verbs.choices)


def test_every_shipped_config_is_in_the_table():
    shipped = {path.stem for path in (Path(rtreg.__file__).parent / "configs").glob("*.toml")}
    assert shipped
    assert set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)) == shipped


def skip_if_taken(*ports):
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"port {port} is in use on this machine; the snippets use the default ones")


@contextlib.contextmanager
def running(*arguments, **options):
    process = subprocess.Popen([sys.executable, "-u", *arguments], **options)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        if process.stdout:
            process.stdout.close()


@pytest.mark.slow
def test_snippets_talk_to_the_tracker():
    skip_if_taken(5600, 5601, 5602, 5603)
    with (
        running("-m", "rtreg", "track", "simulated"),
        running("-c", PUBLISHER),
        running("-c", CLIENT, stdout=subprocess.PIPE, text=True) as client,
    ):
        silent = threading.Timer(180, client.kill)  # ends the reading below if nothing ever comes
        silent.start()
        good = []
        for line in client.stdout:
            seq, shift, verdict, _ = re.fullmatch(r"(\d+) (\[.*?\]) (\[.*?\]) (\[.*?\])\n", line).groups()
            if verdict == "[]" and "nan" not in shift:
                good.append((int(seq), *map(float, shift.strip("[]").split(","))))
            if len(good) == 300:
                break
        silent.cancel()
    assert len(good) == 300, "the tracker never measured the published frames"
    seq, dx, dy = np.array(good).T
    wave = np.sin(seq / 50)
    assert dx - dx.mean() == pytest.approx(wave - wave.mean(), abs=0.2)
    assert dy == pytest.approx(dy.mean(), abs=0.2)
