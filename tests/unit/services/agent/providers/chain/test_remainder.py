from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.providers.chain.remainder import Pace

TEXT = "We open at nine and close at ten."


@pytest.mark.parametrize(
    ("spoken_s", "rest"),
    [
        (0.0, TEXT),
        (0.1, "open at nine and close at ten."),
        (0.5, "at nine and close at ten."),
        (1.0, "and close at ten."),
        (2.0, "ten."),
        (2.2, ""),
        (9.0, ""),
    ],
)
def test_what_is_left_begins_with_a_word_that_had_not_begun(spoken_s: float, rest: str) -> None:
    assert Pace().rest(TEXT, spoken_s) == rest


def test_a_slower_voice_had_said_less() -> None:
    pace = Pace()
    for _ in range(30):
        pace.learn(TEXT, len(TEXT) / 8)
    assert pace.chars_a_second == pytest.approx(8, rel=0.05)
    assert pace.rest(TEXT, 0.9) == "at nine and close at ten."


def test_very_short_sentences_and_odd_ones_teach_little() -> None:
    pace = Pace()
    pace.learn("Yes.", 0.5)
    assert pace.chars_a_second == 14.5
    for _ in range(100):
        pace.learn("x" * 10_000, 1.0)
    assert pace.chars_a_second <= 30


@given(st.text(max_size=60), st.floats(0, 20))
def test_the_rest_is_an_end_of_the_text(text: str, spoken_s: float) -> None:
    assert text.rstrip().endswith(Pace().rest(text, spoken_s).rstrip())
