"""services.gateway.console.sessions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.console.sessions import Attempts, is_session, make_session, session_key

KEY = b"k" * 32


def test_a_session_is_good_until_it_expires_and_no_longer() -> None:
    value = make_session(KEY, 1000.9)
    assert is_session(KEY, value, 999.9)
    assert not is_session(KEY, value, 1000.0)


def test_a_session_of_another_key_or_with_another_expiry_is_none() -> None:
    value = make_session(KEY, 1000)
    assert not is_session(b"x" * 32, value, 0)
    assert not is_session(KEY, "ffffffff" + value[8:], 0)


@given(st.text(max_size=100))
def test_what_is_no_session_is_refused_and_nothing_else_happens(text: str) -> None:
    assert not is_session(KEY, text, 0)


def test_the_key_depends_on_password_and_salt() -> None:
    keys = {session_key("a", "s"), session_key("b", "s"), session_key("a", "t")}
    assert len(keys) == 3
    assert session_key("a", "s") in keys


def test_five_attempts_at_once_then_one_each_ten_seconds() -> None:
    attempts = Attempts()
    assert [attempts.take("a", 100.0) for _ in range(5)] == [0.0] * 5
    assert attempts.take("a", 100.0) == pytest.approx(10.0)
    assert attempts.take("a", 104.0) == pytest.approx(6.0)
    assert attempts.take("a", 110.0) == 0.0
    assert attempts.take("a", 110.0) > 0.0


def test_one_clients_attempts_do_not_shut_another_out() -> None:
    attempts = Attempts()
    for _ in range(6):
        attempts.take("a", 100.0)
    assert attempts.take("b", 100.0) == 0.0


def test_changing_addresses_gives_fifty_attempts_and_then_one_a_second() -> None:
    attempts = Attempts()
    taken = [attempts.take(f"client-{n}", 100.0) for n in range(60)]
    assert taken.count(0.0) == 50
    assert attempts.take("yet another", 101.0) == 0.0
    assert attempts.take("and another", 101.0) > 0.0


def test_the_right_password_gives_the_allowance_back() -> None:
    attempts = Attempts()
    for _ in range(5):
        attempts.take("a", 100.0)
    attempts.forget("a")
    assert attempts.take("a", 100.0) == 0.0


def test_no_more_than_a_thousand_clients_are_remembered() -> None:
    attempts = Attempts(at_once=5, refill_s=10.0)
    for n in range(2000):
        attempts.take(f"client-{n}", 100.0 + n)
    assert len(attempts._clients) == 1000
