"""PURE. What the console's API says when it can't do as asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Problem(Exception):
    """A request that is answered by `{"problem": words}`.

    Args:
        status: of the answer, 400 or above.
        words: for the person at the page: what is the matter, and what to do.
        more: what the page may show beside them.
    """

    def __init__(self, status: int, words: str, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(status, words)
        self.status = status
        self.words = words
        self.more = dict(more or {})

    def __str__(self) -> str:
        return self.words
