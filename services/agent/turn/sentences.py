"""PURE. Where a text is cut into sentences: what is synthesised, checkpointed, resumed as one.

`split_sentences` cuts a whole text, `SentenceStream` one that is still being written. A full stop
ends a sentence when something follows that can begin one, and when it belongs neither to an
abbreviation, an initial nor a number ("Dr. Rao", "at 3.5", "2. Press start").
"""

from __future__ import annotations

import re

_MAX_SENTENCE_CHARS = 240
_CLAUSE_CHARS = 25
_WIDE_CLAUSE_CHARS = 10
_CLOSERS = "\"'”’»)\\]」』*_"
_MARK = re.compile(rf"(?:[.!?…؟]+|[。！？｡।॥۔]+)[{_CLOSERS}]*")
_CLAUSE = re.compile(r"[,;:](?=\s)|\s[-–—](?=\s)|—(?=\S)|،(?=\s)|[，、；：]")
_SPACE = re.compile(r"\s*")
_ENDS_ALONE = frozenset("。！？｡।॥۔")
_WORD_WINDOW = 24

# No sentence ends with these when anything follows.
_TITLES = frozenset(
    {
        *("dr", "mr", "mrs", "ms", "mx", "prof", "st", "smt", "shri", "sri", "hon", "rev", "pres"),
        *("lt", "gen", "col", "capt", "sgt", "gov", "sen", "rep", "डॉ", "श्री"),
        *("e.g", "i.e", "cf", "vs", "viz", "approx"),
    }
)
# These stand before a number, and are words of their own otherwise ("No. I can't.").
_BEFORE_NUMBER = frozenset(
    {
        *("no", "nos", "rs", "रु", "fig", "vol", "ext", "p", "pp", "art", "sec", "ch", "ref"),
        "tel",
    }
)


def split_sentences(text: str) -> list[str]:
    """Split a text at its sentence ends, and where a sentence is too long to be one, at commas."""
    parts: list[str] = []
    rest = text.strip()
    while rest:
        end = _sentence_end(rest, is_whole=True) or len(rest)
        sentence, rest = rest[:end].strip(), rest[end:].strip()
        while len(sentence) > _MAX_SENTENCE_CHARS:
            cut = _long_cut(sentence)
            parts.append(sentence[:cut].strip())
            sentence = sentence[cut:].strip()
        parts.append(sentence)
    return parts


class SentenceStream:
    """Cuts a text into speakable pieces while it is being written.

    A piece is a sentence or a line. The first one may be a mere clause, once it is long enough to
    keep the voice busy, so that speech begins soon. Pieces keep the order and every word of the
    text; what holds neither letter nor digit is left out.

    Args:
        clause_chars: the least length of a clause that is given alone; 0: never.
    """

    def __init__(self, *, clause_chars: int = _CLAUSE_CHARS) -> None:
        self._clause_chars = clause_chars
        self._text = ""
        self._is_first = True

    def feed(self, text: str) -> list[str]:
        """Take the next characters; return the pieces that are complete now."""
        self._text += text
        return self._cut(is_whole=False)

    def finish(self) -> list[str]:
        """Return what is left; the text is complete."""
        return self._cut(is_whole=True)

    def _cut(self, *, is_whole: bool) -> list[str]:
        pieces = []
        while (end := self._end(is_whole=is_whole)) is not None:
            piece, self._text = self._text[:end].strip(), self._text[end:].lstrip()
            if any(sign.isalnum() for sign in piece):
                pieces.append(piece)
                self._is_first = False
        return pieces

    def _end(self, *, is_whole: bool) -> int | None:
        self._text = self._text.lstrip()
        if not self._text:
            return None
        line = self._text.find("\n")
        if line >= 0:
            end = _sentence_end(self._text[:line], is_whole=True) or line
        else:
            end = _sentence_end(self._text, is_whole=is_whole) or (
                len(self._text) if is_whole else 0
            )
        if end == 0 and self._is_first and self._clause_chars:
            end = _clause_end(self._text, self._clause_chars)
        if not 0 < end <= _MAX_SENTENCE_CHARS and len(self._text) > _MAX_SENTENCE_CHARS:
            end = _long_cut(self._text)
        return end or None


def _sentence_end(text: str, *, is_whole: bool) -> int:
    """Return where the first sentence ends, its quotes and brackets included; 0: not yet known.

    `is_whole`: nothing more will follow, so the end of the text is an end of a sentence too.
    """
    for mark in _MARK.finditer(text):
        space = _SPACE.match(text, mark.end())
        assert space is not None
        after, has_space = space.end(), space.end() > mark.end()
        if mark[0][0] in _ENDS_ALONE:
            if is_whole or mark.end() < len(text):
                return mark.end()
        elif after == len(text):
            # What follows decides, except after a question or exclamation mark with a space.
            if is_whole or (has_space and _is_strong(mark[0])):
                return mark.end()
        elif has_space and (_is_strong(mark[0]) or _is_end(text, mark, text[after])):
            return mark.end()
    return 0


def _is_strong(mark: str) -> bool:
    return any(sign in mark for sign in "!?؟")


def _is_end(text: str, mark: re.Match[str], following: str) -> bool:
    """Whether a full stop or an ellipsis ends a sentence, by the words at its sides."""
    if following.islower():
        return False
    if not mark[0].startswith(".") or mark[0].startswith(".."):
        return True
    before = text[max(0, mark.start() - _WORD_WINDOW) : mark.start()]
    word = before.split()[-1].strip("\"'“‘«([*_") if before and not before[-1].isspace() else ""
    lowered = word.lower()
    if lowered in _TITLES or (lowered in _BEFORE_NUMBER and following.isdecimal()):
        return False
    if len(word) == 1 and word.isalpha() and word.isupper() and word != "I":
        return False
    if word.isdecimal() and len(word) <= 2:
        head = before[: -len(word)].rstrip(" ")
        is_list_number = head.endswith((":", "\n")) or (not head and mark.start() < _WORD_WINDOW)
        return not is_list_number
    return True


def _clause_end(text: str, least_chars: int) -> int:
    for mark in _CLAUSE.finditer(text):
        is_wide = mark[0] in "，、；："
        if mark.end() >= (min(_WIDE_CLAUSE_CHARS, least_chars) if is_wide else least_chars):
            return mark.end()
    return 0


def _long_cut(text: str) -> int:
    cut = max(text.rfind(mark, 0, _MAX_SENTENCE_CHARS) for mark in (", ", "; ", " "))
    return cut + 1 if cut > 0 else _MAX_SENTENCE_CHARS
