"""Offsets of FITS images, in pixels and on the sky, against a scene whose truth is known on the sky."""

import builtins
import inspect
import math

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from sky import CENTRE, make_hdu, make_header, scale_matrix, shifted_pair, sky_image

from rtreg.chi2_shifts import chi2_shift, chi2_shift_iterzoom
from rtreg.cross_correlation_shifts import cross_correlation_shifts
from rtreg.errors import FrameError
from rtreg.FITS_tools import (
    cross_correlation_shifts_FITS,
    match_fits,
    project_to_header,
    register_fits,
)
from rtreg.FITS_tools.world import WorldScale
from rtreg.register_images import register_images

FINDERS = [chi2_shift_iterzoom, chi2_shift, register_images, cross_correlation_shifts]
HEADERS = [("cd", 0), ("cd", 30), ("cd", 90), ("pc", 30), ("pc", -120), ("crota", 30), ("cdelt", 0)]
SHIFT = 2.3, -1.4


# --- matching


def test_projection_of_an_image_follows_the_sky():
    source, target = make_header("pc", angle=25, shape=(100, 100), scale=0.7e-3), make_header(shape=(40, 50))
    projected = project_to_header(make_hdu(source, noise=0), target, order="bicubic")
    assert projected.shape == (40, 50)
    np.testing.assert_allclose(projected, sky_image(target, noise=0), atol=3)


def test_projection_takes_every_form_of_image_and_header(tmp_path):
    header = make_header()
    hdu, target = make_hdu(header), make_header(shape=(20, 20))
    hdu.writeto(tmp_path / "a.fits")
    expected = project_to_header(hdu, target)
    np.testing.assert_allclose(expected, hdu.data[22:42, 22:42], rtol=1e-6)
    for source in (tmp_path / "a.fits", str(tmp_path / "a.fits"), fits.HDUList([hdu]), (hdu.data, header)):
        for to in (target, target.tostring(sep="\n"), fits.PrimaryHDU(np.zeros((20, 20)), target)):
            np.testing.assert_array_equal(project_to_header(source, to), expected)
    np.testing.assert_array_equal(project_to_header(hdu, target, quiet=True, parallel=False), expected)
    assert project_to_header(hdu, target, shape_out=(5, 6)).shape == (5, 6)


def test_projection_refuses_what_it_does_not_know():
    hdu, target = make_hdu(make_header()), make_header()
    with pytest.raises(TypeError, match="upsample_factor"):
        project_to_header(hdu, target, upsample_factor=3)
    with pytest.raises(FrameError, match="2-D"):
        project_to_header((np.zeros((2, 4, 4)), target), target)
    del target["NAXIS1"]
    with pytest.raises(FrameError, match="NAXIS1"):
        project_to_header(hdu, target)


def test_match_projects_the_second_image_onto_the_first():
    first = make_hdu(make_header(), noise=0)
    second = make_hdu(make_header("pc", angle=40, shape=(120, 120), scale=0.8e-3), noise=0)
    image1, image2, header = match_fits(first, second, return_header=True, order="bicubic")
    np.testing.assert_array_equal(image1, first.data)
    np.testing.assert_allclose(image2, first.data, atol=3)
    assert WCS(header).wcs.compare(WCS(first.header).wcs)


def test_match_projects_both_onto_a_header():
    target = make_header("crota", angle=-10, shape=(30, 36))
    images = match_fits(
        make_hdu(make_header()), make_hdu(make_header("pc", angle=40)), header=target.tostring(sep="\n")
    )
    assert len(images) == 2
    for image in images:
        np.testing.assert_allclose(image, sky_image(target, noise=0), atol=20)


def test_images_on_the_same_pixels_need_neither_wcs_nor_reproject(monkeypatch):
    def forbid(name, *args, **kwargs):
        if name.split(".")[0] == "reproject":
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", forbid)
    plain = [fits.PrimaryHDU(hdu.data) for hdu in shifted_pair(make_header(), *SHIFT)]
    dx, dy, wx, wy, *_ = register_fits(*plain)
    assert (dx, dy) == pytest.approx(SHIFT, abs=0.01)
    assert (wx, wy) == (dx, dy)  # without a WCS the world is the pixel grid
    with pytest.raises(ImportError, match=r"rtreg\[fits\]"):
        register_fits(make_hdu(make_header()), make_hdu(make_header(angle=10)))


def test_distorted_images_are_projected_though_their_linear_parts_agree(finder):
    first = make_hdu(make_header(), noise=0)
    sip = make_header()
    sip["CTYPE1"], sip["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    sip["A_ORDER"], sip["B_ORDER"], sip["A_2_0"] = 2, 2, 2e-3
    second = make_hdu(sip, noise=0)
    image1, image2 = match_fits(first, second, order="bicubic")
    assert np.nanmax(np.abs(second.data - first.data)) > 50
    inner = np.s_[8:-8, 8:-8]
    np.testing.assert_allclose(image2[inner], image1[inner], atol=6)


def test_sigma_cut_leaves_what_is_significant_in_both():
    first, second = shifted_pair(make_header(), 1, 0, noise=5)
    cut1, cut2 = match_fits(first, second, sigma_cut=3)
    for cut, whole in ((cut1, first.data), (cut2, second.data)):
        kept = cut != 0
        np.testing.assert_array_equal(cut[kept], whole[kept])
        assert 0.01 < kept.mean() < 0.7
    plain, _ = match_fits(first, second, sigma_cut=3, use_mad_std=False)
    assert (plain != 0).mean() < (cut1 != 0).mean()  # stars raise the plain deviation


def test_sigma_cut_that_leaves_nothing_is_not_made():
    first, second = shifted_pair(make_header(), 0, 0)
    with pytest.warns(UserWarning, match="sigma_cut = 1e"):
        cut1, _ = match_fits(first, second, sigma_cut=1e6)
    np.testing.assert_array_equal(cut1, first.data)


def test_match_refuses_options_that_nobody_takes():
    first, second = shifted_pair(make_header(), 0, 0)
    with pytest.raises(TypeError, match="oder"):
        match_fits(first, second, oder="bicubic")


# --- registering


@pytest.mark.parametrize("finder", FINDERS, ids=lambda f: f.__name__)
def test_row_34_every_shift_finder_registers(finder):
    """The seed passes `err` to all of them, which two of the four do not take."""
    options = {"usfac": 100} if finder is register_images else {}
    dx, dy, wx, wy, ex, ey, ewx, ewy = register_fits(
        *shifted_pair(make_header(), *SHIFT), register_method=finder, **options
    )
    assert (dx, dy) == pytest.approx(SHIFT, abs=0.02)
    assert (wx, wy) == pytest.approx((-dx * 1e-3, dy * 1e-3), rel=1e-9)
    assert min(ex, ey, ewx, ewy) > 0  # the seed: negative on the axis with negative CDELT
    assert (ewx, ewy) == pytest.approx((ex * 1e-3, ey * 1e-3), rel=1e-6)


@pytest.mark.parametrize(("kind", "angle"), HEADERS)
@pytest.mark.parametrize("parity", [-1, 1])
def test_world_offsets_honour_the_whole_matrix(finder, kind, angle, parity):
    header = make_header(kind, angle=angle, parity=parity)
    hdu = fits.PrimaryHDU(np.zeros((64, 64)), header)
    dx, dy, wx, wy, ex, ey, ewx, ewy = register_fits(hdu, hdu, register_method=finder)
    assert (dx, dy, ex, ey) == finder.answer
    matrix = scale_matrix(angle=angle, parity=parity)
    assert (wx, wy) == pytest.approx(matrix @ (dx, dy))
    assert (ewx, ewy) == pytest.approx(np.sqrt(matrix**2 @ (ex**2, ey**2)))
    assert min(ewx, ewy) > 0


@pytest.mark.parametrize(("kind", "angle"), HEADERS)
def test_row_12_world_offsets_of_the_cross_correlation(finder, kind, angle):
    """The seed: 0, 0 without CD cards, and the diagonal alone with them."""
    hdu = fits.PrimaryHDU(np.zeros((64, 64)), make_header(kind, angle=angle))
    found = cross_correlation_shifts_FITS(hdu, hdu, register_method=finder)
    assert found == pytest.approx((2.0, -1.0, *(scale_matrix(angle=angle) @ (2.0, -1.0))))


@pytest.mark.parametrize(("kind", "angle"), HEADERS)
def test_an_offset_on_the_sky_is_found_whatever_the_pixels(kind, angle):
    """An image whose WCS is off by a known angle: the offset has its sign, east and north, and can be taken off."""
    east, north = 1.7e-3, -2.2e-3
    first = make_hdu(make_header(kind, angle=angle))
    second = make_hdu(make_header("pc", angle=-35, scale=0.9e-3, shape=(100, 90)), offset=(east, north), seed=5)
    _, _, wx, wy, _, _, ewx, ewy = register_fits(first, second, order="bicubic")
    assert wx == pytest.approx(east, abs=1e-5)
    assert wy == pytest.approx(north, abs=1e-5)
    second.header["CRVAL1"] -= wx / math.cos(math.radians(second.header["CRVAL2"]))
    second.header["CRVAL2"] -= wy
    _, _, wx, wy, *_ = register_fits(first, second, order="bicubic")
    assert math.hypot(wx, wy) < 2e-5
    assert ewx < 1e-5
    assert ewy < 1e-5


def test_world_units_are_those_of_the_header(finder):
    header = make_header("cdelt")
    for axis in (1, 2):
        header[f"CTYPE{axis}"], header[f"CUNIT{axis}"], header[f"CRVAL{axis}"] = "LINEAR", "mm", 0.0
    hdu = fits.PrimaryHDU(np.zeros((64, 64)), header)
    found = register_fits(hdu, hdu, register_method=finder, return_error=False)
    assert found == pytest.approx((2.0, -1.0, -2e-3, -1e-3))
    assert WorldScale.of(header).units == ("mm", "mm")


def test_old_spellings_in_headers_are_no_news():
    """Warnings are errors here; the WCS library has one for each of these cards, at each reading."""
    first, second = shifted_pair(make_header(), *SHIFT)
    for hdu in (first, second):
        hdu.header["DATE-OBS"], hdu.header["MJD-OBS"] = "01/02/97", 50480.0
        hdu.header["RADECSYS"] = hdu.header.pop("RADESYS")
    second.header["CRPIX1"] += 1
    assert register_fits(first, second)[0] == pytest.approx(SHIFT[0] - 1, abs=0.02)


def test_arcseconds_become_degrees(finder):
    header = make_header("cdelt", scale=0.5)
    header["CUNIT1"] = header["CUNIT2"] = "arcsec"
    header["CRVAL1"], header["CRVAL2"] = (angle * 3600 for angle in CENTRE)
    hdu = fits.PrimaryHDU(np.zeros((64, 64)), header)
    found = register_fits(hdu, hdu, register_method=finder, return_error=False)
    assert found[2:] == pytest.approx((-1.0 / 3600, -0.5 / 3600))
    assert WorldScale.of(header).units == ("deg", "deg")


def test_optional_returns_keep_their_order(finder):
    first, second = shifted_pair(make_header(), 2, -1, noise=0)
    everything = register_fits(
        first,
        second,
        register_method=finder,
        return_cropped_images=True,
        return_shifted_image=True,
        return_header=True,
    )
    assert len(everything) == 12
    np.testing.assert_array_equal(everything[8], first.data)
    np.testing.assert_array_equal(everything[9], second.data)
    shifted, header = everything[10:]
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(shifted[inner], first.data[inner], atol=0.01)
    assert np.isnan(shifted[-1]).any() or np.isnan(shifted[0]).any()
    assert header["CRVAL1"] == CENTRE[0]
    short = register_fits(first, second, register_method=finder, return_error=False, return_header=True)
    assert len(short) == 5
    assert short[4]["CRVAL2"] == CENTRE[1]
    cropped = cross_correlation_shifts_FITS(first, second, return_cropped_images=True, register_method=finder)
    assert len(cropped) == 6
    np.testing.assert_array_equal(cropped[5], second.data)


def test_files_give_the_same_as_hdus(tmp_path):
    pair = shifted_pair(make_header(angle=10), *SHIFT)
    names = [tmp_path / "a.fits", tmp_path / "b.fits"]
    for hdu, name in zip(pair, names, strict=True):
        hdu.writeto(name)
    expected = register_fits(*pair)
    assert expected[:2] == pytest.approx(SHIFT, abs=0.01)
    assert register_fits(*map(str, names)) == pytest.approx(expected)
    assert register_fits(names[0], fits.HDUList([pair[1]])) == pytest.approx(expected)
    assert register_fits(*((hdu.data, hdu.header) for hdu in pair)) == pytest.approx(expected)
    assert cross_correlation_shifts_FITS(*names)[:2] == pytest.approx(SHIFT, abs=0.02)


# --- where options and errors go


def test_row_34_each_option_goes_where_it_belongs(finder):
    """The seed passes all options to the projection, the shift finder and the projection of the errors alike."""
    header = make_header()
    first, second = make_hdu(header), make_hdu(make_header("pc", angle=20))
    error = fits.PrimaryHDU(np.full((64, 64), 0.5), make_header("pc", angle=20))
    register_fits(
        first, second, error, register_method=finder, order="nearest-neighbor", upsample_factor=7, use_mad_std=False
    )
    (call,) = finder.calls
    assert call.keys() == {"im1", "im2", "err", "return_error", "upsample_factor"}
    assert call["upsample_factor"] == 7
    assert call["return_error"] is True
    np.testing.assert_array_equal(np.isnan(call["err"]), np.isnan(call["im2"]))
    assert np.nanmax(np.abs(call["err"] - 0.5)) < 1e-12
    nearest = np.isin(call["im2"][20:40, 20:40], second.data)
    assert nearest.all()


@pytest.mark.parametrize("finder", FINDERS, ids=lambda f: f.__name__)
def test_options_that_nobody_takes_are_refused_by_name(finder):
    with pytest.raises(TypeError, match="upsmaple_factor"):
        register_fits(*shifted_pair(make_header(), 0, 0), register_method=finder, upsmaple_factor=3)


@pytest.mark.parametrize("name", ["return_chi2array", "return_registered"])
def test_returns_that_would_stand_for_errors_are_refused(finder, name):
    with pytest.raises(TypeError, match=name):
        register_fits(*shifted_pair(make_header(), 0, 0), register_method=finder, **{name: True})


@pytest.mark.parametrize(
    "finder", [chi2_shift, chi2_shift_iterzoom, cross_correlation_shifts], ids=lambda f: f.__name__
)
def test_row_34_an_error_image_with_every_finder_that_takes_one(finder):
    pair = shifted_pair(make_header(), *SHIFT)
    error = fits.PrimaryHDU(np.full((64, 64), 0.5), pair[1].header)
    found = register_fits(*pair, error, register_method=finder)
    assert found[:2] == pytest.approx(SHIFT, abs=0.02)
    assert min(found[4:]) > 0


def test_an_error_image_that_would_not_be_used_is_refused():
    pair = shifted_pair(make_header(), 0, 0)
    with pytest.raises(ValueError, match="register_images takes no error image"):
        register_fits(*pair, np.ones((64, 64)), register_method=register_images)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf, np.nan])
def test_masked_errors_stay_masked_when_projected(finder, bad):
    """A 0 interpolated with its neighbours would make them too sure of themselves."""
    errors = np.ones((64, 64))
    errors[30:34, 30:34] = bad
    first, second = make_hdu(make_header()), make_hdu(make_header(angle=20))
    register_fits(first, second, (errors, second.header), register_method=finder)
    projected = finder.calls[0]["err"]
    assert np.isnan(projected[31, 31])
    assert np.nanmin(projected) == pytest.approx(1.0)


def test_errors_as_an_array_lie_on_the_second_image(finder):
    first, second = make_hdu(make_header()), make_hdu(make_header(angle=90))
    errors = 1 + np.arange(64.0) * np.ones((64, 1))
    register_fits(first, second, errors, register_method=finder)
    register_fits(first, second, (errors, second.header), register_method=finder)
    register_fits(first, second, 2, register_method=finder)
    np.testing.assert_array_equal(finder.calls[0]["err"], finder.calls[1]["err"])
    assert np.ptp(finder.calls[0]["err"][:, 30]) > 60  # turned with the image
    assert finder.calls[2]["err"] == 2.0


def test_a_finder_without_errors_gives_nan():
    def centroid(im1, im2):
        return 1.5, 0.5

    found = register_fits(*shifted_pair(make_header(), 0, 0), register_method=centroid)
    assert found[:4] == pytest.approx((1.5, 0.5, -1.5e-3, 0.5e-3))
    assert np.isnan(found[4:]).all()


def test_verbose_goes_to_finders_that_know_it(finder):
    def talkative(im1, im2, verbose=False):
        assert verbose
        return 0.0, 0.0

    pair = shifted_pair(make_header(), 0, 0)
    cross_correlation_shifts_FITS(*pair, verbose=True, register_method=talkative)
    cross_correlation_shifts_FITS(*pair, verbose=True, register_method=lambda im1, im2: (0.0, 0.0))


def test_inputs_are_never_written_to(finder):
    pair = shifted_pair(make_header(), 0, 0)
    before = [(hdu.data.copy(), hdu.header.copy()) for hdu in pair]
    for hdu in pair:
        hdu.data.setflags(write=False)
    register_fits(*pair, register_method=finder, sigma_cut=1, return_shifted_image=True)
    for hdu, (data, header) in zip(pair, before, strict=True):
        np.testing.assert_array_equal(hdu.data, data)
        assert hdu.header == header


def test_defaults_are_those_of_the_seed():
    def defaults(function):
        parameters = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    assert defaults(register_fits) == {
        "errfile": None,
        "return_error": True,
        "register_method": chi2_shift_iterzoom,
        "return_cropped_images": False,
        "return_shifted_image": False,
        "return_header": False,
        "sigma_cut": None,
    }
    assert defaults(match_fits) == {
        "header": None,
        "sigma_cut": False,
        "use_mad_std": True,
        "return_header": False,
    }
    assert defaults(cross_correlation_shifts_FITS) == {
        "return_cropped_images": False,
        "sigma_cut": False,
        "verbose": False,
        "register_method": cross_correlation_shifts,
    }
