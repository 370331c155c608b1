"""PURE. Grammars for a recogniser, from the phrases that a dialogue expects.

A grammar holds every phrase whole, with a small word before or after it ("okay", "please"), and
digits in any number where they are expected. Small words carry a leading underscore, so that they
can be told from the phrases' own words and left out of the result. What else may be said is not
in the grammar: refusing it is the recogniser's job.

Source of the format: JSpeech Grammar Format, W3C note of 2000-06-05.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[a-z']+")
_BEFORE = ("_okay", "_well", "_so", "_um", "_uh", "_and")
_AFTER = ("_please",)
DIGIT_WORDS = ("zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TIMES = ("double", "triple")


@dataclass(frozen=True, slots=True)
class Grammar:
    """A grammar and the words it needs; two of the same content are equal."""

    jsgf: str
    words: frozenset[str]


def build_grammar(phrases: Sequence[str], *, digits: bool) -> Grammar | None:
    """Return the grammar of these phrases, None when there is nothing to expect.

    Signs and figures in a phrase are left out; a phrase of nothing else is left out whole.
    """
    cleaned = sorted({" ".join(_WORD.findall(phrase.lower())) for phrase in phrases} - {""})
    rules = []
    if cleaned:
        rules.append("<phrase> = " + " | ".join(cleaned) + ";")
    if digits:
        rules.append("<digit> = " + " | ".join(DIGIT_WORDS) + ";")
        rules.append(f"<number> = ([{' | '.join(_TIMES)}] <digit>)+;")
    if not rules:
        return None
    said = [name for name, is_in in (("<phrase>", cleaned), ("<number>", digits)) if is_in]
    body = f"[{' | '.join(_BEFORE)}] ({' | '.join(said)}) [{' | '.join(_AFTER)}]"
    words = {word for phrase in cleaned for word in phrase.split()} | {*_BEFORE, *_AFTER}
    if digits:
        words |= {*DIGIT_WORDS, *_TIMES}
    text = "\n".join(["#JSGF V1.0;", "grammar expected;", f"public <said> = {body};", *rules, ""])
    return Grammar(text, frozenset(words))


def plain_text(hypothesis: str) -> str:
    """Return a hypothesis without the small words around it."""
    return " ".join(word for word in hypothesis.split() if not word.startswith("_"))


def dictionary_word(word: str) -> str:
    """Return the word to look up for a grammar's word."""
    return word.lstrip("_")


# --- how words sound on a phone line ------------------------------------------------------------

_CUT_OFF: tuple[dict[str, str], ...] = ({"S": "F", "Z": "V"}, {"S": "TH", "Z": "DH"})


def with_line_variants(pronunciations: Sequence[str]) -> tuple[str, ...]:
    """Return pronunciations, each followed in the end by what a phone line makes of it.

    The sounds of S and Z lie above 3.4 kHz, which a phone line does not carry: what comes through
    is like F or TH. Without these variants "six" is mostly heard as "eight" (wrong digits of four
    synthetic voices on a clean line: 9 % without, 4 % with them).
    """
    sounds = [pronunciation.split() for pronunciation in pronunciations]
    cut = [" ".join(heard.get(sound, sound) for sound in s) for s in sounds for heard in _CUT_OFF]
    return tuple(dict.fromkeys([*pronunciations, *cut]))


# --- words that no dictionary has ---------------------------------------------------------------

# Longest spelling first at each place; phones of the CMU set. Good enough to be recognised by,
# for names and coined words; real words come from the dictionary.
_SOUNDS = {
    "tion": "SH AH N",
    "sion": "ZH AH N",
    "ough": "AO",
    "eigh": "EY",
    "igh": "AY",
    "sch": "SH",
    "tch": "CH",
    "dge": "JH",
    "air": "EH R",
    "ear": "IH R",
    "oor": "AO R",
    "ch": "CH",
    "sh": "SH",
    "th": "TH",
    "ph": "F",
    "wh": "W",
    "ck": "K",
    "qu": "K W",
    "ng": "NG",
    "kn": "N",
    "wr": "R",
    "gh": "G",
    "ee": "IY",
    "ea": "IY",
    "ie": "IY",
    "ei": "IY",
    "ey": "IY",
    "ai": "EY",
    "ay": "EY",
    "oa": "OW",
    "oe": "OW",
    "oo": "UW",
    "ou": "AW",
    "ow": "OW",
    "oi": "OY",
    "oy": "OY",
    "au": "AO",
    "aw": "AO",
    "ue": "UW",
    "ui": "UW",
    "ew": "UW",
    "ar": "AA R",
    "er": "ER",
    "ir": "ER",
    "or": "AO R",
    "ur": "ER",
    "a": "AE",
    "b": "B",
    "c": "K",
    "d": "D",
    "e": "EH",
    "f": "F",
    "g": "G",
    "h": "HH",
    "i": "IH",
    "j": "JH",
    "k": "K",
    "l": "L",
    "m": "M",
    "n": "N",
    "o": "OW",
    "p": "P",
    "q": "K",
    "r": "R",
    "s": "S",
    "t": "T",
    "u": "AH",
    "v": "V",
    "w": "W",
    "x": "K S",
    "y": "IY",
    "z": "Z",
}
_LONG_VOWELS = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW"}
_LONGEST = max(map(len, _SOUNDS))
_SOFT = re.compile(r"c(?=[eiy])")
_DOUBLED = re.compile(r"([b-df-hj-np-tv-z])\1")
_MAGIC_E = re.compile(r"([aeiou])([b-df-hj-np-tv-z])e$")


def guess_phones(word: str) -> str:
    """Return phones for a word by its spelling alone; never empty."""
    spelled = _DOUBLED.sub(r"\1", _SOFT.sub("s", re.sub(r"[^a-z]", "", word.lower())))
    magic = _MAGIC_E.search(spelled)
    if magic and len(spelled) > 2:
        head = list(_sounds(spelled[: magic.start()]))
        return " ".join([*head, _LONG_VOWELS[magic[1]], _SOUNDS[magic[2]]])
    return " ".join(_sounds(spelled)) or "AH"


def _sounds(spelled: str) -> Iterator[str]:
    place = 0
    while place < len(spelled):
        size = next(n for n in range(_LONGEST, 0, -1) if spelled[place : place + n] in _SOUNDS)
        yield _SOUNDS[spelled[place : place + size]]
        place += size
