from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.simulator.person.caller import (
    Caller,
    CallerScript,
    CallerState,
    CallerStep,
    KeyPresses,
    Utterance,
)


def said(seconds: float, label: str = "words", **when: float) -> Utterance:
    return Utterance(np.full(round(seconds * 8000), 5000, np.int16), label, **when)


class Phone:
    """Lives through a call with an agent that speaks at stated times."""

    def __init__(self, script: CallerScript, *agent_speaks: tuple[float, float]) -> None:
        self.caller = Caller(script)
        self.agent_speaks = agent_speaks
        self.steps: list[CallerStep] = []

    def until(self, seconds: float) -> Phone:
        while len(self.steps) * 0.02 < seconds:
            now_s = len(self.steps) * 0.02
            audible = any(start <= now_s < end for start, end in self.agent_speaks)
            self.steps.append(
                self.caller.step(is_agent_audible=audible, is_queue_empty=not audible)
            )
            if self.steps[-1].hangs_up:
                break
        return self

    def began_at(self) -> list[float]:
        return [round(i * 0.02, 2) for i, step in enumerate(self.steps) if step.began]

    def hung_up_at(self) -> float | None:
        return next((round(i * 0.02, 2) for i, s in enumerate(self.steps) if s.hangs_up), None)

    def pressed(self) -> list[tuple[float, str]]:
        return [(round(i * 0.02, 2), step.digit) for i, step in enumerate(self.steps) if step.digit]


def test_the_person_waits_until_the_agent_has_finished() -> None:
    phone = Phone(CallerScript((said(1.0),)), (0.5, 2.0)).until(6)
    assert phone.began_at() == [2.68]  # 0.7 s after the last sound, in whole steps


def test_a_pause_within_the_agents_speech_is_no_end() -> None:
    phone = Phone(CallerScript((said(1.0),)), (0.5, 1.0), (1.5, 2.0)).until(6)
    assert phone.began_at() == [2.68]


def test_the_second_thing_is_said_after_the_reply_to_the_first() -> None:
    phone = Phone(CallerScript((said(1.0), said(1.0))), (0.0, 1.0), (3.0, 4.0)).until(8)
    assert phone.began_at() == [1.68, 4.68]


def test_the_person_talks_over_the_agent_at_the_stated_moment() -> None:
    phone = Phone(CallerScript((said(1.0, barge_in_s=0.8),)), (0.5, 5.0)).until(3)
    assert phone.began_at() == [1.3]


def test_a_barge_in_into_a_short_utterance_becomes_a_turn() -> None:
    phone = Phone(CallerScript((said(1.0, barge_in_s=5.0),)), (0.5, 1.5)).until(6)
    assert phone.began_at() == [2.18]


def test_a_barge_in_counts_from_the_reply_not_from_the_greeting() -> None:
    script = CallerScript((said(1.0), said(1.0, barge_in_s=0.5)))
    phone = Phone(script, (0.0, 1.0), (3.0, 9.0)).until(6)
    assert phone.began_at() == [1.68, 3.5]


def test_the_person_goes_on_without_an_agent_when_patience_ends() -> None:
    script = CallerScript((said(1.0), said(1.0)), patience_s=4.0)
    assert Phone(script).until(12).began_at() == [4.0, 8.98]


def test_something_can_be_said_at_a_time_of_its_own() -> None:
    assert Phone(CallerScript((said(1.0, at_s=0.4),)), (0.0, 9.0)).until(3).began_at() == [0.4]


def test_the_last_step_of_an_utterance_is_padded_and_marked() -> None:
    odd = Utterance(np.ones(200, np.int16), "odd", at_s=0.0)
    steps = Phone(CallerScript((odd,))).until(0.1).steps
    assert steps[0].began is odd
    assert steps[0].ended is None
    last = steps[1]
    assert last.ended is odd
    assert last.pcm is not None
    assert (len(last.pcm), int(last.pcm.sum())) == (160, 40)


def test_the_person_hangs_up_after_the_last_reply() -> None:
    phone = Phone(CallerScript((said(1.0),)), (0.0, 1.0), (3.0, 4.0)).until(20)
    assert phone.hung_up_at() == 5.48  # 1.5 s after the last sound


def test_the_person_hangs_up_when_no_reply_comes() -> None:
    phone = Phone(CallerScript((said(1.0),), patience_s=3.0), (0.0, 1.0)).until(20)
    assert phone.hung_up_at() == 5.66


def test_a_person_with_nothing_to_say_hears_the_greeting_out() -> None:
    assert Phone(CallerScript(), (0.5, 2.0)).until(20).hung_up_at() == 3.48


def test_a_stated_time_to_hang_up_is_kept_whatever_is_said() -> None:
    script = CallerScript((said(1.0),), hangup_at_s=2.0)
    assert Phone(script, (0.0, 9.0)).until(20).hung_up_at() == 2.0
    later = replace(script, hangup_at_s=15.0)
    assert Phone(later, (0.0, 1.0)).until(20).hung_up_at() == 15.0


def test_a_call_ends_even_when_the_agent_never_stops() -> None:
    script = CallerScript((said(1.0),), max_duration_s=7.0)
    assert Phone(script, (0.0, 99.0)).until(20).hung_up_at() == 7.0


def test_keys_are_pressed_at_their_time_a_quarter_second_apart() -> None:
    script = CallerScript((KeyPresses("42#", at_s=1.0),), hangup_at_s=3.0)
    assert Phone(script, (0.0, 9.0)).until(4).pressed() == [(1.0, "4"), (1.26, "2"), (1.5, "#")]


def test_keys_in_turn_wait_for_the_agent_and_the_next_words_for_its_reply() -> None:
    script = CallerScript((KeyPresses("12"), said(1.0)))
    phone = Phone(script, (0.0, 1.0), (3.0, 4.0)).until(6)
    assert [digit for _, digit in phone.pressed()] == ["1", "2"]
    assert phone.pressed()[0][0] == 1.7  # one step after the turn began
    assert phone.began_at() == [4.68]


def test_an_agent_whose_queue_never_empties_still_finishes() -> None:
    caller = Caller(CallerScript((said(1.0),)))
    steps = [caller.step(is_agent_audible=i < 50, is_queue_empty=False) for i in range(150)]
    begun = next(i for i, step in enumerate(steps) if step.began)
    assert begun == 50 + 69  # twice the usual silence
    assert caller.state is CallerState.TALKING
