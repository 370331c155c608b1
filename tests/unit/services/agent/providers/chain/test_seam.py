from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.providers.chain.seam import Seam


def joined(said: str, *more: str) -> str:
    seam = Seam(said)
    return said + "".join(seam.push(text) for text in more) + seam.flush()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("We open at ni", "We open at"),
        ("We open at ", "We open at"),
        ("We open at nine.", "We open at nine."),
        ("We", ""),
        ("", ""),
    ],
)
def test_the_model_that_goes_on_is_told_whole_words(said: str, told: str) -> None:
    assert Seam(said).told == told


@pytest.mark.parametrize(
    ("said", "more", "whole"),
    [
        ("We open at ni", ("nine today.",), "We open at nine today."),
        ("We open at ni", ("n", "i", "ne", " today."), "We open at nine today."),
        ("We open at nine", (", and close at ten.",), "We open at nine, and close at ten."),
        ("We open at nine", (" nine, mostly.",), "We open at nine, mostly."),
        ("We open at", (" ten.",), "We open at ten."),
        ("We open at ", ("ten.",), "We open at ten."),
        ("We open.", ("And close.",), "We open. And close."),
        ("We open at ni", ("We open at nine.",), "We open at nine."),
        ("We open.", ("we open. And close.",), "We open. And close."),
        ("We open.", ("We", " close."), "We open. We close."),
        ("We open.", (" ",), "We open."),
        ("", (" Hello.",), "Hello."),
    ],
)
def test_nothing_is_said_twice_and_no_words_run_together(
    said: str, more: tuple[str, ...], whole: str
) -> None:
    assert joined(said, *more) == whole


@given(st.text(max_size=20), st.lists(st.text(max_size=8), max_size=6))
def test_how_the_text_is_cut_makes_no_difference(said: str, more: list[str]) -> None:
    assert joined(said, *more) == joined(said, "".join(more))
