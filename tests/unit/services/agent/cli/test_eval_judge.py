from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.agent.cli.eval_judge import is_within, judge
from services.agent.cli.eval_outcome import Fault, Outcome
from services.agent.cli.eval_scenario import Expected, Scenarios, Turn, Within
from services.agent.providers.base import ToolUsed

BOOKED = ToolUsed("book", {"day": "sunday", "who": {"name": "Asha", "age": 3}}, "ok", "yes", 0.1)


def outcome(**fields: Any) -> Outcome:
    return Outcome(**{"said": "We open at Nine.", "language": "en", **fields})


def faults(expected: dict[str, Any], came: Outcome, *, may_end: bool = False) -> list[Fault]:
    return judge(Expected.model_validate(expected), came, within=None, may_end=may_end)


@pytest.mark.parametrize(
    ("expected", "came"),
    [
        ({}, outcome()),
        ({"says": "open at nine"}, outcome()),
        ({"says": ["we", "n.ne"]}, outcome()),
        ({"says": {"any_of": ["ten", "nine"]}}, outcome()),
        ({"not_says": ["ten", "eleven"]}, outcome()),
        ({"says_nothing": True}, outcome(said="")),
        ({"tool": "book"}, outcome(tools=[BOOKED])),
        (
            {"tool": {"name": "book", "arguments": {"day": "/^sun/", "who": {"age": 3}}}},
            outcome(tools=[BOOKED]),
        ),
        ({"no_tool": True}, outcome()),
        ({"ends": "bye"}, outcome(ends="bye")),
        ({"transfers": "+918000000009"}, outcome(transfers="+918000000009")),
        ({"language": "hi"}, outcome(language="hi")),
        ({"within_ms": 100}, outcome(first_ms=99.0, total_ms=5000.0)),
        ({"within_ms": {"total": 100}}, outcome(first_ms=None, total_ms=99.0)),
    ],
)
def test_what_was_expected_has_no_fault(expected: dict[str, Any], came: Outcome) -> None:
    assert faults(expected, came) == []


@pytest.mark.parametrize(
    ("expected", "came", "fault"),
    [
        ({"says": "ten"}, outcome(), Fault("says /ten/", '"We open at Nine."')),
        ({"says": "ten"}, outcome(said=""), Fault("says /ten/", "not a word")),
        (
            {"says": {"any_of": ["ten", "six"]}},
            outcome(),
            Fault("says one of /ten/, /six/", '"We open at Nine."'),
        ),
        ({"not_says": "nine"}, outcome(), Fault("does not say /nine/", '"We open at Nine."')),
        ({"says_nothing": True}, outcome(), Fault("not a word", '"We open at Nine."')),
        ({"tool": "book"}, outcome(), Fault("tool book", "no tool")),
        (
            {"tool": {"name": "book", "arguments": {"day": "monday"}}},
            outcome(tools=[ToolUsed("book", {"day": "sunday"}, "ok", "", 0)]),
            Fault('tool book {"day": "monday"}', 'book {"day": "sunday"}'),
        ),
        (
            {"no_tool": True},
            outcome(tools=[ToolUsed("book", {}, "ok", "", 0)]),
            Fault("no tool", "book {}"),
        ),
        ({"ends": "bye"}, outcome(), Fault("the call ends: bye", "the call goes on")),
        (
            {"ends": "bye"},
            outcome(ends="other"),
            Fault("the call ends: bye", "the call ends: other"),
        ),
        (
            {"transfers": "+918000000009"},
            outcome(transfers="+918000000008"),
            Fault("a transfer to +918000000009", "a transfer to +918000000008"),
        ),
        ({}, outcome(ends="bye"), Fault("the call goes on", "the call ends: bye")),
        ({"language": "hi"}, outcome(), Fault("language hi", "en")),
        (
            {"within_ms": 100},
            outcome(first_ms=150.0),
            Fault("first words within 100 ms", "150 ms"),
        ),
        (
            {"within_ms": {"total": 100}},
            outcome(total_ms=150.0),
            Fault("the answer within 100 ms", "150 ms"),
        ),
        ({}, outcome(error="fake: cut"), Fault("an answer", "fake: cut")),
    ],
)
def test_a_fault_says_what_was_expected_and_what_came(
    expected: dict[str, Any], came: Outcome, fault: Fault
) -> None:
    assert faults(expected, came) == [fault]


def test_an_end_nobody_expects_is_let_pass_after_the_last_turn() -> None:
    assert faults({}, outcome(ends="bye"), may_end=True) == []


def test_the_budget_of_the_file_holds_where_a_turn_has_none() -> None:
    slow = outcome(first_ms=150.0)
    within = Within(first=100)
    assert len(judge(Expected(), slow, within=within, may_end=False)) == 1
    own = Expected.model_validate({"within_ms": 200})
    assert judge(own, slow, within=within, may_end=False) == []


def test_a_part_is_compared_by_value_where_it_is_no_mapping() -> None:
    assert is_within({"a": [1]}, {"a": [1], "b": 2})
    assert not is_within({"a": {"b": 1}}, {"a": 1})
    assert not is_within({"a": 1}, {})
    assert is_within("//", "//")


@pytest.mark.parametrize(
    "turn", [{}, {"say": "a", "press": "1"}, {"press": "x"}, {"say": ""}, {"silence": False}]
)
def test_a_turn_is_one_thing(turn: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Turn.model_validate(turn)


@pytest.mark.parametrize(
    "expect", [{"says": "("}, {"sais": "a"}, {"within_ms": 0}, {"tool": {"arguments": {}}}]
)
def test_an_expectation_that_cannot_be_judged_is_refused(expect: dict[str, Any]) -> None:
    scenario = {"name": "a", "turns": [{"say": "a", "expect": expect}]}
    with pytest.raises(ValidationError):
        Scenarios.model_validate({"scenarios": [scenario]})


def test_a_turn_reads_as_its_writer_wrote_it() -> None:
    turns = [
        {"say": "a"},
        {"press": "1#"},
        {"silence": True},
        {"interrupt": {"after_words": 2, "say": "b"}},
    ]
    assert [str(Turn.model_validate(turn)) for turn in turns] == [
        'say "a"',
        "press 1#",
        "silence",
        'interrupt at 2 "b"',
    ]
