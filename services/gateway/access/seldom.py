"""PURE. Saying seldom what strangers can make happen often, so that they can't fill a log."""

from __future__ import annotations

from collections import Counter

_EVERY_S = 10.0


class Seldom:
    """Says of each kind of thing when it is to be told again. Kinds are of a closed set."""

    def __init__(self, every_s: float = _EVERY_S) -> None:
        self._every_s = every_s
        self._told_s: dict[str, float] = {}
        self._since: Counter[str] = Counter()

    def times(self, kind: str, now_s: float) -> int:
        """Count one more; return how many to tell of now, nought where it was told just before."""
        self._since[kind] += 1
        if now_s - self._told_s.get(kind, float("-inf")) < self._every_s:
            return 0
        self._told_s[kind] = now_s
        return self._since.pop(kind)
