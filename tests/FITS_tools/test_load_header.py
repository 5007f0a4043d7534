"""Headers, images and pixel scales from every form they come in."""

import io

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from sky import make_header, scale_matrix

from rtreg.errors import FrameError
from rtreg.FITS_tools import get_cd, load_data, load_header


@pytest.fixture
def image():
    return np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def header(image):
    return fits.PrimaryHDU(image, make_header(shape=image.shape)).header


@pytest.fixture
def file(tmp_path, image, header):
    fits.writeto(tmp_path / "image.fits", image, header)
    return tmp_path / "image.fits"


@pytest.mark.parametrize("form", ["path", "string", "file", "hdu", "hdulist", "header", "mapping", "tuple", "wcs"])
def test_header_of_every_form(form, file, image, header):
    hdu = fits.PrimaryHDU(image, header)
    forms = {
        "path": file,
        "string": str(file),
        "file": io.BytesIO(file.read_bytes()),
        "hdu": hdu,
        "hdulist": fits.HDUList([hdu]),
        "header": header,
        "mapping": dict(header),
        "tuple": (image, header),
        "wcs": WCS(header),
    }
    loaded = load_header(forms[form])
    assert isinstance(loaded, fits.Header)
    assert loaded["CTYPE1"] == "RA---TAN"
    assert (loaded["NAXIS1"], loaded["NAXIS2"]) == (4, 3)
    assert WCS(loaded).pixel_scale_matrix == pytest.approx(scale_matrix())


def test_header_text(tmp_path, header):
    lines = "\n".join(card.image.rstrip() for card in header.cards)
    for number, text in enumerate([lines, lines.replace("\n", "\r\n") + "\r\nEND\r\n", header.tostring(sep="\n")]):
        path = tmp_path / f"header{number}.txt"
        path.write_text(text)
        for form in (text, path, str(path)):
            assert load_header(form)["CD2_2"] == header["CD2_2"]
            assert load_header(form)["NAXIS2"] == 3
    assert load_header(header.tostring())["CD2_2"] == header["CD2_2"]
    assert load_header("CRPIX1  =  5.5")["CRPIX1"] == 5.5


def test_header_is_a_copy(image, header):
    for source in (header, fits.PrimaryHDU(image, header)):
        load_header(source)["CRPIX1"] = -99
        assert getattr(source, "header", source)["CRPIX1"] == 2.5


def test_a_missing_file_is_not_header_text(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.fits"):
        load_header(str(tmp_path / "nothing.fits"))


def test_what_holds_no_header_is_refused(tmp_path, image):
    (tmp_path / "words.txt").write_text("once upon a time\n")
    with pytest.raises(FrameError, match=r"words\.txt"):
        load_header(tmp_path / "words.txt")
    with pytest.raises(FrameError, match="ndarray"):
        load_header(image)


@pytest.mark.parametrize("form", ["path", "string", "file", "hdu", "array", "tuple"])
def test_data_of_every_form(form, file, image, header):
    forms = {
        "path": file,
        "string": str(file),
        "file": io.BytesIO(file.read_bytes()),
        "hdu": fits.ImageHDU(image, header),
        "array": image,
        "tuple": (image, header),
    }
    np.testing.assert_array_equal(load_data(forms[form]), image)


def test_row_33_data_of_an_hdu_list(image):
    np.testing.assert_array_equal(load_data(fits.HDUList([fits.PrimaryHDU(image)])), image)


def test_the_first_image_counts_for_data_and_header_alike(tmp_path, image):
    table = fits.BinTableHDU.from_columns([fits.Column("flux", "E", array=np.ones(3))])
    second = fits.ImageHDU(image, make_header(), name="SCI")
    hdus = fits.HDUList([fits.PrimaryHDU(), table, second, fits.ImageHDU(image * 0)])
    hdus.writeto(tmp_path / "many.fits")
    for source in (hdus, tmp_path / "many.fits"):
        np.testing.assert_array_equal(load_data(source), image)
        assert load_header(source)["EXTNAME"] == "SCI"


def test_scaled_integers_come_scaled(tmp_path):
    fits.writeto(tmp_path / "u16.fits", np.array([[0, 65535]], np.uint16))
    np.testing.assert_array_equal(load_data(tmp_path / "u16.fits"), [[0, 65535]])


def test_what_holds_no_image_is_refused(tmp_path):
    with pytest.raises(FrameError, match="no image"):
        load_data(fits.PrimaryHDU())
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    with pytest.raises(FrameError, match=r"empty\.fits"):
        load_data(tmp_path / "empty.fits")
    with pytest.raises(FileNotFoundError):
        load_data(tmp_path / "nothing.fits")


@pytest.mark.parametrize("kind", ["cd", "pc", "cdelt", "crota"])
def test_get_cd_of_an_unrotated_header(kind):
    wcs = WCS(make_header(kind))
    assert get_cd(wcs) == pytest.approx(-1e-3)
    assert get_cd(wcs, 2) == pytest.approx(1e-3)
    assert get_cd(make_header(kind), n=2) == pytest.approx(1e-3)


@pytest.mark.parametrize("kind", ["cd", "pc", "crota"])
@pytest.mark.parametrize("angle", [20, -50, 90, 180])
def test_get_cd_is_the_length_of_the_step_when_rotated(kind, angle):
    wcs = WCS(make_header(kind, angle=angle))
    assert abs(get_cd(wcs, 1)) == pytest.approx(1e-3)
    assert abs(get_cd(wcs, 2)) == pytest.approx(1e-3)
    if angle != 90:
        assert np.sign(get_cd(wcs, 2)) == np.sign(scale_matrix(angle=angle)[1, 1])


def test_get_cd_is_a_number_where_the_diagonal_is_zero():
    """The seed: None."""
    header = make_header("cd")
    header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = 0.0, 2e-3, -1e-3, 0.0
    assert get_cd(WCS(header), 1) == pytest.approx(-1e-3)
    assert get_cd(WCS(header), 2) == pytest.approx(2e-3)
