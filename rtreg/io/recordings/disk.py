"""A file that grows past the system's cache: what was written survives this process, and costs next to no CPU.

Nobody reads a recording while it is made, so to keep it in memory, too, is wasted. Measured on a virtual machine, ext4:
3.7 ms of CPU for a MiB through the cache, at most 255 MB/s; 0.25 ms past it (O_DIRECT), 1.1 GB/s.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rtreg.io.wire import Buffer

__all__ = ["BLOCK", "Disk"]

BLOCK: Final = 4096  # what goes past the cache is of whole blocks, in memory and in the file
STAGED: Final = 2**21  # bytes put together before they are written
_DIRECT: Final = getattr(os, "O_DIRECT", 0)


class Disk:
    """One new file, written from its beginning to its end.

    Parameters
    ----------
    path : Path
        Must not exist.

    Raises
    ------
    OSError
        It exists, or cannot be made.

    Notes
    -----
    Until `close`, the last block is filled up with zeros. Where the file system does not let us past its cache, writes
    go through it. The mutable state: `size`, what is in the stage from the last whole block on, and `failed`.
    """

    def __init__(self, path: Path) -> None:
        # a recording is never overwritten
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with contextlib.suppress(OSError):  # after the file is there: where it is refused, it would be left behind
            fcntl.fcntl(self._fd, fcntl.F_SETFL, fcntl.fcntl(self._fd, fcntl.F_GETFL) | _DIRECT)
        self._stage = memoryview(mmap.mmap(-1, STAGED))  # begins at a page
        self._staged = 0  # bytes in it
        self.size = 0
        self.failed = False

    def write(self, pieces: Sequence[Buffer]) -> None:
        """All of `pieces`, or OSError and nothing of them: a full disk first takes a part, and only then says no.

        After that nothing is written any more: each further call raises OSError.
        """
        if self.failed:
            raise OSError(errno.EIO, "nothing is written after a write that failed")
        start = self.size
        try:
            for piece in pieces:
                self._take(memoryview(piece))
            self._put()
        except BaseException:
            self.failed = True  # the stage holds what is not to be written
            self.size = start
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, start)
            raise

    def _take(self, piece: memoryview) -> None:
        while piece:
            part = piece[: STAGED - self._staged]
            self._stage[self._staged : self._staged + len(part)] = part
            self._staged += len(part)
            self.size += len(part)
            piece = piece[len(part) :]
            if self._staged == STAGED:
                self._put()

    def _put(self) -> None:
        """Write the stage, filled up to a whole block; the last one stays in it if it is not full."""
        begin = self.size - self._staged
        whole = self._staged // BLOCK * BLOCK
        end = whole if whole == self._staged else whole + BLOCK
        self._stage[self._staged : end] = bytes(end - self._staged)
        left, at = self._stage[:end], begin
        while left:
            written = self._pwrite(left, at)
            left, at = left[written:], at + written
        rest = self._staged - whole
        self._stage[:rest] = bytes(self._stage[whole : self._staged])
        self._staged = rest

    def _pwrite(self, data: memoryview, at: int) -> int:
        try:
            return os.pwrite(self._fd, data, at)
        except OSError as error:
            flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
            if error.errno != errno.EINVAL or not flags & _DIRECT:
                raise
            fcntl.fcntl(self._fd, fcntl.F_SETFL, flags & ~_DIRECT)
            return os.pwrite(self._fd, data, at)

    def close(self) -> None:
        """End the file where what was written ends, and let the disk have all of it; OSError if it refuses."""
        try:
            os.ftruncate(self._fd, self.size)
            os.fsync(self._fd)
        finally:
            os.close(self._fd)
