"""Damage: bytes changed and files cut anywhere; found, told, survived, and nothing wrong let by."""

from __future__ import annotations

import numpy as np
import pytest
from mcap.opcode import Opcode
from recorded import record

from rtreg.errors import RecordingError
from rtreg.io.recordings import Recording, RecordingWriter
from rtreg.io.recordings.disk import BLOCK
from rtreg.io.recordings.salvage import check, recover
from rtreg.io.recordings.scan import MAGIC, Place, scan
from rtreg.replay import verify


def play(run):
    for _ in range(6):
        run.frames(2)
        run.writer.flush()


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return record(tmp_path_factory.mktemp("good") / "good.mcap", play)


@pytest.fixture(scope="module")
def pixels(good):
    with Recording(good) as recording:
        return {frame.seq: frame.pixels.copy() for frame in recording.frames()}


def recovered(data, folder, pixels):
    """Check and recover; what the new file holds, each frame compared with what it was."""
    path, out = folder / "bad.mcap", folder / "out.mcap"
    path.write_bytes(data)
    out.unlink(missing_ok=True)
    found = check(path)
    assert found.lines()
    if not found.counts:
        with pytest.raises(RecordingError, match="no message in it is good"):
            recover(path, out)
        assert not out.exists()
        return found, 0
    told = recover(path, out)
    assert bool(told.damage) == bool(found.damage) or not found.closed
    assert check(out).whole
    with Recording(out) as recording:
        frames = list(recording.frames())
    for frame in frames:
        assert np.array_equal(frame.pixels, pixels[frame.seq])
    return found, len(frames)


def test_a_good_file_is_whole_and_recovers_to_the_same(tmp_path, good, pixels):
    found, frames = recovered(good.read_bytes(), tmp_path, pixels)
    assert found.whole
    assert frames == 12
    with Recording(tmp_path / "out.mcap") as recording:
        assert verify(recording).same
        assert recording.metadata["recovered"]["lost_bytes"] == "0"


def flips_are_found(good, pixels, folder, step):
    data = good.read_bytes()
    for at in range(0, len(data), step):
        changed = bytearray(data)
        changed[at] ^= 1 << (at % 8)
        found, frames = recovered(bytes(changed), folder, pixels)
        assert not found.whole, at
        assert frames >= 12 - 2, at  # of one chunk


def test_a_changed_byte_anywhere_is_found_and_costs_one_chunk(tmp_path, good, pixels):
    flips_are_found(good, pixels, tmp_path, 997)


@pytest.mark.parametrize("opcode", [Opcode.HEADER, Opcode.MESSAGE_INDEX])
def test_a_wrong_length_of_a_record_without_a_checksum_costs_no_chunk(tmp_path, good, pixels, opcode):
    data = bytearray(good.read_bytes())
    place = next(p for p in scan(data) if isinstance(p, Place) and p.opcode == opcode)
    for byte in (1, 2):  # of the length: up to 64 KiB more or less
        changed = bytearray(data)
        changed[place.begin + byte] ^= 0xA5
        found, frames = recovered(bytes(changed), tmp_path, pixels)
        assert not found.whole
        assert frames == 12


@pytest.mark.soak
def test_every_changed_byte_is_found(tmp_path, good, pixels):
    flips_are_found(good, pixels, tmp_path, 1)


def cuts_are_survived(good, pixels, folder, step):
    data = good.read_bytes()
    previous = 12
    for size in range(len(data) - 1, len(MAGIC), -step):
        found, frames = recovered(data[:size], folder, pixels)
        assert not found.whole
        assert previous - 2 <= frames <= previous
        previous = frames


def test_a_file_cut_anywhere_keeps_all_whole_chunks(tmp_path, good, pixels):
    cuts_are_survived(good, pixels, tmp_path, 1511)


def test_a_file_cut_at_every_byte_of_its_last_record(tmp_path, good, pixels):
    data = good.read_bytes()
    for size in range(len(data) - 60, len(data), 3):
        found, frames = recovered(data[:size], tmp_path, pixels)
        assert frames == 12
        assert not found.closed


@pytest.mark.soak
def test_a_file_cut_at_every_byte(tmp_path, good, pixels):
    cuts_are_survived(good, pixels, tmp_path, 1)


@pytest.mark.parametrize("data", [b"", MAGIC, b"something else", bytes(5000), MAGIC + bytes(range(256)) * 20])
def test_what_is_no_recording_is_survived_too(tmp_path, data, pixels):
    found, frames = recovered(data, tmp_path, pixels)
    assert not found.whole
    assert frames == 0


def test_what_is_lost_is_told_by_frame(tmp_path, good, pixels):
    data = bytearray(good.read_bytes())
    data[data.find(pixels[5].tobytes())] ^= 1
    path = tmp_path / "bad.mcap"
    path.write_bytes(data)
    found = check(path)
    ((epoch, first, last),) = found.gaps["cam"]
    assert epoch == 9
    assert last - first + 1 == found.missing["f/cam/"] == 2
    assert any(f"frames of cam not in it: {first} to {last}" in line for line in found.lines())


def test_recovery_does_not_overwrite(tmp_path, good):
    (tmp_path / "out.mcap").write_bytes(b"precious")
    with pytest.raises(RecordingError, match="exists already"):
        recover(good, tmp_path / "out.mcap")
    assert (tmp_path / "out.mcap").read_bytes() == b"precious"


def copy(recording, writer):
    """Each message in a chunk of its own; the sizes of the file after each."""
    sizes = []
    for item in recording.items():
        writer.add([f"{item.kind}/cam/".encode(), *item.parts[1:]], item.log_ns)
        writer.flush()
        sizes.append(writer.size)
    return sizes


def test_a_full_disk_leaves_a_file_of_whole_chunks(tmp_path, good, monkeypatch):
    import errno

    from rtreg.io.recordings import writer as writing

    with Recording(good) as recording, RecordingWriter(tmp_path / "all.mcap") as whole:
        sizes = copy(recording, whole)
    at = len(sizes) * 3 // 4
    room = (sizes[at - 1] + sizes[at]) // 2

    class Small(writing.Disk):
        """A disk with room for three quarters of the messages, that first takes a part of what is too much."""

        def _pwrite(self, data, at):
            left = (room - at) // BLOCK * BLOCK
            if left <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super()._pwrite(data[:left], at)

    monkeypatch.setattr(writing, "Disk", Small)
    path = tmp_path / "full.mcap"
    writer = RecordingWriter(path)
    with Recording(good) as recording, pytest.raises(OSError, match="No space"):
        copy(recording, writer)
    writer.close()
    found = check(path)
    assert [damage.what for damage in found.damage] == ["the file breaks off: it was never closed"]
    assert found.counts["f/cam/"] > 1
