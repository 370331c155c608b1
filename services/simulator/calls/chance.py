"""PURE. Chance, passed in: what is used of `random.Random`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Chance(Protocol):
    """A seeded generator, or a test's stand-in for one."""

    def uniform(self, a: float, b: float) -> float:
        """Return a number from a to b."""
        ...

    def randrange(self, start: int, stop: int | None = None) -> int:
        """Return a whole number from start, or 0, up to but without the end."""
        ...

    def choice(self, seq: Sequence[T]) -> T:
        """Return one of them."""
        ...
