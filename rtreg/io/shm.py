"""Frames in shared memory: a ring of slots that the camera writes and any number of readers on this host copy from.

ZeroMQ carries the header as ever and, instead of the pixels, a ticket: which segment, which slot, which version of it.
A slot's version is odd while it is written (a seqlock); a reader copies, looks at the version again, and so knows
whether the writer has lapped it meanwhile. Nobody waits for anybody.

A segment is a file in /dev/shm, which is where POSIX keeps shared memory on Linux. It is opened as one, not by
`multiprocessing.shared_memory`: before Python 3.13 that one's resource tracker removes, at the exit of a process, any
segment that it has merely attached. The writer removes what it made, and what its predecessors of the same name left
when they were killed. The order of the writes is that of the processor (x86) or of the interpreter's own locks.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import stat
import struct
from pathlib import Path
from typing import Final

import numpy as np

from rtreg.errors import ConfigError, WireError

__all__ = ["Reader", "Ring"]

FOLDER: Final = Path("/dev/shm")
SLOTS: Final = 16  # a reader has the time of so many frames to copy one
PAGE: Final = 4096
WORD: Final = 8  # bytes of a version, at the start of its slot
MAGIC: Final = b"rtregshm"
LARGEST: Final = 4 << 30  # bytes of a segment: a ticket that claims more is not one
_TICKET: Final = struct.Struct("<8sQQQQ64s")  # magic, slot, version, bytes of a slot, bytes of the frame, name
_NAME: Final = re.compile(rb"rtreg-[A-Za-z0-9_.-]{1,58}\Z")


class Ring:
    """The writer's end.

    Parameters
    ----------
    name : str
        Of the endpoint; whoever writes there holds its lock, so that there is one writer.

    Notes
    -----
    The mutable state: the segment, made anew when a frame is larger than its slots, and how many frames were put.
    """

    def __init__(self, name: str) -> None:
        if not FOLDER.is_dir():
            raise ConfigError(f"endpoint shm://{name}: this system has no {FOLDER}; use ipc:// or tcp://")
        self._prefix = f"rtreg-{os.getuid()}-{name}-"
        if not _NAME.match(f"{self._prefix}{0:016x}".encode()):
            raise ConfigError(f"endpoint shm://{name}: a name of up to 24 letters, digits, '-', '_', '.'")
        for left in FOLDER.glob(f"{self._prefix}{'[0-9a-f]' * 16}"):
            _remove(left)
        self._path: Path | None = None
        self._map: mmap.mmap | None = None
        self._stride = self._put = 0

    def put(self, pixels: memoryview) -> bytes:
        """Copy a frame's bytes into the next slot; the ticket to send instead of them."""
        size = pixels.nbytes
        if self._map is None or size > self._stride - PAGE:
            self._make(size)
        assert self._map is not None
        assert self._path is not None
        slot = self._put % SLOTS
        at = slot * self._stride
        version = 2 * (self._put // SLOTS) + 1
        self._words[at // WORD] = version
        self._map[at + PAGE : at + PAGE + size] = pixels
        self._words[at // WORD] = version + 1
        self._put += 1
        return _TICKET.pack(MAGIC, slot, version + 1, self._stride, size, self._path.name.encode())

    def close(self) -> None:
        """Remove the segment; who has it open keeps it."""
        if self._path is not None:
            _remove(self._path)
        self._map = self._path = None

    def _make(self, size: int) -> None:
        self.close()
        self._stride = PAGE + -(-size // PAGE) * PAGE
        self._put = 0
        path = FOLDER / f"{self._prefix}{int.from_bytes(os.urandom(8), 'little'):016x}"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._path = path
            os.posix_fallocate(handle, 0, SLOTS * self._stride)  # now, or a full /dev/shm would kill us later
            self._map = mmap.mmap(handle, SLOTS * self._stride)
        except OSError as error:
            self.close()
            need = SLOTS * self._stride >> 20
            raise ConfigError(f"{path}: {error.strerror}; {need} MiB of shared memory are needed") from None
        finally:
            os.close(handle)
        self._words = np.frombuffer(self._map, np.uint64)


class Reader:
    """A reader's end; what it is told is checked, since it comes from outside.

    The mutable state: the segment that the last ticket was for.
    """

    def __init__(self) -> None:
        self._name = b""
        self._map: mmap.mmap | None = None

    def get(self, ticket: bytes | bytearray | memoryview, identity: tuple[int, int] | None = None) -> memoryview:
        """A copy of the bytes that a ticket is for; what is no ticket is the pixels themselves, from who has no ring.

        Raises
        ------
        WireError
            reason "ticket": it claims what cannot be, or is for a segment that is not there or not ours;
            "overwritten": the writer has been round the ring since.
        """
        if len(ticket) != _TICKET.size or ticket[: len(MAGIC)] != MAGIC:
            return memoryview(ticket)
        _, slot, version, stride, size, name = _TICKET.unpack(ticket)
        name = name.rstrip(b"\0")
        if slot >= SLOTS or not PAGE <= stride <= LARGEST // SLOTS or stride % PAGE or size > stride - PAGE:
            raise WireError("ticket", "a ticket that no ring has given", identity)
        if name != self._name or self._map is None:
            self._attach(name, identity)
        assert self._map is not None
        if len(self._map) != SLOTS * stride:
            raise WireError("ticket", "a ticket for slots of another size", identity)
        word, at = slot * stride // WORD, slot * stride + PAGE
        fresh = self._words[word] == version
        pixels = self._map[at : at + size] if fresh else b""
        if not fresh or self._words[word] != version:
            raise WireError("overwritten", f"slot {slot} was written again before it was read", identity)
        return memoryview(pixels)

    def _attach(self, name: bytes, identity: tuple[int, int] | None) -> None:
        self._map, self._name = None, b""
        if not _NAME.match(name):
            raise WireError("ticket", "a segment with a name that no ring has", identity)
        try:
            handle = os.open(FOLDER / name.decode(), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise WireError("ticket", f"segment {name.decode()}: {error.strerror}", identity) from None
        try:
            found = os.fstat(handle)
            ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()
            if not ours or not 0 < found.st_size <= LARGEST or found.st_size % PAGE:
                raise WireError("ticket", f"segment {name.decode()} is not one of ours", identity)
            self._map = mmap.mmap(handle, found.st_size, prot=mmap.PROT_READ)
            self._words = np.frombuffer(self._map, np.uint64)
        finally:
            os.close(handle)
        self._name = name


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
