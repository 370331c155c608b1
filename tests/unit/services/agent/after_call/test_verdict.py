"""What becomes of an attempt."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.after_call.verdict import (
    Delivered,
    GiveUp,
    TryAgain,
    backoff_s,
    judge,
    retry_after_s,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Always:
    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


def verdict(status: int, retry_after: str | None = None, attempt: int = 1) -> object:
    return judge(status, retry_after, attempt=attempt, now=NOW, chance=Always(0.0))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_success_is_delivered(status: int) -> None:
    assert verdict(status) == Delivered()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 499])
def test_a_refusal_for_good_is_given_up(status: int) -> None:
    assert verdict(status) == GiveUp(f"status_{status}")


@pytest.mark.parametrize("status", [301, 302, 307, 408, 409, 425, 429, 500, 502, 503, 504, 599])
def test_all_else_is_tried_again(status: int) -> None:
    assert verdict(status) == TryAgain(f"status_{status}", 2.5)


def test_waits_double_up_to_an_hour_and_are_spread_by_chance() -> None:
    assert [backoff_s(n, Always(1.0)) for n in (1, 2, 3)] == [5, 10, 20]
    assert backoff_s(1, Always(0.0)) == 2.5
    assert backoff_s(40, Always(1.0)) == 3600
    assert len({backoff_s(3, random.Random(n)) for n in range(20)}) == 20


def test_a_day_of_failures_takes_fewer_tries_than_are_allowed() -> None:
    waited_s, tries = 0.0, 0
    while waited_s < 86_400:
        tries += 1
        waited_s += backoff_s(tries, Always(0.8))
    assert tries < 40


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30.0),
        (" 0 ", 0.0),
        ("999999999999", 3600.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Thu, 01 Jan 2026 00:01:00 -0000", 60.0),
        ("Wed, 31 Dec 2025 00:01:00 GMT", 0.0),
        ("Fri, 01 Jan 2077 00:01:00 GMT", 3600.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("٣٠", None),
        ("9" * 200, None),
    ],
)
def test_retry_after_is_read_and_bounded(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW) == seconds


@given(st.text(max_size=60))
def test_any_retry_after_is_within_an_hour_or_nothing(header: str) -> None:
    seconds = retry_after_s(header, NOW)
    assert seconds is None or 0 <= seconds <= 3600


def test_a_receiver_may_ask_for_more_rest_but_not_for_less() -> None:
    assert verdict(429, "60") == TryAgain("status_429", 60.0)
    assert verdict(503, "0") == TryAgain("status_503", 2.5)
