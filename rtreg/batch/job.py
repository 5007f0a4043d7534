"""The whole job: split an archive into chunks, have them measured, keep what is finished, write the table."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import rtreg.fft as fft
from rtreg.batch.aligned import Aligned
from rtreg.batch.finder import Finder
from rtreg.batch.rows import ROW, Rows, row, table
from rtreg.batch.store import Store
from rtreg.batch.workers import in_cluster, in_processes
from rtreg.errors import ConfigError, FrameError
from rtreg.estimators.align import Interpolation, align
from rtreg.io.archive import Archive
from rtreg.io.tables import check_table, write_table
from rtreg.version import __version__

if TYPE_CHECKING:
    from rtreg.FITS_tools.world import WorldScale

__all__ = ["CHUNK", "Summary", "batch"]

CHUNK = 256  # frames: so that a kill loses little, and the search that each begins with costs little
Progress = Callable[[int, int], None]


class Summary(NamedTuple):
    """What became of an archive: frames in all, those with flags, and those that an earlier run had done already."""

    frames: int
    flagged: int
    resumed: int


@dataclass(frozen=True, eq=False)
class _Chunks:
    """An archive in chunks, and what is to be done with each; travels to the workers."""

    archive: Archive
    finder: Finder
    size: int
    aligned: Aligned | None
    interpolation: Interpolation
    wisdom: str = ""

    def __len__(self) -> int:
        return -(-len(self.archive) // self.size)

    def span(self, chunk: int) -> tuple[int, int]:
        """First frame of a chunk, and the one after its last."""
        return chunk * self.size, min((chunk + 1) * self.size, len(self.archive))

    def count(self, chunk: int) -> int:
        """Frames of a chunk."""
        start, stop = self.span(chunk)
        return stop - start

    def rehearse(self) -> str:
        """Have FFTW plan, once and here, and return how: whoever measured for himself could round differently."""
        replace(self.finder).start()(self.finder.reference)  # of another: it is not yet transformed as it will be
        if self.aligned:
            align(self.finder.reference, (0.5, 0.5), interpolation=self.interpolation)
        return fft.wisdom_text()

    def __call__(self, chunk: int) -> Rows:
        """Measure the frames of a chunk, from nothing, so that no chunk depends on another; write them aligned."""
        with fft.borrowed_wisdom(self.wisdom):
            return self._measure(*self.span(chunk))

    def _measure(self, start: int, stop: int) -> Rows:
        measure = self.finder.start()
        rows = np.zeros(stop - start, ROW)
        out = np.full((stop - start if self.aligned else 0, *self.archive.shape), np.nan, np.float32)
        for k, image in enumerate(self.archive.images(start, stop)):
            try:
                estimate = measure(image.pixels)
            except FrameError as error:
                raise FrameError(f"{image.file}: image {image.number}: {error}") from None
            rows[k] = row(image.t_ns, estimate)
            if self.aligned and estimate.ok:
                out[k] = align(image.pixels, estimate.shift, interpolation=self.interpolation)
        if self.aligned:
            self.aligned.write(start, out)
        return rows


def batch(
    files: Sequence[str | Path] | Archive,
    out: str | Path,
    *,
    finder: Finder,
    chunk: int = CHUNK,
    jobs: int | None = None,
    scheduler: str | None = None,
    aligned: str | Path | None = None,
    interpolation: Interpolation = "spline",
    world: WorldScale | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Measure every image of `files` and write one table; after a kill, the same call goes on where it was.

    Parameters
    ----------
    files : sequence of str or Path, or Archive
        What `rtreg.io.images.open_stack` opens; in the table in this order.
    out : str or Path
        Table to write: ``.csv``, ``.parquet`` or ``.ecsv``. Finished chunks are kept in ``OUT.chunks`` until then.
    finder : Finder
        Reference, method, noise.
    chunk : int
        Frames that are measured in one go. Each chunk begins with a search; without a gain, its first frame also
        says what the noise is.
    jobs : int, optional
        Processes on this machine; by default one for every core that this process may use.
    scheduler : str, optional
        Address of a Dask scheduler to run on instead: its workers must see the files under the same paths.
    aligned : str or Path, optional
        Where to write the frames with their shifts undone: ``.tif`` or ``.zarr``. Flagged frames are all NaN there.
    interpolation : {"spline", "fourier"}
        How to align; see `rtreg.align`.
    world : WorldScale, optional
        Of the reference: the table then has the shifts in world units too.
    overwrite : bool
        Replace outputs that are there.
    progress : function of two int, optional
        Called with the frames done and the frames in all, at the start and after each chunk.

    Returns
    -------
    Summary

    Raises
    ------
    FrameError, ConfigError, RtregError
        A file, an option or a worker failed; what is finished is kept.
    """
    if chunk < 1 or (jobs is not None and jobs < 1):
        raise ConfigError(f"chunk = {chunk}, jobs = {jobs}: at least 1 each")
    out = check_table(out)
    replace(finder).start()  # what is wrong with reference or options is known before anything else is begun
    archive = files if isinstance(files, Archive) else Archive.of(files, finder.reference.shape)
    key = _digest(archive, finder, chunk, aligned, interpolation)
    stack = None
    if aligned is not None:
        path = Aligned.check(aligned)
        stack = Aligned(path.absolute(), (len(archive), *archive.shape), chunk, key)
    _check_outputs([out, *(stack.outputs() if stack else ())], archive, overwrite)
    chunks = _Chunks(archive, replace(finder), chunk, stack, interpolation)
    store = Store(out, key)
    try:
        if stack is not None and not stack.exists():
            store.clear()
            stack.create()
        rows, resumed = _measure(chunks, store, jobs, scheduler, progress or (lambda done, total: None))
        columns, units = table(rows, archive.places(0, len(archive)), world)
        about = {"software": f"rtreg {__version__}", "method": finder.method}
        write_table(out, columns, units=units, about=about)
        if stack is not None:
            stack.finish()
        store.remove()
    finally:
        store.close()
    return Summary(len(archive), int(np.count_nonzero(rows["flags"])), resumed)


def _digest(archive: Archive, finder: Finder, chunk: int, aligned: Any, interpolation: str) -> str:
    """Of everything that a chunk's result depends on. Files are known by name, size and time of change."""
    facts = (__version__, archive.fingerprint(), finder.digest(), chunk, aligned and str(aligned), interpolation)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _check_outputs(paths: Sequence[Path], archive: Archive, overwrite: bool) -> None:
    """Refuse to write over what is there, unless that is wanted, and over an input always."""
    for path in filter(Path.exists, paths):
        if any(path.samefile(file) for file in archive.paths):
            raise ConfigError(f"{path} is one of the inputs; choose another name for the output")
        if not overwrite:
            raise ConfigError(f"{path} exists; remove it, choose another name, or allow it to be overwritten")


def _measure(
    chunks: _Chunks, store: Store, jobs: int | None, scheduler: str | None, progress: Progress
) -> tuple[Rows, int]:
    """The rows of all frames, in order, and how many of them were there already."""
    total = len(chunks.archive)
    rows = np.zeros(total, ROW)
    missing = []
    for chunk in range(len(chunks)):
        found = store.get(chunk, chunks.count(chunk))
        if found is None:
            missing.append(chunk)
        else:
            rows[slice(*chunks.span(chunk))] = found
    done = resumed = total - sum(chunks.count(chunk) for chunk in missing)
    progress(done, total)
    if missing:
        chunks = replace(chunks, wisdom=store.text("wisdom.json", chunks.rehearse))
    results = (
        in_processes(chunks, missing, jobs or _cores()) if scheduler is None else in_cluster(chunks, missing, scheduler)
    )
    for chunk, found in results:
        store.put(chunk, found)
        rows[slice(*chunks.span(chunk))] = found
        done += len(found)
        progress(done, total)
    return rows, resumed


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
