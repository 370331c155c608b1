"""PURE. Counting where a counter's lock is too dear: by plain numbers, handed on now and then."""

from __future__ import annotations

from collections.abc import Callable

_EVERY = 50


class Tally:
    """Counts frames; a counter hears of fifty or more, about once a second, and of the rest."""

    __slots__ = ("_count", "_hand_on")

    def __init__(self, hand_on: Callable[[float], object]) -> None:
        self._hand_on = hand_on
        self._count = 0

    def add(self, frames: int = 1) -> bool:
        """Count; True when that made fifty, and the counter has heard of them."""
        self._count += frames
        if self._count < _EVERY:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Hand on what is counted and not yet known."""
        count, self._count = self._count, 0
        if count:
            self._hand_on(count)
