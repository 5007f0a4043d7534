"""Configuration into objects: every shipped one is right, every key is checked, the reference page is current."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtreg import build
from rtreg.errors import ConfigError, RtregError
from rtreg.io.config import TABLES, Config, load, shipped

ROOT = Path(__file__).resolve().parents[1]


def config(**tables):
    return Config("f.toml", tables)


@pytest.mark.parametrize("name", shipped())
def test_shipped_configurations_are_right(name):
    lines = build.check(load(name))
    assert any("frames: tcp://127.0.0.1:5600" in line for line in lines)


def test_the_reference_page_is_current():
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert page == build.reference_page(), "run: python -m rtreg.build > docs/configuration.md"


def test_the_reference_page_has_every_table():
    assert tuple(build.schema()) == TABLES
    page = build.reference_page()
    for table in TABLES:
        assert f"## [{table}]" in page
    assert "max_sigma" in page


@pytest.mark.parametrize("table", TABLES)
def test_an_unknown_key_in_any_table_is_refused(table):
    with pytest.raises(ConfigError, match=rf"f\.toml: \[{table}\] has no key 'no_such_key'.*valid:"):
        build.check(config(**{table: {"no_such_key": 1}}))


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("camera", "source", "webcam"),
        ("camera", "rate_hz", -1),
        ("scene", "kind", "galaxy"),
        ("motion", "period", 0),
        ("detector", "gain", 0),
        ("noise", "gain", -2),
        ("estimator", "method", "magic"),
        ("estimator", "max_shift", -1),
        ("reference", "policy", "none"),
        ("reference", "frames", 1),
        ("gate", "max_sigma", 0),
        ("controller", "gain", 7),
        ("controller", "matrix", [[1, 1], [1, 1]]),
        ("tracker", "tick_ms", 500),
        ("tracker", "max_age_ms", 0),
        ("tracker", "stale_after", 0),
        ("tracker", "stale_after", float("inf")),
        ("tracker", "lost_after", float("inf")),
        ("tracker", "lost_after", float("nan")),
        ("tracker", "clock_bound_ms", float("inf")),
        ("tracker", "affinity", [-1]),
        ("tracker", "affinity", [10**18]),
        ("gate", "confirm", 0),
        ("actuator", "timeout_ms", 10**12),
        ("endpoints", "control", "tcp://0.0.0.0:5602"),
        ("endpoints", "device", "tcp://192.168.1.5:5604"),
        ("endpoints", "status", "tcp://*:5603"),
        ("endpoints", "corrections", "http://127.0.0.1"),
        ("actuator", "limit", -1),
    ],
)
def test_a_bad_value_in_any_table_is_refused_with_its_place(table, key, value):
    with pytest.raises(ConfigError) as caught:
        build.check(config(**{table: {key: value}}))
    message = str(caught.value)
    assert message.startswith(f"f.toml: [{table}] ")
    assert message.count("f.toml") == message.count(": [") == 1
    assert key in message
    assert "\n" not in message


def test_the_engine_gets_its_parts_and_the_noise():
    made = build.engine(
        config(noise={"gain": 2.0, "read_noise": 3.0}, controller={"gain": 0.25}, reference={"policy": "fixed"})
    )
    assert made.status()["controller"]["gain"] == 0.25
    assert build.noise(config(noise={"gain": 2.0})).gain == 2.0
    assert build.noise(config()) is None


def test_images_are_read_and_masks_are_true_where_not_zero(tmp_path):
    np.save(tmp_path / "flat.npy", np.ones((3, 4), np.float32))
    np.save(tmp_path / "mask.npy", np.eye(3, 4, dtype=np.uint8))
    model = build.noise(config(noise={"flat": str(tmp_path / "flat.npy"), "mask": str(tmp_path / "mask.npy")}))
    assert model.flat.shape == (3, 4)
    assert model.mask.dtype == bool
    assert model.mask.sum() == 3
    with pytest.raises(RtregError, match="gone"):
        build.noise(config(noise={"dark": str(tmp_path / "gone.npy")}))


def images(folder, **shapes):
    """Paths of images with these shapes, by name; all but a corner of each is not zero."""
    paths = {}
    for name, shape in shapes.items():
        image = np.ones(shape, np.float32)
        image[:2, :2] = 0.0
        np.save(folder / f"{name}.npy", image)
        paths[name] = str(folder / f"{name}.npy")
    return paths


def test_a_mask_of_the_estimator_is_of_the_frames_shape_or_its_own(tmp_path):
    mask = images(tmp_path, mask=(40, 60))["mask"]
    build.engine(config(estimator={"mask": mask}))  # nobody says what the frames will be
    build.engine(config(estimator={"mask": mask}, tracker={"expect_shape": [40, 60]}))
    build.check(config(estimator={"mask": mask}, scene={"shape": [40, 60], "kind": "star"}))
    with pytest.raises(
        ConfigError, match=r"f\.toml: \[estimator\] mask is \(40, 60\) but the frames will be \(64, 64\)"
    ):
        build.check(config(estimator={"mask": mask}, scene={"shape": [64, 64], "kind": "star"}))


@pytest.mark.parametrize(
    ("table", "key", "more"),
    [("noise", "flat", {}), ("noise", "dark", {}), ("noise", "mask", {}), ("reference", "image", {"policy": "fixed"})],
)
def test_an_image_of_another_shape_than_the_frames_is_refused(tmp_path, table, key, more):
    paths = images(tmp_path, fits=(24, 32), other=(32, 24))
    scene = {"shape": [24, 32], "kind": "star"}
    build.check(config(scene=scene, **{table: {key: paths["fits"], **more}}))
    with pytest.raises(ConfigError, match=rf"f\.toml: \[{table}\] {key} is \(32, 24\) but .* \(24, 32\)"):
        build.check(config(scene=scene, **{table: {key: paths["other"], **more}}))


def test_images_must_agree_where_nothing_else_tells_the_shape(tmp_path):
    paths = images(tmp_path, flat=(24, 32), mask=(24, 33))
    with pytest.raises(ConfigError, match=r"\[estimator\] mask is \(24, 33\) but \[noise\] flat is \(24, 32\)"):
        build.engine(config(noise={"flat": paths["flat"]}, estimator={"mask": paths["mask"]}))


def test_frames_of_another_host_need_not_be_bindable_here():
    public = {"frames": "tcp://192.168.1.5:5600"}
    build.check(config(endpoints=public))
    with pytest.raises(ConfigError, match=r"\[endpoints\] frames: .*write tcp"):
        build.check(config(endpoints={"frames": "nowhere"}))
    with pytest.raises(ConfigError, match=r"\[endpoints\] frames: .*allow_public"):
        build.check(config(endpoints=public, camera={"source": "simulated"}))
    build.check(config(endpoints={**public, "allow_public": True}, camera={"source": "simulated"}))


def test_what_to_expect_is_not_known_without_a_camera():
    assert build.expected(config()) is None
    assert build.expected(config(camera={})) == build.expected(config(camera={"source": "simulated"}))
    assert build.expected(config(camera={})) is not None


def test_what_to_expect_is_known_of_a_simulated_camera_or_said():
    assert build.expected(config(scene={"shape": [20, 30]}, detector={"dtype": "uint8"})) == ((20, 30), np.uint8)
    assert build.expected(config(camera={"source": "file", "path": "x"})) is None
    said = config(camera={"source": "file", "path": "x"}, tracker={"expect_shape": [5, 6], "expect_dtype": "float32"})
    assert build.expected(said) == ((5, 6), np.float32)


def test_the_simulated_feed_is_made_from_its_tables():
    feed = build.feed(config(scene={"shape": [24, 32], "kind": "star"}, detector={"dtype": "uint8"}))
    frame = feed.next_frame()
    assert frame.pixels.shape == (24, 32)
    assert frame.pixels.dtype == np.uint8
    assert frame.truth is not None


def test_a_file_feed_is_made_from_its_keys(tmp_path):
    np.save(tmp_path / "cube.npy", np.zeros((2, 5, 6), np.uint16))
    feed = build.feed(config(camera={"source": "file", "path": str(tmp_path / "cube.npy"), "gain": 2.0}))
    try:
        assert feed.next_frame().gain == 2.0
    finally:
        feed.close()
    with pytest.raises(ConfigError, match="needs the key 'path'"):
        build.feed(config(camera={"source": "file"}))


def test_numpydoc_parameters_are_found():
    doc = """Short.

Parameters
----------
a, b : float
    Both of
    them.
c : int, optional
    Third.

Raises
------
ValueError
    No.
"""
    assert build.parameters(doc) == {"a": "Both of them.", "b": "Both of them.", "c": "Third."}
