"""Words as they are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.turn.words import (
    are_same_words,
    base_language,
    contains_phrase,
    plain_words,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mm-hm, it’s FINE!", ("mm", "hm", "its", "fine")),
        ("हाँ, ठीक है।", ("हाँ", "ठीक", "है")),
        (" ... ", ()),
    ],
)
def test_words_lose_capitals_and_marks(text: str, words: tuple[str, ...]) -> None:
    assert plain_words(text) == words


@given(st.text(max_size=30))
def test_words_of_any_text_stay_the_same_when_taken_again(text: str) -> None:
    words = plain_words(text)
    assert plain_words(" ".join(words)) == words
    assert are_same_words(text, text)


def test_a_phrase_is_found_as_whole_words_only() -> None:
    words = plain_words("please leave a message now")
    assert contains_phrase(words, ("leave", "a", "message"))
    assert not contains_phrase(words, ("mess",))
    assert not contains_phrase(words, ())
    assert not contains_phrase((), ("a",))


def test_a_tag_names_its_language() -> None:
    assert base_language("EN-in") == "en"
