"""How sentences end when more is to come."""

from __future__ import annotations

import pytest

from services.agent.turn.unfinished import (
    digits_dictated,
    has_terminal,
    is_dictating,
    is_unfinished,
)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "I would like to"),
        ("en", "my number is"),
        ("en", "because"),
        ("en", "I want a room and, uh"),
        ("en", "well..."),
        ("en", "if it rains,"),
        ("hi", "mujhe ek kamra chahiye lekin"),
        ("hi-IN", "मेरा नंबर है"),
        ("es", "quiero una habitación para"),
        ("fr", "je voudrais une chambre avec"),
        ("de", "ich hätte gern ein Zimmer mit"),
        ("pt", "meu número é"),
        ("ta", "எனக்கு வேணும் ஆனா"),
    ],
)
def test_more_is_to_come(language: str, text: str) -> None:
    assert is_unfinished(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", ""),
        ("en", "what time is it"),
        ("en", "What is it for?"),
        ("en", "That is what I need."),
        ("hi", "मुझे कमरा चाहिए।"),
        ("de", "ich hätte gern ein Zimmer"),
        ("xx", "and"),
    ],
)
def test_it_may_be_all(language: str, text: str) -> None:
    assert not is_unfinished(text, language)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("Stop.", True), ('He said "no!"', True), ("रुको।", True), ("stop", False), ("stop...", False)],
)
def test_a_sentence_ends_by_its_mark(text: str, is_one: bool) -> None:
    assert has_terminal(text) is is_one


@pytest.mark.parametrize(
    ("language", "text", "count"),
    [
        ("en", "my number is five double oh", 3),
        ("en", "98765", 5),
        ("xx", "98 76, five triple two", 8),
        ("en", "five double", 3),
        ("hi-IN", "मेरा नंबर नौ आठ सात", 3),
        ("hi", "nine do teen", 3),
        ("en", "what can you do", 0),
        ("en", "five of them", 0),
        ("en", "", 0),
    ],
)
def test_dictated_digits_are_counted(language: str, text: str, count: int) -> None:
    assert digits_dictated(text, language) == count


def test_a_number_is_under_way_until_it_is_long_enough() -> None:
    assert is_dictating("five five five", "en", expects_digits=False)
    assert not is_dictating("table for two", "en", expects_digits=False)
    assert is_dictating("it is two", "en", expects_digits=True)
    assert not is_dictating("9876543210", "en", expects_digits=True)
    assert not is_dictating("yes", "en", expects_digits=True)
