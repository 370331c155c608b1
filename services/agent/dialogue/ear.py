"""PURE. A written text made fit for the ear: no markdown, no links, no pictures."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^\s*```\w*|```")
_LINE_SIGN = re.compile(r"^\s*(?:#{1,6}\s+|>\s+|[-*+•‣◦▪]\s+)", re.MULTILINE)
_RULE = re.compile(r"^\s*(?:-{3,}|\*{3,}|_{3,}|={3,})\s*$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_LINK_REST = re.compile(r"\]\([^)\s]*\)?")
_SCHEME = re.compile(r"\b(?:https?://|mailto:)(?:www\.)?", re.IGNORECASE)
_STRONG = re.compile(r"\*{2,}|_{2,}(?=\w)|(?<=\w)_{2,}|~~|`+")
_EMPHASIS = re.compile(r"(?<![\w*])[*_](?=\w)|(?<=[\w.,!?])[*_](?![\w*])")
_PICTURES = re.compile(
    "[\U0001f000-\U0001faff\U00002600-\U000027bf\U00002b00-\U00002bff\U0000fe0f\U0000200d"
    "\U0001f1e6-\U0001f1ff\U000020e3\U000e0020-\U000e007f]"
)
_SPACES = re.compile(r"\s+")


def for_ear(text: str) -> str:
    """Return a piece of a model's answer as it should be spoken, on one line; perhaps empty."""
    for pattern, by in (
        (_FENCE, " "),
        (_RULE, " "),
        (_LINE_SIGN, ""),
        (_LINK, r"\1"),
        (_LINK_REST, ""),
        (_SCHEME, ""),
        (_STRONG, ""),
        (_EMPHASIS, ""),
        (_PICTURES, ""),
    ):
        text = pattern.sub(by, text)
    text = text.replace("[", "").replace("]", "").replace("|", " ")
    text = _SPACES.sub(" ", text).strip()
    return text if any(sign.isalnum() for sign in text) else ""


_SIGNS = re.compile(r"[^\w]+")


def plain_words(text: str) -> str:
    """Return a text's words alone, lower case, single spaces, to compare by."""
    return _SIGNS.sub(" ", text.casefold()).strip()


class Passages:
    """Texts that are spoken to their end wherever they occur.

    A piece belongs to one when it holds the passage or a whole sentence of it, or is itself a part
    of it at least three words long.
    """

    def __init__(self, passages: tuple[str, ...], sentences: tuple[str, ...]) -> None:
        self._passages = tuple(filter(None, map(plain_words, passages)))
        self._sentences = tuple(filter(None, map(plain_words, sentences)))

    def holds(self, piece: str) -> bool:
        """Whether this piece of an answer belongs to a passage."""
        words = plain_words(piece)
        if any(f" {s} " in f" {words} " for s in (*self._passages, *self._sentences)):
            return True
        is_long = words.count(" ") >= 2
        return is_long and any(f" {words} " in f" {passage} " for passage in self._passages)
