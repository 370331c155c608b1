"""Vobiz's REST answers, in all the shapes seen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.vobiz.answers import is_already_over, read_failure, read_make_call
from shared.vobiz.errors import ADVICE, Verdict, VobizFailure


def body(data: Any) -> bytes:
    return json.dumps(data).encode()


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_a_yes(status: int) -> None:
    assert read_make_call(status, {}, body({"request_uuid": "u-1"})) == "u-1"


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ({"request_uuid": "u-1", "call_uuid": "u-2"}, "u-1"),
        ({"call_uuid": "u-2"}, "u-2"),
        ({"request_uuid": ["u-1", "u-9"]}, "u-1"),
        ({"request_uuid": [], "call_uuid": "u-2"}, "u-2"),
        ({"request_uuid": None, "call_uuid": "u-2"}, "u-2"),
        ({"request_uuid": "../x"}, None),
        ({"request_uuid": 7}, None),
        ({"message": "Call fired"}, None),
    ],
)
def test_the_calls_name_is_the_first_one_present(answer: Any, name: str | None) -> None:
    assert read_make_call(201, {}, body(answer)) == name


@pytest.mark.parametrize("answer", [b"", b"OK", b"<html>", b"[1]", b"\xff\xfe", b"[" * 60_000])
def test_a_yes_that_cannot_be_read_leaves_the_outcome_unknown(answer: bytes) -> None:
    with pytest.raises(VobizFailure) as caught:
        read_make_call(200, {}, answer)
    assert caught.value.verdict is Verdict.OUTCOME_UNKNOWN
    assert caught.value.verdict.may_have_dialled


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (400, Verdict.INVALID),
        (401, Verdict.UNAUTHORIZED),
        (402, Verdict.NO_BALANCE),
        (403, Verdict.FORBIDDEN),
        (404, Verdict.NOT_FOUND),
        (408, Verdict.OUTCOME_UNKNOWN),
        (409, Verdict.INVALID),
        (422, Verdict.INVALID),
        (429, Verdict.RATE_LIMITED),
        (500, Verdict.PLATFORM_ERROR),
        (503, Verdict.PLATFORM_ERROR),
        (599, Verdict.PLATFORM_ERROR),
        (301, Verdict.UNEXPECTED),
        (418, Verdict.UNEXPECTED),
    ],
)
def test_every_status_has_its_verdict(status: int, verdict: Verdict) -> None:
    with pytest.raises(VobizFailure) as caught:
        read_make_call(status, {}, b"{}")
    assert (caught.value.verdict, caught.value.status) == (verdict, status)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"status": "error", "error": {"code": "X", "message": "too many"}}, "too many"),
        ({"api_id": "a", "error": "from number not owned"}, "from number not owned"),
        ({"error": "bad", "details": {}}, "bad"),
        ({"message": "Not Found"}, "Not Found"),
        ({"error": {}, "message": " two\n lines "}, "two lines"),
        ({"error": 7}, ""),
        ({}, ""),
        ([], ""),
    ],
)
def test_vobizs_words_are_found_in_every_shape(answer: Any, message: str) -> None:
    assert read_failure(400, {}, body(answer)).message == message


def test_vobizs_words_are_one_bounded_printable_line() -> None:
    message = read_failure(400, {}, body({"error": "a\x1b[31m" + "x" * 5000})).message
    assert message.isprintable()
    assert len(message) == 300


@pytest.mark.parametrize(
    ("headers", "answer", "wait_s"),
    [
        ({"retry-after": "7"}, {}, 7),
        ({"retry-after": "0"}, {}, 1),
        ({"retry-after": "999999"}, {}, 3600),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}, 1),
        ({}, {"error": {"details": {"retryAfter": 2}}}, 2),
        ({}, {"error": {"details": {"retryAfter": 1.2}}}, 2),
        ({}, {"error": {"details": []}}, 1),
        ({}, {}, 1),
    ],
)
def test_a_limit_says_how_long_to_wait(headers: dict[str, str], answer: Any, wait_s: int) -> None:
    assert read_failure(429, headers, body(answer)).retry_after_s == wait_s


def test_only_limits_and_overload_ask_to_wait() -> None:
    assert read_failure(402, {"retry-after": "7"}, b"{}").retry_after_s is None
    assert read_failure(503, {"retry-after": "7"}, b"{}").retry_after_s == 7


def test_a_call_is_over_when_either_form_of_its_path_is_unknown() -> None:
    assert is_already_over([404, 404])
    assert is_already_over([401, 404])
    assert is_already_over([404, 401])
    assert not is_already_over([401, 401])
    assert not is_already_over([500])


def test_every_verdict_has_advice_of_its_own() -> None:
    assert set(ADVICE) == set(Verdict)
    assert len(set(ADVICE.values())) == len(ADVICE)


@given(st.integers(100, 599), st.dictionaries(st.just("retry-after"), st.text()), st.binary())
def test_any_answer_is_an_id_or_a_verdict(
    status: int, headers: dict[str, str], answer: bytes
) -> None:
    try:
        name = read_make_call(status, headers, answer)
    except VobizFailure:
        return
    assert 200 <= status < 300
    assert name is None or name.isascii()
