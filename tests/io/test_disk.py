"""A file that grows block by block, past the system's cache where there is a way."""

from __future__ import annotations

import errno
import fcntl
import os

import numpy as np
import pytest

from rtreg.io.recordings import disk as disks
from rtreg.io.recordings.disk import BLOCK, STAGED, Disk

SIZES = (0, 1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7, STAGED, STAGED + 5, 2 * STAGED + 3, 12)


def pieces(sizes=SIZES):
    rng = np.random.default_rng(0)
    return [rng.integers(1, 256, size, np.uint8).tobytes() for size in sizes]  # no zeros


def test_what_was_written_is_there_at_once_and_nothing_else_in_the_end(tmp_path):
    path, written = tmp_path / "a", b""
    file = Disk(path)
    for piece in pieces():
        file.write([piece[:30], bytearray(piece[30:])])
        written += piece
        now = path.read_bytes()
        assert now[: len(written)] == written
        assert len(now) - len(written) < BLOCK
        assert not any(now[len(written) :])
        assert file.size == len(written)
    file.close()
    assert path.read_bytes() == written


def test_a_full_disk_takes_nothing_of_what_it_has_no_room_for(tmp_path, monkeypatch):
    file = Disk(tmp_path / "a")
    file.write([b"kept"])

    def full(self, data, at):
        if at >= STAGED:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.pwrite(self._fd, data, at)

    monkeypatch.setattr(Disk, "_pwrite", full)
    with pytest.raises(OSError, match="No space"):
        file.write(pieces((STAGED, BLOCK)))
    assert file.failed
    monkeypatch.undo()
    with pytest.raises(OSError, match="after a write that failed"):  # nothing goes where it should not, though it could
        file.write([b"a note"])
    file.close()
    assert (tmp_path / "a").read_bytes() == b"kept"


@pytest.mark.parametrize("refused", ["fcntl", "pwrite"])
def test_a_file_system_that_has_only_its_cache_will_do(tmp_path, monkeypatch, refused):
    asked, wrote, calls = fcntl.fcntl, os.pwrite, []

    def fcntl_(descriptor, what, *value):
        if what == fcntl.F_SETFL and value[0] & disks._DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return asked(descriptor, what, *value)

    def pwrite(descriptor, data, at):
        calls.append(at)
        if len(calls) == 1:
            raise OSError(errno.EINVAL, "Invalid argument")
        return wrote(descriptor, data, at)

    module, replacement = (fcntl, fcntl_) if refused == "fcntl" else (os, pwrite)
    monkeypatch.setattr(module, refused, replacement)
    file = Disk(tmp_path / "a")
    file.write(pieces())
    file.close()
    assert (tmp_path / "a").read_bytes() == b"".join(pieces())


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "a").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        Disk(tmp_path / "a")
