"""Machines and people at the other end of outbound calls."""

from __future__ import annotations

import pytest

from services.agent.turn.answering_machine import AnsweringMachine
from services.agent.turn.rules import MachineRules, OnMachine
from shared.protocol.call import Direction


def machine(then: OnMachine = OnMachine.HANG_UP) -> AnsweringMachine:
    return AnsweringMachine(
        MachineRules(then=then, quiet_s=1.0, most_wait_s=5.0), Direction.OUTBOUND
    )


@pytest.mark.parametrize(
    "text",
    [
        "Please leave a message after the tone.",
        "The number you are calling is currently switched off",
        "Sorry, I can't come to the phone right now",
        "बीप के बाद संदेश छोड़ें",
        "Por favor, deje su mensaje después de la señal",
        "Bitte hinterlassen Sie eine Nachricht nach dem Signalton",
        "Veuillez laisser un message après le bip",
    ],
)
def test_machines_are_known_by_their_words(text: str) -> None:
    assert machine().is_machine_by_words(text, at_s=4.0)
    assert not machine().is_machine_by_words(text, at_s=40.0)
    assert not machine(OnMachine.IGNORE).is_machine_by_words(text, at_s=4.0)


@pytest.mark.parametrize("text", ["hello", "yes, who is this", "this is Ann speaking", ""])
def test_people_are_too(text: str) -> None:
    assert not machine().is_machine_by_words(text, at_s=1.0)


def test_only_a_first_utterance_from_the_start_is_judged_by_its_length() -> None:
    assert machine().is_machine_by_sound(onset_s=0.5, speech_s=6.0)
    assert not machine().is_machine_by_sound(onset_s=0.5, speech_s=5.9)
    assert not machine().is_machine_by_sound(onset_s=4.0, speech_s=8.0)
    talkative = machine()
    talkative.on_utterance()
    assert not talkative.is_machine_by_sound(onset_s=0.5, speech_s=8.0)


def test_after_a_few_utterances_or_a_verdict_nothing_is_judged() -> None:
    text = "leave a message"
    late = machine()
    for _ in range(3):
        assert late.is_machine_by_words(text, at_s=1.0)
        late.on_utterance()
    assert not late.is_machine_by_words(text, at_s=1.0)
    judged = machine()
    judged.on_judged()
    assert not judged.is_machine_by_words(text, at_s=1.0)


def test_the_wait_ends_with_quiet_or_at_its_most() -> None:
    waiting = machine()
    waiting.begin_wait(10.0)
    assert not waiting.is_over(-20.0, 10.5)
    assert not waiting.is_over(-60.0, 11.4)
    assert waiting.is_over(-60.0, 11.5)
    waiting.begin_wait(20.0)
    assert not waiting.is_over(-20.0, 24.9)
    assert waiting.is_over(-20.0, 25.0)
