from __future__ import annotations

import base64
from typing import Any

import pytest

from services.simulator.person.scripted_numbers import dial_status, outcome_of
from services.simulator.rest.account import Account, AccountState
from services.simulator.rest.make_call import CallRequest, Refused, parse_make_call

BODY = {"from": "+918000000001", "to": "+918000000002", "answer_url": "https://app.example/answer"}


def parsed(**changes: Any) -> CallRequest:
    return parse_make_call(BODY | changes, owns=True)


def test_calls_per_second_are_counted_over_a_second() -> None:
    account = Account("MA_1", "t", AccountState(cps=2))
    assert account.admit(2, channels=0, now_s=10.0) is None
    refused = account.admit(1, channels=2, now_s=10.9)
    assert refused is not None
    assert (refused.kind, refused.current) == ("cps", 3)
    assert account.admit(1, channels=2, now_s=11.0) is None


def test_a_bulk_request_alone_may_exceed_the_calls_per_second() -> None:
    account = Account("MA_1", "t", AccountState(cps=1))
    assert account.admit(5, channels=0, now_s=10.0) is None


def test_concurrency_counts_what_is_up() -> None:
    account = Account("MA_1", "t", AccountState(concurrency=3, cps=100))
    assert account.admit(1, channels=2, now_s=1.0) is None
    refused = account.admit(1, channels=3, now_s=2.0)
    assert refused is not None
    assert (refused.kind, refused.limit) == ("concurrency", 3)


def test_credentials_come_in_two_headers_or_by_basic() -> None:
    account = Account("MA_1", "t")
    basic = base64.b64encode(b"MA_1:t").decode()
    assert account.is_authentic({"x-auth-id": "MA_1", "x-auth-token": "t"})
    assert account.is_authentic({"authorization": f"Basic {basic}"})
    for wrong in (
        {},
        {"x-auth-id": "MA_1"},
        {"x-auth-id": "MA_1", "x-auth-token": "tt"},
        {"authorization": "Basic !"},
        {"authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
        {"authorization": f"Bearer {basic}"},
    ):
        assert not account.is_authentic(wrong)


def test_an_account_without_a_list_owns_every_number() -> None:
    assert Account("MA_1", "t").owns("+918000000001")
    account = Account("MA_1", "t", AccountState(numbers=frozenset({"+918000000001"})))
    assert account.owns("918000000001")
    assert not account.owns("+918000000002")


def test_a_plain_body_has_the_documented_defaults() -> None:
    request = parsed()
    assert request.destinations == ("+918000000002",)
    assert (request.time_limit_s, request.ring_timeout_s) == (14400, 120)
    assert request.answer.method == "POST"
    assert (request.hangup, request.ring, request.machine_detection) == (None, None, None)


def test_a_time_limit_beyond_a_day_is_cut() -> None:
    assert parsed(time_limit=100_000).time_limit_s == 86400


def test_destinations_are_split_and_sip_addresses_allowed() -> None:
    assert parsed(to="+918000000002 < sip:a@b.example").destinations == (
        "+918000000002",
        "sip:a@b.example",
    )


def test_machine_detection_is_asked_for_by_text_alone() -> None:
    assert parsed(machine_detection=True).machine_detection is None
    assert parsed(machine_detection=False).machine_detection is None
    detection = parsed(machine_detection="hangup", machine_detection_time="99999").machine_detection
    assert detection is not None
    assert (detection.time_s, detection.hangs_up, detection.callback) == (10.0, True, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"to": " < "},
        {"to": "+918000000002,+918000000003"},
        {"answer_method": "PUT"},
        {"ring_timeout": -1},
        {"hangup_url": "javascript:1"},
    ],
)
def test_bodies_that_cannot_be_dialled_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        parsed(**changes)


def test_a_body_that_is_no_object_is_refused() -> None:
    with pytest.raises(Refused):
        parse_make_call([BODY], owns=True)


def test_sip_headers_come_back_with_their_prefix() -> None:
    assert parsed(sip_headers="lead=42, =x,b").sip_headers == {"X-PH-lead": "42", "X-PH-b": ""}


def test_methods_and_callbacks_are_read() -> None:
    request = parsed(
        answer_method="get",
        ring_url="https://app.example/ring",
        machine_detection="true",
        machine_detection_url="https://app.example/amd",
        machine_detection_time=100,
    )
    assert request.answer.method == "GET"
    assert request.ring is not None
    detection = request.machine_detection
    assert detection is not None
    assert (detection.time_s, detection.hangs_up) == (2.0, False)
    assert detection.callback is not None


def test_ownership_is_checked_before_the_destination() -> None:
    with pytest.raises(Refused, match="not owned"):
        parse_make_call(BODY | {"to": "nowhere"}, owns=False)


@pytest.mark.parametrize(
    ("number", "code", "is_machine"),
    [
        ("+918000003010", 3010, False),
        ("+918000006010", 6010, False),
        ("+918000009100", 0, True),
        ("+918000000002", 0, False),
        ("sip:a@b.example", 0, False),
    ],
)
def test_the_last_digits_of_a_number_say_its_outcome(
    number: str, code: int, is_machine: bool
) -> None:
    outcome = outcome_of(number, answer_after_s=1.0)
    assert (outcome.code, outcome.is_machine) == (code, is_machine)


def test_a_dialled_number_has_a_status() -> None:
    assert dial_status("+918000003010") == "busy"
    assert dial_status("+918000000002") == "completed"
