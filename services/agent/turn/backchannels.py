"""PURE. What people say while they listen: "mm-hm", "right", "haan". It means "go on".

A table a language. Languages of India are given in their own script and as they are often
transcribed in Latin letters; English ones are understood everywhere, as they are said everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from services.agent.turn.words import base_language, begins_with, plain_words

_SOUNDS: Final = (
    "mm, mmm, hm, hmm, mhm, mm-hm, mm-hmm, m-hm, mhmm, uh-huh, uhuh, uh huh, ah, aha, oh, huh, ooh"
)
_ENGLISH: Final = (
    "yeah, yep, yup, ya, yes, okay, ok, k, alright, all right, right, sure, i see, got it, go on, "
    "cool, nice, great, good, fine, of course, true, exactly, indeed, wow, really, interesting, "
    "oh okay, makes sense, fair enough, understood"
)
_BY_LANGUAGE: Final[dict[str, str]] = {
    "hi": (
        "haan, han, haa, ha, haan ji, ji haan, ji, accha, acha, achha, theek hai, thik hai, sahi, "
        "bilkul, samjha, samajh gaya, samajh gayi, aur, hmm ji, हाँ, हां, हा, हाँ जी, हां जी, जी, "
        "जी हाँ, जी हां, अच्छा, ठीक है, ठीक, सही, बिल्कुल, समझ गया, समझ गई, हूँ, हम्म"
    ),
    "bn": (
        "hya, hyan, haa, accha, thik ache, thik, hu, bujhlam, হ্যাঁ, হা, আচ্ছা, ঠিক আছে, ঠিক, হুম, হুঁ, বুঝলাম"
    ),
    "mr": (
        "ho, hoy, ha, bara, thik ahe, barobar, accha, हो, होय, हं, बरं, बर, ठीक आहे, बरोबर, अच्छा, समजलं"
    ),
    "ta": "aama, aamaa, aamam, sari, seri, ok, ஆமா, ஆமாம், ஆம், சரி, ம், ம்ம், அப்படியா, புரியுது",
    "te": "avunu, aunu, sare, sarey, haa, ha, అవును, సరే, ఆ, హా, ఊ, అలాగే, అర్థమైంది, ఓకే",
    "gu": "ha, haa, saru, barabar, theek che, હા, સારું, બરાબર, ઠીક છે, અચ્છા",
    "kn": "haudu, howdu, sari, ಹೌದು, ಸರಿ, ಹೂಂ, ಆಯ್ತು",
    "ml": "athe, sheri, ശരി, അതെ, ഉം, ഓക്കേ",
    "pa": "haan, haanji, theek hai, accha, ਹਾਂ, ਹਾਂ ਜੀ, ਜੀ, ਅੱਛਾ, ਠੀਕ ਹੈ",
    "ur": "haan, ji, accha, theek hai, ہاں, جی, اچھا, ٹھیک ہے, ہوں",
    "es": "sí, si, ajá, aja, ya, claro, vale, bueno, bien, de acuerdo, entiendo, exacto, eso, okey",
    "pt": (
        "sim, aham, uhum, tá, ta, tá bom, certo, claro, entendi, ok, isso, pois é, sei, beleza, "
        "pois"
    ),
    "fr": (
        "oui, ouais, mmm oui, d'accord, ok, ah oui, bien, très bien, je vois, c'est ça, voilà, "
        "entendu"
    ),
    "de": (
        "ja, jaja, genau, okay, gut, alles klar, klar, aha, ach so, achso, stimmt, richtig, "
        "verstehe, mhm"
    ),
    "it": "sì, si, ok, va bene, certo, capito, esatto, già, ah, bene, d'accordo",
    "nl": "ja, jaja, oké, goed, precies, juist, klopt, begrepen, aha",
    "ar": "نعم, ايوه, أيوه, طيب, تمام, اه, آه, ماشي, أكيد",
    "id": "ya, iya, oke, baik, betul, oh begitu, he eh",
    "ja": "はい, ええ, うん, なるほど, そうですか, そうですね, へえ",
    "zh": "嗯, 对, 好, 好的, 是, 是的, 哦, 明白",
    "ru": "да, ага, угу, хорошо, понятно, ясно, так, ладно, окей, точно",
}
_MOST_WORDS = 6


def _phrases(texts: Iterable[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(words for text in texts if (words := plain_words(text)))


_COMMON: Final = _phrases(f"{_SOUNDS}, {_ENGLISH}".split(","))
_TABLES: Final = {
    language: _COMMON | _phrases(table.split(",")) for language, table in _BY_LANGUAGE.items()
}


class Backchannels:
    """The backchannels of one agent.

    Args:
        language: BCP 47 tag; of an unknown language only the common ones are known.
        own: the agent's own list in place of the language's; None for the language's.
    """

    def __init__(self, language: str, own: frozenset[str] | None = None) -> None:
        common = _TABLES.get(base_language(language), _COMMON)
        self._phrases = common if own is None else _phrases(own)
        self._longest = max((len(phrase) for phrase in self._phrases), default=0)

    def are_all_of(self, text: str) -> bool:
        """Whether a text is made of backchannels alone: "yeah, yeah, okay". Not an empty one."""
        words = plain_words(text)
        if not 0 < len(words) <= _MOST_WORDS:
            return False
        at = 0
        while at < len(words):
            step = next(
                (n for n in range(self._longest, 0, -1) if self._is_phrase(words, at, n)), 0
            )
            if step == 0:
                return False
            at += step
        return True

    def may_become(self, text: str) -> bool:
        """Whether a text may turn out to be backchannels alone: "uh" before its "huh"."""
        words = plain_words(text)
        return any(
            self.are_all_of(" ".join((*words[:at], *phrase)))
            for at in range(len(words))
            for phrase in self._phrases
            if len(phrase) > len(words) - at and phrase[: len(words) - at] == words[at:]
        )

    def _is_phrase(self, words: tuple[str, ...], at: int, length: int) -> bool:
        phrase = words[at : at + length]
        return len(phrase) == length and phrase in self._phrases and begins_with(words, phrase, at)
