"""Many files as one sequence: any stretch of it is what reading them all would have given."""

import h5py
import numpy as np
import pytest

from rtreg.errors import FrameError
from rtreg.io.archive import Archive
from rtreg.io.ser import SerWriter


@pytest.fixture
def files(tmp_path):
    """Stacks of 3, 1 and 4 frames, and a folder of 2; a frame's pixels all have its number."""
    numbers = iter(range(10))
    names = []
    for name, count in (("a.npy", 3), ("b.npy", 1), ("c.npy", 4)):
        np.save(tmp_path / name, np.stack([np.full((4, 5), next(numbers), np.uint8) for _ in range(count)]))
        names.append(str(tmp_path / name))
    (tmp_path / "d").mkdir()
    for name in ("f1.npy", "f2.npy"):
        np.save(tmp_path / "d" / name, np.full((4, 5), next(numbers), np.uint8))
    return [*names, str(tmp_path / "d")]


def test_every_stretch(files):
    archive = Archive.of(files)
    places = [(files[k], i) for k, count in enumerate((3, 1, 4, 2)) for i in range(count)]
    assert len(archive) == 10
    for start in range(10):
        for stop in range(start, 11):
            images = list(archive.images(start, stop))
            assert [int(image.pixels[0, 0]) for image in images] == list(range(start, stop))
            assert [(image.file, image.number) for image in images] == places[start:stop]
            assert list(archive.places(start, stop)) == places[start:stop]


def test_another_shape_is_named(tmp_path, files):
    np.save(tmp_path / "odd.npy", np.zeros((5, 4), np.uint8))
    with pytest.raises(FrameError, match=r"odd\.npy: images are \(5, 4\) but the reference is \(4, 5\)"):
        Archive.of([*files, tmp_path / "odd.npy"])


def test_times_come_along(tmp_path):
    writer = SerWriter(tmp_path / "a.ser", (4, 5), np.uint8)
    for t_ns in (None, 10**18):
        writer.write(np.ones((4, 5), np.uint8), t_ns)
    writer.close()
    assert [image.t_ns for image in Archive.of([tmp_path / "a.ser"]).images(0, 2)] == [None, 10**18]


def test_relative_names_are_meant_from_where_it_was_made(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive = Archive.of(["b.npy"])
    monkeypatch.chdir("/")
    (image,) = archive.images(0, 1)
    assert image.file == "b.npy"
    assert image.pixels[0, 0] == 3


def test_the_fingerprint_tells_a_changed_file(files, tmp_path):
    before = Archive.of(files).fingerprint()
    assert Archive.of(files).fingerprint() == before
    np.save(tmp_path / "d" / "f2.npy", np.zeros((4, 5), np.uint8))
    assert Archive.of(files).fingerprint() != before


def test_the_fingerprint_tells_stacks_in_one_file_apart(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"], file["two"] = np.zeros((2, 4, 5)), np.ones((2, 4, 5))
    one, two = (Archive.of([f"{tmp_path}/a.h5:/{name}"]).fingerprint() for name in ("one", "two"))
    assert one != two


def test_no_files_at_all():
    with pytest.raises(FrameError, match="at least one file"):
        Archive.of([])
