from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.vobiz.errors import Verdict, VobizFailure
from shared.vobiz.setup_answers import (
    AccountFacts,
    Application,
    Channels,
    OwnedNumber,
    check_done,
    read_account,
    read_applications,
    read_channels,
    read_new_application,
    read_numbers,
)

SECRET = "the-accounts-secret"
ME = {
    "auth_id": "MA_EXAMPLE1",
    "auth_secret": SECRET,
    "name": "Acme Corp",
    "enabled": True,
    "is_active": True,
    "is_verified": False,
    "is_trial_account": True,
    "cps_limit": 11,
    "concurrent_calls_limit": "10",
}
APPLICATION = {
    "app_id": "12345678901234567",
    "app_name": "parley",
    "answer_url": "https://voice.example.com/answer",
    "answer_method": "get",
    "hangup_url": None,
    "hangup_method": None,
    "fallback_answer_url": None,
    "default_endpoint_app": True,
    "enabled": False,
}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_the_account_is_known_without_its_secret() -> None:
    facts = read_account(200, {}, encoded(ME))
    assert facts == AccountFacts("MA_EXAMPLE1", "Acme Corp", True, False, True, 11.0, 10)
    assert SECRET not in repr(facts)


@pytest.mark.parametrize("member", ["is_active", "enabled"])
def test_an_account_that_is_switched_off_is_told(member: str) -> None:
    assert read_account(200, {}, encoded({"auth_id": "MA_1", member: False})).is_active is False


def test_what_an_account_does_not_tell_is_unknown() -> None:
    odd = {"auth_id": "MA_1", "cps_limit": "many", "concurrent_calls_limit": True}
    assert read_account(200, {}, encoded(odd)) == AccountFacts("MA_1")
    infinite = b'{"auth_id": "MA_1", "cps_limit": Infinity, "concurrent_calls_limit": []}'
    assert read_account(200, {}, infinite) == AccountFacts("MA_1")


def test_channels_in_use_are_told() -> None:
    body = encoded({"concurrent_calls": 2, "max_concurrent": 10})
    assert read_channels(200, {}, body) == Channels(2, 10)


def test_applications_come_by_pages_with_their_defaults() -> None:
    body = encoded({"meta": {"total_count": 23}, "objects": [APPLICATION, {"app_id": "1"}, 5]})
    page = read_applications(200, {}, body, offset=20)
    assert page.applications == (
        Application(
            "12345678901234567",
            "parley",
            answer_url="https://voice.example.com/answer",
            answer_method="GET",
            is_enabled=False,
            is_default_for_endpoints=True,
        ),
    )
    assert page.has_more is False
    assert read_applications(200, {}, body, offset=19).has_more is True


@pytest.mark.parametrize("document", [{"objects": []}, {"objects": [], "meta": {"total_count": 9}}])
def test_an_empty_page_is_the_last(document: dict[str, Any]) -> None:
    assert read_applications(200, {}, encoded(document), offset=0).has_more is False


def test_a_new_applications_id_is_a_text_or_a_number() -> None:
    assert read_new_application(201, {}, encoded({"app_id": "17"})) == "17"
    assert read_new_application(200, {}, encoded({"app_id": 17})) == "17"


def test_numbers_come_by_pages_with_what_they_are_attached_to() -> None:
    items = [
        {"e164": "+918000000001", "application_id": "17"},
        {"e164": "918000000002", "application_id": None},
        {"e164": "none"},
        None,
    ]
    page = read_numbers(200, {}, encoded({"items": items, "total": 5}), before=0)
    assert page.numbers == (OwnedNumber("+918000000001", "17"), OwnedNumber("+918000000002"))
    assert page.has_more is True
    assert read_numbers(200, {}, encoded({"items": items}), before=0).has_more is False


READERS: list[Callable[[int, bytes], object]] = [
    lambda status, body: read_account(status, {}, body),
    lambda status, body: read_channels(status, {}, body),
    lambda status, body: read_applications(status, {}, body, offset=0),
    lambda status, body: read_new_application(status, {}, body),
    lambda status, body: read_numbers(status, {}, body, before=0),
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"[" * 100_000, b"\xff"])
def test_an_answer_without_the_thing_is_no_answer(
    read: Callable[[int, bytes], object], body: bytes
) -> None:
    with pytest.raises(VobizFailure) as caught:
        read(200, body)
    assert caught.value.verdict is Verdict.UNEXPECTED


@pytest.mark.parametrize("read", READERS)
def test_a_refusal_is_vobizs_own(read: Callable[[int, bytes], object]) -> None:
    with pytest.raises(VobizFailure) as caught:
        read(403, encoded({"error": "account inactive"}))
    assert (caught.value.verdict, caught.value.message) == (Verdict.FORBIDDEN, "account inactive")


def test_any_2xx_is_done() -> None:
    for status in (200, 201, 204):
        check_done(status, {}, b"not json")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
_members = st.dictionaries(
    st.sampled_from(
        [*ME, *APPLICATION, "objects", "items", "meta", "total", "e164", "total_count"]
    ),
    _json | st.lists(st.dictionaries(st.sampled_from([*APPLICATION, "e164"]), _json), max_size=3),
)


@given(_members)
def test_strange_answers_are_our_failures_alone(document: dict[str, Any]) -> None:
    for read in READERS:
        try:
            read(200, encoded(document))
        except VobizFailure as exc:
            assert exc.verdict is Verdict.UNEXPECTED  # noqa: PT017 - most documents are fine
