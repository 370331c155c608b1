"""What speech over the agent is taken for."""

from __future__ import annotations

import pytest

from services.agent.providers.base import Final
from services.agent.turn.barge_in import BargeIn, Verdict
from services.agent.turn.rules import BargeInRules


def judge(min_words: int = 1) -> BargeIn:
    return BargeIn(BargeInRules(min_words=min_words), "en")


def heard(text: str) -> Final:
    return Final(text, is_understood=bool(text), confidence=1.0)


@pytest.mark.parametrize(
    ("text", "speech_s", "verdict"),
    [
        ("stop", 0.3, Verdict.INTERRUPTION),
        ("", 0.3, Verdict.PASSING),
        ("", 0.9, Verdict.INTERRUPTION),
        ("mm-hm", 0.9, Verdict.PASSING),
        ("mm-hm", 1.8, Verdict.INTERRUPTION),
    ],
)
def test_words_or_length_interrupt(text: str, speech_s: float, verdict: Verdict) -> None:
    assert judge().judge_words(heard(text), speech_s, has_asked=False) is verdict


def test_speech_that_goes_on_stays_open_until_there_is_evidence() -> None:
    assert judge().judge_sound(0.3, "") is Verdict.OPEN
    assert judge().judge_sound(0.3, "okay") is Verdict.OPEN
    assert judge().judge_sound(0.3, "okay but") is Verdict.INTERRUPTION


def test_a_guess_that_is_not_understood_is_no_word() -> None:
    final = Final("stop", is_understood=False, confidence=0.1)
    assert judge().judge_words(final, 0.3, has_asked=False) is Verdict.PASSING


def test_after_a_question_a_murmur_is_an_answer_but_a_cough_is_not() -> None:
    assert judge().judge_words(heard("mm-hm"), 0.3, has_asked=True) is Verdict.INTERRUPTION
    assert judge().judge_words(heard(""), 0.3, has_asked=True) is Verdict.PASSING


def test_as_many_words_as_are_asked_for() -> None:
    assert not judge(2).are_words_enough("stop")
    assert judge(2).are_words_enough("stop now")


def test_another_language_has_other_murmurs() -> None:
    barge_in = judge()
    assert not barge_in.is_backchannel("accha")
    barge_in.speak("hi-IN")
    assert barge_in.is_backchannel("accha")


def test_wariness_rises_with_false_pauses_that_follow_each_other_and_wears_off() -> None:
    barge_in = judge()
    barge_in.on_false_pause(10.0)
    assert barge_in.frames_needed(10.0) == 1
    barge_in.on_false_pause(17.0)
    assert barge_in.frames_needed(17.0) == 1
    barge_in.on_false_pause(20.0)
    assert barge_in.frames_needed(20.0) == 3
    for at_s in (21.0, 22.0, 23.0, 24.0, 25.0, 26.0):
        barge_in.on_false_pause(at_s)
    assert barge_in.frames_needed(26.0) == 10
    assert [barge_in.frames_needed(26.0 + 10.0 * n) for n in range(1, 5)] == [6, 3, 1, 1]


def test_coughs_and_murmurs_are_passing_as_far_as_they_go() -> None:
    assert judge().is_passing(0.2, "")
    assert not judge().is_passing(0.4, "")
    assert judge().is_passing(0.8, "mm-hm")
    assert not judge().is_passing(0.2, "stop")
