"""Recordings as files: what was written comes back, and damage is found, told and left out."""

from __future__ import annotations

import numpy as np
import pytest

from rtreg.errors import RecordingError
from rtreg.io import wire
from rtreg.io.recordings import Recording, RecordingWriter
from rtreg.records import Delivery, Estimate, Frame, Order, ReferenceInfo, Result, Shift, State, Tick, Verdict

SHAPES = {"cam": (16, 24), "guide": (33, 7)}


def frames(n, stream="cam", seed=0):
    rng = np.random.default_rng(seed)
    return [
        Frame(
            pixels=rng.integers(0, 4096, SHAPES[stream]).astype("<u2"),
            stream=stream,
            epoch=5,
            seq=seq,
            t_ns=1_000_000_000 + seq,
            truth=Shift(0.5, -0.25),
        )
        for seq in range(n)
    ]


def correction(seq, stream="cam"):
    from rtreg.records import Command

    result = Result(
        stream=stream, epoch=5, seq=seq, t_ns=seq, state=State.LOCKED, estimate=Estimate(shift=Shift(0.1, 0.2)),
        verdict=Verdict.OK, command=Command(), reference=ReferenceInfo(id=1),
    )  # fmt: skip
    return result, Delivery(out=seq)


def write(path, n=20, **options):
    with RecordingWriter(path, metadata={"rtreg": {"version": "0"}}, **options) as writer:
        writer.attach("config.toml", b'stream = "cam"\n', "application/toml")
        for index, (one, other) in enumerate(zip(frames(n), frames(n, "guide", 1), strict=True)):
            writer.add(wire.pack_frame(one), 1000 + index)
            writer.add(wire.pack_frame(other), 1000 + index)
            writer.add(wire.pack_correction(*correction(index)), 1000 + index)
            writer.add(wire.pack_event("cam", Tick(mono_ns=index)), 1000 + index)
            if index % 4 == 3:
                writer.flush()
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write(tmp_path_factory.mktemp("recordings") / "good.mcap")


def same(a, b):
    return (
        a.pixels.dtype == b.pixels.dtype and np.array_equal(a.pixels, b.pixels) and (a.seq, a.t_ns) == (b.seq, b.t_ns)
    )


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_what_was_written_comes_back(tmp_path, compression):
    with Recording(write(tmp_path / "a.mcap", compression=compression)) as recording:
        assert recording.closed
        assert recording.streams == ["cam", "guide"]
        assert recording.counts == {"f/cam/": 20, "f/guide/": 20, "c/cam/": 20, "o/cam/": 20}
        assert recording.metadata["rtreg"] == {"version": "0"}
        assert recording.attachments["config.toml"] == b'stream = "cam"\n'
        assert recording.span_ns == (1000, 1019)
        back = list(recording.frames("cam"))
        assert all(map(same, back, frames(20)))
        assert [frame.truth for frame in back] == [Shift(0.5, -0.25)] * 20
        assert [frame.recv_mono_ns for frame in back] == list(range(1000, 1020))
        assert [c.result.seq for c in recording.corrections("cam")] == list(range(20))


def test_messages_come_in_the_order_they_were_written(good):
    with Recording(good) as recording:
        kinds = "".join(item.kind for item in recording.items())
        assert kinds == "ffco" * 20
        ticks = [wire.unpack_event(item.parts) for item in recording.items("o")]
        assert [tick.mono_ns for tick in ticks] == list(range(20))


def test_time_limits_are_half_open(good):
    with Recording(good) as recording:
        seqs = [frame.seq for frame in recording.frames("guide", start_ns=1003, stop_ns=1007)]
        assert seqs == [3, 4, 5, 6]


def test_folder_is_read_as_one(tmp_path):
    write(tmp_path / "a_0001.mcap", 3)
    write(tmp_path / "a_0002.mcap", 2)
    with Recording(tmp_path) as recording:
        assert recording.counts["f/cam/"] == 5
        assert [frame.seq for frame in recording.frames("cam")] == [0, 1, 2, 0, 1]


def test_stream_must_be_named_where_there_are_two(good):
    with Recording(good) as recording:
        assert recording.one_stream("guide") == "guide"
        assert recording.one_stream(kinds="c") == "cam"
        with pytest.raises(RecordingError, match="cam, guide"):
            recording.one_stream()
        with pytest.raises(RecordingError, match="'nope'"):
            recording.one_stream("nope")


def test_recordings_are_not_overwritten(good):
    with pytest.raises(RecordingError, match="exists already"):
        RecordingWriter(good)


def test_file_that_was_never_closed_is_read_as_far_as_it_goes(tmp_path, good):
    whole = good.read_bytes()
    torn = tmp_path / "torn.mcap"
    torn.write_bytes(whole[: int(0.6 * len(whole))])
    with Recording(torn) as recording:
        assert not recording.closed
        back = list(recording.frames("cam"))
        assert 0 < len(back) < 20
        assert all(map(same, back, frames(len(back))))
        assert recording.damage[torn]
        assert recording.attachments["config.toml"]


@pytest.mark.parametrize("content", [b"", b"no recording at all", bytes(4096)])
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "other.mcap"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="nothing in it") as caught:
        Recording(path)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(RecordingError, match="nowhere"):
        Recording(tmp_path / "nowhere.mcap")


def test_damage_in_a_closed_file_is_an_error_when_it_is_come_upon(tmp_path, good):
    data = bytearray(good.read_bytes())
    data[len(data) // 2] ^= 0x40
    path = tmp_path / "bad.mcap"
    path.write_bytes(data)
    with Recording(path) as recording, pytest.raises(RecordingError, match="rec recover"):
        list(recording.items())


def test_order_survives(tmp_path):
    order = Order(do="dither", args={"dx": 1.0, "dy": 2.0}, epoch=3, seq=4)
    with RecordingWriter(tmp_path / "o.mcap") as writer:
        writer.add(wire.pack_event("cam", order), 1)
    with Recording(tmp_path / "o.mcap") as recording:
        (item,) = recording.items("o")
        assert wire.unpack_event(item.parts) == order
