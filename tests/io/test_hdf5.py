"""HDF5 files of frames: ours, and those of others."""

import json

import h5py
import numpy as np
import pytest

from rtreg.errors import ConfigError, FrameError
from rtreg.io.hdf5 import Hdf5Writer
from rtreg.io.images import open_stack

FRAMES = np.arange(150 * 20, dtype=np.int32).reshape(150, 4, 5) - 1000


def test_round_trip_keeps_pixels_times_and_order(tmp_path):
    headers = [{"stream": "cam", "epoch": 2**64 - 1, "seq": k, "t_ns": 10**18 + k} for k in range(150)]
    writer = Hdf5Writer(tmp_path / "a.h5", (4, 5), np.int32)
    for image, header in zip(FRAMES, headers, strict=True):
        writer.write(image, header["t_ns"], 5, json.dumps(header))
    writer.close()
    writer.close()  # twice does no harm
    with open_stack(tmp_path / "a.h5") as stack:
        np.testing.assert_array_equal(list(stack), FRAMES)
        assert [stack.about(k) for k in range(150)] == headers
    with h5py.File(tmp_path / "a.h5") as file:  # what other programs look at
        assert file["t_ns"][:].tolist() == [header["t_ns"] for header in headers]
        assert file["exp_ns"][:].tolist() == [5] * 150


def test_files_of_others(tmp_path):
    path = tmp_path / "scan.hdf5"
    with h5py.File(path, "w") as file:
        file["entry/data"] = FRAMES
        file["entry/energies"] = np.arange(3.0)
    with open_stack(path) as stack:
        np.testing.assert_array_equal(stack[7], FRAMES[7])
        assert stack.about(7) == {}
    with h5py.File(path, "a") as file:
        file["dark"] = FRAMES[0]
    with pytest.raises(FrameError, match=r"/dark, /entry/data; say which one: .*scan\.hdf5:/dark"):
        open_stack(path)
    with open_stack(f"{path}:/entry/data") as stack:
        assert len(stack) == 150
    with open_stack(f"{path}:/dark") as stack:
        np.testing.assert_array_equal(list(stack), FRAMES[:1])


@pytest.mark.parametrize("inside", ["/nothing", "/entry", "/entry/energies"])
def test_a_name_that_is_no_stack(tmp_path, inside):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/energies"] = np.arange(3.0)
    with pytest.raises(FrameError, match=r"a\.h5"):
        open_stack(f"{tmp_path}/a.h5:{inside}")


def test_no_images_and_no_file(tmp_path):
    h5py.File(tmp_path / "a.h5", "w").close()
    with pytest.raises(FrameError, match="holds no dataset"):
        open_stack(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_text("words")
    with pytest.raises(FrameError, match="cannot be read"):
        open_stack(tmp_path / "b.h5")


def test_without_h5py_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ConfigError, match=r"pip install 'rtreg\[hdf5\]'"):
        Hdf5Writer(tmp_path / "a.h5", (4, 5), np.int32)
