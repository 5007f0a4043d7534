"""From shift to command."""

from __future__ import annotations

import math

import pytest

from rtreg.errors import ConfigError
from rtreg.live.controller import Controller
from rtreg.records import Shift


def test_integrates_minus_gain_times_the_error():
    controller = Controller(gain=0.5)
    assert controller.step(Shift(1.0, -2.0)).u == (-0.5, 1.0)
    assert controller.step(Shift(1.0, -2.0)).u == (-1.0, 2.0)
    assert controller.hold().u == (-1.0, 2.0)


def test_an_absolute_command_is_no_number_until_the_loop_has_stepped():
    controller = Controller()
    assert all(math.isnan(u) for u in controller.hold().u)
    controller.start_from((3.0, -4.0))
    assert controller.hold().u == (3.0, -4.0)
    assert controller.step(Shift(1.0, 0.0)).u == pytest.approx((2.6, -4.0))


def test_increment_mode_commands_moves_and_holds_still():
    controller = Controller(gain=0.5, mode="increment", unit="um")
    for _ in range(2):
        command = controller.step(Shift(1.0, -2.0))
        assert (command.u, command.unit, command.mode) == ((-0.5, 1.0), "um", "increment")
    assert controller.hold().u == (0.0, 0.0)


def test_matrix_maps_image_to_actuator():
    controller = Controller(gain=1.0, matrix=((0.0, 2.0), (-1.0, 0.0)))
    assert controller.step(Shift(1.0, 10.0)).u == (-20.0, 1.0)


def test_limit_stops_the_integrator_without_wind_up():
    controller = Controller(gain=1.0, limit=3.0)
    for _ in range(10):
        controller.step(Shift(1.0, 0.0))
    assert controller.hold().u == (-3.0, 0.0)
    assert controller.step(Shift(-1.0, 0.0)).u == (-2.0, 0.0)


def test_max_step_bounds_each_move():
    controller = Controller(gain=1.0, max_step=0.25)
    assert controller.step(Shift(4.0, -4.0)).u == (-0.25, 0.25)


def test_dead_band_leaves_small_errors_alone():
    controller = Controller(gain=1.0, dead_band=0.1)
    assert controller.step(Shift(0.05, 0.05)).u == (0.0, 0.0)
    assert controller.step(Shift(0.09, 0.09)).u == (-0.09, -0.09)


def test_leak_forgets():
    controller = Controller(gain=0.5, leak=0.1)
    controller.step(Shift(2.0, 0.0))
    assert controller.step(Shift(0.0, 0.0)).u == pytest.approx((-0.9, 0.0))


def test_open_loop_repeats_the_last_command():
    controller = Controller(gain=0.5)
    last = controller.step(Shift(1.0, 0.0))
    controller.closed = False
    assert controller.step(Shift(9.0, 9.0)) == last


def test_set_point_is_subtracted():
    controller = Controller(gain=1.0)
    controller.set_point = Shift(1.0, 2.0)
    assert controller.step(Shift(1.0, 2.5)).u == (0.0, -0.5)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"gain": 0.0}, "gain"),
        ({"gain": 1.5}, "oscillates"),
        ({"gain": math.nan}, "gain"),
        ({"leak": 1.0}, "leak"),
        ({"limit": 0.0}, "limit"),
        ({"max_step": -1.0}, "max_step"),
        ({"dead_band": -0.1}, "dead_band"),
        ({"matrix": ((1.0, 2.0), (2.0, 4.0))}, "inverse"),
        ({"mode": "sideways"}, "sideways"),
        ({"pixel_scale": 0.0}, "pixel_scale"),
    ],
)
def test_values_without_meaning_are_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        Controller(**options)
