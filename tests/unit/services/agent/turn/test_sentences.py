from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.turn.sentences import SentenceStream, split_sentences

TEXTS = {
    "Dr. Rao is in. Please wait.": ["Dr. Rao is in.", "Please wait."],
    "It is at 3.5 percent. Good.": ["It is at 3.5 percent.", "Good."],
    "We open at 9 a.m. and close at 5 p.m. Come in!": [
        "We open at 9 a.m. and close at 5 p.m.",
        "Come in!",
    ],
    "That is Rs. 500. Shall I book?": ["That is Rs. 500.", "Shall I book?"],
    "No. I can't.": ["No.", "I can't."],
    "Take No. 5. Then turn.": ["Take No. 5.", "Then turn."],
    "Use fruit, e.g. Alphonso mangoes. Yes.": ["Use fruit, e.g. Alphonso mangoes.", "Yes."],
    "Well... let me see. Well... Yes.": ["Well... let me see.", "Well...", "Yes."],
    "Really?! Yes!": ["Really?!", "Yes!"],
    'He said "Go." Then he left.': ['He said "Go."', "Then he left."],
    "J. R. Tata founded it. So do I. Good.": ["J. R. Tata founded it.", "So do I.", "Good."],
    "1. Open the box. 2. Press start.": ["1. Open the box.", "2. Press start."],
    "Your code is 5. Thanks.": ["Your code is 5.", "Thanks."],
    "नमस्ते। आप कैसे हैं? ठीक।": ["नमस्ते।", "आप कैसे हैं?", "ठीक।"],
    "डॉ. राव आ गए। बैठिए।": ["डॉ. राव आ गए।", "बैठिए।"],
    "你好。请问？好！": ["你好。", "请问？", "好！"],
    "مرحبا. كيف حالك؟ بخير.": ["مرحبا.", "كيف حالك؟", "بخير."],
    "شکریہ۔ جی۔": ["شکریہ۔", "جی۔"],
    "See parley.example for it. Bye.": ["See parley.example for it.", "Bye."],
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_cut_where_a_reader_would_breathe(text: str) -> None:
    assert split_sentences(text) == TEXTS[text]


@pytest.mark.parametrize("text", TEXTS)
def test_a_stream_of_single_characters_is_cut_at_the_same_places(text: str) -> None:
    stream = SentenceStream(clause_chars=0)
    pieces = [piece for sign in text for piece in stream.feed(sign)] + stream.finish()
    assert pieces == TEXTS[text]


def test_a_sentence_leaves_as_soon_as_the_next_one_begins() -> None:
    stream = SentenceStream()
    assert stream.feed("We are open. ") == []
    assert stream.feed("C") == ["We are open."]


def test_a_question_leaves_with_the_space_behind_it() -> None:
    assert SentenceStream().feed("Is that right? ") == ["Is that right?"]


def test_the_first_piece_may_be_a_clause_and_no_later_one() -> None:
    stream = SentenceStream()
    clause = "We are open from nine to five,"
    assert stream.feed(f"{clause} every day but Sunday, when") == [clause]
    assert stream.feed(" we are closed, as many others are, too") == []
    assert stream.finish() == ["every day but Sunday, when we are closed, as many others are, too"]


def test_a_short_clause_waits_for_more() -> None:
    stream = SentenceStream()
    assert stream.feed("Well, sure, I can help with ") == []
    assert stream.feed("that, of course") == ["Well, sure, I can help with that,"]


def test_numbers_and_hyphens_are_no_clauses() -> None:
    assert SentenceStream().feed("The whole price would be 1,000 at 10:30 for check-in at ") == []


@pytest.mark.parametrize("dash", [" - ", " – ", "—", ": "])
def test_dashes_and_colons_end_a_first_clause(dash: str) -> None:
    assert len(SentenceStream().feed(f"Here is what I can do for you{dash}I can book")) == 1


def test_lines_are_pieces_of_their_own() -> None:
    stream = SentenceStream()
    assert stream.feed("We have:\n- tea\n- coffee\n") == ["We have:", "- tea", "- coffee"]


def test_what_holds_no_word_is_left_out() -> None:
    stream = SentenceStream()
    assert stream.feed("...\n---\n! ") == []
    assert stream.feed("Yes. No") == ["Yes."]
    assert stream.finish() == ["No"]


def test_an_endless_sentence_is_cut_at_its_length() -> None:
    pieces = SentenceStream(clause_chars=0).feed("word " * 200)
    assert pieces
    assert all(len(piece) <= 240 for piece in pieces)


def test_a_whole_text_of_one_long_word_is_cut_too() -> None:
    assert [len(part) for part in split_sentences("a" * 500)] == [240, 240, 20]


WORDS = st.sampled_from(
    [
        "Dr.",
        "yes",
        "No.",
        "3.5",
        "a.m.",
        "Rs.",
        "why?",
        "हाँ।",
        "好。",
        "one,",
        "two —",
        "...",
        "5.",
        "\n",
    ]
)
WRITTEN = st.lists(st.one_of(WORDS, st.text("abcXYZ0.,!?…-—\n ", max_size=12)), max_size=40)


@given(WRITTEN, st.integers(1, 9))
def test_pieces_hold_every_word_in_order(parts: list[str], size: int) -> None:
    text = " ".join(parts)
    stream = SentenceStream()
    pieces = [
        piece for at in range(0, len(text), size) for piece in stream.feed(text[at : at + size])
    ] + stream.finish()
    assert _words(" ".join(pieces)) == _words(text)
    assert all(any(sign.isalnum() for sign in piece) for piece in pieces)
    assert all(len(piece) <= 240 for piece in pieces)


@given(WRITTEN)
def test_a_piece_of_a_stream_is_not_cut_again(parts: list[str]) -> None:
    stream = SentenceStream()
    for piece in stream.feed(" ".join(parts)) + stream.finish():
        assert split_sentences(piece) == [piece]


@given(WRITTEN)
def test_a_whole_text_keeps_every_word_too(parts: list[str]) -> None:
    text = " ".join(parts)
    assert _words(" ".join(split_sentences(text))) == _words(text)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)
