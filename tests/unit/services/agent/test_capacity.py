from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.agent.capacity import (
    AdaptiveCapacity,
    LatenessRule,
    Load,
    Refusal,
    refuse_attach,
    refuse_new_call,
)

TURN_S = 0.02


class Wheel:
    """Turns with a given lateness, as fast as the clock of the test goes."""

    def __init__(self, capacity: AdaptiveCapacity) -> None:
        self.capacity = capacity
        self.now_s = 100.0
        self.changes: list[int] = []

    def turn(self, seconds: float, lateness_s: float, *, active: int) -> None:
        for _ in range(round(seconds / max(TURN_S, lateness_s))):
            self.now_s += max(TURN_S, lateness_s)
            if self.capacity.on_turn(lateness_s, active, self.now_s):
                self.changes.append(self.capacity.calls)


def test_worker_takes_calls_up_to_its_capacity() -> None:
    assert refuse_new_call(Load(active=1, capacity=2, is_draining=False)) is None
    assert refuse_new_call(Load(active=2, capacity=2, is_draining=False)) is Refusal.FULL


def test_draining_worker_takes_none() -> None:
    assert refuse_new_call(Load(active=0, capacity=2, is_draining=True)) is Refusal.DRAINING


def test_only_a_newer_epoch_takes_a_call_over() -> None:
    assert refuse_attach(known_epoch=2, offered_epoch=3) is None
    assert refuse_attach(known_epoch=2, offered_epoch=2) is Refusal.STALE
    assert refuse_attach(known_epoch=2, offered_epoch=1) is Refusal.STALE


def test_a_worker_in_time_takes_all_it_was_made_for() -> None:
    wheel = Wheel(AdaptiveCapacity(20))
    wheel.turn(10, 0.05, active=20)
    assert (wheel.capacity.calls, wheel.changes) == (20, [])


def test_a_late_worker_keeps_its_calls_and_takes_no_more() -> None:
    wheel = Wheel(AdaptiveCapacity(20))
    wheel.turn(3, 0.07, active=8)
    assert wheel.capacity.calls == 8
    assert wheel.capacity.is_reduced
    load = Load(active=8, capacity=wheel.capacity.calls, is_draining=False)
    assert refuse_new_call(load) is Refusal.FULL


def test_one_late_turn_changes_nothing() -> None:
    wheel = Wheel(AdaptiveCapacity(20))
    wheel.turn(2, 0.001, active=8)
    wheel.turn(0.3, 0.3, active=8)
    wheel.turn(3, 0.001, active=8)
    assert wheel.changes == []


def test_while_late_the_capacity_goes_down_with_the_calls_and_not_up() -> None:
    wheel = Wheel(AdaptiveCapacity(20))
    wheel.turn(2, 0.1, active=8)
    wheel.turn(2, 0.1, active=5)
    wheel.turn(2, 0.1, active=7)
    assert wheel.changes == [8, 5]


def test_capacity_comes_back_step_by_step_after_calm_seconds() -> None:
    wheel = Wheel(AdaptiveCapacity(20, LatenessRule(calm_s=2.0, steps=5)))
    wheel.turn(3, 0.1, active=8)
    wheel.turn(2.5, 0.01, active=8)
    assert wheel.capacity.calls == 8
    wheel.turn(12, 0.01, active=8)
    assert wheel.changes == [8, 12, 16, 20]
    assert not wheel.capacity.is_reduced


def test_neither_late_nor_calm_leaves_it_as_it_is() -> None:
    wheel = Wheel(AdaptiveCapacity(20))
    wheel.turn(3, 0.1, active=8)
    wheel.turn(20, 0.05, active=8)
    assert wheel.changes == [8]


@given(st.lists(st.tuples(st.sampled_from([0.001, 0.05, 0.2]), st.integers(0, 25)), max_size=30))
def test_capacity_stays_between_nought_and_full(history: list[tuple[float, int]]) -> None:
    wheel = Wheel(AdaptiveCapacity(20))
    for lateness_s, active in history:
        wheel.turn(1, lateness_s, active=active)
        assert 0 <= wheel.capacity.calls <= 20
