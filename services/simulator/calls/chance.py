"""PURE. Chance, passed in: what is used of `random.Random`, and chance by name."""

from __future__ import annotations

import hashlib
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


def chance_of(seed: int, *what: object) -> float:
    """Return a number from 0 to below 1 that depends on nothing but the arguments."""
    text = ":".join(map(str, (seed, *what)))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
