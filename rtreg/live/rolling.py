"""Means of aligned frames that roll on with the stream. Frames come in batches, so that the reference changes a few
times a second and not with each frame; every pixel knows by itself how many frames it has seen, so that a field that
drifts is learnt where it comes into view, and forgotten where it has left it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.kernels import bspline, stacking
from rtreg.live.stacking import Stack, aligned, stored_image
from rtreg.records import Shift

Image = npt.NDArray[Any]

KNOWN_FROM = 0.5  # of the frames that others have seen: a pixel with fewer is too noisy to be used with them
BLOCKS = 16  # a window forgets a sixteenth of its memory at a time, and keeps that many images


class Rolling:
    """A mean that collects frames in a batch until they are merged in.

    Parameters
    ----------
    image : (ny, nx) float32
        The mean to start from; NaN where unknown.
    frames : int
        How many frames it is the mean of.
    memory : int
        Frames to remember.
    """

    NEW_SHARE = 1 / 4  # of what it has seen: fewer new frames change it by less than it takes to make it ready

    def __init__(self, image: Image, frames: int, memory: int) -> None:
        self.image = image
        self._memory = float(memory)
        self._shape = (image.shape[0], image.shape[1])
        self._batch = Stack(self._shape)
        self._coefficients, self._scratch = np.empty(self._shape, np.float32), np.empty(self._shape, np.float32)

    frames: float  # as many independent frames as would give the same noise

    @property
    def pending(self) -> int:
        """Frames in the batch that is being collected."""
        return self._batch.frames

    def full(self, batch: int) -> bool:
        """Whether what has been collected, at least `batch` frames, is worth to be merged in."""
        return self.pending >= max(batch, self.NEW_SHARE * min(self.frames, self._memory))

    def add(self, work: Image, position: Shift) -> None:
        """Add a calibrated frame at its position in this mean, px."""
        bspline.prefilter(work, True, self._coefficients)
        self._batch.add(aligned(self._coefficients, position, self._scratch))

    def snapshot(self) -> dict[str, Any]:
        """All of it but the memory; the arrays are those in use."""
        return {"image": self.image, "frames": self.frames, "batch": self._batch.snapshot()}

    def restore(self, state: dict[str, Any]) -> None:
        """Be as the mean of the same kind, shape and memory that gave `snapshot`."""
        self.image, self.frames = stored_image(state["image"], self._shape), float(state["frames"])
        self._batch.restore(state["batch"])

    def merge(self) -> None:
        """Take the batch in."""
        batch, self._batch = self._batch, Stack(self._shape)
        self._merge(batch)

    def _merge(self, batch: Stack) -> None:
        raise NotImplementedError


class RollingMean(Rolling):
    """Cumulative mean of aligned frames up to `memory`, exponential with that weight from then on."""

    def __init__(self, image: Image, frames: int, memory: int) -> None:
        super().__init__(image, frames, memory)
        known = np.isfinite(image)
        self._mean = np.where(known, image, np.float32(0.0))
        self._seen = np.where(known, np.float32(frames), np.float32(0.0))  # frames at each pixel, up to the memory
        self._most = float(frames)  # of `_seen`, as if no pixel had ever been without data
        self.frames = float(frames)

    def snapshot(self) -> dict[str, Any]:
        """See `Rolling.snapshot`."""
        return {**super().snapshot(), "mean": self._mean, "seen": self._seen, "most": self._most}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Rolling.restore`."""
        super().restore(state)
        self._mean, self._seen = (stored_image(state[name], self._shape) for name in ("mean", "seen"))
        self._most = float(state["most"])

    def _merge(self, batch: Stack) -> None:
        count = batch.frames
        memory = max(self._memory, count)
        self._most = min(self._most + count, memory)
        weight = count / self._most
        self.frames = 1.0 / ((1.0 - weight) ** 2 / self.frames + weight**2 / count)
        # what is out of view is forgotten at the rate at which the rest is renewed: it may have changed
        self.image, known = np.empty_like(self._mean), KNOWN_FROM * self._most
        stacking.merge(batch.sum, batch.count, count, weight, memory, known, self._mean, self._seen, self.image)


class WindowMean(Rolling):
    """Mean of the last `memory` aligned frames."""

    NEW_SHARE = 1 / BLOCKS

    def __init__(self, image: Image, frames: int, memory: int) -> None:
        super().__init__(image, frames, memory)
        first = Stack(self._shape)
        known = np.isfinite(image)
        first.count += np.float32(frames) * known
        np.multiply(image, np.float32(frames), out=first.sum, where=known)
        first.frames = frames
        self._blocks = [first]
        self.frames = float(frames)

    def snapshot(self) -> dict[str, Any]:
        """See `Rolling.snapshot`."""
        return {**super().snapshot(), "blocks": [block.snapshot() for block in self._blocks]}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Rolling.restore`."""
        super().restore(state)
        self._blocks = [Stack(self._shape).restore(block) for block in state["blocks"]]

    def _merge(self, batch: Stack) -> None:
        if len(self._blocks) > 1 and self._blocks[-1].frames + batch.frames <= self._memory / BLOCKS:
            self._blocks[-1].merge(batch)
        else:
            self._blocks.append(batch)
        while sum(block.frames for block in self._blocks[1:]) >= self._memory:
            del self._blocks[0]
        total = Stack(self._shape)
        for block in self._blocks:
            total.merge(block)
        self.frames = float(total.frames)
        self.image = total.mean()
