"""PURE. Words as they are compared: without capitals and punctuation, of any script."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


@lru_cache(maxsize=2048)
def plain_words(text: str) -> tuple[str, ...]:
    """Return the words of a text, lower case; punctuation parts words, apostrophes do not.

    Combining marks stay: without them the words of most Indian scripts fall apart. Remembered for
    a while, because the same few texts are asked about with every frame.
    """
    kept = "".join(_plain(char) for char in unicodedata.normalize("NFKC", text).casefold())
    return tuple(kept.split())


def _plain(char: str) -> str:
    if char in "'’":
        return ""
    return " " if unicodedata.category(char)[0] in "PSZC" else char


def are_same_words(one: str, other: str) -> bool:
    """Whether two texts differ in capitals and punctuation only."""
    return plain_words(one) == plain_words(other)


def begins_with(words: tuple[str, ...], phrase: tuple[str, ...], at: int = 0) -> bool:
    """Whether a phrase stands in `words` from place `at` on."""
    return words[at : at + len(phrase)] == phrase


def contains_phrase(words: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """Whether a phrase stands anywhere in `words`, as whole words."""
    last = len(words) - len(phrase)
    return bool(phrase) and any(begins_with(words, phrase, at) for at in range(last + 1))


def base_language(tag: str) -> str:
    """Return the language of a BCP 47 tag: `hi` of `hi-IN`."""
    return tag.partition("-")[0].lower()
