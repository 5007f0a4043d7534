"""Headers of shared areas: sizes on the sky, at any declination, across longitude 0, in any orientation."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import pixel_to_pixel
from sky import make_header

from rtreg.errors import FrameError
from rtreg.FITS_tools import fits_overlap, header_overlap


def corners(header):
    """The outer corners of an image, (lon, lat) in degrees."""
    ny, nx = header["NAXIS2"], header["NAXIS1"]
    return WCS(header).wcs_pix2world([[-0.5, -0.5], [nx - 0.5, -0.5], [nx - 0.5, ny - 0.5], [-0.5, ny - 0.5]], 0)


def inside(header, points, slack=0.51):
    """Whether points (lon, lat) lie on an image, to half a pixel and round-off."""
    x, y = WCS(header).wcs_world2pix(points, 0).T
    return (np.abs(x - (header["NAXIS1"] - 1) / 2) <= header["NAXIS1"] / 2 + slack) & (
        np.abs(y - (header["NAXIS2"] - 1) / 2) <= header["NAXIS2"] / 2 + slack
    )


def beside(header, dx, dy):
    """The same pixels (dx, dy) further on."""
    moved = header.copy()
    moved["CRPIX1"] -= dx
    moved["CRPIX2"] -= dy
    return moved


@pytest.mark.parametrize("dec", [0.0, 40.0, -60.0, 85.0])
@pytest.mark.parametrize("ra", [150.0, 0.01])
def test_sizes_are_those_on_the_sky(ra, dec):
    """The seed takes differences of RA for angles: too wide by 1/cos(dec); and knows 360 = 0 for some images only."""
    first = make_header("cd", crval=(ra, dec), shape=(50, 70))
    second = beside(first, 20, -10)
    union = header_overlap(first, second)
    assert (union["NAXIS1"], union["NAXIS2"]) == pytest.approx((90, 60), abs=1)
    assert inside(union, corners(first)).all()
    assert inside(union, corners(second)).all()
    shared = header_overlap(first, second, overlap="intersection")
    assert (shared["NAXIS1"], shared["NAXIS2"]) == pytest.approx((50, 40), abs=1)
    for image in (first, second):
        assert inside(image, corners(shared), slack=1.5).all()


@pytest.mark.parametrize("dec", [0.0, 60.0])
def test_an_image_with_itself_is_itself(dec):
    header = make_header("cdelt", crval=(10.0, dec))
    for overlap in ("union", "intersection"):
        same = header_overlap(header, header, overlap=overlap)
        assert (same["NAXIS1"], same["NAXIS2"]) == (64, 64)
        np.testing.assert_allclose(corners(same), corners(header), atol=1e-9)


@pytest.mark.parametrize("kind", ["cd", "pc", "crota"])
def test_rotated_images_have_an_upright_overlap(kind):
    first = make_header(kind, angle=30, shape=(60, 60))
    union = header_overlap(first, make_header("cdelt", shape=(20, 20)))
    extent = 60 * (np.cos(np.pi / 6) + np.sin(np.pi / 6))
    assert (union["NAXIS1"], union["NAXIS2"]) == pytest.approx((extent, extent), abs=1)
    np.testing.assert_allclose(WCS(union).pixel_scale_matrix, [[-1e-3, 0], [0, 1e-3]], atol=1e-12)
    assert inside(union, corners(first)).all()
    assert not any(key.startswith(("CD1", "PC", "CROTA")) for key in union)


def test_pixels_are_as_fine_as_the_finer():
    fine, coarse = make_header(scale=0.5e-3, shape=(40, 40)), make_header(scale=2e-3, shape=(40, 40))
    for pair in ((fine, coarse), (coarse, fine)):
        union = header_overlap(*pair)
        assert (union["NAXIS1"], union["NAXIS2"]) == (160, 160)
        assert union["CDELT2"] == pytest.approx(0.5e-3)
        assert header_overlap(*pair, overlap="intersection")["NAXIS1"] == 40


def test_the_hand_of_the_first_image_is_kept():
    for parity in (-1, 1):
        union = header_overlap(make_header(parity=parity), make_header(parity=-1))
        assert np.sign(union["CDELT1"]) == parity
        assert union["CDELT2"] > 0


def test_images_apart_share_nothing_and_are_both_covered():
    first = make_header()
    second = beside(first, 200, 0)
    shared = header_overlap(first, second, overlap="intersection")
    assert shared["NAXIS1"] == 0
    union = header_overlap(first, second)
    assert (union["NAXIS1"], union["NAXIS2"]) == pytest.approx((264, 64), abs=1)


def test_images_in_two_celestial_frames():
    first = make_header()
    centre = WCS(first).pixel_to_world(31.5, 31.5).galactic
    second = make_header("cdelt", shape=(30, 30), crval=(centre.l.deg, centre.b.deg))
    second["CTYPE1"], second["CTYPE2"] = "GLON-TAN", "GLAT-TAN"
    del second["RADESYS"]
    shared = header_overlap(first, second, overlap="intersection")
    assert shared["CTYPE1"] == "RA---TAN"
    x, y = pixel_to_pixel(WCS(second), WCS(shared), 14.5, 14.5)
    assert (x, y) == pytest.approx(((shared["NAXIS1"] - 1) / 2, (shared["NAXIS2"] - 1) / 2), abs=0.6)


def test_longitude_and_latitude_in_other_projections():
    header = make_header("cdelt", ctype="CAR", crval=(30.0, 0.0))
    header["CTYPE1"], header["CTYPE2"] = "GLON-CAR", "GLAT-CAR"
    del header["RADESYS"]
    union = header_overlap(header, beside(header, 10, 0))
    assert (union["NAXIS1"], union["NAXIS2"]) == (74, 64)
    assert union["CTYPE1"] == "GLON-CAR"


def test_distortion_moves_the_edge_and_is_left_behind():
    sip = make_header(ctype="TAN-SIP")
    sip["A_ORDER"], sip["B_ORDER"], sip["A_2_0"] = 2, 2, 2e-3
    union = header_overlap(sip, sip)
    assert union["NAXIS1"] == pytest.approx(64, abs=1)  # x + 0.002 x² moves both edges the same way
    assert union["CTYPE1"] == "RA---TAN"
    assert "A_2_0" not in union
    np.testing.assert_allclose(corners(union)[:, 0], corners(make_header())[:, 0] - 2.7e-3, atol=1e-3)


def test_other_cards_of_the_first_header_stay():
    first = make_header()
    first["OBJECT"] = "M 44"
    assert header_overlap(first, make_header())["OBJECT"] == "M 44"
    assert first["NAXIS1"] == 64


def test_files_and_all_other_forms(tmp_path):
    first, second = make_header(), beside(make_header(), 8, 4)
    expected = header_overlap(first, second)
    fits.writeto(tmp_path / "a.fits", np.zeros((64, 64)), first)
    hdu = fits.ImageHDU(np.zeros((64, 64)), second)
    for form in (hdu, fits.HDUList([fits.PrimaryHDU(), hdu]), second.tostring(sep="\n")):
        union = fits_overlap(tmp_path / "a.fits", form, overlap="union")
        for key in ("NAXIS1", "NAXIS2", "CRPIX1", "CRVAL1", "CRVAL2", "CDELT1"):
            assert union[key] == pytest.approx(expected[key])


def test_linear_axes_without_a_sky():
    header = fits.Header({"NAXIS": 2, "NAXIS1": 10, "NAXIS2": 20, "CDELT1": 0.5, "CDELT2": 0.25, "CRPIX1": 1.0})
    second = header.copy()
    second["CRPIX1"], second["CRPIX2"] = -3.0, 1.0
    union = header_overlap(header, second)
    assert (union["NAXIS1"], union["NAXIS2"]) == (14, 21)


def test_what_cannot_be_is_said():
    header = make_header()
    with pytest.raises(ValueError, match="'both'"):
        header_overlap(header, header, overlap="both")
    with pytest.raises(ValueError, match="60 degrees apart"):
        header_overlap(make_header(crval=(0.0, 0.0)), make_header(crval=(60.0, 0.0)), max_separation=50)
    with pytest.raises(FrameError, match="cannot show both"):
        header_overlap(make_header(crval=(0.0, 0.0)), make_header(crval=(180.0, 0.0)))
    del header["NAXIS1"]
    with pytest.raises(FrameError, match="NAXIS1"):
        header_overlap(header, make_header())
