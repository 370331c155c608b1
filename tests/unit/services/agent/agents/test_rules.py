"""A file as rules of turn-taking, in each of its languages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.agent.agents.file import AgentFile
from services.agent.agents.rules import (
    failure_number,
    localise,
    operator_number,
    to_turn_taking,
)
from services.agent.settings import AgentSettings
from services.agent.turn.rules import OnFailure, OnMachine, TurnTaking


@dataclass(frozen=True)
class Defaults:
    agent_endpointing_s: float = 0.7
    agent_silence_s: float = 8.0
    agent_max_call_s: float = 100.0


def file_of(**fields: Any) -> AgentFile:
    return AgentFile.model_validate(fields)


def test_a_file_that_says_nothing_goes_by_the_settings() -> None:
    rules = to_turn_taking(file_of(), Defaults())
    assert (rules.endpointing.wait_s, rules.silence_s, rules.max_call_s) == (0.7, 8.0, 100.0)


def test_a_file_that_says_nothing_means_the_rules_own_defaults() -> None:
    """The two places that hold defaults must not drift apart; texts are the file's own."""
    rules, defaults = to_turn_taking(file_of(), AgentSettings()), TurnTaking()
    assert rules.barge_in == defaults.barge_in
    assert rules.endpointing == defaults.endpointing
    assert rules.machine == defaults.machine
    assert rules.failure.then == defaults.failure.then
    assert rules.time_limit_text == defaults.time_limit_text
    assert (rules.silence_s, rules.max_call_s) == (defaults.silence_s, defaults.max_call_s)
    assert rules.transcript_wait_s == defaults.transcript_wait_s


def test_what_a_file_says_is_what_holds() -> None:
    rules = to_turn_taking(
        file_of(
            language="en-IN",
            turn_taking={
                "barge_in": {
                    "enabled": False,
                    "min_words": 2,
                    "min_speech_s": 1.5,
                    "backchannels": ["Okay"],
                },
                "endpointing": {
                    "wait_s": 0.4,
                    "least_wait_s": 0.2,
                    "most_wait_s": 2,
                    "adaptive": False,
                    "speculative": False,
                },
                "silence": {"after_s": 3},
                "filler": {"texts": "Hm.", "after_s": 0.8},
                "uninterruptible": "This call is recorded.",
                "max_call_s": 60,
                "time_limit": "Over.",
            },
            failure={"apology": "Sorry.", "then": "transfer", "transfer_to": "sales"},
            transfer={"operator": "+918000000001", "sales": "+918000000002"},
            machine={"then": "leave_message", "message": "Hello.", "quiet_s": 2, "most_wait_s": 9},
            limits={"stt_final_s": 4},
        ),
        Defaults(),
    )
    assert rules.language == "en-IN"
    barge_in = rules.barge_in
    assert (barge_in.is_enabled, barge_in.min_words, barge_in.min_speech_s) == (False, 2, 1.5)
    assert barge_in.backchannels == frozenset(("okay",))
    waits = rules.endpointing
    assert (waits.least_wait_s, waits.wait_s, waits.most_wait_s) == (0.2, 0.4, 2)
    assert not waits.is_adaptive
    assert not waits.is_speculative
    assert (rules.filler.texts, rules.filler.after_s) == (("Hm.",), 0.8)
    assert (rules.silence_s, rules.max_call_s) == (3, 60)
    assert (rules.time_limit_text, rules.uninterruptible) == ("Over.", ("This call is recorded.",))
    assert (rules.failure.apology, rules.failure.then) == ("Sorry.", OnFailure.TRANSFER)
    assert rules.failure.transfer_to == "+918000000002"
    machine = rules.machine
    assert (machine.then, machine.message) == (OnMachine.LEAVE_MESSAGE, "Hello.")
    assert (machine.quiet_s, machine.most_wait_s) == (2, 9)
    assert rules.transcript_wait_s == 6  # no shorter than what the transcriber may take


def test_zero_is_a_value_and_not_an_absence() -> None:
    rules = to_turn_taking(file_of(turn_taking={"silence": {"after_s": 0}}), Defaults())
    assert rules.silence_s == 0


def test_default_waits_give_way_to_those_that_are_said() -> None:
    short = to_turn_taking(file_of(turn_taking={"endpointing": {"wait_s": 0.2}}), Defaults())
    assert (short.endpointing.least_wait_s, short.endpointing.wait_s) == (0.2, 0.2)
    long = to_turn_taking(file_of(turn_taking={"endpointing": {"wait_s": 2}}), Defaults())
    assert (long.endpointing.wait_s, long.endpointing.most_wait_s) == (2, 2)


TWO = file_of(
    greeting="Hello",
    prompt="Speak English.",
    goodbye="Bye",
    providers={"stt": ["deepgram", "offline"], "tts": ["openai"]},
    failure={"apology": "Sorry.", "then": "transfer"},
    turn_taking={"barge_in": {"backchannels": ["okay"], "min_words": 3}},
    languages={
        "hi": {
            "greeting": "Namaste",
            "filler": ["Ek minute."],
            "apology": "Maaf kijie.",
            "silence": {"after_s": 4, "goodbye": "Alvida."},
            "providers": {"tts": ["deepgram"]},
        },
        "fr": {},
    },
)


def test_another_language_changes_what_it_says_and_no_more() -> None:
    hindi = localise(TWO, "hi")
    assert (hindi.language, hindi.greeting, hindi.prompt) == ("hi", "Namaste", "Speak English.")
    assert hindi.goodbye == "Bye"
    assert [choice.name for choice in hindi.providers.stt] == ["deepgram", "offline"]
    assert [choice.name for choice in hindi.providers.tts] == ["deepgram"]
    rules = to_turn_taking(TWO, Defaults(), "hi")
    assert (rules.language, rules.silence_s) == ("hi", 4)
    assert rules.filler.texts == ("Ek minute.",)
    assert (rules.failure.apology, rules.failure.then) == ("Maaf kijie.", OnFailure.TRANSFER)
    assert rules.barge_in.min_words == 3
    assert rules.barge_in.backchannels is None  # those of the language


def test_a_language_that_says_nothing_is_a_language_all_the_same() -> None:
    rules = to_turn_taking(TWO, Defaults(), "fr")
    assert rules.language == "fr"
    assert rules.filler == to_turn_taking(TWO, Defaults()).filler


def test_a_language_that_is_not_there_changes_nothing() -> None:
    assert localise(TWO, "de") is TWO
    assert localise(TWO, "en") is TWO


def test_who_asks_for_a_human_gets_the_operator_or_the_first_there_is() -> None:
    assert operator_number(file_of()) is None
    first = file_of(transfer={"sales": "+918000000001", "support": "+918000000002"})
    assert operator_number(first) == failure_number(first) == "+918000000001"
    named = file_of(transfer={"sales": "+918000000001", "operator": "+918000000002"})
    assert operator_number(named) == "+918000000002"
