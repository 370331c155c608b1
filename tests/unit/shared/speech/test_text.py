from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.speech.text import clean_text, split_pieces


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("  Hello,\n\tworld ", "Hello, world"),
        ("Salt & pepper", "Salt and pepper"),
        ("50% of €20", "50 percent of euros 20"),
        ("It’s “fine” – really…", 'It\'s "fine" , really.'),
        ("<b>bold</b> *star* #1", "b bold /b star 1"),
        ("café naïve", "cafe naive"),
        ("ding 🔔 dong", "ding dong"),
        ("नमस्ते hello", "hello"),
        ("a\x00b\x07c", "abc"),
    ],
)
def test_signs_are_spoken_or_dropped_for_an_english_engine(text: str, spoken: str) -> None:
    assert clean_text(text, is_ascii_only=True) == spoken


def test_other_scripts_stay_for_engines_that_read_them() -> None:
    assert clean_text("नमस्ते café", is_ascii_only=False) == "नमस्ते café"


def test_sentences_become_pieces() -> None:
    text = 'Hello. How are you? "Fine!" he said. Dr. Jones saw No. 5 at A. B. Street.'
    assert list(split_pieces(text)) == [
        "Hello.",
        "How are you?",
        '"Fine!"',
        "he said.",
        "Dr. Jones saw No. 5 at A. B. Street.",
    ]


def test_a_long_sentence_is_cut_at_a_clause_then_at_words_then_anywhere() -> None:
    assert list(split_pieces("one two three, four five six", max_chars=20)) == [
        "one two three,",
        "four five six",
    ]
    assert list(split_pieces("one two three four five", max_chars=10)) == [
        "one two",
        "three four",
        "five",
    ]
    assert list(split_pieces("x" * 25, max_chars=10)) == ["x" * 10, "x" * 10, "x" * 5]


@pytest.mark.parametrize("text", ["", " ", "...", "?! -- ,"])
def test_nothing_to_pronounce_is_no_piece(text: str) -> None:
    assert list(split_pieces(text)) == []


@given(st.text(max_size=600), st.integers(5, 80))
def test_pieces_are_short_and_lose_no_word(text: str, max_chars: int) -> None:
    cleaned = clean_text(text, is_ascii_only=True)
    pieces = list(split_pieces(cleaned, max_chars=max_chars))
    assert all(0 < len(piece) <= max_chars for piece in pieces)
    assert re.findall(r"\w", "".join(pieces)) == re.findall(r"\w", cleaned)
