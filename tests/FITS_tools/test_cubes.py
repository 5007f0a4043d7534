"""Times of single FITS images, by their headers; cubes are written and read in tests/cli/test_rec_exchange.py."""

import numpy as np
import pytest
from astropy.io import fits

from rtreg.FITS_tools.cubes import Cube

T0 = int(np.datetime64("2026-03-01T21:30:00.25", "ns").astype(np.int64))


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({}, {}),
        ({"DATE-OBS": "2026-03-01T21:30:00.25"}, {"t_ns": T0}),
        ({"DATE-OBS": "2026-03-01T21:30:00.25Z", "EXPTIME": 0.5}, {"t_ns": T0 + 250_000_000}),
        ({"DATE-OBS": "2026-03-01T21:29:00", "DATE-AVG": "2026-03-01T21:30:00.25", "EXPTIME": 9.0}, {"t_ns": T0}),
        ({"DATE-OBS": "2026-03-01"}, {}),
        ({"DATE-OBS": "yesTerday"}, {}),
        ({"DATE-OBS": "2026-03-01T21:30:00.25", "EXPTIME": "long"}, {}),
        ({"DATE-OBS": "2026-03-01T21:30:00.25", "TIMESYS": "TAI"}, {}),
    ],
)
def test_time_of_an_image(tmp_path, cards, expected):
    fits.PrimaryHDU(np.ones((4, 5)), fits.Header(cards)).writeto(tmp_path / "a.fits")
    cube = Cube(tmp_path / "a.fits")
    assert cube.about(0) == expected
    cube.close()


def test_a_cube_of_others_says_nothing_of_its_frames(tmp_path):
    header = fits.Header({"DATE-OBS": "2026-03-01T21:30:00.25"})
    table = fits.BinTableHDU.from_columns([fits.Column("A", "K", array=[1, 2])], name="FRAMES")
    fits.HDUList([fits.PrimaryHDU(np.ones((2, 4, 5)), header), table]).writeto(tmp_path / "a.fits")
    cube = Cube(tmp_path / "a.fits")
    assert [cube.about(0), cube.about(1)] == [{}, {}]
    cube.close()
