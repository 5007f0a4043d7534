"""Aligned stacks on disk, of which every process writes its own stretch: TIFF or Zarr, each with a mask.

Pixels are float32, NaN where the frame has no data for the reference's pixel; the mask is True (255) there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtreg.errors import ConfigError
from rtreg.io.extras import need

__all__ = ["Aligned"]

Images = npt.NDArray[Any]


class Aligned(NamedTuple):
    """Where an aligned stack of `shape` (frames, ny, nx) goes, and where it is until it is complete.

    Parameters
    ----------
    path : Path
        Ends in ``.tif``, ``.tiff`` (the mask is ``NAME.mask.tif`` beside it) or ``.zarr`` (``frames`` and ``mask``).
    shape : (int, int, int)
    chunk : int
        Frames of a stretch: how many one process writes at once.
    key : str
        Of the run that writes it; a run with other options has a file of its own.
    """

    path: Path
    shape: tuple[int, int, int]
    chunk: int
    key: str

    @staticmethod
    def check(path: str | Path) -> Path:
        """`path`, if an aligned stack can be written there, else `ConfigError`."""
        path = Path(path)
        if path.suffix.lower() not in (".tif", ".tiff", ".zarr"):
            raise ConfigError(f"{path} cannot be written: an aligned stack ends in .tif, .tiff or .zarr")
        if not path.parent.is_dir():
            raise ConfigError(f"the folder of {path} does not exist; make it first")
        if _is_zarr(path):
            need("zarr", "zarr", f"{path.name}: Zarr")
        return path

    def outputs(self) -> tuple[Path, ...]:
        """The files or folders that there will be."""
        if _is_zarr(self.path):
            return (self.path,)
        return self.path, self.path.with_suffix(f".mask{self.path.suffix}")

    def exists(self) -> bool:
        """Whether a beginning of it is there."""
        return all(self._partial(path).exists() for path in self.outputs())

    def create(self) -> None:
        """Make it, without content, over any beginning of it."""
        self._format().create([self._partial(path) for path in self.outputs()], self.shape, self.chunk)

    def write(self, start: int, frames: Images) -> None:
        """Put frames (n, ny, nx) at `start`, and the mask of their NaN; any process may, each at its own stretch."""
        self._format().write([self._partial(path) for path in self.outputs()], start, frames, np.isnan(frames))

    def finish(self) -> None:
        """It is complete: give it its name."""
        for path in self.outputs():
            if path.is_dir():
                shutil.rmtree(path)
            os.replace(self._partial(path), path)
            for forgotten in path.parent.glob(f".partial-*-{path.name}"):  # of runs with other options
                shutil.rmtree(forgotten) if forgotten.is_dir() else forgotten.unlink()

    def _partial(self, path: Path) -> Path:
        return path.with_name(f".partial-{self.key}-{path.name}")

    def _format(self) -> _Format:
        return _ZARR if _is_zarr(self.path) else _TIFF


class _Format(NamedTuple):
    create: Callable[[list[Path], tuple[int, int, int], int], None]
    write: Callable[[list[Path], int, Images, Images], None]


def _is_zarr(path: Path) -> bool:
    return path.suffix.lower() == ".zarr"


def _create_tiff(paths: list[Path], shape: tuple[int, int, int], chunk: int) -> None:
    import tifffile

    for path, dtype in zip(paths, (np.float32, np.uint8), strict=True):
        size = np.prod(shape, dtype=np.int64) * np.dtype(dtype).itemsize
        tifffile.memmap(
            path,
            shape=shape,
            dtype=dtype,
            bigtiff=bool(size > 1 << 31),
            photometric="minisblack",
            metadata={"axes": "TYX"},
        )


def _write_tiff(paths: list[Path], start: int, frames: Images, mask: Images) -> None:
    import tifffile

    for path, images in zip(paths, (frames.astype("<f4"), mask.astype(np.uint8) * np.uint8(255)), strict=True):
        with tifffile.TiffFile(path) as tiff:
            begin = tiff.pages[0].dataoffsets[0]
        # not through a memory map: processes on several hosts would write over each other's pages
        with open(path, "r+b") as file:
            file.seek(begin + start * images[0].nbytes)
            file.write(np.ascontiguousarray(images).data)


def _create_zarr(paths: list[Path], shape: tuple[int, int, int], chunk: int) -> None:
    import zarr

    group = zarr.open_group(paths[0], mode="w")
    for name, dtype, fill in (("frames", "float32", np.nan), ("mask", "bool", True)):
        group.create_array(name, shape=shape, dtype=dtype, chunks=(min(chunk, shape[0]), *shape[1:]), fill_value=fill)


def _write_zarr(paths: list[Path], start: int, frames: Images, mask: Images) -> None:
    import zarr

    group = zarr.open_group(paths[0], mode="r+")
    group["frames"][start : start + len(frames)] = frames
    group["mask"][start : start + len(mask)] = mask


_TIFF = _Format(_create_tiff, _write_tiff)
_ZARR = _Format(_create_zarr, _write_zarr)
