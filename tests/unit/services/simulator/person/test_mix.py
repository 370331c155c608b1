from __future__ import annotations

from collections import Counter

import pytest

from services.simulator.person.mix import Attempts, Mix

SHARES = {"answer": 0.4, "machine": 0.1, "busy": 0.3, "reject": 0.2}
NUMBERS = [f"9180000{n:05d}" for n in range(4000)]


def test_numbers_do_what_the_shares_say() -> None:
    seen = Counter(Mix(SHARES).outcome(number, 1) for number in NUMBERS)
    for name, share in SHARES.items():
        assert seen[name] / len(NUMBERS) == pytest.approx(share, abs=0.03)


def test_shares_need_not_add_up_to_one() -> None:
    mix = Mix({"answer": 3, "busy": 1, "reject": 0})
    seen = Counter(mix.outcome(number, 1) for number in NUMBERS)
    assert seen["answer"] / len(NUMBERS) == pytest.approx(0.75, abs=0.03)
    assert seen["reject"] == 0


def test_the_same_call_comes_to_the_same_end_and_the_next_one_may_not() -> None:
    mix = Mix(SHARES)
    first = [mix.outcome(number, 1) for number in NUMBERS]
    assert first == [Mix(SHARES).outcome(number, 1) for number in NUMBERS]
    assert first != [mix.outcome(number, 2) for number in NUMBERS]
    assert first != [Mix(SHARES, seed=2).outcome(number, 1) for number in NUMBERS]


def test_ringing_and_talking_last_as_long_as_they_may() -> None:
    mix = Mix({"answer": 1, "machine": 1}, (0.1, 0.2), (1.0, 2.0), (5.0, 6.0))
    for number in NUMBERS[:200]:
        low, high = (5.0, 6.0) if mix.outcome(number, 1) == "machine" else (1.0, 2.0)
        assert 0.1 <= mix.ring_s(number, 1) <= 0.2
        assert low <= mix.answered_for_s(number, 1) <= high


def test_calls_to_a_number_are_counted() -> None:
    attempts = Attempts(most=2)
    assert [attempts.next_of("1"), attempts.next_of("1"), attempts.next_of("2")] == [1, 2, 1]
    attempts.next_of("3")
    assert attempts.next_of("1") == 1  # of the three, it had waited longest
    attempts.forget()
    assert attempts.next_of("3") == 1
