"""The monitor's model and its picture: drawn from made-up corrections, at 80 columns."""

import io
import math

import msgspec
import pytest
from rich.console import Console

from rtreg.live.metrics import Latencies
from rtreg.records import Command, Delivery, Estimate, Field, Part, ReferenceInfo, Result, Shift, State, Verdict
from rtreg.services.view import SPARK, WINDOW_NS, View, line, render, sparkline

T0 = 10**12
STEP = 2_000_000  # 500 Hz


def correction(seq, *, state=State.LOCKED, verdict=Verdict.OK, shift=(0.25, -0.5), stream="cam1"):
    estimate = Estimate(shift=Shift(*shift), covariance=((1.6e-5, 0.0), (0.0, 2.5e-5)))
    return Result(
        stream=stream,
        epoch=1,
        seq=seq,
        t_ns=0,
        state=state,
        estimate=estimate,
        verdict=verdict,
        command=Command(u=(0.1, -0.2)),
        reference=ReferenceInfo(id=7, age_frames=123, walk=0.0004),
    )


def delivery(now, **more):
    return Delivery(sent=now - 300_000, recv=now - 200_000, start=now - 150_000, done=now - 50_000, out=now, **more)


def watched(count=1000, **options):
    view = View("cam1")
    for seq in range(count):
        now = T0 + seq * STEP
        view.correction(correction(seq, **options), delivery(now), now)
    return view, now


def drawn(view, now, **console):
    file = io.StringIO()
    Console(width=80, file=file, **console).print(render(view, now))
    return file.getvalue()


@pytest.mark.parametrize("view", [View("cam1"), watched()[0]], ids=["empty", "running"])
def test_picture_fits_80_columns(view):
    view.note = "loop closed, 12 s to go"
    lines = drawn(view, T0 + 1000 * STEP).splitlines()
    assert max(len(row) for row in lines) == 80
    assert all(row[-1] in "╮│╯" for row in lines)  # nothing wrapped, nothing cut
    assert any("loop closed" in row for row in lines)


def test_longest_numbers_and_name_still_fit():
    view = View("x" * 40)
    now = T0
    for seq in range(50):
        now = T0 + seq * 10**9
        result = correction(seq, shift=(-1234.5678, 1e4), stream="x" * 40, verdict=~Verdict.OK, state=State.HOLD)
        view.correction(result, Delivery(sent=1, recv=now, start=now, done=now, out=now), now)
    rows = drawn(view, now).splitlines()
    assert max(len(row) for row in rows) == 80
    assert "-1234.5678" in drawn(view, now)


def test_picture_says_what_was_measured():
    view, now = watched()
    picture = drawn(view, now)
    for expected in ("LOCKED", "500.0 Hz", "+0.2500", "-0.5000", "0.0040", "0.0050", "id 7", "age 123", "lost 0"):
        assert expected in picture
    total = next(row for row in picture.splitlines() if "total" in row)
    assert total.split()[2:6] == ["300"] * 4


@pytest.mark.parametrize("state", [State.STALE, State.HOLD, State.LOST])
def test_bad_states_are_highlighted(state):
    view, now = watched(state=state)
    plain, coloured = drawn(view, now), drawn(view, now, force_terminal=True, color_system="standard")
    assert f" {state} " in plain
    before = coloured.split(f" {state} ")[0]
    assert before.rsplit("\x1b[", 1)[1].split("m")[0] in ("1;37;41", "1;30;43")


def test_a_loop_that_has_opened_itself_says_why():
    view, now = watched()
    view.status = {"controller": {"loop": "open", "opened": "the residual grew"}}
    assert "opened itself: the residual grew" in drawn(view, now)


def test_silence_is_shown_as_such():
    view, now = watched()
    assert view.state(now) == "LOCKED"
    assert view.state(now + 1_500_000_000) == "SILENT"
    assert view.rate(now + 10**11) == 0.0


def test_a_command_without_a_position_is_a_dash():
    view = View("cam1")
    view.correction(msgspec.structs.replace(correction(0), command=Command(u=(math.nan, math.nan))), Delivery(), T0)
    assert "command - - px (absolute)" in drawn(view, T0)
    assert "\n" not in line(view, T0)


def test_ticks_repeat_a_frame_and_are_not_counted_again():
    view, now = watched(10)
    for _ in range(5):
        now += 10**8
        view.correction(correction(9, state=State.STALE), Delivery(), now)
    assert view.corrections == 10
    assert view.state(now) == "STALE"
    assert view.latency()["total"]["max"] == 300.0


def test_losses_and_reasons_add_up():
    view = View("cam1")
    for seq in range(4):
        now = T0 + seq * STEP
        view.correction(correction(seq, verdict=Verdict.LOW_SNR), delivery(now, lost=2, skipped=3), now)
    view.status = {"ledger": {"rejected": {"size": 5}, "held": {"LOW_SNR": 4}, "used": 4}}
    picture = drawn(view, now)
    for expected in ("lost 8", "skipped 12", "rejected size 5", "held       LOW_SNR 4", "LOW_SNR 4 (last 5 s)"):
        assert expected in picture


def test_line_is_one_line_with_the_numbers():
    view, now = watched()
    said = line(view, now)
    assert "\n" not in said
    for expected in ("cam1 LOCKED 500.0 Hz", "dx +0.2500 ± 0.0040", "dy -0.5000 ± 0.0050", "p50 300", "ref 7"):
        assert expected in said
    assert line(View("cam1", note="listening"), 0) == "listening"


def test_sparkline():
    assert sparkline([0, 1, 2, 3], 0, 3) == "▁▃▆█"
    assert sparkline([math.nan, 5, -5], -1, 1) == "·█▁"
    assert sparkline([2, 2], 2, 2) == "▅▅"


def test_trace_is_bounded_and_sampled():
    view, now = watched(20_000)
    row = next(row for row in drawn(view, now).splitlines() if "shift x" in row)
    assert sum(row.count(bar) for bar in "▁▂▃▄▅▆▇█") == SPARK


def test_unknown_stage_is_nan_and_does_not_spoil_the_others():
    latencies = Latencies()
    assert math.isnan(latencies.summary_us()["queue"]["p50"])
    for _ in range(3):
        latencies.add(Delivery(sent=0, recv=10_000, start=20_000, done=50_000, out=60_000))
    result = latencies.summary_us()
    assert math.isnan(result["transport"]["p50"])
    assert math.isnan(result["total"]["max"])
    assert result["queue"]["p50"] == 10.0
    assert result["process"] == {"p50": 30.0, "p99": 30.0, "p999": 30.0, "max": 30.0}


def test_old_latencies_are_forgotten():
    view, now = View("cam1"), T0
    view.correction(correction(0), Delivery(sent=now - 10**9, recv=now, start=now, done=now, out=now), now)
    assert view.latency()["total"]["max"] == 1e6
    for seq in range(1, 4):
        now += WINDOW_NS + 1
        view.correction(correction(seq), delivery(now), now)
    assert view.latency()["total"]["max"] == 300.0


def test_people_read_their_own_unit_and_the_state_of_the_loop():
    view, now = watched(shift=(0.25, -0.5))
    assert "arcsec" not in drawn(view, now)
    view.status = {"controller": {"pixel_scale": 2.0, "pixel_unit": "arcsec", "loop": "open"}}
    picture = drawn(view, now)
    assert "arcsec: shift 0.5 -1  rms 0 0  sigma 0.008 0.01" in picture
    assert "arcsec: shift 0.5 -1" in line(view, now)
    assert "loop open" in picture


FIELD = Field(
    parts=(
        Part(shift=Shift(0.24, -0.5), covariance=((1e-4, 0.0), (0.0, 4e-4))),
        Part(shift=Shift(4.0, 0.1), covariance=((1e-4, 0.0), (0.0, 1e-4)), rejected="OUTLIER"),
        Part(rejected="LOW_SNR|AMBIGUOUS|OUT_OF_RANGE"),
    ),
    centre=Shift(50.0, 60.0), rotation=2.5e-3, rotation_sigma=1e-4, magnification=1.0003, magnification_sigma=2e-5,
    tension=1.1, scatter=0.012,
)  # fmt: skip


def test_every_region_is_seen_with_why_it_is_left_out():
    view, now = watched()
    view.last = msgspec.structs.replace(view.last, estimate=msgspec.structs.replace(view.last.estimate, field=FIELD))
    view.status = {"regions": [[1024, 1024, 128, 128], [1, 2, 30, 40], [5, 6, 7, 8]]}
    picture = drawn(view, now)
    rows = picture.splitlines()
    assert max(map(len, rows)) == 80
    assert all(row[-1] in "╮│╯" for row in rows)
    for words in (
        ("1", "1024 1024 128 128", "+0.2400", "-0.5000", "0.0100", "0.0200", "used"),
        ("2", "1 2 30 40", "+4.0000", "OUTLIER"),
        ("3", "5 6 7 8", "-", "LOW_SNR"),
        ("AMBIGUOUS",),
        ("OUT_OF_RANGE",),
        ("rotation +2.5000 ± 0.1000 mrad", "scale 1.000300 ± 0.000020"),
        ("scatter 0.0120 px",),
    ):
        assert any(all(word in row for word in words) for row in rows), (words, picture)
    said = line(view, now)
    assert "regions 1/3 (2 OUTLIER) (3 LOW_SNR|AMBIGUOUS|OUT_OF_RANGE)" in said
    assert "rotation +2.5000 ± 0.1000 mrad" in said


def test_without_regions_there_is_no_word_of_them():
    view, now = watched()
    assert "region" not in drawn(view, now)
    assert "region" not in line(view, now)
