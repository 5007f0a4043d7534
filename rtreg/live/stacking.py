"""Aligned frames, their sums, and the group of the first ones that makes a reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.errors import FrameError
from rtreg.kernels import bspline, stacking
from rtreg.records import Shift

Image = npt.NDArray[Any]

BORDER = 2.0  # px: beyond that the guess at the frame's border has decayed to 7 %; left in, it makes a mean walk


def spline_of(work: Image) -> Image:
    """Spline coefficients of a calibrated frame (ny, nx) float32, to be sampled anywhere."""
    coefficients = np.empty(work.shape, np.float32)
    bspline.prefilter(work, True, coefficients)
    return coefficients


def aligned(coefficients: Image, position: Shift, out: Image) -> Image:
    """A frame moved back by its position, (ny, nx) float32 into `out`; NaN where it has no data, or none to trust."""
    bspline.sample(coefficients, position.dy, position.dx, np.float32(math.nan), out)
    for axis, moved in enumerate((position.dy, position.dx)):
        lines = np.moveaxis(out, axis, 0)
        # line y was read at y + moved: keep 2 px from the frame's border, where the mirrored spline is only a guess
        lines[: max(0, math.ceil(BORDER - moved))] = np.nan
        lines[max(0, math.floor(out.shape[axis] - 1 - BORDER - moved) + 1) :] = np.nan
    return out


def smoothed(image: Image) -> tuple[Image, float]:
    """A frame smoothed by (1 4 6 4 1) / 16 along both axes, and how many averaged frames would be as quiet."""
    kernel = np.array([1.0, 4.0, 6.0, 4.0, 1.0], np.float32) / np.float32(16.0)
    out = image
    for axis in (0, 1):
        lines = np.pad(np.moveaxis(out, axis, 0), ((2, 2), (0, 0)), mode="reflect")
        n = lines.shape[0] - 4
        total = sum(weight * lines[k : k + n] for k, weight in enumerate(kernel))
        out = np.moveaxis(np.asarray(total, np.float32), 0, axis)
    return np.ascontiguousarray(out), float(1.0 / np.sum(kernel**2) ** 2)


def stored_image(image: Any, shape: tuple[int, ...]) -> Image:
    """An image out of a snapshot as one to go on with, float32; `FrameError` if it is not of this shape."""
    if not isinstance(image, np.ndarray) or image.shape != shape:
        raise FrameError(f"a stored image is {np.shape(image)}, not {shape}")
    return np.array(image, np.float32)


class Stack:
    """Sum of aligned frames and how many of them reached each pixel: `sum`, `count` (ny, nx) float32, `frames`."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.sum = np.zeros(shape, np.float32)
        self.count = np.zeros(shape, np.float32)
        self.frames = 0

    def add(self, image: Image, sign: int = 1) -> None:
        """Add an aligned frame (NaN = no data), or with sign -1 take it out again."""
        stacking.add(image, sign, self.sum, self.count)
        self.frames += sign

    def snapshot(self) -> dict[str, Any]:
        """All of it; the arrays change with the next `add`."""
        return {"sum": self.sum, "count": self.count, "frames": self.frames}

    def restore(self, state: dict[str, Any]) -> Stack:
        """Be as the stack of the same shape that gave `snapshot`; returns itself."""
        self.sum, self.count = (stored_image(state[name], self.sum.shape) for name in ("sum", "count"))
        self.frames = int(state["frames"])
        return self

    def merge(self, other: Stack) -> None:
        """Add the frames of another stack."""
        self.sum += other.sum
        self.count += other.count
        self.frames += other.frames

    def mean(self) -> Image:
        """Mean image, float32; NaN where less than half of the frames have data, for there the noise is another."""
        enough = self.count > 0.5 * self.frames
        return np.divide(self.sum, self.count, out=np.full_like(self.sum, np.nan), where=enough)


class Group:
    """Frames that are aligned with each other: each against the mean of the *others*, so that none pulls on itself.

    Their positions sum to zero: the mean of the group stands at the mean true position of its frames, and no single
    frame's noise decides where zero is.
    """

    ROUNDS = 2  # the second changes positions by less than a tenth of their error
    MISFIT = 4.0  # times the median chi² of the group: a cosmic ray, a corrupt frame

    def __init__(self, shape: tuple[int, int]) -> None:
        self._splines: list[Image] = []
        self._positions: list[Shift] = []
        self._misfits: list[float] = []  # chi² of each against the others, when last measured; inf: did not match
        self._scratch = np.empty(shape, np.float32)
        self._shape = shape
        self._turn = self._dropped = 0
        self._all: Stack | None = None  # of all frames at their positions; None when those have moved

    def __len__(self) -> int:
        return len(self._splines)

    def snapshot(self) -> dict[str, Any]:
        """All of it, arrays included."""
        whole = None if self._all is None else self._all.snapshot()
        return {
            "splines": self._splines, "positions": self._positions, "misfits": self._misfits, "turn": self._turn,
            "dropped": self._dropped, "all": whole,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Be as the group of the same shape that gave `snapshot`."""
        self._splines = [stored_image(spline, self._shape) for spline in state["splines"]]
        self._positions = [Shift(float(dx), float(dy)) for dx, dy in state["positions"]]
        self._misfits = [float(misfit) for misfit in state["misfits"]]
        self._turn, self._dropped = int(state["turn"]), int(state["dropped"])
        self._all = None if state["all"] is None else Stack(self._shape).restore(state["all"])

    def add(self, work: Image, position: Shift) -> None:
        """Add a frame at its first, rough position, px."""
        self._splines.append(spline_of(work))
        self._positions.append(position)
        self._misfits.append(0.0)

    @property
    def work_left(self) -> int:
        """Measurements still to be made."""
        return self.ROUNDS * len(self) - self._turn

    def next_pair(self) -> tuple[Image, Image, Shift]:
        """The next frame to measure: the mean of the others, the frame, and where it should be in that mean."""
        index = self._turn % len(self)
        self._all = self._all or self._stack()
        position = self._positions[index]
        self._all.add(aligned(self._splines[index], position, self._scratch), sign=-1)
        others = self._all.mean()
        frame = aligned(self._splines[index], Shift(0.0, 0.0), self._scratch).copy()
        return others, frame, position

    def place(self, position: Shift | None, chi2_dof: float) -> None:
        """The answer to `next_pair`: the frame's new position and misfit; None leaves it where it was."""
        index = self._turn % len(self)
        self._misfits[index] = math.inf if position is None else chi2_dof
        if position is not None:
            self._positions[index] = position
        if self._all is not None:
            self._all.add(aligned(self._splines[index], self._positions[index], self._scratch))
        self._turn += 1
        if self._turn % len(self) == 0:
            self._centre()

    def drop_misfits(self) -> list[int]:
        """Leave out the frames that are not like the others, by their index; those that stay are to be aligned anew.

        None any more once as many have been left out as there are: then frames are unlike each other here.
        """
        limit = self.MISFIT * float(np.median(self._misfits))
        misfits = [index for index, misfit in enumerate(self._misfits) if misfit > limit]
        if self._dropped >= len(self) or not misfits:
            return []
        for index in reversed(misfits):
            for values in (self._splines, self._positions, self._misfits):
                del values[index]
        self._dropped += len(misfits)
        self._turn = 0
        self._centre()
        return misfits

    def mean(self) -> Image:
        """Mean of all frames, aligned; NaN where fewer than half have data."""
        return self._stack().mean()

    def _stack(self) -> Stack:
        stack = Stack(self._shape)
        for spline, position in zip(self._splines, self._positions, strict=True):
            stack.add(aligned(spline, position, self._scratch))
        return stack

    def _centre(self) -> None:
        n = len(self)
        mx, my = sum(p.dx for p in self._positions) / n, sum(p.dy for p in self._positions) / n
        self._positions = [Shift(p.dx - mx, p.dy - my) for p in self._positions]
        self._all = None
