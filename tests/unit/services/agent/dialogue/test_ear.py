from __future__ import annotations

import pytest

from services.agent.dialogue.ear import Passages, for_ear


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("We are **very** happy.", "We are very happy."),
        ("**Hours", "Hours"),
        ("# Our hours", "Our hours"),
        ("- tea", "tea"),
        ("* *tea*, _milk_ and `sugar`", "tea, milk and sugar"),
        ("See [our site](https://parley.example/a?b=c).", "See our site."),
        ("here](https://parley.example), please", "here, please"),
        ("It is at https://www.parley.example now.", "It is at parley.example now."),
        ("Great! 🎉👍🏽", "Great!"),
        ("🙂", ""),
        ("---", ""),
        ("```json", ""),
        ("Press * or # now.", "Press * or # now."),
        ("snake_case and 2*3 stay", "snake_case and 2*3 stay"),
        ("two\n  lines", "two lines"),
        ("| a | b |", "a b"),
        ("नमस्ते, *राम*।", "नमस्ते, राम।"),
    ],
)
def test_markdown_is_not_spoken(written: str, spoken: str) -> None:
    assert for_ear(written) == spoken


LEGAL = "This call is recorded for quality. You may object at any time."


@pytest.mark.parametrize(
    ("piece", "belongs"),
    [
        (LEGAL, True),
        ("This call is recorded for quality.", True),
        ("you may object at any time", True),
        ("This call is recorded", True),
        ("Hello! This call is recorded for quality.", True),
        ("This call", False),
        ("Your order is recorded.", False),
    ],
)
def test_a_passage_is_found_whole_and_in_parts(piece: str, belongs: bool) -> None:
    sentences = ("This call is recorded for quality.", "You may object at any time.")
    assert Passages((LEGAL,), sentences).holds(piece) is belongs


def test_without_passages_nothing_belongs_to_one() -> None:
    assert not Passages((), ()).holds("anything at all")
