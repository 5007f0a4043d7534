"""Finished chunks on disk beside the output, so that a run that was killed goes on where it was."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rtreg.batch.rows import ROW, Rows
from rtreg.errors import ConfigError
from rtreg.io.atomic import replacing

__all__ = ["Store"]


class Store:
    """The folder ``OUT.chunks/DIGEST``; a chunk is there whole or not at all. Held by one process at a time.

    Parameters
    ----------
    out : Path
        The output that the chunks are for.
    digest : str
        Of everything that the chunks depend on: with another one, chunks are others'.

    Raises
    ------
    ConfigError
        Another process is at work on the same output.
    """

    def __init__(self, out: Path, digest: str) -> None:
        self._root = out.with_name(out.name + ".chunks")
        self.folder = self._root / digest
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise ConfigError(f"another process is at work on {out}; wait for it or choose another output") from None

    def _path(self, chunk: int) -> Path:
        return self.folder / f"{chunk:06d}.npy"

    def get(self, chunk: int, count: int) -> Rows | None:
        """The rows of a finished chunk of `count` frames; None where there is none, or none that can be read."""
        try:
            rows: Rows = np.load(self._path(chunk), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return rows if rows.dtype == ROW and rows.shape == (count,) else None

    def put(self, chunk: int, rows: Rows) -> None:
        """Keep a finished chunk: on the disk, under its name, only when it is complete."""
        with replacing(self._path(chunk)) as partial, open(partial, "wb") as file:
            np.save(file, rows, allow_pickle=False)

    def text(self, name: str, make: Callable[[], str]) -> str:
        """What `make` returned when it was asked for first: the same for every run that goes on with these chunks."""
        path = self.folder / name
        if not path.exists():
            text = make()
            with replacing(path) as partial:
                partial.write_text(text, encoding="utf-8")
        return path.read_text(encoding="utf-8")

    def clear(self) -> None:
        """Forget the finished chunks."""
        for path in self.folder.glob("*.npy"):
            path.unlink()

    def close(self) -> None:
        """Let others at the output; the chunks stay."""
        os.close(self._lock)

    def remove(self) -> None:
        """All chunks have gone into the output: remove the folder, with what runs with other options left in it."""
        shutil.rmtree(self._root)
