"""Where frames come from. Each feed is one module; a TOML table ``[camera]`` is a call of its constructor."""

from __future__ import annotations

from typing import Protocol

from rtreg.records import Frame

__all__ = ["Feed"]


class Feed(Protocol):
    """A source of frames, with or without something in it that can be moved. For one thread."""

    def describe(self) -> str:
        """One line for people: what this is."""
        ...

    def next_frame(self) -> Frame | None:
        """The next frame, or None when there are no more.

        It carries the pixels and what the camera knows (`t_ns`, `exp_ns`, `gain`, ...); who publishes it adds
        stream, epoch, seq, `mono_ns` and host.

        Raises
        ------
        DeviceError, FrameError
            The camera failed; the file cannot be read.
        """
        ...

    def move(self, u: tuple[float, float], mode: str, unit: str) -> tuple[float, float]:
        """Move to `u` (mode "absolute") or by `u` ("increment"), x first, in `unit`; returns where it is now.

        Raises
        ------
        DeviceError
            Nothing here can be moved, or not like this.
        """
        ...

    def stop(self) -> tuple[float, float]:
        """Stop what moves, wherever it is; returns where that is.

        Raises
        ------
        DeviceError
            Nothing here can be moved, or it does not stop.
        """
        ...

    def where(self) -> tuple[float, float]:
        """Where the actuator is, x first, in its unit.

        Raises
        ------
        DeviceError
            Nothing here can be moved.
        """
        ...

    def close(self) -> None:
        """Let go of the device or the file; once is enough, twice does no harm."""
        ...
