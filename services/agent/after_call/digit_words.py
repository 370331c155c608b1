"""PURE. How digits are said: words of several languages, all looked for at once.

A table, not grammar: digits one by one, and the tens and multipliers that English speakers say
numbers of cards and phones with. Keys are casefolded and in Unicode's composed form (NFC).
"""

from __future__ import annotations

from typing import Final

_ENGLISH = "zero oh o nought naught one two three four five six seven eight nine niner"
_HINDI_IN_LATIN = (
    "shunya shoonya sunya ek do teen tin char chaar panch paanch paach chhe chhah chah che "
    "saat sat aath ath nau"
)
_HINDI = (
    "शून्य सिफर एक दो तीन चार पांच पाँच छह छः छे छ सात आठ नौ "
    "ज़ीरो जीरो वन टू थ्री फोर फ़ोर फाइव फ़ाइव सिक्स सेवन एट नाइन"
)
_SPANISH = "cero uno dos tres cuatro cinco seis siete ocho nueve"
_FRENCH = "zéro un deux trois quatre cinq sept huit neuf"
_GERMAN = "null eins zwei zwo drei vier fünf sechs sieben acht neun"
_TEENS_AND_TENS = (
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
    "twenty thirty forty fifty sixty seventy eighty ninety das दस"
)

DIGITS: Final[dict[str, int]] = {
    **dict.fromkeys(
        " ".join((_ENGLISH, _HINDI_IN_LATIN, _HINDI, _SPANISH, _FRENCH, _GERMAN)).split(),
        1,
    ),
    **dict.fromkeys(_TEENS_AND_TENS.split(), 2),
}
"""How many digits a word stands for when it stands in a number."""

REPEATS: Final[dict[str, int]] = {
    **dict.fromkeys(("double", "dabal", "डबल"), 2),
    **dict.fromkeys(("triple", "treble", "tripal", "ट्रिपल"), 3),
}
"""Words that say the next digit more than once."""

SCALES: Final[dict[str, int]] = {
    **dict.fromkeys(("hundred", "sau", "सौ"), 2),
    **dict.fromkeys(("thousand", "hazar", "hazaar", "हजार", "हज़ार"), 3),
    **dict.fromkeys(("lakh", "lac", "लाख"), 5),
    "million": 6,
    **dict.fromkeys(("crore", "करोड़"), 7),
}
"""Words that add digits to the number before them, and are none without one."""

_FILLERS = "uh uhm um umm er erm ah hmm mm and then dash hyphen dot point space plus aur और"
FILLERS: Final[frozenset[str]] = frozenset(_FILLERS.split())
"""Words that may stand between the digits of one number."""

WEAK: Final[frozenset[str]] = frozenset({"oh", "o"})
"""Digits that are no number when nothing else is with them."""
