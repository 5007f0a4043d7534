"""``rtreg batch`` as a command: killed and begun again, on a Dask cluster, and what it says when it cannot."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from processes import until
from sky import make_header, scale_matrix, shifted_pair

from rtreg.cli import main
from rtreg.records import Shift
from rtreg.simulate import Scene

COUNT = 60
CHUNKS = ("--chunk", "30")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A reference and a stack of noisy frames that wander; many, by repetition, for runs that are to be killed."""
    folder = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(8)
    scene = Scene("stars", (64, 64), seed=3, peak=4000.0)
    np.save(folder / "ref.npy", scene.render(Shift(0.0, 0.0)))
    frames = [scene.render(Shift(*rng.normal(0.0, 1.0, 2))).astype(float) for _ in range(COUNT)]
    frames = np.stack([rng.poisson(frame) for frame in frames]).astype(np.uint16)
    np.save(folder / "short.npy", frames)
    np.save(folder / "long.npy", np.tile(frames, (40, 1, 1)))
    return folder


def command(folder, frames, out, *more):
    return [
        "batch",
        str(folder / frames),
        "--reference",
        str(folder / "ref.npy"),
        "--out",
        str(out),
        "--gain",
        "1",
        *more,
    ]


def start(*words):
    """The command in a session of its own, as a terminal starts it: a shell's background job would ignore SIGINT."""
    return subprocess.Popen(
        [sys.executable, "-m", "rtreg", *map(str, words)],
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finished(folder):
    """Chunks that are on the disk as a whole."""
    return list(folder.glob("t.csv.chunks/*/[0-9]*.npy"))


def alive(session):
    """Processes of a session that are not zombies."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(pid))
    return found


def test_killed_half_way_and_begun_again_the_table_is_the_same(folder, tmp_path, capsys):
    words = command(
        folder, "long.npy", tmp_path / "t.csv", "--chunk", "100", "--jobs", "2", "--align", str(tmp_path / "a.tif")
    )
    process = start(*words)
    done = lambda: finished(tmp_path)  # noqa: E731
    until(lambda: len(done()) > 5 or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert not (tmp_path / "t.csv").exists()
    assert 5 < len(finished(tmp_path)) < 80
    # its workers go with it: none is left to write into the files of the next run
    until(lambda: time.sleep(0.02) or not alive(process.pid))
    assert main([*map(str, words), "--jobs", "1"]) == 0
    said = capsys.readouterr().err
    assert "2400 frames" in said
    assert "of them by an earlier run, 0 flagged" in said
    other = command(
        folder, "long.npy", tmp_path / "u.csv", "--chunk", "100", "--jobs", "1", "--align", str(tmp_path / "b.tif")
    )
    assert main([*map(str, other)]) == 0
    assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "u.csv").read_bytes()
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert (tmp_path / "a.mask.tif").read_bytes() == (tmp_path / "b.mask.tif").read_bytes()


def test_interrupted_it_ends_without_a_word_and_goes_on(folder, tmp_path):
    words = command(folder, "long.npy", tmp_path / "t.csv", *CHUNKS, "--jobs", 2)
    process = start(*words)
    until(lambda: finished(tmp_path) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    # on a slow machine there is a line of progress every ten seconds, and no other
    assert [line for line in said.splitlines() if b"of 2400 frames" not in line] == []
    assert finished(tmp_path)


@pytest.mark.slow
def test_on_a_dask_cluster(folder, tmp_path):
    """Scheduler and workers are processes of their own, as a user's are."""
    python = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    file = tmp_path / "scheduler.json"
    scheduler = [*python, "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1"]
    worker += ["--nworkers", "2", "--no-dashboard", "--host", "127.0.0.1", "--local-directory", str(tmp_path)]
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    cluster = [subprocess.Popen(scheduler, **quiet)]
    try:
        until(lambda: file.exists() and file.read_text().endswith("}"))  # it is not written at once
        cluster.append(subprocess.Popen(worker, **quiet))
        address = json.loads(file.read_text())["address"]
        words = command(folder, "short.npy", tmp_path / "t.csv", "--chunk", "7", "--align", tmp_path / "a.zarr")
        run = subprocess.run(
            [sys.executable, "-m", "rtreg", *words, "--scheduler", address], capture_output=True, text=True, timeout=120
        )
        assert run.stderr.endswith("t.csv: 60 frames, 0 flagged\n")
        assert run.returncode == 0
    finally:
        for process in reversed(cluster):
            process.terminate()
            process.wait(20)
    other = command(folder, "short.npy", tmp_path / "u.csv", "--chunk", "7", "--jobs", "1")
    assert main([*map(str, other)]) == 0
    assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "u.csv").read_bytes()


def test_the_first_frame_is_the_reference_unless_another_is_given(folder, tmp_path):
    assert main(["batch", str(folder / "short.npy"), "--out", str(tmp_path / "t.csv"), "--jobs", "1"]) == 0
    first = (tmp_path / "t.csv").read_text().splitlines()[1].split(",")
    assert max(abs(float(cell)) for cell in first[3:5]) < 0.01  # the frames are 1 px apart


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["short.npy", "--out", "t.xls"], "t.xls cannot be written: a table ends in .csv, .parquet, .ecsv"),
        (["short.npy", "--out", "none/t.csv"], "the folder of none/t.csv does not exist"),
        (["none.npy", "--out", "t.csv"], "none.npy does not exist"),
        (["short.npy", "--out", "t.csv", "--jobs", "0"], "'0' must be 1 or above"),
        (["short.npy", "--out", "t.csv", "--chunk", "x"], "'x' is not a whole number"),
        (["short.npy", "--out", "t.csv", "--align", "a.png"], "a.png cannot be written: an aligned stack ends in"),
        (
            ["short.npy", "--out", "t.csv", "--scheduler", "nonsense://x"],
            "no Dask scheduler can be used at nonsense://x",
        ),
        (
            ["short.npy", "--out", "t.csv", "--scheduler", "tls://127.0.0.1:9"],
            "needs certificates in Dask's configuration",
        ),
        (["short.npy", "--out", "t.csv", "--method", "dft", "--gain", "1"], "--gain goes with --method gn"),
        (["short.npy", "--out", "t.csv", "--reference", "long.npy"], "holds 2400 images; one is needed"),
    ],
)
def test_what_it_says_when_it_cannot(folder, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    for name in ("short.npy", "long.npy"):
        (tmp_path / name).symlink_to(folder / name)
    assert main(["batch", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "t.csv").exists()


def test_world_units_where_the_reference_has_a_wcs(tmp_path):
    first, second = shifted_pair(make_header("pc", angle=30), 2.3, -1.4)
    names = [str(tmp_path / "a.fits"), str(tmp_path / "b.fits")]
    first.writeto(names[0])
    second.writeto(names[1])
    assert main(["batch", *names, "--reference", names[0], "--out", str(tmp_path / "t.ecsv"), "--jobs", "1"]) == 0
    table = Table.read(tmp_path / "t.ecsv")
    matrix = scale_matrix(angle=30)
    assert [table["world_1"][1], table["world_2"][1]] == pytest.approx(list(matrix @ (2.3, -1.4)), rel=0.02)
    row = table[1]
    covariance = np.array([[row["cov_xx"], row["cov_xy"]], [row["cov_xy"], row["cov_yy"]]])
    expected = np.sqrt(np.diag(matrix @ covariance @ matrix.T))
    assert [row["world_sigma_1"], row["world_sigma_2"]] == pytest.approx(list(expected))
    assert str(table["world_1"].unit) == str(table["world_sigma_2"].unit) == "deg"
