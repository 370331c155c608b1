"""PURE. Labels whose values people make up, such as agents' names: so many and no more."""

from __future__ import annotations

OTHER = "other"


class BoundedLabel:
    """Lets the first values through and calls all later ones `other`.

    Args:
        most: how many values are told apart.
    """

    def __init__(self, most: int = 40) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, value: str) -> str:
        """Return the value to label a metric with."""
        if value in self._known:
            return value
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(value)
        return value
