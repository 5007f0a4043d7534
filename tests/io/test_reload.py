"""What a changed configuration changes at once, and what only after a restart."""

import pytest

from rtreg import build
from rtreg.io.config import Config, load
from rtreg.io.reload import changes, tuned

TUNABLE = {"controller": {"gain": 0.4, "leak": 0.0}, "gate": {"max_sigma": 0.5, "confirm": 3}}


@pytest.mark.parametrize(
    ("old", "new", "tune", "restart"),
    [
        ({}, {}, {}, []),
        ({"controller": {"gain": 0.2}}, {"controller": {"gain": 0.3}}, {"gain": 0.3}, []),
        ({"controller": {"gain": 0.2}}, {}, {"gain": 0.4}, []),
        ({}, {"gate": {"max_sigma": 1}, "controller": {"leak": 0.1}}, {"leak": 0.1, "max_sigma": 1}, []),
        ({}, {"controller": {"mode": "increment"}}, {}, ["controller.mode"]),
        (
            {"scene": {"seed": 1}, "gate": {"max_sigma": 1}},
            {"gate": {"max_sigma": 2}},
            {"max_sigma": 2},
            ["scene.seed"],
        ),
    ],
)
def test_what_can_be_changed_is_told_from_what_cannot(old, new, tune, restart):
    found = changes(Config("a.toml", old), Config("a.toml", new), TUNABLE)
    assert (found.tune, found.restart) == (tune, restart)


def test_another_stream_is_for_a_restart():
    assert changes(Config("a", {}, "one"), Config("a", {}, "two"), TUNABLE).restart == ["stream"]


def test_after_it_nothing_is_left_to_change():
    old, new = Config("a", {"controller": {"mode": "absolute"}}), Config("a", {"controller": {"gain": 0.1}})
    now = tuned(old, changes(old, new, TUNABLE).tune, TUNABLE)
    assert now.tables == {"controller": {"mode": "absolute", "gain": 0.1}}
    assert changes(now, new, TUNABLE).tune == {}
    assert now.digest != old.digest


def test_what_is_tunable_has_the_constructors_defaults():
    found = build.tunable()
    assert found["controller"]["gain"] == 0.4
    assert "max_sigma" in found["gate"]


def test_overrides_are_kept_for_the_next_reading():
    config = load("simulated", ["controller.gain=0.2"])
    assert load(config.source, config.overrides) == config
