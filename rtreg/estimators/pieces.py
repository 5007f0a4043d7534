"""Long work in pieces, to be done between frames: a generator that yields wherever it may rest.

Making a new reference ready takes tens of milliseconds at 512 x 512 px; a camera leaves two between its frames. Each
piece is one look at the image or so, and the work is the same to the last bit however it is spread.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Generic, TypeVar

T = TypeVar("T")
Pieces = Generator[None, None, T]


def nothing() -> Pieces[None]:
    """No work."""
    yield from ()


def at_once(pieces: Pieces[T]) -> T:
    """All of the work, now."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            result: T = end.value
            return result


def in_fewer(pieces: Pieces[T], count: int) -> Pieces[T]:
    """The same work, `count` pieces at a time."""
    done = 0
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            result: T = end.value
            return result
        done += 1
        if done % count == 0:
            yield


class Job(Generic[T]):
    """Work under way. The mutable state: the work, how many pieces of it are done, and once it is over its `result`."""

    result: T

    def __init__(self, pieces: Pieces[T]) -> None:
        self._pieces = pieces
        self.done = 0

    def advance(self, count: int = 1) -> bool:
        """Do so many more pieces; whether that was the last."""
        for _ in range(count):
            try:
                next(self._pieces)
            except StopIteration as end:
                self.result = end.value
                return True
            self.done += 1
        return False
