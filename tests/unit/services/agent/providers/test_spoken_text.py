"""Texts as cloud voices want them."""

from __future__ import annotations

import pytest

from services.agent.providers.spoken_text import is_pronounceable, split_for_voice


@pytest.mark.parametrize("text", ["", "   ", "...", "?! -", "\n"])
def test_nothing_is_made_of_what_can_not_be_pronounced(text: str) -> None:
    assert not is_pronounceable(text)
    assert list(split_for_voice(text, 100)) == []


def test_a_short_text_stays_whole() -> None:
    text = "Hello. How are you? Fine, I hope."
    assert list(split_for_voice(text, 100)) == [text]


def test_a_long_text_is_cut_between_sentences() -> None:
    pieces = list(split_for_voice("One two three. " * 20, 50))
    assert all(len(piece) <= 50 for piece in pieces)
    assert " ".join(pieces) == ("One two three. " * 20).strip()


def test_a_piece_of_dots_is_left_out() -> None:
    assert list(split_for_voice("... ... ... Hello there.", 12)) == ["Hello there."]
