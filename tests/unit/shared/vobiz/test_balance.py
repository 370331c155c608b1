"""What Vobiz says an account can spend."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.vobiz.answers import Balance, read_balance
from shared.vobiz.errors import Verdict, VobizFailure

ANSWER = {
    "account_id": "MA_XXXXXXXX",
    "currency": "INR",
    "balance": 23_906.83,
    "reserved_funds": 6.83,
    "available_balance": 23_900,
    "credit_limit": 1000,
    "is_postpaid": False,
    "low_balance_threshold": 50,
    "status": "active",
}


def read(**changes: Any) -> Balance:
    return read_balance(200, {}, json.dumps({**ANSWER, **changes}).encode())


def test_what_is_reserved_can_not_be_spent() -> None:
    assert read() == Balance(23_900.0, 50.0)


def test_credit_counts_where_the_account_pays_afterwards() -> None:
    assert read(is_postpaid=True, available_balance=-10.5) == Balance(989.5, 50.0)


def test_what_is_missing_is_not_made_up() -> None:
    assert read(available_balance=None, low_balance_threshold="50") == Balance(23_906.83, None)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"balance": true}', b'{"balance": 1e999}'])
def test_an_answer_without_the_figure_is_a_failure(body: bytes) -> None:
    with pytest.raises(VobizFailure) as caught:
        read_balance(200, {}, body)
    assert caught.value.verdict is Verdict.UNEXPECTED


def test_a_refusal_is_told_as_ever() -> None:
    with pytest.raises(VobizFailure) as caught:
        read_balance(401, {}, b"")
    assert caught.value.verdict is Verdict.UNAUTHORIZED
