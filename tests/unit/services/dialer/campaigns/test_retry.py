"""Which tries are followed by another."""

from __future__ import annotations

from typing import Any

import pytest

from services.dialer.campaigns.outcome import Outcome
from services.dialer.campaigns.retry import RetryRules
from services.dialer.errors import InvalidOrder

O = Outcome  # noqa: E741 - short in a table


@pytest.mark.parametrize(
    ("tries", "wait_s"),
    [
        ([O.BUSY], 300),
        ([O.BUSY, O.BUSY], 900),
        ([O.BUSY, O.BUSY, O.BUSY], None),
        ([O.NO_ANSWER], 3600),
        ([O.BUSY, O.NO_ANSWER], 3600),
        ([O.FAILED, O.NO_ANSWER, O.BUSY], None),
        ([O.FAILED], 120),
        *(
            ([outcome], None)
            for outcome in Outcome
            if outcome not in {O.BUSY, O.NO_ANSWER, O.FAILED}
        ),
    ],
)
def test_by_default(tries: list[Outcome], wait_s: float | None) -> None:
    assert RetryRules().next_wait_s(tries) == wait_s


def test_each_outcome_has_its_own_list_and_its_end_is_the_cap() -> None:
    rules = RetryRules.from_json(
        {"max_attempts": 9, "after_s": {"busy": [10], "machine": [20, 30], "answered": [5]}}
    )
    assert rules.next_wait_s([O.BUSY]) == 10
    assert rules.next_wait_s([O.BUSY, O.MACHINE]) == 20
    assert rules.next_wait_s([O.BUSY, O.MACHINE, O.MACHINE]) == 30
    assert rules.next_wait_s([O.BUSY, O.MACHINE, O.MACHINE, O.MACHINE]) is None
    assert rules.next_wait_s([O.BUSY, O.BUSY]) is None
    assert rules.next_wait_s([O.ANSWERED]) == 5
    assert rules.next_wait_s([O.NO_ANSWER]) is None


def test_rules_come_back_as_they_were() -> None:
    for rules in (RetryRules(), RetryRules(2, {O.BUSY: (1.0, 2.0)}), RetryRules(1, {})):
        assert RetryRules.from_json(rules.to_json()) == rules
    assert RetryRules.from_json(None) == RetryRules()
    assert RetryRules.from_json({"max_attempts": 5}).next_wait_s([O.BUSY]) == 300


@pytest.mark.parametrize(
    "wanted",
    [
        [],
        {"tries": 3},
        {"max_attempts": 0},
        {"max_attempts": 21},
        {"max_attempts": True},
        {"max_attempts": "3"},
        {"after_s": []},
        {"after_s": {"do_not_call": [60]}},
        {"after_s": {"nonsense": [60]}},
        {"after_s": {"busy": 60}},
        {"after_s": {"busy": [0]}},
        {"after_s": {"busy": [1e9]}},
        {"after_s": {"busy": [float("nan")]}},
        {"after_s": {"busy": ["60"]}},
        {"after_s": {"busy": [True]}},
        {"after_s": {"busy": [60] * 21}},
    ],
)
def test_what_can_not_be_is_refused(wanted: Any) -> None:
    with pytest.raises(InvalidOrder) as caught:
        RetryRules.from_json(wanted)
    assert caught.value.field.startswith("retry")
