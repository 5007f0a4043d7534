"""``rtreg rec export`` and ``rec import``: every format gives back what went into it."""

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
from astropy.io import fits
from astropy.table import Table

from rtreg.cli import main
from rtreg.io import wire
from rtreg.io.images import open_stack
from rtreg.io.recordings import Recording, RecordingWriter
from rtreg.records import Command, Delivery, Estimate, Frame, ReferenceInfo, Result, Shift, State, Verdict

T0 = 1_700_000_000_123_456_789  # no whole number of anything
STEP = 2_000_007
COUNT = 70
DTYPES = ["u1", "<u2", "<i2", "<i4", "<f4", "<f8", ">u2"]


def frame(seq, dtype="<u2", stream="cam"):
    pixels = np.random.default_rng(seq).integers(0, 255, (9, 13)).astype(dtype)
    if dtype == "<u2":
        pixels[0, :3] = 0, 32768, 65535
    if dtype == "<f4":
        pixels[0, 0] = np.nan
    return Frame(
        pixels=pixels, stream=stream, epoch=2**64 - 5, seq=seq, t_ns=T0 + seq * STEP, exp_ns=1000 + seq, mono_ns=seq,
        host="h", roi=(1, 2), bin=(2, 2), gain=1.5, read_noise=3.0, offset=0.1, saturation=6e4,
        truth=Shift(0.1, -1 / 3),
    )  # fmt: skip


def correction(seq):
    ok = seq % 3 > 0
    estimate = Estimate(
        shift=Shift(seq / 7, -seq / 3), covariance=((1e-3, 1e-5), (1e-5, 2e-3)), chi2_dof=1.1, contrast=9.0,
        regime="track",
    )  # fmt: skip
    result = Result(
        stream="cam", epoch=2**64 - 5, seq=seq, t_ns=T0 + seq, state=State.LOCKED,
        estimate=estimate if ok else Estimate(), verdict=Verdict.OK if ok else Verdict.DARK | Verdict.JUMP,
        command=Command(u=(0.5, -0.25), unit="um"), reference=ReferenceInfo(id=3, age_frames=8, walk=0.01),
    )  # fmt: skip
    return result, Delivery(sent=1, recv=2, start=3, done=4, out=5, valid_until=6, lost=seq, host="h")


def record(path, dtype="<u2", count=COUNT, log=lambda seq: T0 + seq * STEP):
    with RecordingWriter(path) as writer:
        for seq in range(count):
            writer.add(wire.pack_frame(frame(seq, dtype)), log(seq))
            writer.add(wire.pack_correction(*correction(seq)), log(seq))
            if seq % 16 == 15:
                writer.flush()
    return str(path)


def messages(path):
    """Header and pixels of every frame."""
    with Recording(path) as recording:
        found = [
            (wire.unpack_map(item.parts[1]), wire.unpack_frame(item.parts).pixels) for item in recording.items("f")
        ]
    return [header for header, _ in found], [pixels for _, pixels in found]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suffix", ["fits", "tif", "h5"])
def test_round_trip_keeps_pixels_times_order_and_headers(tmp_path, suffix, dtype):
    recording, out, back = record(tmp_path / "a.mcap", dtype), str(tmp_path / f"a.{suffix}"), str(tmp_path / "b.mcap")
    assert main(["rec", "export", recording, out]) == 0
    assert main(["rec", "import", out, back]) == 0
    (headers, pixels), (headers_back, pixels_back) = messages(recording), messages(back)
    assert len(pixels_back) == COUNT
    for a, b in zip(pixels, pixels_back, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    for a, b in zip(headers, headers_back, strict=True):
        assert a.pop("dtype").lstrip("<>") == b.pop("dtype").lstrip("<>")  # byte order is the file's affair
        assert a == b


@pytest.mark.parametrize("dtype", ["u1", "<u2"])
def test_round_trip_through_ser_keeps_pixels_times_and_order(tmp_path, dtype):
    recording, out, back = record(tmp_path / "a.mcap", dtype), str(tmp_path / "a.ser"), str(tmp_path / "b.mcap")
    assert main(["rec", "export", recording, out]) == 0
    assert main(["rec", "import", out, back, "--stream", "cam"]) == 0
    (headers, pixels), (headers_back, pixels_back) = messages(recording), messages(back)
    np.testing.assert_array_equal(pixels_back, pixels)
    for a, b in zip(headers, headers_back, strict=True):
        assert abs(a["t_ns"] - b["t_ns"]) <= 50  # its clock ticks every 100 ns
    assert [header["seq"] for header in headers_back] == list(range(COUNT))


def test_what_other_programs_see(tmp_path):
    recording = record(tmp_path / "a.mcap")
    pixels = [frame(seq).pixels for seq in range(COUNT)]
    times = [T0 + seq * STEP for seq in range(COUNT)]
    for suffix in ("fits", "tif"):
        assert main(["rec", "export", recording, str(tmp_path / f"a.{suffix}")]) == 0
    with fits.open(tmp_path / "a.fits") as file:
        file.verify("exception")
        np.testing.assert_array_equal(file[0].data, pixels)
        assert file[0].data.dtype == np.uint16
        assert file["FRAMES"].data["T_NS"].tolist() == times
        assert file["FRAMES"].data["EXP_NS"].tolist() == [1000 + seq for seq in range(COUNT)]
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_ome
        (series,) = tiff.series
        assert series.axes == "TYX"
        np.testing.assert_array_equal(series.asarray(), pixels)
        about = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
        assert about["AcquisitionDate"] == "2023-11-14T22:13:20"
        second = T0 // 10**9 * 10**9
        assert [second + plane["DeltaT"] for plane in about["Pixels"]["Plane"]] == times


def test_part_of_a_recording(tmp_path):
    recording = record(tmp_path / "a.mcap", log=lambda seq: T0 + seq * 10**9)
    assert main(["rec", "export", recording, str(tmp_path / "a.h5"), "--from", "20", "--to", "40.5"]) == 0
    with open_stack(tmp_path / "a.h5") as stack:
        assert [stack.about(k)["seq"] for k in range(len(stack))] == list(range(20, 41))


def test_corrections_as_tables(tmp_path):
    recording = record(tmp_path / "a.mcap")
    for suffix in ("csv", "parquet", "ecsv"):
        assert main(["rec", "export", recording, str(tmp_path / f"a.{suffix}")]) == 0
    with Recording(recording) as opened:
        expected = [found.result for found in opened.corrections()]
    parquet = pq.read_table(tmp_path / "a.parquet").to_pydict()
    ecsv = Table.read(tmp_path / "a.ecsv")
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(parquet) == ecsv.colnames == list(rows[0])
    for name, want in {
        "seq": [found.seq for found in expected],
        "epoch": [found.epoch for found in expected],
        "t_ns": [found.t_ns for found in expected],
        "dx": [found.estimate.dx for found in expected],
        "cov_yy": [found.estimate.covariance[1][1] for found in expected],
        "ref_age_frames": [8] * COUNT,
        "lost": list(range(COUNT)),
    }.items():
        for got in (parquet[name], ecsv[name].tolist(), [type(want[1])(row[name]) for row in rows]):
            np.testing.assert_array_equal(got, want, err_msg=name)
    flags = ["" if seq % 3 else "DARK JUMP" for seq in range(COUNT)]
    assert parquet["flags"] == [row["flags"] for row in rows] == flags
    assert str(ecsv["dx"].unit) == "pix"


def test_a_file_without_times_needs_a_rate(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.zeros((5, 4, 6), np.float32))
    words = ["rec", "import", str(tmp_path / "a.npy"), str(tmp_path / "a.mcap")]
    assert main(words) == 2
    assert "give its frames a --rate" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.mcap"))
    assert main([*words, "--rate", "200", "--start", "2026-03-01T21:30:00.5", "--stream", "guide"]) == 0
    headers, _ = messages(tmp_path / "a.mcap")
    start = int(np.datetime64("2026-03-01T21:30:00.5", "ns").astype(np.int64))
    assert [header["t_ns"] for header in headers] == [start + k * 5_000_000 for k in range(5)]
    assert {header["stream"] for header in headers} == {"guide"}


@pytest.mark.parametrize("cut", [False, True])
def test_frames_of_a_recording_by_number(tmp_path, cut):
    path = tmp_path / "a.mcap"
    record(path)
    if cut:  # no index: read as far as it is good
        path.write_bytes(path.read_bytes()[:-3000])
    with open_stack(path) as stack:
        assert len(stack) == (COUNT if not cut else 64)
        for k in (40, 3, 63, 41, 0):
            np.testing.assert_array_equal(stack[k], frame(k).pixels)
            assert stack.about(k)["t_ns"] == T0 + k * STEP
    assert main(["batch", str(path), "--out", str(tmp_path / "t.csv"), "--method", "dft", "--jobs", "1"]) in (0, 1)
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        assert [int(row["t_ns"]) for row in csv.DictReader(file)] == [T0 + k * STEP for k in range(len(stack))]


def test_streams_and_folders(tmp_path, capsys):
    (tmp_path / "night").mkdir()
    for part in range(2):
        with RecordingWriter(tmp_path / "night" / f"n_{part}.mcap") as writer:
            for seq in range(part * 5, part * 5 + 5):
                for stream in ("cam", "guide"):
                    writer.add(wire.pack_frame(frame(seq, stream=stream)), seq)
    with open_stack(f"{tmp_path}/night/n_1.mcap:/guide") as stack:
        assert [stack.about(k)["seq"] for k in range(len(stack))] == [5, 6, 7, 8, 9]
    assert main(["rec", "export", f"{tmp_path}/night", str(tmp_path / "a.ser")]) == 2
    assert "cam, guide" in capsys.readouterr().err
    assert main(["rec", "export", f"{tmp_path}/night", str(tmp_path / "a.ser"), "--stream", "guide"]) == 0
    with open_stack(tmp_path / "a.ser") as stack:
        np.testing.assert_array_equal(list(stack), [frame(seq).pixels for seq in range(10)])


def test_what_it_says_when_it_cannot(tmp_path, capsys):
    recording = record(tmp_path / "a.mcap", "<f4", 3)
    (tmp_path / "there.ser").write_text("mine")
    with RecordingWriter(tmp_path / "mixed.mcap") as writer:
        writer.add(wire.pack_frame(frame(0)), 1)
        writer.add(wire.pack_frame(frame(1, "<f4")), 2)
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 6), np.uint8))
    for words, said in (
        (["export", recording, "a.ser"], "SER holds uint8 and uint16 pixels, not float32"),
        (["export", recording, "a.avi"], "frames in .fits"),
        (["export", recording, "there.ser"], "there.ser exists"),
        (["export", recording, "b.fits", "--stream", "guide"], "stream 'guide' is not in it; it has cam"),
        (["export", recording, "b.fits", "--from", "9"], "there are no frames"),
        (["export", str(tmp_path / "mixed.mcap"), "b.fits"], "frame 1 is (9, 13) float32"),
        (["export", str(tmp_path / "none.mcap"), "b.fits"], "no such file"),
        (["import", str(tmp_path / "a.npy"), recording, "--rate", "1"], "exists already"),
        (["import", str(tmp_path / "a.npy"), "b.txt", "--rate", "1"], "ends in .mcap"),
        (["import", str(tmp_path / "a.npy"), "b.mcap", "--rate", "1", "--stream", "a b"], "stream name 'a b'"),
        (["import", str(tmp_path / "a.npy"), "b.mcap", "--start", "today"], "'today' is not a time"),
    ):
        before = sorted(tmp_path.iterdir())
        given = [
            str(tmp_path / word) if "." in word and "/" not in word and i else word for i, word in enumerate(words)
        ]
        assert main(["rec", *given]) == 2, words
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
        assert sorted(tmp_path.iterdir()) == before
