"""A recorded run, repeated: the same to the last bit, and where it is not the first difference is told."""

from __future__ import annotations

import math

import pytest
from recorded import CONFIG, record

from rtreg.errors import RecordingError
from rtreg.io.config import parse
from rtreg.io.recordings import Recording
from rtreg.records import Intake
from rtreg.replay import verify


def a_night(run):
    run.tick()
    run.order("close")
    run.frames(30)
    run.skip_one()
    run.order("dither", dx=0.25, dy=-0.5)
    run.frames(6)
    run.tick()
    run.tick()
    run.order("retune", gain=0.3, max_jump=6.0)
    run.frames(30)
    run.order("set_reference")
    run.frames(20)
    run.order("stop")


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return record(tmp_path_factory.mktemp("night") / "night.mcap", a_night)


def verified(path, **options):
    with Recording(path) as recording:
        return verify(recording, **options)


@pytest.mark.parametrize("time", [1, 2])
def test_every_correction_is_identical_and_again(night, time):
    found = verified(night)
    assert found.exact
    assert found.same
    assert found.identical == found.compared == 87 + 4
    assert not found.unrepeated


def test_recording_that_begins_in_the_middle_is_identical(tmp_path):
    def before(run):
        run.order("close")
        run.frames(50)
        run.tick()

    path = record(tmp_path / "middle.mcap", a_night, before=before)
    found = verified(path)
    assert found.same
    assert found.identical == found.compared == 91


def test_checkpoints_on_the_way_are_what_we_have_come_to(tmp_path):
    def play(run):
        run.frames(20)
        run.checkpoint()
        run.frames(20)
        run.checkpoint()

    found = verified(record(tmp_path / "c.mcap", play))
    assert (found.checkpoints, found.unequal_checkpoints, found.same) == (2, 0, True)


def test_another_gain_is_found_at_the_first_frame_that_it_changes(night):
    found = verified(night, overrides=("controller.gain=0.5",))
    assert not found.same
    first = found.differences[0]
    with Recording(night) as recording:
        moved = [c.result for c in recording.corrections() if not math.isnan(c.result.command.u[0])]
    assert (first.stage, first.key, first.seq) == ("controller", "command", moved[0].seq)


def test_another_estimator_makes_its_own_reference(night):
    found = verified(night, overrides=("estimator.slack=0.3",))
    assert found.compared > 80
    assert all(difference.stage != "frame" for difference in found.differences)


def test_another_file_as_configuration(night):
    other = parse(CONFIG.replace(b"gain = 0.4", b"gain = 0.2"), "other.toml")
    found = verified(night, config=other)
    assert set(found.stages) == {"controller"}


def test_a_gap_in_the_events_ends_the_comparison_until_the_next_checkpoint(tmp_path):
    def play(run):
        run.frames(10)
        writer, run.writer = run.writer, type("Deaf", (), {"add": lambda *_: None})()
        run.tick()
        run.writer = writer
        run.frames(7)
        run.checkpoint()
        run.frames(11)

    found = verified(record(tmp_path / "gap.mcap", play))
    assert found.same
    assert found.compared == 10 + 11
    assert found.unrepeated == {"after a gap in the events": 7}


def test_a_frame_that_was_not_recorded_ends_it_too(tmp_path):
    def play(run):
        run.frames(5)
        run.frames(1, record=False)
        run.frames(5)
        run.checkpoint()
        run.frames(4)

    found = verified(record(tmp_path / "hole.mcap", play))
    assert found.same
    assert found.compared == 9
    assert found.unrepeated == {"after a frame that is not in the recording": 6}


def test_a_changed_pixel_is_found_in_the_estimate(tmp_path, monkeypatch):
    path = record(tmp_path / "p.mcap", lambda run: run.frames(30))
    from rtreg.replay import rerun

    def spoiled(books, event, frame):
        if isinstance(event, Intake) and event.frame[1] == 20:
            pixels = frame.pixels.copy()
            pixels[24, 24] += 1
            frame = type(frame)(**{name: getattr(frame, name) for name in frame.__struct_fields__} | {"pixels": pixels})
        return original(books, event, frame)

    original = rerun.repeat
    monkeypatch.setattr(rerun, "repeat", spoiled)
    found = verified(path)
    assert (found.differences[0].seq, found.differences[0].stage) == (20, "estimate")


def test_elsewhere_a_tolerance_is_stated_with_its_reason(night, monkeypatch):
    from rtreg.replay import compare

    monkeypatch.setattr(compare, "numerics", lambda: {"cpu": "another"})
    found = verified(night)
    assert not found.exact
    assert "another here" in found.why_not
    assert found.same


def test_without_a_checkpoint_nothing_can_be_repeated(tmp_path, night):
    from rtreg.io.recordings.cut import cut

    with Recording(night) as recording:
        cut(recording, tmp_path / "cut.mcap", recording.items("fco"))
    with pytest.raises(RecordingError, match="before the first checkpoint"):
        verified(tmp_path / "cut.mcap")


def test_the_fixture_gives_corrections_to_assert_on(night, rtreg_replay):
    same = rtreg_replay(night)
    assert same.comparison.same
    assert same.states["STOPPING"] == 1
    assert same.shift.shape == same.sigma.shape == same.command.shape == (len(same.corrections), 2)
    quieter = rtreg_replay(night, overrides=["controller.gain=0.1"])
    assert not quieter.comparison.same
    assert [c.result.seq for c in quieter.corrections] == [c.result.seq for c in same.recorded]
