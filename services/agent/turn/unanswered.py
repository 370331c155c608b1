"""PURE. What the caller said and was not answered yet: it is joined with what they say next."""

from __future__ import annotations

from services.agent.providers.base import Digit


class Unanswered:
    """Words and keys that wait for their turn, in order."""

    def __init__(self) -> None:
        self.keys: list[Digit] = []
        self._texts: list[str] = []
        self._at_ms = 0

    @property
    def has_words(self) -> bool:
        """Whether there are words."""
        return bool(self._texts)

    @property
    def at_ms(self) -> int:
        """When the words began."""
        return self._at_ms

    def keep(self, text: str, at_ms: int) -> None:
        """Keep words that began at `at_ms`."""
        if not self._texts:
            self._at_ms = at_ms
        self._texts.append(text)

    def put_back(self, text: str, at_ms: int) -> None:
        """Keep words from before all that is kept: their answer will not be heard."""
        self._texts.insert(0, text)
        self._at_ms = at_ms

    def joined(self, text: str) -> str:
        """Return what is kept with newer words at its end."""
        return " ".join([*self._texts, text]).strip()

    def take(self, text: str, at_ms: int) -> tuple[str, int]:
        """Take everything, with newer words at its end; return it and when it began."""
        whole, began_ms = self.joined(text), self._at_ms if self._texts else at_ms
        self._texts.clear()
        return whole, began_ms
