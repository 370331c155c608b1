from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.providers.offline.grammar import (
    build_grammar,
    dictionary_word,
    guess_phones,
    plain_text,
    with_line_variants,
)

_VOWELS = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}
_CONSONANTS = {"CH", "DH", "HH", "JH", "NG", "SH", "TH", "ZH", *"BDFGKLMNPRSTVWYZ"}
PHONES = _VOWELS | _CONSONANTS


def test_a_grammar_holds_the_phrases_with_small_words_around() -> None:
    grammar = build_grammar(["Is it free?", "goodbye", "goodbye"], digits=False)
    assert grammar is not None
    assert "<phrase> = goodbye | is it free;" in grammar.jsgf
    assert "[_okay |" in grammar.jsgf
    assert "[_please]" in grammar.jsgf
    assert {"is", "it", "free", "goodbye", "_okay", "_please"} <= grammar.words
    assert "seven" not in grammar.words


def test_digits_may_come_with_phrases_or_alone() -> None:
    both = build_grammar(["cancel"], digits=True)
    alone = build_grammar([], digits=True)
    assert both is not None
    assert alone is not None
    assert "(<phrase> | <number>)" in both.jsgf
    assert "<number> = ([double | triple] <digit>)+;" in both.jsgf
    assert "<phrase>" not in alone.jsgf
    assert {"zero", "oh", "nine", "double"} <= alone.words


def test_the_order_of_phrases_makes_no_other_grammar() -> None:
    assert build_grammar(["a", "b"], digits=False) == build_grammar(["b", "a", "b"], digits=False)


@pytest.mark.parametrize("phrases", [[], [""], ["?!", "42", " "]])
def test_nothing_to_expect_is_no_grammar(phrases: list[str]) -> None:
    assert build_grammar(phrases, digits=False) is None


def test_signs_cannot_break_a_grammar() -> None:
    grammar = build_grammar(["yes; <evil> = no {x} | /* c", "it's (fine)"], digits=False)
    assert grammar is not None
    phrase_rule = next(line for line in grammar.jsgf.splitlines() if line.startswith("<phrase>"))
    assert phrase_rule == "<phrase> = it's fine | yes evil no x c;"


def test_small_words_are_left_out_of_the_result() -> None:
    assert plain_text("_okay take my number _please") == "take my number"
    assert plain_text("_um") == ""
    assert dictionary_word("_okay") == "okay"
    assert dictionary_word("okay") == "okay"


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("vobiz", "V OW B IH Z"),
        ("parley", "P AA R L IY"),
        ("zune", "Z UW N"),
        ("blake", "B L EY K"),
        ("schmitt", "SH M IH T"),
        ("cellna", "S EH L N AE"),
        ("o'neill", "OW N IY L"),
        ("be", "B EH"),
        ("", "AH"),
        ("42", "AH"),
    ],
)
def test_unknown_words_are_spelled_out(word: str, phones: str) -> None:
    assert guess_phones(word) == phones


def test_a_phone_line_may_turn_s_into_f_or_th() -> None:
    assert with_line_variants(("S IH K S",)) == ("S IH K S", "F IH K F", "TH IH K TH")
    assert with_line_variants(("IH Z", "AH Z")) == (
        *("IH Z", "AH Z"),
        *("IH V", "IH DH", "AH V", "AH DH"),
    )
    assert with_line_variants(("T UW",)) == ("T UW",)


@given(st.text(max_size=30))
def test_any_word_gets_phones_of_the_set(word: str) -> None:
    phones = guess_phones(word).split()
    assert phones
    assert set(phones) <= PHONES
