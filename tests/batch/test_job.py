"""A whole archive: the table is right, and the same whatever it is worked on with and however often it is begun."""

import csv
import math

import numpy as np
import pytest
import tifffile
import zarr

import rtreg.fft as fft
from rtreg.batch import batch
from rtreg.batch.finder import Finder
from rtreg.batch.store import Store
from rtreg.errors import ConfigError, FrameError
from rtreg.estimators.align import align
from rtreg.io.ser import SerWriter
from rtreg.noise import NoiseModel
from rtreg.records import Shift
from rtreg.simulate import Scene

SHAPE = (64, 72)
COUNT = 23


@pytest.fixture(scope="module")
def scene():
    """A clean reference, frames of it with photon noise, and their shifts."""
    rng = np.random.default_rng(5)
    scene = Scene("stars", SHAPE, seed=3, peak=4000.0)
    reference = scene.render(Shift(0.0, 0.0)).copy()
    shifts = [Shift(*shift) for shift in np.cumsum(rng.normal(0.0, 0.2, (COUNT, 2)), axis=0)]
    frames = np.stack([rng.poisson(scene.render(shift).astype(float)) for shift in shifts]).astype(np.uint16)
    return reference, frames, shifts


@pytest.fixture
def files(tmp_path, scene):
    """The frames in a SER file with times, and in a TIFF stack."""
    _, frames, _ = scene
    writer = SerWriter(tmp_path / "a.ser", SHAPE, np.uint16)
    for k, frame in enumerate(frames[:9]):
        writer.write(frame, 10**18 + 1000 * k)
    writer.close()
    tifffile.imwrite(tmp_path / "b.tif", frames[9:], photometric="minisblack")
    return [str(tmp_path / "a.ser"), str(tmp_path / "b.tif")]


@pytest.fixture
def finder(scene):
    return Finder(scene[0], noise=NoiseModel(gain=1.0), max_shift=8.0)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table(tmp_path, files, finder, scene):
    out = tmp_path / "t.csv"
    said = []
    summary = batch(files, out, finder=finder, chunk=4, jobs=1, progress=lambda *x: said.append(x))
    assert [row["flags"] for row in rows(out)] == [""] * COUNT
    assert summary == (COUNT, 0, 0)
    assert said == [(done, COUNT) for done in (0, 4, 8, 12, 16, 20, 23)]
    table = rows(out)
    assert [(row["file"], int(row["frame"])) for row in table] == [
        *((files[0], k) for k in range(9)),
        *((files[1], k) for k in range(COUNT - 9)),
    ]
    assert [row["t_ns"] for row in table] == [str(10**18 + 1000 * k) for k in range(9)] + [""] * (COUNT - 9)
    for row, shift in zip(table, scene[2], strict=True):
        assert abs(float(row["dx"]) - shift.dx) < 6 * float(row["sigma_x"]) < 0.5
        assert abs(float(row["dy"]) - shift.dy) < 6 * float(row["sigma_y"]) < 0.5
        assert float(row["cov_xx"]) == pytest.approx(float(row["sigma_x"]) ** 2)
        assert row["flags"] == ""
    assert [row["regime"] for row in table] == ["track" if k % 4 else "acquire" for k in range(COUNT)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ser", "b.tif", "t.csv"]


def test_more_processes_give_the_same_table(tmp_path, files, finder):
    for jobs in (1, 2):
        batch(files, tmp_path / f"{jobs}.csv", finder=finder, chunk=4, jobs=jobs)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


class Stop(Exception):
    """Ends a run in the middle."""


def stop_after(count):
    def progress(done, total):
        if done >= count:
            raise Stop

    return progress


@pytest.mark.parametrize("stack", ["al.tif", "al.zarr"])
def test_a_run_that_ended_early_goes_on(tmp_path, files, finder, stack):
    paths = {"out": tmp_path / "t.csv", "aligned": tmp_path / stack}
    with pytest.raises(Stop):
        batch(files, **paths, finder=finder, chunk=4, jobs=1, progress=stop_after(12))
    assert not (tmp_path / "t.csv").exists()
    assert not (tmp_path / stack).exists()
    assert batch(files, **paths, finder=finder, chunk=4, jobs=1) == (COUNT, 0, 12)
    batch(files, tmp_path / "u.csv", aligned=tmp_path / f"u{stack}", finder=finder, chunk=4, jobs=1)
    assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "u.csv").read_bytes()
    read = tifffile.imread if stack.endswith("tif") else lambda path: zarr.open_array(path / "frames", mode="r")[:]
    np.testing.assert_array_equal(read(tmp_path / stack), read(tmp_path / f"u{stack}"))


def test_a_run_that_goes_on_transforms_as_it_began(tmp_path, files, finder, monkeypatch):
    with pytest.raises(Stop):
        batch(files, tmp_path / "t.csv", finder=finder, chunk=4, jobs=1, progress=stop_after(12))
    monkeypatch.setattr("rtreg.batch.job.fft.wisdom_text", lambda: pytest.fail("it has planned anew"))
    borrowed, lend = [], fft.borrowed_wisdom
    monkeypatch.setattr("rtreg.batch.job.fft.borrowed_wisdom", lambda text: borrowed.append(text) or lend(text))
    (kept,) = (tmp_path / "t.csv.chunks").glob("*/wisdom.json")
    text = kept.read_text()
    batch(files, tmp_path / "t.csv", finder=finder, chunk=4, jobs=1)
    assert borrowed == [text] * 3
    assert "fftw" in text


def test_what_was_done_with_other_options_or_files_is_not_used(tmp_path, files, finder, scene):
    out = tmp_path / "t.csv"
    with pytest.raises(Stop):
        batch(files, out, finder=finder, chunk=4, jobs=1, progress=stop_after(12))
    others = [
        {"finder": finder, "chunk": 5},
        {"finder": Finder(scene[0], max_shift=8.0), "chunk": 4},
        {"finder": Finder(scene[0] + np.float32(1), noise=finder.noise, max_shift=8.0), "chunk": 4},
        {"finder": Finder(scene[0], noise=finder.noise, max_shift=9.0), "chunk": 4},
    ]
    for other in others:
        done = []
        with pytest.raises(Stop):
            batch(files, out, **other, jobs=1, progress=lambda *x, done=done: done.append(x) or stop_after(0)(*x))
        assert done == [(0, COUNT)]
    tifffile.imwrite(files[1], scene[1][9:] + np.uint16(1), photometric="minisblack")
    assert batch(files, out, finder=finder, chunk=4, jobs=1).resumed == 0


def test_a_torn_chunk_is_done_again(tmp_path, files, finder):
    out = tmp_path / "t.csv"
    with pytest.raises(Stop):
        batch(files, out, finder=finder, chunk=4, jobs=1, progress=stop_after(12))
    first, second, _ = sorted((tmp_path / "t.csv.chunks").glob("*/*.npy"))
    first.write_bytes(first.read_bytes()[:-1])
    second.write_bytes(b"")
    assert batch(files, out, finder=finder, chunk=4, jobs=1).resumed == 4


def test_a_lost_beginning_of_the_aligned_stack_is_made_anew(tmp_path, files, finder):
    paths = {"out": tmp_path / "t.csv", "aligned": tmp_path / "al.tif"}
    with pytest.raises(Stop):
        batch(files, **paths, finder=finder, chunk=4, jobs=1, progress=stop_after(12))
    for partial in tmp_path.glob(".partial-*-al.tif"):
        partial.unlink()
    assert batch(files, **paths, finder=finder, chunk=4, jobs=1).resumed == 0


@pytest.mark.parametrize("interpolation", ["spline", "fourier"])
def test_the_aligned_stack(tmp_path, files, finder, scene, interpolation):
    for name in ("al.tif", "al.zarr"):
        batch(
            files, tmp_path / f"{name}.csv", finder=finder, chunk=4, jobs=1,
            aligned=tmp_path / name, interpolation=interpolation,
        )  # fmt: skip
    stack = tifffile.imread(tmp_path / "al.tif")
    assert stack.shape == (COUNT, *SHAPE)
    assert stack.dtype == np.float32
    for k, row in enumerate(rows(tmp_path / "al.tif.csv")):
        shift = Shift(float(row["dx"]), float(row["dy"]))
        np.testing.assert_array_equal(stack[k], align(scene[1][k], shift, interpolation=interpolation))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "al.mask.tif"), np.isnan(stack) * 255)
    group = zarr.open_group(tmp_path / "al.zarr", mode="r")
    np.testing.assert_array_equal(group["frames"][:], stack)
    np.testing.assert_array_equal(group["mask"][:], np.isnan(stack))


def test_a_flagged_frame_is_nan_with_a_reason_and_empty_in_the_aligned_stack(tmp_path, finder, scene):
    frames = scene[1][:3].astype(np.float32)
    frames[1] = 7.0
    np.save(tmp_path / "f.npy", frames)
    summary = batch([tmp_path / "f.npy"], tmp_path / "t.csv", finder=finder, jobs=1, aligned=tmp_path / "al.tif")
    assert summary == (3, 1, 0)
    table = rows(tmp_path / "t.csv")
    assert [row["flags"] for row in table] == ["", "DARK", ""]
    assert math.isnan(float(table[1]["dx"]))
    assert [bool(np.isnan(image).all()) for image in tifffile.imread(tmp_path / "al.tif")] == [False, True, False]


def test_outputs_are_not_overwritten_unless_asked(tmp_path, files, finder):
    for name in ("t.csv", "al.mask.tif"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(ConfigError, match=f"{name} exists"):
            batch(files, tmp_path / "t.csv", finder=finder, aligned=tmp_path / "al.tif")
        (tmp_path / name).unlink()
    (tmp_path / "t.csv").write_text("mine")
    batch(files, tmp_path / "t.csv", finder=finder, jobs=1, overwrite=True)
    assert len(rows(tmp_path / "t.csv")) == COUNT


def test_an_input_is_never_written_over(tmp_path, files, finder):
    before = (tmp_path / "b.tif").read_bytes()
    with pytest.raises(ConfigError, match=r"b\.tif is one of the inputs"):
        batch(files, tmp_path / "t.csv", finder=finder, aligned=tmp_path / "b.tif", overwrite=True)
    assert (tmp_path / "b.tif").read_bytes() == before


def test_two_runs_on_one_output_are_one_too_many(tmp_path, files, finder):
    held = Store(tmp_path / "t.csv", "another")
    with pytest.raises(ConfigError, match="another process is at work"):
        batch(files, tmp_path / "t.csv", finder=finder)
    held.close()
    batch(files, tmp_path / "t.csv", finder=finder, jobs=1)


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_kept(tmp_path, files, finder, scene):
    folder = tmp_path / "d"
    folder.mkdir()
    for k in range(8):
        np.save(folder / f"{k}.npy", scene[1][k])
    (folder / "6.npy").write_bytes(b"words")
    with pytest.raises(FrameError, match=r"6\.npy"):
        batch([folder], tmp_path / "t.csv", finder=finder, chunk=4, jobs=1)
    assert len(list((tmp_path / "t.csv.chunks").glob("*/*.npy"))) == 1


@pytest.mark.parametrize("method", ["cross", "dft"])
def test_other_methods(tmp_path, files, scene, method):
    batch(files[:1], tmp_path / "t.csv", finder=Finder(scene[0], method=method), jobs=1)
    for row, shift in zip(rows(tmp_path / "t.csv"), scene[2], strict=False):
        assert (float(row["dx"]), float(row["dy"])) == pytest.approx(tuple(shift), abs=0.15)
