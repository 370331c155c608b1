from __future__ import annotations

import pytest

from services.agent.providers.chain.breaker import (
    TRANSITIONS,
    BreakerEvent,
    BreakerState,
    CircuitBreaker,
    UnexpectedBreakerEvent,
)
from services.agent.providers.chain.limits import ChainLimits

LIMITS = ChainLimits(breaker_failures=3, breaker_window_s=30, breaker_open_s=15)


def opened(*, now_s: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(LIMITS)
    for _ in range(3):
        breaker.on_failure(now_s)
    assert breaker.state is BreakerState.OPEN
    return breaker


def half_open() -> CircuitBreaker:
    breaker = opened()
    assert breaker.permits(15.0)
    return breaker


MAKE = {
    BreakerState.CLOSED: lambda: CircuitBreaker(LIMITS),
    BreakerState.OPEN: opened,
    BreakerState.HALF_OPEN: half_open,
}


def bring(breaker: CircuitBreaker, event: BreakerEvent) -> None:
    match event:
        case BreakerEvent.SUCCEEDED:
            breaker.on_success()
        case BreakerEvent.FAILED:
            breaker.on_failure(100.0)
        case BreakerEvent.TRIPPED:
            breaker.on_failure(100.0, is_for_good=True)
        case BreakerEvent.ABANDONED:
            breaker.on_abandoned()
        case BreakerEvent.COOLED:
            assert breaker.permits(100.0)


@pytest.mark.parametrize(
    ("state", "event", "after"),
    [(*pair, after) for pair, after in TRANSITIONS.items()],
    ids=lambda value: value.value,
)
def test_every_line_of_the_table_is_walked(
    state: BreakerState, event: BreakerEvent, after: BreakerState
) -> None:
    breaker = MAKE[state]()
    assert breaker.state is state
    bring(breaker, event)
    assert breaker.state is after


@pytest.mark.parametrize("state", [BreakerState.CLOSED, BreakerState.HALF_OPEN])
def test_an_event_that_is_not_in_the_table_is_an_error_with_both_names(
    state: BreakerState,
) -> None:
    with pytest.raises(UnexpectedBreakerEvent, match=f"cooled while {state.value}") as caught:
        MAKE[state]()._move(BreakerEvent.COOLED)
    assert (caught.value.state, caught.value.event) == (state, BreakerEvent.COOLED)


def test_failures_open_it_only_when_they_come_close_together() -> None:
    breaker = CircuitBreaker(LIMITS)
    for now_s in (0.0, 16.0, 31.0, 47.0):
        breaker.on_failure(now_s)
        assert breaker.permits(now_s)
    breaker.on_failure(47.1)
    assert not breaker.permits(47.2)


def test_it_is_asked_again_when_its_time_is_over_by_one_call_alone() -> None:
    breaker = opened()
    assert not breaker.permits(14.9)
    assert breaker.permits(15.0)
    assert not breaker.permits(15.0)
    breaker.on_success()
    assert breaker.permits(15.1)
    assert breaker.permits(15.1)


def test_failed_trial_leaves_it_open_for_as_long_again() -> None:
    breaker = half_open()
    breaker.on_failure(15.0)
    assert not breaker.permits(29.9)
    assert breaker.permits(30.0)


def test_abandoned_trial_lets_the_next_call_try() -> None:
    breaker = half_open()
    breaker.on_abandoned()
    assert breaker.permits(15.1)
    assert not breaker.permits(15.2)


def test_refusal_for_good_opens_it_at_once_and_for_longer() -> None:
    breaker = CircuitBreaker(LIMITS)
    breaker.on_failure(0.0, is_for_good=True)
    assert not breaker.permits(59.9)
    assert breaker.permits(60.0)


def test_late_failures_of_calls_under_way_do_not_keep_it_open() -> None:
    breaker = opened()
    breaker.on_failure(14.0)
    assert breaker.permits(15.0)


def test_after_it_closed_the_count_begins_anew() -> None:
    breaker = half_open()
    breaker.on_success()
    breaker.on_failure(15.0)
    breaker.on_failure(15.0)
    assert breaker.permits(15.1)
