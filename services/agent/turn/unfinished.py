"""PURE. What an unfinished sentence is: how it ends when more is to come.

Three signs, by language: a last word that wants another ("and", "because", "lekin"), a hesitation
("uh", "matlab"), an opening that announces something ("my number is"). And digits being dictated:
people pause between the groups of a number longer than between sentences.
"""

from __future__ import annotations

from typing import Final

from services.agent.turn.words import base_language, plain_words

_TRAILING: Final[dict[str, str]] = {
    "en": (
        "and, or, but, because, so, if, when, while, that, which, who, whose, than, then, the, a, "
        "an, my, your, his, her, our, their, this, these, to, of, in, on, at, for, with, from, "
        "by, about, into, is, are, was, were, am, be, will, would, can, could, should, may, "
        "might, must, shall, i, we, they, he, she, im, its, id, ill, ive, want, need, like to, "
        "want to, going to, have to, uh, um, er, erm, hmm, well, let me see, let me think, you "
        "know, i mean, like, also, maybe, plus, not, very, really, just, as, until, before, "
        "after, between, without, though, although, unless"
    ),
    "hi": (
        "aur, ya, lekin, magar, kyonki, kyunki, ki, ke, ka, ko, se, mein, par, agar, toh, to, jo, "
        "jab, matlab, woh, wo, mera, meri, mere, aapka, yaani, और, या, लेकिन, मगर, क्योंकि, कि, "
        "के, का, की, को, से, में, पर, अगर, तो, जो, जब, मतलब, वो, मेरा, मेरी, मेरे, यानी"
    ),
    "bn": ("ar, ebong, kintu, karon, jodi, je, mane, amar, আর, এবং, কিন্তু, কারণ, যদি, যে, মানে, আমার"),
    "mr": (
        "ani, pan, kinva, karan, jar, ki, mhanje, majha, आणि, पण, किंवा, कारण, जर, की, म्हणजे, "
        "माझा, माझी, माझे"
    ),
    "ta": (
        "mattrum, aanal, aana, allathu, yenna, என், மற்றும், ஆனால், ஆனா, அல்லது, ஏன்னா, வந்து, அப்புறம், என்னோட"
    ),
    "te": "mariyu, kani, kaani, leda, endukante, ante, naa, మరియు, కానీ, లేదా, ఎందుకంటే, అంటే, నా",
    "gu": "ane, pan, karan ke, અને, પણ, કારણ કે, કે, મારો, મારું",
    "es": (
        "y, e, o, u, pero, porque, que, si, cuando, de, del, a, al, en, con, por, para, sin, el, "
        "la, los, las, un, una, mi, tu, su, es, son, está, quiero, necesito, eh, este, pues, "
        "entonces, o sea, como, yo, también, muy, no"
    ),
    "pt": (
        "e, ou, mas, porque, que, se, quando, de, do, da, em, no, na, com, por, para, sem, o, a, "
        "os, as, um, uma, meu, minha, é, são, está, quero, preciso, é que, então, tipo, como, eu, "
        "também, muito"
    ),
    "fr": (
        "et, ou, mais, parce que, que, qui, si, quand, de, du, des, à, au, en, avec, pour, sans, "
        "le, la, les, un, une, mon, ma, mes, est, suis, sont, je, euh, alors, donc, ben, comme, "
        "aussi, très"
    ),
    "de": (
        "und, oder, aber, weil, dass, wenn, als, der, die, das, den, dem, ein, eine, einen, mein, "
        "meine, von, zu, zum, zur, in, im, an, am, auf, mit, für, bei, ohne, ist, sind, war, ich, "
        "wir, möchte, will, äh, ähm, also, dann, auch, sehr, noch, um"
    ),
    "it": (
        "e, o, ma, perché, che, se, quando, di, del, della, a, in, con, per, senza, il, lo, la, "
        "i, gli, le, un, una, mio, mia, è, sono, voglio, eh, allora, quindi, cioè, come, io, "
        "anche, molto"
    ),
    "nl": (
        "en, of, maar, want, omdat, dat, als, wanneer, de, het, een, mijn, van, naar, in, op, "
        "met, voor, bij, zonder, is, zijn, ik, wij, wil, eh, uh, dus, dan, ook, heel"
    ),
    "ru": (
        "и, или, но, а, потому что, что, если, когда, в, на, с, к, по, для, без, мой, моя, это, "
        "я, хочу, э, ну, значит, как, очень"
    ),
}
_OPENINGS: Final[dict[str, str]] = {
    "en": (
        "my number is, my phone number is, the number is, number is, my name is, my email is, my "
        "address is, it is, thats, the code is, my order number is, i would like, id like, i "
        "want, i need, i am calling, im calling, can you, could you, do you, what about, how "
        "about, tell me"
    ),
    "hi": "mera number hai, mera naam hai, mera naam, मेरा नंबर है, मेरा नाम, मेरा नंबर",
    "es": "mi número es, mi nombre es, me llamo, quisiera, me gustaría",
    "pt": "meu número é, meu nome é, eu gostaria, gostaria",
    "fr": "mon numéro est, mon numéro c'est, je m'appelle, je voudrais, j'aimerais",
    "de": "meine nummer ist, mein name ist, ich heiße, ich möchte, ich hätte gern",
}
_DIGITS: Final = {
    "en": "zero oh o one two three four five six seven eight nine double triple",
    "hi": (
        "shunya ek do teen char chaar paanch panch chhe che saat sat aath aat nau "
        "शून्य एक दो तीन चार पांच पाँच छह छः सात आठ नौ डबल ट्रिपल"
    ),
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "pt": "zero um dois três quatro cinco seis sete oito nove meia",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "de": "null eins zwei zwo drei vier fünf sechs sieben acht neun",
}
"""Besides its own, those of English are said in every language here."""
_TWICE: Final = {"double": 2, "triple": 3, "डबल": 2, "ट्रिपल": 3}
_DIGIT_WORDS: Final = {
    language: frozenset(plain_words(f"{_DIGITS['en']} {table}"))
    for language, table in _DIGITS.items()
}
_WHOLE_NUMBER_DIGITS = 10
_LEAST_DIGITS = 3


def _phrases(table: str) -> frozenset[tuple[str, ...]]:
    return frozenset(plain_words(text) for text in table.split(","))


_ENDINGS: Final = {
    language: _phrases(f"{table}, {_OPENINGS.get(language, 'uh')}")
    for language, table in _TRAILING.items()
}
_LONGEST: Final = {
    language: max(len(phrase) for phrase in phrases) for language, phrases in _ENDINGS.items()
}


def is_unfinished(text: str, language: str) -> bool:
    """Whether a sentence leads one to expect more. A text of nothing does not.

    A full stop or a question mark outweighs its last word ("What is it for?"); an ellipsis, a
    comma or a dash say that more is to come.
    """
    stripped = text.strip()
    if stripped.endswith(("...", "…", ",", "-", "–", "—")):
        return True
    if has_terminal(stripped):
        return False
    words = plain_words(stripped)
    tag = base_language(language)
    endings = _ENDINGS.get(tag)
    if endings is None:
        return False
    lengths = range(1, min(_LONGEST[tag], len(words)) + 1)
    return any(words[len(words) - length :] in endings for length in lengths)


def has_terminal(text: str) -> bool:
    """Whether a text ends as a sentence does, in any script."""
    stripped = text.rstrip().rstrip("\"'”’)")
    return stripped.endswith((".", "!", "?", "。", "？", "！", "।", "॥", "؟")) and not (
        stripped.endswith("...")
    )


def digits_dictated(text: str, language: str) -> int:
    """Count the digits that a text ends with: "my number is five double oh" has three."""
    count = 0
    words = plain_words(text)
    digits = _DIGIT_WORDS.get(base_language(language), _DIGIT_WORDS["en"])
    for at in range(len(words) - 1, -1, -1):
        word = words[at]
        if word.isdecimal():
            count += len(word)
        elif word in _TWICE:
            count += _TWICE[word] - 1 if at + 1 < len(words) else _TWICE[word]
        elif word in digits:
            count += 1
        else:
            break
    return count


def is_dictating(text: str, language: str, *, expects_digits: bool) -> bool:
    """Whether a number is being dictated whose rest is still to come.

    From three digits on; where the dialogue expects digits, from the first one.
    """
    count = digits_dictated(text, language)
    least = 1 if expects_digits else _LEAST_DIGITS
    return least <= count < _WHOLE_NUMBER_DIGITS
