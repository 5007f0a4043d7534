"""Many files of images as one long sequence, of which any stretch can be read by any process."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from rtreg.errors import FrameError
from rtreg.io.images import file_of, open_stack

__all__ = ["Archive", "Image"]


class Image(NamedTuple):
    """One image of an archive: its file, its number in there, pixels (ny, nx), and its UTC ns where known."""

    file: str
    number: int
    pixels: npt.NDArray[Any]
    t_ns: int | None


@dataclass(frozen=True)
class Archive:
    """The images of some files, in the order of the files; see `of`. Holds no file open, so that it can travel.

    Parameters
    ----------
    files : tuple of str
        What `rtreg.io.images.open_stack` opens.
    counts : tuple of int
        How many images are in each.
    shape : (int, int)
        Of every image, ``(ny, nx)``.
    folder : str
        Which folder relative names are meant from.
    """

    files: tuple[str, ...]
    counts: tuple[int, ...]
    shape: tuple[int, int]
    folder: str = ""

    @classmethod
    def of(
        cls,
        files: Sequence[str | Path],
        shape: tuple[int, int] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Archive:
        """Look into each file.

        Parameters
        ----------
        files : sequence of str or Path
        shape : (ny, nx), optional
            What every image must have; by default what the first one has.
        progress : function of two int, optional
            Called with the files that were looked into, and how many there are.

        Raises
        ------
        FrameError
            A file cannot be read, or its images have another shape; the message names it.
        """
        if not files:
            raise FrameError("an archive needs at least one file")
        counts = []
        for file in files:
            with open_stack(file) as stack:
                shape = shape or (stack.shape[0], stack.shape[1])
                if stack.shape != shape:
                    raise FrameError(f"{file}: images are {stack.shape} but the reference is {shape}; crop one of them")
                counts.append(len(stack))
            if progress:
                progress(len(counts), len(files))
        assert shape is not None
        return cls(tuple(str(file) for file in files), tuple(counts), shape, os.getcwd())

    def __len__(self) -> int:
        return sum(self.counts)

    def places(self, start: int, stop: int) -> Iterator[tuple[str, int]]:
        """Which file, and which image in it, for each of the images `start` to `stop` (exclusive)."""
        for file, first, last in self._stretches(start, stop):
            for index in range(first, last):
                yield file, index

    def images(self, start: int, stop: int) -> Iterator[Image]:
        """The images `start` to `stop` (exclusive), read one at a time.

        Raises
        ------
        FrameError
            One cannot be read, or is not like the others; the message names file and image.
        """
        for file, first, last in self._stretches(start, stop):
            with open_stack(os.path.join(self.folder, file)) as stack:
                if len(stack) < last:
                    raise FrameError(f"{file} had more than {len(stack)} images a moment ago; leave it alone")
                for index in range(first, last):
                    yield Image(file, index, stack[index], stack.about(index).get("t_ns"))

    def _stretches(self, start: int, stop: int) -> Iterator[tuple[str, int, int]]:
        """(file, first, last) of each file that has a part in images `start` to `stop`."""
        ends = list(accumulate(self.counts))
        for k in range(bisect_right(ends, start), len(self.files)):
            begin = ends[k] - self.counts[k]
            if begin >= stop:
                return
            yield self.files[k], max(start, begin) - begin, min(stop, ends[k]) - begin

    @property
    def paths(self) -> list[Path]:
        """The files and folders, whole: without what is inside of an HDF5 file or a recording."""
        return [file_of(os.path.join(self.folder, file)) for file in self.files]

    def fingerprint(self) -> list[tuple[str, int, int, int]]:
        """(name, images, bytes, time of last change in ns) of every file: not the content, but what it hangs on."""
        facts = []
        for name, path, count in zip(self.files, self.paths, self.counts, strict=True):
            parts = sorted(path.iterdir()) if path.is_dir() else [path]
            for part in parts:
                found = part.stat()
                facts.append((f"{name} {part}", count, found.st_size, found.st_mtime_ns))
        return facts
