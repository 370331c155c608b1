"""PURE. Where a text is cut into sentences: what is synthesised, checkpointed, resumed as one."""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+")
_MAX_SENTENCE_CHARS = 240


def split_sentences(text: str) -> list[str]:
    """Split a text at its sentence ends, and where a sentence is too long to be one, at commas."""
    parts: list[str] = []
    for sentence in _SENTENCE_END.split(text.strip()):
        rest = sentence.strip()
        while len(rest) > _MAX_SENTENCE_CHARS:
            cut = max(rest.rfind(mark, 0, _MAX_SENTENCE_CHARS) for mark in (", ", "; ", " "))
            cut = cut + 1 if cut > 0 else _MAX_SENTENCE_CHARS
            parts.append(rest[:cut].strip())
            rest = rest[cut:].strip()
        if rest:
            parts.append(rest)
    return parts
