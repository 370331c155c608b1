"""PURE. Where one model's text ends and another's goes on, without a word said twice.

A stream may be cut within a word. The model that goes on is told only the whole words before it;
when its text begins with that piece of a word, the piece is left out, because it was said. Models
that begin their whole answer again in spite of what they were asked have that left out too.
"""

from __future__ import annotations

_CLOSERS = ",.;:!?…)]}'\"”’"


class Seam:
    """Joins a text that goes on to one that was cut.

    Args:
        said: everything said so far.
    """

    def __init__(self, said: str) -> None:
        self._said = said
        words = said.rsplit(None, 1) if said and not said[-1].isspace() else [said]
        ends_a_sentence = said.rstrip()[-1:] in tuple(".!?…")
        self._piece = words[-1] if said and not said[-1].isspace() and not ends_a_sentence else ""
        self._held: str | None = ""
        self.told = said[: len(said) - len(self._piece)].rstrip()
        """What the model that goes on is told."""

    def push(self, text: str) -> str:
        """Take the next text of the model that goes on; return what of it is to be said."""
        if self._held is None:
            return text
        self._held += text
        if self._is_undecided(self._held):
            return ""
        return self.flush()

    def flush(self) -> str:
        """Return what is still held: nothing more comes."""
        held, self._held = self._held, None
        if not held:
            return ""
        bare = held.lstrip()
        for repeated in (self._said.strip(), self._piece):
            if repeated and bare.casefold().startswith(repeated.casefold()):
                return self._joined(bare[len(repeated) :], is_within=True)
        return self._joined(bare, is_within=False)

    def _is_undecided(self, held: str) -> bool:
        bare = held.lstrip().casefold()
        if not bare:
            return True
        repeats = (self._said.strip().casefold(), self._piece.casefold())
        return any(len(bare) < len(repeat) and repeat.startswith(bare) for repeat in repeats)

    def _joined(self, text: str, *, is_within: bool) -> str:
        needs_space = (
            bool(text)
            and not is_within
            and bool(self._said)
            and not self._said[-1].isspace()
            and not text.startswith(tuple(_CLOSERS))
        )
        return f" {text}" if needs_space else text
