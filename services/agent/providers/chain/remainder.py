"""PURE. How much of a sentence a voice had spoken when it broke off, and what is left to say.

Vendors don't say which word a piece of audio belongs to, so it is estimated by length: the pace of
the voice (characters a second, learnt from the sentences it did finish) times the seconds it gave.
What is left begins with the first word that had not begun by then: the word that was cut is not
said again, nor are those before it. The estimate is off by a word now and then; a word lost or
said twice is the price for going on in the middle of a sentence.
"""

from __future__ import annotations

import re

_CHARS_A_SECOND = 14.5
"""Of English voices at their ordinary pace, pauses within the sentence included."""
_LEAST, _MOST = 6.0, 30.0
_WEIGHT = 0.2
_SHORTEST_S = 0.8
_WORD = re.compile(r"\S+")


class Pace:
    """How fast a voice speaks, learnt as it speaks."""

    def __init__(self) -> None:
        self.chars_a_second = _CHARS_A_SECOND

    def learn(self, text: str, seconds: float) -> None:
        """Take a whole sentence into account; very short ones are mostly pause."""
        if seconds < _SHORTEST_S:
            return
        pace = min(_MOST, max(_LEAST, len(text.strip()) / seconds))
        self.chars_a_second += _WEIGHT * (pace - self.chars_a_second)

    def rest(self, text: str, spoken_s: float) -> str:
        """Return what of the text has not been spoken after so many seconds, perhaps nothing."""
        if spoken_s <= 0:
            return text
        text = text.strip()
        spoken = spoken_s * self.chars_a_second
        for word in _WORD.finditer(text):
            if word.start() >= spoken:
                return text[word.start() :]
        return ""
