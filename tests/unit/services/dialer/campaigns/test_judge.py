"""When a campaign stops itself."""

from __future__ import annotations

from typing import Any

import pytest

from services.dialer.campaigns.judge import PauseRules
from services.dialer.campaigns.outcome import Outcome
from services.dialer.errors import InvalidOrder

GOOD, BAD, BUSY = Outcome.ANSWERED, Outcome.FAILED, Outcome.BUSY


def test_nothing_is_judged_before_there_are_enough_tries() -> None:
    assert PauseRules(over_last=5).reason_to_pause([BAD] * 4) is None
    assert PauseRules(over_last=5).reason_to_pause([BAD] * 5) == "error_rate 1.00"


def test_only_the_newest_count() -> None:
    rules = PauseRules(error_rate=0.5, over_last=4)
    assert rules.reason_to_pause([GOOD, GOOD, GOOD, BAD, *[BAD] * 9]) is None
    assert rules.reason_to_pause([GOOD, BAD, BAD, GOOD, *[GOOD] * 9]) == "error_rate 0.50"


def test_errors_are_not_the_doing_of_the_person_called() -> None:
    rules = PauseRules(error_rate=1.0, over_last=5)
    for outcome in Outcome:
        is_error = outcome in {
            Outcome.FAILED,
            Outcome.UNKNOWN,
            Outcome.REFUSED,
            Outcome.ANSWERED_THEN_FAILED,
        }
        assert (rules.reason_to_pause([outcome] * 5) is not None) is is_error, outcome


def test_answers_have_bounds_on_both_sides_where_wanted() -> None:
    rules = PauseRules(None, 0.2, 0.8, 5)
    assert rules.reason_to_pause([BUSY] * 5) == "answer_rate 0.00"
    assert rules.reason_to_pause([GOOD, *[BUSY] * 4]) is None
    assert rules.reason_to_pause([*[GOOD] * 3, Outcome.MACHINE, BUSY]) is None
    assert rules.reason_to_pause([GOOD] * 5) == "answer_rate 1.00"
    assert rules.reason_to_pause([BAD] * 5) == "answer_rate 0.00"


def test_rules_come_back_as_they_were() -> None:
    for rules in (PauseRules(), PauseRules(None, 0.1, 0.9, 7)):
        assert PauseRules.from_json(rules.to_json()) == rules
    assert PauseRules.from_json(None) == PauseRules()


@pytest.mark.parametrize(
    "wanted",
    [
        [],
        {"errors": 1},
        {"over_last": 4},
        {"over_last": 1001},
        {"over_last": 5.5},
        {"over_last": True},
        {"error_rate": 0},
        {"error_rate": 1.1},
        {"error_rate": "0.5"},
        {"answer_rate_min": True},
        {"answer_rate_max": -1},
    ],
)
def test_what_can_not_be_is_refused(wanted: Any) -> None:
    with pytest.raises(InvalidOrder):
        PauseRules.from_json(wanted)
