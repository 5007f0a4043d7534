"""Feeds from simulation and from files, and the images that files hold."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile
from astropy.io import fits
from PIL import Image

from rtreg.errors import ConfigError, DeviceError, FrameError
from rtreg.io.feeds.files import FileFeed
from rtreg.io.feeds.simulated import SimulatedFeed
from rtreg.io.images import load_image, open_stack
from rtreg.records import Shift
from rtreg.simulate import Detector, Motion, Scene, SimulatedCamera

CUBE = (np.arange(5 * 6 * 7, dtype=np.uint16) * 311).reshape(5, 6, 7)
DTYPES = ["uint8", "uint16", "int16", "int32", "float32", "float64"]

# --- the simulated camera


def simulated(mirror_ms=0.0, **motion):
    still = {"drift": (0, 0), "periodic": (0, 0), "walk": 0, "jitter": 0}
    camera = SimulatedCamera(Scene("star", (40, 50)), Motion(**(still | motion)), Detector(), mirror_ms=mirror_ms)
    ticks = itertools.count(10_000_000_000, 500_000_000)  # half a second a frame
    return SimulatedFeed(camera, clock=lambda: next(ticks))


def test_simulated_motion_starts_with_the_first_frame_and_follows_the_clock():
    feed = simulated(drift=(2.0, -1.0))
    frames = [feed.next_frame() for _ in range(3)]
    assert [frame.truth for frame in frames] == [Shift(0.0, 0.0), Shift(1.0, -0.5), Shift(2.0, -1.0)]
    assert all(frame.t_ns > 1_600_000_000 * 10**9 for frame in frames)
    assert frames[0].pixels.shape == (40, 50)
    assert "star" in feed.describe()
    assert "50x40" in feed.describe()
    feed.close()


def test_mirror_moves_to_and_by_and_the_frames_show_it():
    feed = simulated()
    assert feed.where() == (0.0, 0.0)
    assert feed.move((3.0, -2.0), "absolute", "px") == (3.0, -2.0)
    assert feed.move((1.0, 1.0), "absolute", "px") == (1.0, 1.0)
    assert feed.move((2.0, -4.0), "increment", "px") == (3.0, -3.0)
    assert feed.where() == (3.0, -3.0)
    frame = feed.next_frame()
    assert frame.truth == Shift(3.0, -3.0)
    assert abs(np.unravel_index(frame.pixels.argmax(), (40, 50)) - np.array([16.5, 27.5])).max() <= 1.5


@pytest.mark.parametrize(
    ("move", "word"),
    [
        (((1.0, 0.0), "absolute", "um"), "um"),
        (((1.0, 0.0), "sideways", "px"), "sideways"),
        (((float("nan"), 0.0), "absolute", "px"), "nan"),
    ],
)
def test_mirror_refuses_what_it_cannot_do_and_stays(move, word):
    feed = simulated()
    feed.move((1.0, 2.0), "absolute", "px")
    with pytest.raises(DeviceError, match=word):
        feed.move(*move)
    assert feed.where() == (1.0, 2.0)


def test_a_mirror_takes_its_time_and_the_frames_say_when():
    feed = simulated(mirror_ms=1000.0)
    feed.next_frame()
    feed.move((4.0, -2.0), "absolute", "px")
    assert feed.where() == (4.0, -2.0)
    half, there = feed.next_frame(), feed.next_frame()
    assert (half.truth, there.truth) == (Shift(2.0, -1.0), Shift(4.0, -2.0))
    for frame, part in ((half, 0.5), (there, 1.0)):
        began, ended = frame.moved
        assert ended - began == 10**9
        assert frame.t_ns - began == part * 10**9
    feed.move((0.0, 0.0), "absolute", "px")
    assert feed.stop() == (2.0, -1.0)
    assert feed.next_frame().truth == Shift(2.0, -1.0)


# --- files


def write(folder: Path, kind: str, cube: np.ndarray) -> Path:
    """The cube as a file, or a folder, of this kind."""
    path = folder / f"cube.{kind}"
    if kind in ("fits", "fits.gz"):
        fits.writeto(path, cube)
    elif kind == "extension.fits":
        hdus = [fits.PrimaryHDU(), fits.BinTableHDU.from_columns([]), fits.ImageHDU(cube)]
        fits.HDUList(hdus).writeto(path)
    elif kind == "compressed.fits":
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(cube)]).writeto(path)
    elif kind == "tif":
        tifffile.imwrite(path, cube, photometric="minisblack")
    elif kind == "imagej.tif":
        tifffile.imwrite(path, cube, imagej=True)
    elif kind == "bigendian.tif":
        tifffile.imwrite(path, cube, photometric="minisblack", byteorder=">")
    elif kind == "zlib.tiff":
        tifffile.imwrite(path, cube, photometric="minisblack", compression="zlib")
    elif kind == "pages.tif":
        with tifffile.TiffWriter(path) as tiff:
            for image in cube:
                tiff.write(image, photometric="minisblack", contiguous=False)
    elif kind == "npy":
        np.save(path, cube)
    elif kind == "bigendian.npy":
        np.save(path, cube.astype(cube.dtype.newbyteorder(">")))
    else:
        path.mkdir()
        for number, image in enumerate(cube):
            name = path / f"frame{8 + number}.{kind.split('.')[0]}"  # 8, 9, 10: by name 10 would be first
            if name.suffix == ".fits":
                fits.writeto(name, image)
            elif name.suffix == ".tif":
                tifffile.imwrite(name, image)
            else:
                Image.fromarray(image).save(name)
        (path / "notes.txt").write_text("not an image")
        (path / ".hidden.fits").write_text("nor this")
    return path


KINDS = [
    "fits",
    "fits.gz",
    "extension.fits",
    "compressed.fits",
    "tif",
    "imagej.tif",
    "bigendian.tif",
    "zlib.tiff",
    "pages.tif",
    "npy",
    "bigendian.npy",
    "fits.folder",
    "tif.folder",
    "png.folder",
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_its_images_back(tmp_path, kind):
    with open_stack(write(tmp_path, kind, CUBE)) as stack:
        assert len(stack) == 5
        assert stack.shape == (6, 7)
        assert stack.dtype == np.uint16
        for image, expected in zip(stack, CUBE, strict=True):
            np.testing.assert_array_equal(image, expected)
            assert image.dtype == np.uint16
            assert image.dtype.isnative
            assert image.flags.c_contiguous
            assert not image.flags.writeable
        np.testing.assert_array_equal(stack[-1], CUBE[-1])
        with pytest.raises(IndexError):
            stack[5]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["fits", "tif", "npy"])
def test_every_dtype_is_kept(tmp_path, kind, dtype):
    cube = (CUBE % 251).astype(dtype)
    with open_stack(write(tmp_path, kind, cube)) as stack:
        assert stack.dtype == dtype
        np.testing.assert_array_equal(np.array(list(stack)), cube)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_png_is_one_image(tmp_path, dtype):
    image = (CUBE[1] % 256 if dtype == "uint8" else CUBE[1]).astype(dtype)
    Image.fromarray(image).save(tmp_path / "image.png")
    loaded = load_image(tmp_path / "image.png")
    assert loaded.dtype == dtype
    np.testing.assert_array_equal(loaded, image)


@pytest.mark.parametrize("kind", ["fits", "tif", "npy"])
def test_a_2d_file_is_one_image(tmp_path, kind):
    path = write(tmp_path, kind, CUBE[2])
    np.testing.assert_array_equal(load_image(path), CUBE[2])
    with open_stack(path) as stack:
        assert len(stack) == 1


def test_scaled_fits_is_scaled(tmp_path):
    hdu = fits.PrimaryHDU(np.array([[0, 1], [2, 3]], np.int16))
    hdu.header["BSCALE"], hdu.header["BZERO"] = 0.5, 10.0
    hdu.writeto(tmp_path / "scaled.fits")
    np.testing.assert_allclose(load_image(tmp_path / "scaled.fits"), [[10, 10.5], [11, 11.5]])


def test_one_image_is_asked_of_a_file_of_many(tmp_path):
    with pytest.raises(FrameError, match=r"cube\.npy holds 5 images"):
        load_image(write(tmp_path, "npy", CUBE))


def _save(path: Path, array: np.ndarray) -> None:
    np.save(path, array, allow_pickle=True)


BROKEN = {
    "absent.fits": (lambda path: None, "does not exist"),
    "text.fits": (lambda path: path.write_text("hello"), "cannot be read"),
    "text.tif": (lambda path: path.write_text("hello"), "cannot be read"),
    "text.npy": (lambda path: path.write_text("hello"), "cannot be read"),
    "text.png": (lambda path: path.write_text("hello"), "cannot be read"),
    "void.fits": (lambda path: path.write_bytes(b""), "cannot be read"),
    "void.tif": (lambda path: path.write_bytes(b""), "cannot be read"),
    "void.npy": (lambda path: path.write_bytes(b""), "cannot be read"),
    "notes.txt": (lambda path: path.write_text("hello"), "not a kind of file"),
    "objects.npy": (lambda path: _save(path, np.array([{}, []], object)), "cannot be read"),
    "4d.npy": (lambda path: _save(path, np.zeros((2, 3, 4, 5))), r"\(2, 3, 4, 5\)"),
    "1d.npy": (lambda path: _save(path, np.zeros(5)), r"\(5,\)"),
    "none.npy": (lambda path: _save(path, np.zeros((0, 4, 5))), "no image"),
    "flat.npy": (lambda path: _save(path, np.zeros((3, 0, 5))), "not empty"),
    "int64.npy": (lambda path: _save(path, np.zeros((4, 5), np.int64)), "int64"),
    "complex.npy": (lambda path: _save(path, np.zeros((4, 5), complex)), "complex"),
    "4d.fits": (lambda path: fits.writeto(path, np.zeros((2, 3, 4, 5))), r"\(2, 3, 4, 5\)"),
    "nothing.fits": (lambda path: fits.PrimaryHDU().writeto(path), "no image"),
    "int64.fits": (lambda path: fits.writeto(path, np.zeros((4, 5), np.int64)), "int64"),
    "colour.tif": (lambda path: tifffile.imwrite(path, np.zeros((6, 7, 3), np.uint8), photometric="rgb"), "colour"),
    "4d.tif": (
        lambda path: tifffile.imwrite(path, np.zeros((2, 3, 6, 7), np.uint8), photometric="minisblack"),
        r"\(2, 3, 6, 7\)",
    ),
    "4d.zlib.tif": (
        lambda path: tifffile.imwrite(
            path, np.zeros((2, 3, 6, 7), np.uint8), photometric="minisblack", compression="zlib"
        ),
        r"\(2, 3, 6, 7\)",
    ),
    "colour.png": (lambda path: Image.new("RGB", (7, 6)).save(path), "RGB"),
    "palette.png": (lambda path: Image.new("P", (7, 6)).save(path), "mode P"),
    "folder": (lambda path: path.mkdir(), "without images"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_used_is_named_and_said_why(tmp_path, name):
    make, complaint = BROKEN[name]
    make(tmp_path / name)
    with pytest.raises(FrameError, match=complaint) as caught:
        open_stack(tmp_path / name)
    assert name in str(caught.value)


@pytest.mark.filterwarnings("ignore:File may have been truncated")
@pytest.mark.parametrize("kind", ["fits", "tif", "npy"])
def test_truncated_files_are_errors(tmp_path, kind):
    path = write(tmp_path, kind, np.repeat(CUBE, 20, axis=0))
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(FrameError, match=path.name), open_stack(path) as stack:
        list(stack)


def test_images_of_a_folder_must_be_alike(tmp_path):
    np.save(tmp_path / "a1.npy", CUBE[0])
    np.save(tmp_path / "a2.npy", CUBE[1, :, :4])
    np.save(tmp_path / "a3.npy", CUBE[1].astype(np.int32))
    stack = open_stack(tmp_path)
    for index in (1, 2):
        with pytest.raises(FrameError, match="alike"):
            stack[index]


def test_pages_of_a_tiff_must_be_alike(tmp_path):
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as tiff:
        tiff.write(CUBE[0])
        tiff.write(CUBE[1, :, :4])
    with open_stack(tmp_path / "mixed.tif") as stack, pytest.raises(FrameError, match=r"mixed\.tif.*alike"):
        list(stack)


def test_file_feed_ends_after_the_last_frame(tmp_path):
    feed = FileFeed(str(write(tmp_path, "npy", CUBE)), exposure_ms=2.0, gain=1.5, saturation=60000.0)
    frames = [feed.next_frame() for _ in range(5)]
    assert feed.next_frame() is None
    assert feed.next_frame() is None
    for frame, expected in zip(frames, CUBE, strict=True):
        np.testing.assert_array_equal(frame.pixels, expected)
        assert (frame.exp_ns, frame.gain, frame.saturation, frame.offset) == (2_000_000, 1.5, 60000.0, None)
        assert frame.truth is None
    assert [b.t_ns >= a.t_ns > 0 for a, b in itertools.pairwise(frames)] == [True] * 4
    assert "5 frames, 7x6 uint16" in feed.describe()
    feed.close()
    feed.close()


def test_file_feed_loops(tmp_path):
    feed = FileFeed(str(write(tmp_path, "tif", CUBE)), loop=True)
    pixels = [feed.next_frame().pixels for _ in range(12)]
    np.testing.assert_array_equal(pixels[7], CUBE[2])
    np.testing.assert_array_equal(pixels[10], CUBE[0])
    feed.close()


def test_a_file_cannot_be_moved(tmp_path):
    feed = FileFeed(str(write(tmp_path, "npy", CUBE)))
    with pytest.raises(DeviceError, match="nothing to move"):
        feed.move((1.0, 0.0), "absolute", "px")
    with pytest.raises(DeviceError, match="nothing to move"):
        feed.where()


@pytest.mark.parametrize(
    "options", [{"exposure_ms": -1.0}, {"exposure_ms": float("nan")}, {"gain": 0.0}, {"read_noise": -1.0}]
)
def test_file_feed_refuses_what_cannot_be(tmp_path, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        FileFeed(str(write(tmp_path, "npy", CUBE)), **options)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FrameError, match=r"nowhere\.fits does not exist"):
        FileFeed(str(tmp_path / "nowhere.fits"))
