"""How much silence ends a turn."""

from __future__ import annotations

import pytest

from services.agent.providers.base import Expectation, Partial
from services.agent.turn.endpointing import Endpointing, Outlook, judge_words
from services.agent.turn.rules import EndpointingRules

NOTHING = Expectation()


@pytest.mark.parametrize(
    ("partial", "score", "outlook"),
    [
        (None, None, Outlook.UNKNOWN),
        (None, 0.9, Outlook.COMPLETE),
        (None, 0.1, Outlook.UNFINISHED),
        (Partial("  "), None, Outlook.UNKNOWN),
        (Partial("it is late"), None, Outlook.UNKNOWN),
        (Partial("it is late"), 0.9, Outlook.COMPLETE),
        (Partial("It is late."), None, Outlook.UNKNOWN),
        (Partial("It is late.", is_settled=True), None, Outlook.COMPLETE),
        (Partial("It is late.", is_settled=True), 0.1, Outlook.UNKNOWN),
        (Partial("it is late", is_end=True), None, Outlook.COMPLETE),
        (Partial("it is late and", is_end=True), 0.9, Outlook.UNFINISHED),
        (Partial("five five five", is_settled=True, is_end=True), None, Outlook.UNFINISHED),
    ],
)
def test_words_and_model_are_weighed(
    partial: Partial | None, score: float | None, outlook: Outlook
) -> None:
    assert judge_words(partial, score, NOTHING, "en") is outlook


def test_expected_phrases_and_digits_count() -> None:
    expect = Expectation(phrases=("what can you do",), digits=True)
    phrase = Partial("What can you do", is_settled=True)
    assert judge_words(phrase, None, expect, "en") is Outlook.COMPLETE
    assert judge_words(Partial("seven"), None, expect, "en") is Outlook.UNFINISHED


def test_each_outlook_has_its_wait() -> None:
    endpointing = Endpointing(EndpointingRules(wait_s=0.6, least_wait_s=0.2, most_wait_s=1.5))
    assert [endpointing.wait_s(outlook) for outlook in Outlook] == [0.2, 0.6, 1.5]


def test_a_usual_wait_above_the_most_is_kept() -> None:
    endpointing = Endpointing(EndpointingRules(wait_s=2.0, most_wait_s=1.0))
    assert endpointing.wait_s(Outlook.UNKNOWN) == 2.0
    assert endpointing.wait_s(Outlook.UNFINISHED) == 2.0


def test_long_pauses_are_learnt_up_to_a_bound_and_forgotten() -> None:
    endpointing = Endpointing(EndpointingRules())
    endpointing.on_pause(0.2, Outlook.UNKNOWN)
    assert endpointing.wait_s(Outlook.UNKNOWN) == 0.5
    endpointing.on_pause(0.6, Outlook.UNKNOWN)
    assert endpointing.wait_s(Outlook.UNKNOWN) == pytest.approx(0.75)
    assert endpointing.wait_s(Outlook.COMPLETE) == pytest.approx(0.55)
    for _ in range(20):
        endpointing.on_pause(5.0, Outlook.UNKNOWN)
        assert endpointing.wait_s(Outlook.UNKNOWN) <= 1.4
    for _ in range(30):
        endpointing.on_turn()
    assert endpointing.wait_s(Outlook.UNKNOWN) == 0.5


def test_nothing_is_learnt_where_that_is_not_wanted() -> None:
    endpointing = Endpointing(EndpointingRules(is_adaptive=False))
    endpointing.on_pause(1.0, Outlook.UNKNOWN)
    assert endpointing.wait_s(Outlook.UNKNOWN) == 0.5
