"""PURE. Counting where a counter's lock is too dear: by plain numbers, handed on now and then."""

from __future__ import annotations

from collections.abc import Callable

_EVERY = 50


class Tally:
    """Counts frames; a counter hears of each fiftieth, which is once a second, and of the rest."""

    def __init__(self, hand_on: Callable[[float], object]) -> None:
        self._hand_on = hand_on
        self._count = 0

    def add(self) -> bool:
        """Count one; True when it was the fiftieth."""
        self._count += 1
        if self._count < _EVERY:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Hand on what is counted and not yet known."""
        count, self._count = self._count, 0
        if count:
            self._hand_on(count)
