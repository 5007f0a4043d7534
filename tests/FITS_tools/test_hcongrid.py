"""Images on other pixels, and headers that stay true to them (row 32: the seed's module cannot be imported)."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from sky import make_hdu, make_header, sky_image

from rtreg.errors import FrameError
from rtreg.FITS_tools import hcongrid, zoom_fits


def test_row_32_an_image_on_another_grid():
    source, target = make_header("crota", angle=33, shape=(90, 90), scale=0.8e-3), make_header(shape=(50, 40))
    image = sky_image(source, noise=0)
    image.setflags(write=False)
    moved = hcongrid(image, source, target, order=3)
    assert moved.shape == (50, 40)
    np.testing.assert_allclose(moved, sky_image(target, noise=0), atol=5)


def test_header_text_and_hdus_as_grids():
    source, target = make_header(), make_header(shape=(30, 30))
    image = sky_image(source, noise=0)
    expected = hcongrid(image, source, target)
    grid = fits.PrimaryHDU(np.zeros((30, 30)), target)
    np.testing.assert_array_equal(hcongrid(image, source.tostring(sep="\n"), grid), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_pixels_stay_bad_or_become_zero(bad):
    source, target = make_header(), make_header(shape=(100, 100))
    image = np.ones((64, 64))
    image[30:33, 30:33] = bad
    kept, dropped = (hcongrid(image, source, target, preserve_bad_pixels=keep) for keep in (True, False))
    centre, outside = (49, 49), (5, 50)
    assert np.isnan(kept[centre])
    assert np.isnan(kept[outside])
    assert dropped[centre] == dropped[outside] == 0
    assert np.isfinite(dropped).all()
    good = np.isfinite(kept)
    assert 64 * 64 - 25 <= good.sum() <= 64 * 64 - 9  # a pixel touched by round-off may go
    np.testing.assert_allclose(dropped[good], 1)
    assert np.isin(image[30, 30], [bad]) or np.isnan(image[30, 30])  # the input is as it was


@pytest.mark.parametrize("kind", ["cd", "pc", "crota"])
@pytest.mark.parametrize("factor", [2, 0.5, 1.5, 3])
def test_row_32_a_zoomed_image_and_its_header_agree(kind, factor):
    hdu = make_hdu(make_header(kind, angle=20, shape=(60, 80)), noise=0)
    zoomed = zoom_fits(hdu, factor, order="bicubic")
    assert zoomed.data.shape == (60 * factor, 80 * factor)
    assert (zoomed.header["NAXIS1"], zoomed.header["NAXIS2"]) == (80 * factor, 60 * factor)
    inner = np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(zoomed.data[inner], sky_image(zoomed.header, noise=0)[inner], atol=3)
    corner = [[-0.5, -0.5]]
    np.testing.assert_allclose(WCS(zoomed.header).wcs_pix2world(corner, 0), WCS(hdu.header).wcs_pix2world(corner, 0))


def test_zoom_scales_distortion_too():
    header = make_header(ctype="TAN-SIP")
    header["A_ORDER"], header["B_ORDER"] = 2, 2
    header["A_2_0"], header["B_1_1"], header["A_0_1"] = 2e-3, -1e-3, 3e-3
    zoomed = zoom_fits(make_hdu(header, noise=0), 2, order="bicubic")
    points = np.array([[5.0, 9.0], [50.0, 33.0]])
    np.testing.assert_allclose(
        WCS(zoomed.header).all_pix2world(points * 2 + 0.5, 0), WCS(header).all_pix2world(points, 0), rtol=1e-12
    )
    inner = np.s_[8:-8, 8:-8]
    np.testing.assert_allclose(zoomed.data[inner], sky_image(zoomed.header, noise=0)[inner], atol=5)


def test_zoom_of_files_integers_and_images_without_a_wcs(tmp_path):
    image = np.arange(24, dtype=np.uint16).reshape(4, 6)
    fits.writeto(tmp_path / "a.fits", image)
    zoomed = zoom_fits(tmp_path / "a.fits", 2)
    assert zoomed.data.shape == (8, 12)
    assert zoomed.data[1, 1] == pytest.approx(0.25 * 1 + 0.25 * 6)
    zoomed.writeto(tmp_path / "b.fits")
    with fits.open(tmp_path / "b.fits") as back:
        np.testing.assert_array_equal(back[0].data, zoomed.data)
    assert zoom_fits((image, fits.Header()), 0.01).data.shape == (1, 1)


@pytest.mark.parametrize("factor", [0, -1, np.nan, np.inf])
def test_zoom_refuses_factors_that_are_none(factor):
    with pytest.raises(FrameError, match="scalefactor"):
        zoom_fits(make_hdu(make_header()), factor)


def test_zoom_refuses_distortion_tables():
    header = make_header()
    header["CPDIS1"] = "LOOKUP"
    with pytest.raises(FrameError, match="distortion table"):
        zoom_fits((np.ones((64, 64)), header), 2)
