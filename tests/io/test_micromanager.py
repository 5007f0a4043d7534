"""The Micro-Manager feed on Micro-Manager's own demo devices: real adapter, no microscope."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from scipy import ndimage

from rtreg.errors import ConfigError, DeviceError
from rtreg.io.feeds import micromanager
from rtreg.io.feeds.micromanager import MicroManagerFeed
from rtreg.records import Shift

pymmcore_plus = pytest.importorskip("pymmcore_plus", reason="needs the extra 'micromanager'")

SMALL = {"exposure_ms": 2.0, "roi": (0, 0, 192, 160)}
STEP_UM = 0.015  # the demo stage knows only whole multiples of this
EDGE = 12  # px: wider than any move below, so that no pixel compared has left the other frame


@pytest.fixture
def open_feed():
    feeds = []

    def open_(**options):
        feeds.append(MicroManagerFeed(**(SMALL | options)))
        return feeds[-1]

    yield open_
    for feed in feeds:
        feed.close()


def measured(reference, frame):
    """Where `frame`'s content lies relative to `reference`, (x, y) px: plain Gauss-Newton on cubic splines."""
    inner = (slice(EDGE, -EDGE), slice(EDGE, -EDGE))
    gy, gx = (g[inner].ravel() for g in np.gradient(reference.astype(float)))
    slopes = np.stack([gx, gy, np.ones_like(gx)], axis=1)
    spline = ndimage.spline_filter(frame.astype(float), order=3, mode="mirror")
    y, x = np.indices(reference.shape)[(slice(None), *inner)]
    shift = np.zeros(2)
    for _ in range(25):
        moved = ndimage.map_coordinates(spline, [y + shift[1], x + shift[0]], order=3, mode="mirror", prefilter=False)
        miss = (reference[inner] - moved).ravel()
        shift += np.linalg.lstsq(slopes, miss, rcond=None)[0][:2]
    return shift


def test_a_frame_says_what_the_camera_knows(open_feed):
    feed = open_feed()
    before = time.time_ns()
    frame = feed.next_frame()
    after = time.time_ns()
    assert frame.pixels.shape == (160, 192)
    assert frame.pixels.dtype == np.uint16
    assert frame.pixels.max() > 100
    assert not frame.pixels.flags.writeable
    assert before + frame.exp_ns // 2 <= frame.t_ns <= after - frame.exp_ns // 2
    assert (frame.exp_ns, frame.roi, frame.bin, frame.saturation) == (2_000_000, (0, 0), (1, 1), 65535.0)
    assert frame.truth is None
    assert "DCam" in feed.describe()
    assert "DXYStage" in feed.describe()


def test_content_moves_by_minus_the_stage_to_a_thousandth_of_a_pixel(open_feed):
    feed = open_feed()
    reference = feed.next_frame().pixels
    errors = []
    for u in [(1.3, -0.7), (-2.2, 2.9), (3.0, 0.4), (0.05, -3.1)]:
        feed.move(u, "absolute", "um")
        frame = feed.next_frame()
        errors.append(measured(reference, frame.pixels) + feed.where())
    assert np.sqrt(np.mean(np.square(errors))) < 0.001


def test_the_next_frame_waits_for_the_stage(open_feed):
    feed = open_feed(truth=True)
    assert feed.next_frame().truth == Shift(0.0, 0.0)
    feed.move((60.0, -45.0), "absolute", "um")  # 7.5 ms at the demo stage's 10 um/ms
    assert feed.where() != pytest.approx((60.0, -45.0), abs=STEP_UM)
    assert feed.next_frame().truth == pytest.approx((-60.0, 45.0), abs=STEP_UM)
    assert feed.where() == pytest.approx((60.0, -45.0), abs=STEP_UM)


def test_it_does_not_wait_longer_than_told(open_feed):
    feed = open_feed(truth=True, settle_ms=0.0, travel_um=1e6)
    feed.move((1e5, 0.0), "absolute", "um")  # 10 s
    x, _ = feed.next_frame().truth
    assert -1e5 < x < 0.0


def test_increments_smaller_than_a_step_of_the_stage_add_up(open_feed):
    feed = open_feed()
    for _ in range(100):
        at = feed.move((0.004, -0.002), "increment", "um")
    feed.next_frame()
    assert at == pytest.approx((0.4, -0.2))
    assert feed.where() == pytest.approx(at, abs=STEP_UM)


def test_home_is_where_the_stage_stood(open_feed, monkeypatch):
    def load_and_leave_moving(core, load=micromanager._load_demo):
        load(core)
        core.setXYPosition("XY", 600.0, -300.0)

    monkeypatch.setattr(micromanager, "_load_demo", load_and_leave_moving)
    feed = open_feed(truth=True)
    assert "home (600, -300) um" in feed.describe()
    assert feed.where() == (0.0, 0.0)
    feed.move((3.0, 0.0), "absolute", "um")
    assert feed.next_frame().truth == pytest.approx((-3.0, 0.0), abs=STEP_UM)
    assert feed._core.getXYPosition() == pytest.approx([603.0, -300.0], abs=STEP_UM)


class Recorded:
    """A disturbance that remembers when it was asked."""

    def __init__(self):
        self.asked = []

    def at(self, t):
        self.asked.append(t)
        return Shift(0.5 * t, -0.3 - len(self.asked))


def test_a_disturbance_adds_to_what_is_commanded(open_feed):
    motion = Recorded()
    feed = open_feed(disturbance=motion, truth=True)
    feed.move((2.0, 1.0), "absolute", "um")
    for _ in range(3):
        truth = feed.next_frame().truth
        dx, dy = motion.at(motion.asked.pop())
        assert truth == pytest.approx((-2.0 - dx, -1.0 - dy), abs=STEP_UM)
        assert feed.where() == pytest.approx((2.0 + dx, 1.0 + dy), abs=STEP_UM)
    assert motion.asked == sorted(motion.asked)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (((1.0, 1.0), "absolute", "px"), "unit"),
        (((1.0, 1.0), "sideways", "um"), "absolute"),
        (((float("nan"), 0.0), "increment", "um"), "no position"),
        (((0.0, -101.0), "absolute", "um"), "travel_um"),
    ],
)
def test_a_refused_move_moves_nothing(open_feed, args, says):
    feed = open_feed()
    with pytest.raises(DeviceError, match=says):
        feed.move(*args)
    feed.next_frame()
    assert feed.where() == (0.0, 0.0)
    assert feed.move((0.0, 0.0), "increment", "um") == (0.0, 0.0)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"properties": {"Nope": 1}}, DeviceError, "no property 'Nope'.*BeadSize"),
        ({"properties": {"Mode": "Nope"}}, DeviceError, "Mode.*Fluorescent Beads"),
        ({"properties": {"PixelType": "32bitRGB"}}, DeviceError, "PixelType to 8bit or 16bit"),
        ({"config": "/nowhere.cfg"}, DeviceError, "/nowhere.cfg"),
        ({"camera": "Nope"}, DeviceError, "no camera 'Nope' among Camera, XY"),
        ({"stage": "Camera"}, DeviceError, "no XY stage 'Camera'"),
        ({"exposure_ms": 0.0}, ConfigError, "exposure_ms"),
        ({"settle_ms": -1.0}, ConfigError, "settle_ms"),
        ({"travel_um": float("nan")}, ConfigError, "travel_um"),
        ({"roi": (0, 0, 10, -1)}, ConfigError, "roi"),
    ],
)
def test_a_wrong_setting_is_named(open_feed, options, error, says):
    with pytest.raises(error, match=says):
        open_feed(**options)


def test_without_a_stage_it_is_a_camera(open_feed, tmp_path):
    config = tmp_path / "camera.cfg"
    config.write_text("Device,Eye,DemoCamera,DCam\nProperty,Core,Initialize,1\nProperty,Core,Camera,Eye\n")
    feed = open_feed(config=str(config), roi=None)
    assert feed.next_frame().pixels.shape == (512, 512)
    assert "no stage" in feed.describe()
    with pytest.raises(DeviceError, match="no XY stage"):
        feed.move((0.0, 0.0), "absolute", "um")
    with pytest.raises(DeviceError, match="no XY stage"):
        feed.where()
    with pytest.raises(DeviceError, match="truth"):
        open_feed(config=str(config), truth=True)
    with pytest.raises(DeviceError, match="disturbance"):
        open_feed(config=str(config), disturbance=Recorded())


def test_a_closed_feed_says_so(open_feed):
    feed = open_feed()
    feed.close()
    with pytest.raises(DeviceError, match="Camera"):
        feed.next_frame()


def test_a_missing_extra_or_adapter_says_what_to_install(open_feed, monkeypatch, tmp_path):
    with pytest.raises(DeviceError, match=r"pip install 'rtreg\[micromanager\]'"):
        open_feed(adapters=str(tmp_path))
    monkeypatch.setattr(pymmcore_plus, "find_micromanager", lambda: None)
    with pytest.raises(DeviceError, match=r"no Micro-Manager device adapters.*rtreg\[micromanager\]"):
        open_feed()
    monkeypatch.setitem(sys.modules, "pymmcore", None)
    with pytest.raises(DeviceError, match=r"pymmcore.*pip install 'rtreg\[micromanager\]'"):
        open_feed()


def test_the_import_is_lazy_and_the_exit_clean():
    """A stage that is moving when the process ends used to abort it, from the core's callback thread."""
    script = (
        "import sys; from rtreg.io.feeds.micromanager import MicroManagerFeed\n"
        "assert 'pymmcore' not in sys.modules\n"
        "feed = MicroManagerFeed(roi=(0, 0, 64, 64), exposure_ms=1.0, travel_um=1e6, settle_ms=0.0)\n"
        "feed.move((1e5, 0.0), 'absolute', 'um'); feed.next_frame()\n"
        "if len(sys.argv) > 1: feed.close()\n"
    )
    for args in ([], ["close"]):
        done = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
