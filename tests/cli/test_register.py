"""``rtreg register`` on real files: what it measures, how it says so, and its exit code."""

import json

import numpy as np
import pytest
from PIL import Image

from rtreg.cli import main

SHIFTS = [(0.0, 0.0), (1.5, -2.25), (-3.0, 0.5)]


def spots(dx, dy, seed):
    """Six stars on a dark field, with photon noise at gain 1; of fewer, one could be taken for another."""
    y, x = np.mgrid[:64, :80]
    image = np.full((64, 80), 20.0)
    stars = ((30, 20, 4000), (55, 40, 3000), (20, 45, 2000), (64, 12, 1500), (41, 52, 2500), (12, 14, 1000))
    for cx, cy, flux in stars:
        image += flux * np.exp(-((x - cx - dx) ** 2 + (y - cy - dy) ** 2) / 8)
    return np.random.default_rng(seed).poisson(image).astype(np.uint16)


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "ref.npy"
    np.save(path, spots(0, 0, 99))
    return str(path)


@pytest.fixture
def stack(tmp_path):
    path = tmp_path / "stack.npy"
    np.save(path, np.stack([spots(dx, dy, seed) for seed, (dx, dy) in enumerate(SHIFTS)]))
    return str(path)


def test_json_of_a_stack(capsys, reference, stack):
    assert main(["register", reference, stack, "--json", "--gain", "1", "--read-noise", "0"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["frame"] for row in rows] == [0, 1, 2]
    for row, (dx, dy) in zip(rows, SHIFTS, strict=True):
        assert abs(row["dx"] - dx) < 6 * row["sigma_x"] < 0.2
        assert abs(row["dy"] - dy) < 6 * row["sigma_y"] < 0.2
        assert row["flags"] == []
        assert row["file"] == stack
        assert row["cov"][0] == pytest.approx(row["sigma_x"] ** 2)


def test_every_format_gives_the_same_answer(capsys, tmp_path, reference):
    import tifffile
    from astropy.io import fits

    frame = spots(1.25, -0.75, 7)
    fits.writeto(tmp_path / "f.fits", frame)
    tifffile.imwrite(tmp_path / "f.tif", frame)
    np.save(tmp_path / "f.npy", frame)
    Image.fromarray(frame).save(tmp_path / "f.png")
    files = [str(tmp_path / f"f.{suffix}") for suffix in ("fits", "tif", "npy", "png")]
    assert main(["register", reference, *files, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in rows] == files
    assert rows[0]["dx"] == pytest.approx(1.25, abs=0.05)
    for row in rows[1:]:
        assert row["dx"] == pytest.approx(rows[0]["dx"], abs=1e-3)


def test_plain_table_when_piped(capsys, reference, stack):
    assert main(["register", reference, stack]) == 0
    out, err = capsys.readouterr()
    head, *rows = (line.split("\t") for line in out.splitlines())
    assert head == ["file", "frame", "dx px", "dy px", "sigma_x", "sigma_y", "chi2/dof", "flags"]
    assert [float(row[2]) for row in rows] == pytest.approx([dx for dx, _ in SHIFTS], abs=0.1)
    assert err == ""  # progress is for terminals


def test_flagged_frames_are_null_and_exit_with_1(capsys, tmp_path, reference):
    np.save(tmp_path / "dark.npy", np.full((64, 80), np.nan, np.float32))
    assert main(["register", reference, str(tmp_path / "dark.npy"), "--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert row["flags"]
    assert row["dx"] is None
    assert row["sigma_x"] is None


def test_masked_pixels_do_not_count(capsys, tmp_path, reference):
    frame = spots(1, 1, 5)
    frame[5:9, 60:70] = 60000  # something bright that does not move
    reference_image = np.load(reference)
    reference_image[5:9, 60:70] = 60000
    np.save(tmp_path / "ref2.npy", reference_image)
    np.save(tmp_path / "frame.npy", frame)
    mask = np.zeros((64, 80), np.uint8)
    mask[4:10, 59:71] = 1
    np.save(tmp_path / "mask.npy", mask)
    files = [str(tmp_path / "ref2.npy"), str(tmp_path / "frame.npy")]
    main(["register", *files, "--json", "--mask", str(tmp_path / "mask.npy"), "--max-shift", "8"])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["dx"] == pytest.approx(1, abs=0.1)
    assert row["dy"] == pytest.approx(1, abs=0.1)


def test_a_frame_of_another_shape_is_named(capsys, tmp_path, reference):
    path = tmp_path / "small.npy"
    np.save(path, np.ones((10, 10), np.uint8))
    assert main(["register", reference, str(path)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "small.npy" in err
    assert "(10, 10)" in err


def test_a_file_that_is_no_image_is_named(capsys, tmp_path, reference):
    path = tmp_path / "words.fits"
    path.write_text("not an image")
    assert main(["register", reference, str(path)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "words.fits" in err
