"""The wire protocol: what goes out comes back, and nothing that comes in can do more than raise a WireError."""

from __future__ import annotations

import math

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtreg.errors import ConfigError, WireError
from rtreg.io import wire
from rtreg.records import (
    Command,
    Delivery,
    Estimate,
    Field,
    Frame,
    Intake,
    Order,
    Part,
    ReferenceInfo,
    Result,
    Shift,
    State,
    Tick,
    Verdict,
)

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


def frame(**changes):
    return Frame(**{"pixels": PIXELS, "stream": "cam1", "epoch": 2**63 + 1, "seq": 7, "t_ns": 123, **changes})


def packed(**changes):
    """A frame's parts, with header keys changed; None removes one."""
    topic, header, pixels = wire.pack_frame(frame())
    body = {**msgpack.unpackb(header), **changes}
    return [topic, msgpack.packb({k: v for k, v in body.items() if v is not None}), pixels]


def refusal(parts):
    with pytest.raises(WireError) as caught:
        wire.unpack_frame(parts)
    return caught.value.reason


@pytest.mark.parametrize("name", wire.DTYPES)
def test_frames_of_every_dtype_come_back_native(name):
    pixels = np.arange(6).reshape(2, 3).astype(wire.DTYPES[name])
    got = wire.unpack_frame(wire.pack_frame(frame(pixels=pixels)))
    np.testing.assert_array_equal(got.pixels, pixels)
    assert got.pixels.dtype.isnative
    assert not got.pixels.flags.writeable


def test_every_field_of_a_frame_survives():
    sent = frame(
        exp_ns=5,
        mono_ns=9,
        host="h",
        roi=(1, 2),
        bin=(2, 2),
        gain=1.5,
        read_noise=2.0,
        offset=100.0,
        saturation=65535.0,
        truth=Shift(0.25, -1.0),
        moved=(7, 9),
    )
    got = wire.unpack_frame(wire.pack_frame(sent), recv_mono_ns=11)
    for key in Frame.__struct_fields__:
        if key not in ("pixels", "recv_mono_ns"):
            assert getattr(got, key) == getattr(sent, key), key
    assert got.recv_mono_ns == 11
    assert isinstance(got.truth, Shift)


def test_pixels_are_a_view_of_the_message():
    payload = bytearray(PIXELS.tobytes())
    parts = [*packed()[:2], payload]
    got = wire.unpack_frame(parts)
    payload[0] = 99
    assert got.pixels[0, 0] == 99


def test_pixels_at_an_odd_address_are_copied_so_that_kernels_get_aligned_ones():
    payload = memoryview(b"x" + PIXELS.tobytes())[1:]
    got = wire.unpack_frame([*packed()[:2], payload])
    assert got.pixels.flags.aligned
    np.testing.assert_array_equal(got.pixels, PIXELS)


def test_a_strided_image_is_sent_in_c_order():
    parts = wire.pack_frame(frame(pixels=PIXELS.T))
    np.testing.assert_array_equal(wire.unpack_frame(parts).pixels, PIXELS.T)


def test_numpy_scalars_from_a_camera_are_numbers_on_the_wire():
    got = wire.unpack_frame(wire.pack_frame(frame(gain=np.float32(2.5), t_ns=np.int64(4))))
    assert (got.gain, got.t_ns) == (2.5, 4)


def test_unknown_keys_are_ignored():
    assert wire.unpack_frame(packed(telescope="VTT", more=[1, {"a": 2}])).seq == 7


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("version", {"v": 2}),
        ("version", {"v": None}),
        ("kind", {"kind": "film"}),
        ("stream", {"stream": "a/b"}),
        ("stream", {"stream": "x" * 41}),
        ("stream", {"stream": "cam10"}),  # not the topic's
        ("dtype", {"dtype": "O"}),
        ("dtype", {"dtype": "<u2,<u2"}),
        ("dtype", {"dtype": 3}),
        ("shape", {"shape": [0, 4]}),
        ("shape", {"shape": [16385, 1]}),
        ("shape", {"shape": [3, 4, 1]}),
        ("shape", {"shape": "34"}),
        ("size", {"shape": [3, 5]}),
        ("size", {"dtype": "<f8"}),
        ("header", {"seq": None}),
        ("header", {"seq": -1}),
        ("header", {"seq": 1.5}),
        ("header", {"t_ns": "now"}),
        ("header", {"truth": [1.0]}),
        ("header", {"note": "x" * 70000}),
        ("constants", {"gain": 0.0}),
        ("constants", {"gain": -1.5}),
        ("constants", {"gain": math.nan}),
        ("constants", {"read_noise": -1.0}),
        ("constants", {"read_noise": math.inf}),
        ("constants", {"offset": math.nan}),
        ("constants", {"saturation": math.inf}),
        ("constants", {"saturation": 100.0, "offset": 100.0}),
        ("constants", {"saturation": -5.0}),
    ],
)
def test_a_refused_frame_names_a_countable_reason(reason, changes):
    assert refusal(packed(**changes)) == reason


def test_part_counts_other_than_three_are_refused():
    parts = packed()
    assert refusal(parts[:2]) == "parts"
    assert refusal([*parts, b""]) == "parts"
    assert refusal([]) == "parts"


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93", msgpack.packb([1]), msgpack.packb({1: 2}), b"\x80trailing"])
def test_headers_that_are_no_map_are_refused(body):
    assert refusal([b"f/cam1/", body, b""]) == "header"


def test_deep_nesting_is_refused_and_moderate_is_not():
    def deep(levels):
        return [deep(levels - 1)] if levels else 1

    assert wire.unpack_map(msgpack.packb({"v": 1, "x": deep(7)}))["x"]
    for levels in (8, 500, 5000):
        body = b"\x82\xa1v\x01\xa1x" + b"\x91" * levels + b"\x01"
        with pytest.raises(WireError, match=r"nested|MessagePack"):
            wire.unpack_map(body)


def test_a_refused_frame_still_tells_which_it_was():
    with pytest.raises(WireError) as caught:
        wire.unpack_frame(packed(shape=[3, 5]))
    assert caught.value.identity == (2**63 + 1, 7)
    with pytest.raises(WireError) as caught:
        wire.unpack_frame(packed(seq=-1))
    assert caught.value.identity is None


def test_pixels_beyond_the_limit_are_refused_with_their_identity():
    with pytest.raises(WireError) as caught:
        wire.unpack_frame(packed(), max_bytes=PIXELS.nbytes - 1)
    assert (caught.value.reason, caught.value.identity) == ("too_large", (2**63 + 1, 7))
    assert wire.unpack_frame(packed(), max_bytes=PIXELS.nbytes).seq == 7


def test_constants_at_their_limits_are_taken():
    got = wire.unpack_frame(packed(gain=2, read_noise=0.0, offset=-5.0, saturation=0.0))
    assert (got.gain, got.read_noise, got.offset, got.saturation) == (2.0, 0.0, -5.0, 0.0)


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_random_bytes_raise_nothing_but_wire_errors(parts):
    for unpack in (wire.unpack_frame, wire.unpack_correction, wire.unpack_event, wire.unpack_status):
        with pytest.raises(WireError):
            unpack(parts)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["kind", "stream", "epoch", "seq", "shape", "dtype", "roi", "gain", "truth", "host"]), values)
def test_any_value_in_any_key_gives_a_frame_or_a_wire_error(key, value):
    refused = ""
    try:
        got = wire.unpack_frame(packed(**{key: value}))
    except WireError as error:
        refused = error.reason
    reasons = {"kind", "stream", "dtype", "shape", "size", "header", "constants"}
    assert refused in reasons if refused else got.pixels.shape == (3, 4)


def correction(**changes):
    result = Result(
        stream="cam1",
        epoch=3,
        seq=4,
        t_ns=5,
        state=State.HOLD,
        estimate=Estimate(
            shift=Shift(1.5, -2.5),
            covariance=((1e-4, 2e-5), (2e-5, 3e-4)),
            chi2_dof=1.1,
            contrast=math.inf,
            regime="track",
        ),
        verdict=Verdict.JUMP | Verdict.LOW_SNR,
        command=Command(u=(0.5, 0.25), unit="um", mode="increment"),
        reference=ReferenceInfo(id=2, age_frames=9, walk=0.01),
    )  # fmt: skip
    delivery = Delivery(
        sent=1, recv=2, start=3, done=4, out=5, valid_until=6, lost=7, skipped=8, host="h", truth=Shift(0.5, -1.5)
    )
    return wire.pack_correction(result, delivery), result, delivery


def test_a_correction_comes_back():
    parts, result, delivery = correction()
    assert wire.unpack_correction(parts) == (result, delivery)


FIELD = Field(
    parts=(
        Part(shift=Shift(1.4, -2.4), covariance=((4e-4, 1e-5), (1e-5, 5e-4)), chi2_dof=0.9),
        Part(shift=Shift(9.0, 7.0), covariance=((1e-4, 0.0), (0.0, 1e-4)), chi2_dof=1.2, rejected="OUTLIER"),
    ),
    centre=Shift(31.5, 40.25), rotation=-1e-3, rotation_sigma=2e-4, magnification=1.001, magnification_sigma=3e-4,
    tension=0.8, scatter=0.01,
)  # fmt: skip


def test_what_regions_say_travels_with_a_correction():
    _, result, delivery = correction()
    result = msgspec.structs.replace(result, estimate=msgspec.structs.replace(result.estimate, field=FIELD))
    parts = wire.pack_correction(result, delivery)
    assert wire.unpack_correction(parts) == (result, delivery)
    plain = msgpack.unpackb(parts[1])["field"]
    assert plain["rotation"] == [-1e-3, 2e-4]
    assert plain["regions"][1] == {"shift": [9.0, 7.0], "cov": [1e-4, 0.0, 1e-4], "chi2": 1.2, "rejected": "OUTLIER"}


def test_regions_that_are_none_are_refused():
    parts, _, _ = correction()
    body = msgpack.unpackb(parts[1])
    for field in ({}, {"regions": [{"shift": [1.0]}]}, {"regions": 3}, []):
        with pytest.raises(WireError) as refusal:
            wire.unpack_correction([parts[0], msgpack.packb({**body, "field": field})])
        assert refusal.value.reason == "header"


def test_a_correction_is_plain_messagepack_for_others():
    (topic, body), _, _ = correction()
    plain = msgpack.unpackb(body)
    assert topic == b"c/cam1/"
    assert plain["shift"] == [1.5, -2.5]
    assert plain["cov"] == [1e-4, 2e-5, 3e-4]
    assert plain["verdict"] == ["LOW_SNR", "JUMP"]
    assert plain["state"] == "HOLD"
    assert plain["lat"] == {"sent": 1, "recv": 2, "start": 3, "done": 4, "out": 5}
    assert set(plain) == {
        "v", "kind", "stream", "epoch", "seq", "t_ns", "shift", "cov", "chi2", "contrast", "regime", "verdict", "state",
        "command", "unit", "mode", "ref", "lat", "lost", "skipped", "valid_until", "host", "truth", "event",
    }  # fmt: skip


def test_unknown_stays_nan():
    _, result, delivery = correction()
    blank = type(result)(**{**{k: getattr(result, k) for k in result.__struct_fields__}, "estimate": Estimate()})
    got = wire.unpack_correction(wire.pack_correction(blank, delivery)).result.estimate
    assert all(map(math.isnan, (*got.shift, *got.sigma, got.chi2_dof, got.contrast)))


def test_a_reason_we_do_not_know_is_still_a_reason():
    (topic, body), _, _ = correction()
    plain = {**msgpack.unpackb(body), "verdict": ["METEOR"]}
    assert wire.unpack_correction([topic, msgpack.packb(plain)]).result.verdict


def test_orders_ticks_and_status_come_back():
    order = Order(do="dither", args={"dx": 0.5, "dy": -1.0}, epoch=1, seq=2)
    assert wire.unpack_event(wire.pack_event("cam1", order)) == order
    assert wire.unpack_event(wire.pack_event("cam1", Tick(mono_ns=3, t_ns=4))) == Tick(mono_ns=3, t_ns=4)
    intake = Intake(
        mono_ns=3,
        t_ns=4,
        frame=(1, 2**64 - 1, 5),
        skipped=((1, 7), (1, 8)),
        refused=(("size", (1, 6)), ("header", None)),
        n=9,
    )
    assert wire.unpack_event(wire.pack_event("cam1", intake)) == intake
    assert wire.unpack_status(wire.pack_status("cam1", {"state": "LOCKED"}))["state"] == "LOCKED"


def test_kinds_are_not_taken_for_each_other():
    status = wire.pack_status("cam1", {})
    for unpack in (wire.unpack_correction, wire.unpack_event):
        with pytest.raises(WireError, match="kind"):
            unpack(status)


def test_frames_that_cannot_be_sent_are_refused_by_the_sender():
    for pixels, reason in ((np.zeros((2, 2), np.complex64), "dtype"), (np.zeros(4, np.uint8), "shape")):
        with pytest.raises(WireError) as caught:
            wire.pack_frame(frame(pixels=pixels))
        assert caught.value.reason == reason


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ö", "x" * 41, "cam\n"])
def test_bad_stream_names_are_config_errors(name):
    with pytest.raises(ConfigError):
        wire.stream_name(name)
