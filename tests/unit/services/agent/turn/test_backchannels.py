"""What means "go on" in several languages, and what does not."""

from __future__ import annotations

import pytest

from services.agent.turn.backchannels import Backchannels


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Mm-hm."),
        ("en", "uh huh"),
        ("en-IN", "Yeah, yeah, okay"),
        ("en", "oh I see"),
        ("hi", "haan ji"),
        ("hi-IN", "अच्छा, ठीक है"),
        ("hi", "okay, accha"),
        ("ta", "சரி"),
        ("te", "అవును"),
        ("bn", "হ্যাঁ আচ্ছা"),
        ("mr", "बरोबर"),
        ("es", "sí, claro"),
        ("fr", "d’accord"),
        ("de", "Ach so, genau."),
        ("pt", "tá bom"),
        ("sw", "okay"),
    ],
)
def test_listeners_murmur(language: str, text: str) -> None:
    assert Backchannels(language).are_all_of(text)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", ""),
        ("en", "..."),
        ("en", "no"),
        ("en", "okay stop"),
        ("en", "yes but wait"),
        ("en", "haan"),
        ("hi", "nahin"),
        ("hi", "अच्छा रुको"),
        ("en", "yeah yeah yeah yeah yeah yeah yeah"),
    ],
)
def test_who_wants_the_floor_says_more(language: str, text: str) -> None:
    assert not Backchannels(language).are_all_of(text)


def test_an_agents_own_list_stands_alone() -> None:
    own = Backchannels("en", frozenset({"roger that", "copy"}))
    assert own.are_all_of("Roger that, copy!")
    assert not own.are_all_of("okay")
    assert not Backchannels("en", frozenset()).are_all_of("okay")
