"""HDF5 files of frames: one dataset (frames, ny, nx), and beside it what is known of each frame. The only h5py user.

What is written is ``/frames``, ``/t_ns`` and ``/exp_ns`` (int64) and ``/header`` (a JSON map a frame, as on the wire).
What is read may be any file with one 2-D or 3-D numeric dataset, or with several of which the path names one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.errors import FrameError
from rtreg.io.extras import need
from rtreg.records import UNKNOWN_TIME

__all__ = ["Hdf5Reader", "Hdf5Writer"]

_BATCH = 64  # frames a write of times and headers


class Hdf5Reader:
    """The stack of images in an HDF5 file: ``len(file)``, ``file[i]`` (ny, nx), `about`, `close`.

    Parameters
    ----------
    path : str or Path
    inside : str, optional
        Name of the dataset, such as ``/entry/data``; needed where there are several.

    Raises
    ------
    FrameError
        There is no such dataset, or more than one and `inside` does not say which.
    ConfigError
        h5py is not installed.
    """

    def __init__(self, path: str | Path, inside: str | None = None) -> None:
        h5py = need("h5py", "hdf5", "HDF5")
        self._file = h5py.File(path, "r")
        try:
            self._frames = self._file[inside or self._only(path)]
            if not (isinstance(self._frames, h5py.Dataset) and self._frames.ndim in (2, 3)):
                raise FrameError(f"{path}:{inside} is no dataset (ny, nx) or (frames, ny, nx)")
            self._headers = self._column("header")
            self._times = self._column("t_ns")
        except BaseException:
            self._file.close()
            raise

    def _only(self, path: str | Path) -> str:
        """The one dataset that can be a stack of images."""
        names: list[str] = []

        def look(name: str, item: Any) -> None:
            shape = getattr(item, "shape", ())
            if len(shape) in (2, 3) and item.dtype.kind in "iuf":
                names.append(f"/{name}")

        self._file.visititems(look)
        if not names:
            raise FrameError(f"{path} holds no dataset (ny, nx) or (frames, ny, nx)")
        if len(names) > 1 and "/frames" not in names:
            raise FrameError(f"{path} holds {', '.join(names)}; say which one: {path}:{names[0]}")
        return names[0] if len(names) == 1 else "/frames"

    def _column(self, name: str) -> Any:
        """What the file says of each frame under `name`, beside the stack; None where it does not."""
        column = self._frames.parent.get(name)
        return column if getattr(column, "shape", ()) == (len(self),) else None

    def __len__(self) -> int:
        return 1 if self._frames.ndim == 2 else len(self._frames)

    def __getitem__(self, index: int) -> npt.NDArray[Any]:
        return np.asarray(self._frames[()] if self._frames.ndim == 2 else self._frames[index])

    def about(self, index: int) -> dict[str, Any]:
        """What the file says of a frame: the keys of the wire's header; `t_ns` alone where no header is there."""
        if self._headers is not None:
            about: dict[str, Any] = json.loads(self._headers[index])
            return about
        if self._times is None or (t_ns := int(self._times[index])) == UNKNOWN_TIME:
            return {}
        return {"t_ns": t_ns}

    def close(self) -> None:
        """Close the file; twice does no harm."""
        self._file.close()


class Hdf5Writer:
    """Writes frames of one shape and dtype, with what is known of them, to a new HDF5 file; one chunk a frame.

    Raises
    ------
    ConfigError
        h5py is not installed.
    """

    def __init__(self, path: str | Path, shape: tuple[int, int], dtype: npt.DTypeLike) -> None:
        h5py = need("h5py", "hdf5", "HDF5")
        self._file = h5py.File(path, "w")
        self._frames = self._file.create_dataset(
            "frames", (0, *shape), dtype, maxshape=(None, *shape), chunks=(1, *shape)
        )
        for name, kind in (("t_ns", np.int64), ("exp_ns", np.int64), ("header", h5py.string_dtype())):
            self._file.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(1024,))
        self._facts: list[tuple[int, int, str]] = []

    def write(self, pixels: npt.NDArray[Any], t_ns: int | None, exp_ns: int, header: str) -> None:
        """Append a frame: its mid-exposure UTC ns, its exposure in ns, its header as JSON."""
        count = len(self._frames)
        self._frames.resize(count + 1, axis=0)
        self._frames[count] = pixels
        self._facts.append((UNKNOWN_TIME if t_ns is None else t_ns, exp_ns, header))
        if len(self._facts) == _BATCH:
            self._flush()

    def _flush(self) -> None:
        count = len(self._frames)
        for name, values in zip(("t_ns", "exp_ns", "header"), zip(*self._facts, strict=True), strict=True):
            column = self._file[name]
            column.resize(count, axis=0)
            column[count - len(values) :] = values
        self._facts.clear()

    def close(self) -> None:
        """Write what is left, and close; twice does no harm."""
        if self._file:
            if self._facts:
                self._flush()
            self._file.close()
