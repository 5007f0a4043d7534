"""How a reference is made, and whether and how it follows the scene: the options, checked once."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy.typing as npt

from rtreg.errors import ConfigError

Image = npt.NDArray[Any]
Policy = Literal["anchored", "exponential", "window", "mean", "fixed"]


class ReferencePolicy:
    """How the reference is made and whether it follows the scene.

    Parameters
    ----------
    policy : {"anchored", "exponential", "window", "mean", "fixed"}
        "fixed": the first good frame, or `image`, for ever. "mean": the mean of the first `frames`, aligned with each
        other. The others start from that mean and roll on with the aligned frames that follow. "window": the mean of
        the last `memory` of them. "exponential": the mean of all up to `memory`, then new frames take over at that
        rate. "anchored": the same, and what it walks off from the mean of the first `frames` is measured in that and
        taken out of the output; when a scene has changed so much that this can no longer be measured, the rolling
        mean takes over as the anchor.
    frames : int
        How many frames are aligned into the first reference.
    memory : int
        Frames that a rolling mean remembers.
    batch : int
        A rolling mean is renewed after so many frames, or a quarter of those it is the mean of (a window:
        a sixteenth of its memory), whichever is more.
    learn_hz : float
        At most so many frames a second enter a rolling mean: a scene does not change faster, and a fast loop has
        better things to do.
    anchor_every : int
        After so many learnt frames a rolling mean is measured in the mean of the first `frames`, to know how far it
        has walked; "anchored" corrects the output for that, gradually, so that it makes no step.
    image : array, optional
        (ny, nx) reference in raw pixels for policy "fixed"; in a configuration the path of an image file.
    image_frames : float
        How many frames were averaged into `image`.
    """

    def __init__(
        self,
        *,
        policy: Policy = "anchored",
        frames: int = 16,
        memory: int = 256,
        batch: int = 8,
        learn_hz: float = 100.0,
        anchor_every: int = 200,
        image: Image | None = None,
        image_frames: float = 1.0,
    ) -> None:
        if policy not in get_args(Policy):
            raise ConfigError(f"policy = {policy!r}: one of {', '.join(get_args(Policy))}")
        for name, value, least in (
            ("frames", frames, 2), ("memory", memory, 2), ("batch", batch, 1), ("anchor_every", anchor_every, 1)
        ):  # fmt: skip
            if value < least:
                raise ConfigError(f"{name} = {value}: at least {least}")
        if not learn_hz > 0.0:
            raise ConfigError(f"learn_hz = {learn_hz}: frames a second, must be positive")
        if image is not None and policy != "fixed":
            raise ConfigError(f"image is for policy 'fixed', not {policy!r}")
        self.policy, self.frames, self.memory, self.batch = policy, frames, memory, batch
        self.anchor_every, self.image, self.image_frames = anchor_every, image, image_frames
        self.learn_hz = learn_hz

    @property
    def rolls(self) -> bool:
        """Whether the reference follows the frames."""
        return self.policy not in ("fixed", "mean")
