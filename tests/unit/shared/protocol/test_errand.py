"""shared.protocol.errand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.call import CallId
from shared.protocol.errand import (
    Errand,
    GatherErrand,
    InvalidErrand,
    TransferErrand,
    errand_key,
    is_errand_id,
    kind_of,
    parse_errand,
    serialize_errand,
)

TRANSFER = TransferErrand("e1", "+918000000009", "+918000000002", 25, "One moment.")
GATHER = GatherErrand("e2", "Your number, please.", 6, "*", 7.5)


@pytest.mark.parametrize(("errand", "kind"), [(TRANSFER, "transfer"), (GATHER, "gather")])
def test_an_errand_survives_the_bus(errand: Errand, kind: str) -> None:
    assert parse_errand(serialize_errand(errand)) == errand
    assert kind_of(errand) == kind


def test_fields_of_a_newer_version_are_left_out() -> None:
    data = json.loads(serialize_errand(GATHER)) | {"music": "slow"}
    assert parse_errand(json.dumps(data)) == GATHER


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("transfer", {"errand_id": ""}),
        ("transfer", {"errand_id": "a/b"}),
        ("transfer", {"to": "sip:a@example.com"}),
        ("transfer", {"to": "+91 8000"}),
        ("transfer", {"to": 5}),
        ("transfer", {"caller_id": "me"}),
        ("transfer", {"ring_timeout_s": 4}),
        ("transfer", {"ring_timeout_s": 121}),
        ("transfer", {"ring_timeout_s": "30"}),
        ("transfer", {"say": "x" * 1001}),
        ("transfer", {"say": "a\x00b"}),
        ("gather", {"most": 0}),
        ("gather", {"most": 33}),
        ("gather", {"finish_on_key": "12"}),
        ("gather", {"timeout_s": 0.5}),
        ("gather", {"timeout_s": 61}),
        ("gather", {"timeout_s": float("nan")}),
        ("gather", {"prompt": "\ud800"}),
    ],
)
def test_what_the_network_would_refuse_is_refused_here(kind: str, changes: dict[str, Any]) -> None:
    errand = TRANSFER if kind == "transfer" else GATHER
    data = json.loads(serialize_errand(errand)) | changes
    with pytest.raises(InvalidErrand):
        parse_errand(json.dumps(data))


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", '"x"', '{"kind":[]}', '{"kind":"gather"}'])
def test_what_is_no_errand_is_refused(text: str) -> None:
    with pytest.raises(InvalidErrand):
        parse_errand(text)


@given(st.text())
def test_any_text_is_an_errand_or_refused(text: str) -> None:
    try:
        parse_errand(text)
    except InvalidErrand:
        return


def test_nobody_is_waited_for_longer_than_the_errand_can_take() -> None:
    assert 25 < TRANSFER.longest_away_s < 60
    assert GATHER.longest_away_s > 6 * 7.5
    assert GatherErrand("e", "", 1, "#", 1.0).longest_away_s < 30


def test_ids_and_keys() -> None:
    assert is_errand_id("a-B_9")
    assert not is_errand_id("")
    assert errand_key(CallId("c")) == "errand:c"
