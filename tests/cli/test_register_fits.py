"""``rtreg register`` on FITS files: methods, error images, and offsets in world units."""

import json

import numpy as np
import pytest
from astropy.io import fits
from sky import make_header, scale_matrix, shifted_pair

from rtreg.cli import main

SHIFT = (2.3, -1.4)


@pytest.fixture
def pair(tmp_path):
    """Two images of one scene with a rotated WCS, and the errors of the second."""
    names = [str(tmp_path / f"{name}.fits") for name in ("a", "b", "err")]
    first, second = shifted_pair(make_header("pc", angle=30), *SHIFT)
    first.writeto(names[0])
    second.writeto(names[1])
    fits.writeto(names[2], np.full((64, 64), 0.5))
    return names


def answer(capsys, *args, code=0):
    assert main(["register", *args, "--json"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("method", ["gn", "chi2", "cross", "dft"])
def test_pixel_and_world_offsets_with_errors(capsys, pair, method):
    (row,) = answer(capsys, *pair[:2], "--method", method)
    assert (row["dx"], row["dy"]) == pytest.approx(SHIFT, abs=0.02)
    assert 0 < row["sigma_x"] < 0.1
    matrix = scale_matrix(angle=30)
    assert row["world"]["offset"] == pytest.approx(list(matrix @ (row["dx"], row["dy"])))
    assert row["world"]["unit"] == ["deg", "deg"]
    xx, xy, yy = row["cov"]
    expected = np.sqrt(np.diag(matrix @ [[xx, xy], [xy, yy]] @ matrix.T))
    assert row["world"]["sigma"] == pytest.approx(list(expected))
    assert min(row["world"]["sigma"]) > 0


@pytest.mark.parametrize("method", ["chi2", "cross"])
def test_an_error_image_counts(capsys, pair, method):
    rows = []
    for scale in (1, 4):
        fits.writeto(pair[2], np.full((64, 64), 0.5 * scale), overwrite=True)
        rows += answer(capsys, *pair[:2], "--method", method, "--err", pair[2])
    assert rows[0]["dx"] == pytest.approx(SHIFT[0], abs=0.02)
    assert rows[1]["sigma_x"] == pytest.approx(4 * rows[0]["sigma_x"], rel=0.01)


def test_pixels_that_the_error_image_masks_do_not_count(capsys, pair):
    with fits.open(pair[1], mode="update") as hdus:
        hdus[0].data[10:16, 40:46] = 5000
    error = np.full((64, 64), 0.5)
    error[8:18, 38:48] = 0
    fits.writeto(pair[2], error, overwrite=True)
    (row,) = answer(capsys, *pair[:2], "--method", "chi2", "--err", pair[2])
    assert (row["dx"], row["dy"]) == pytest.approx(SHIFT, abs=0.02)


def test_the_table_has_world_columns_where_there_is_a_world(capsys, pair):
    assert main(["register", *pair[:2]]) == 0
    head, row = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert head[6:] == ["world 1 deg", "world 2 deg", "sigma_1", "sigma_2", "chi2/dof", "flags"]
    assert len(row) == len(head)
    assert [float(cell) for cell in row[6:8]] == pytest.approx(list(scale_matrix(angle=30) @ SHIFT), rel=0.01)


def test_no_world_without_a_wcs(capsys, tmp_path, pair):
    for name in pair[:2]:
        data = fits.getdata(name)
        fits.writeto(name, data, overwrite=True)
        np.save(name + ".npy", data)
    assert answer(capsys, *pair[:2])[0]["world"] is None
    assert answer(capsys, *(name + ".npy" for name in pair[:2]))[0]["world"] is None


def test_a_frame_that_cannot_be_measured_is_null_in_both_units(capsys, tmp_path, pair):
    fits.writeto(tmp_path / "nan.fits", np.full((64, 64), np.nan))
    (row,) = answer(capsys, pair[0], str(tmp_path / "nan.fits"), code=1)
    assert row["flags"]
    assert row["dx"] is None
    assert row["world"]["offset"] == [None, None]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--method", "chi2", "--gain", "1"], "--gain goes with --method gn"),
        (["--method", "dft", "--read-noise", "1"], "--read-noise goes with --method gn"),
        (["--method", "dft", "--err", "err.fits"], "--err goes with --method chi2 or cross"),
        (["--err", "err.fits"], "--err goes with --method chi2 or cross"),
        (["--method", "chi2", "--max-shift", "5"], "--max-shift goes with"),
    ],
)
def test_options_that_a_method_would_ignore_are_refused(capsys, pair, args, said):
    assert main(["register", *pair[:2], *args]) == 2
    assert said in capsys.readouterr().err


def test_an_error_image_of_another_shape_is_named(capsys, tmp_path, pair):
    fits.writeto(pair[2], np.ones((10, 10)), overwrite=True)
    assert main(["register", *pair[:2], "--method", "chi2", "--err", pair[2]]) == 2
    assert "(10, 10)" in capsys.readouterr().err
