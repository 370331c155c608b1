"""PURE. Make a text speakable and cut it into pieces small enough to stream.

An engine plans a whole piece before its first sample, so pieces bound both the wait for the first
audio and the memory of one synthesis, whatever the length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

MAX_PIECE_CHARS = 160

_SPOKEN = {
    "&": " and ",
    "@": " at ",
    "%": " percent ",
    "+": " plus ",
    "=": " equals ",
    "°": " degrees ",
    "€": " euros ",
    "£": " pounds ",
    "₹": " rupees ",
    "×": " times ",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "–": ", ",
    "—": ", ",
    "…": ". ",
    "•": ", ",
    "ß": "ss",
    "æ": "ae",
    "ø": "o",
    "ł": "l",
}
_SPOKEN_SIGN = re.compile("[" + re.escape("".join(_SPOKEN)) + "]")
_SILENT_SIGN = re.compile(r"[<>{}\[\]|\\^~`*_#]+")
_SPACES = re.compile(r"\s+")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+")
_ABBREVIATION = re.compile(r"\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|St|No|vs|etc|e\.g|i\.e)\.$")
_CLAUSE_END = re.compile(r"(?<=[,;:])\s")
_PRONOUNCED = re.compile(r"\w")


def clean_text(text: str, *, is_ascii_only: bool) -> str:
    """Return the text with signs spelled out, marks and control characters gone, spaces single.

    With `is_ascii_only` (for an engine that knows English alone) accents are dropped and letters
    of other scripts vanish.
    """
    text = _SPOKEN_SIGN.sub(lambda sign: _SPOKEN[sign[0]], text)
    text = _SILENT_SIGN.sub(" ", unicodedata.normalize("NFKC", text))
    if is_ascii_only:
        text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    kept = (c for c in text if c.isspace() or unicodedata.category(c)[0] not in "CS")
    return _SPACES.sub(" ", "".join(kept)).strip()


def split_pieces(text: str, *, max_chars: int = MAX_PIECE_CHARS) -> Iterator[str]:
    """Yield the text in order as sentences, longer ones cut at clauses, words, or anywhere.

    Every piece has at most `max_chars` characters and at least one letter or digit; nothing
    pronounceable is lost.
    """
    for sentence in _sentences(text):
        rest = sentence.strip()
        while len(rest) > max_chars:
            cut = _cut_point(rest, max_chars)
            if _PRONOUNCED.search(rest, 0, cut):
                yield rest[:cut].strip()
            rest = rest[cut:].strip()
        if _PRONOUNCED.search(rest):
            yield rest


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if _ABBREVIATION.search(text, start, end.start()):
            continue
        yield text[start : end.end()]
        start = end.end()
    yield text[start:]


def _cut_point(text: str, max_chars: int) -> int:
    clauses = [m.end() for m in _CLAUSE_END.finditer(text, 0, max_chars)]
    if clauses and clauses[-1] >= max_chars // 3:
        return clauses[-1]
    space = text.rfind(" ", 1, max_chars + 1)
    return space if space > 0 else max_chars
