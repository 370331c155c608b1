"""What Vobiz says of calls that are up and of those that are over."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.protocol.call import CallState, EndClass, EndReason
from shared.vobiz.errors import Verdict, VobizFailure
from shared.vobiz.lookup import (
    digits_of,
    read_call_over,
    read_call_up,
    read_calls_over,
    read_uuids,
)

UP = {
    "api_id": "a",
    "call_uuid": "u-1",
    "call_status": "in-progress",
    "direction": "outbound",
    "from": "918000000001",
    "to": "918000000002",
    "session_start": "2026-11-26T10:00:00+00:00",
}
OVER = {
    "call_uuid": "u-2",
    "caller_id_number": "+918000000001",
    "destination_number": "0918000000002",
    "call_direction": "outbound",
    "call_status": "busy",
    "start_time": "2026-11-26 15:30:00",
    "duration": 9,
    "billsec": 0,
    "hangup_cause": "USER_BUSY",
    "hangup_cause_code": "3010",
    "hangup_source": "Carrier",
}


def body(data: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, json.dumps(data).encode()


def test_numbers_are_compared_by_their_digits() -> None:
    assert digits_of("+91 80000 00002") == digits_of("0918000000002") == "918000000002"


def test_ids_come_as_texts_or_in_objects() -> None:
    listed = {"calls": ["u-1", {"call_uuid": "u-2"}, {"other": 1}, 7, "no id!"]}
    assert read_uuids(*body(listed)) == ["u-1", "u-2"]


def test_a_call_that_is_up() -> None:
    facts = read_call_up(*body(UP))
    assert (facts.call_uuid, facts.to_digits, facts.is_outbound) == ("u-1", "918000000002", True)
    assert facts.started_at == datetime(2026, 11, 26, 10, tzinfo=UTC)
    assert facts.end is None
    strange = read_call_up(*body(UP | {"session_start": "soon", "direction": "inbound"}))
    assert (strange.started_at, strange.is_outbound) == (None, False)


def test_a_record_has_india_time_and_an_end_as_a_webhook_would_tell() -> None:
    facts = read_call_over(*body({"data": OVER, "success": True}))
    assert facts.started_at == datetime(2026, 11, 26, 10, tzinfo=UTC)
    assert facts.end == (CallState.BUSY, EndClass.CALLER, EndReason.BUSY)
    assert (facts.to_digits, facts.talk_s) == ("918000000002", 0.0)
    assert read_call_over(*body({"data": [OVER]})) == facts


@pytest.mark.parametrize(
    ("status", "talk", "end"),
    [
        ("answered", 5, (CallState.COMPLETED, EndClass.SUCCESS, EndReason.UNKNOWN)),
        ("cancelled", 0, (CallState.CANCEL, EndClass.CALLER, EndReason.CANCELLED)),
        ("no-answer", 0, (CallState.NO_ANSWER, EndClass.CALLER, EndReason.NO_ANSWER)),
        ("strange", 0, (CallState.FAILED, EndClass.UNKNOWN, EndReason.UNKNOWN)),
        ("strange", 5, (CallState.COMPLETED, EndClass.UNKNOWN, EndReason.UNKNOWN)),
    ],
)
def test_without_a_cause_the_status_decides(status: str, talk: int, end: object) -> None:
    bare = {"call_uuid": "u-3", "call_status": status, "billsec": talk}
    assert read_call_over(*body({"data": bare})).end == end


def test_a_page_passes_over_what_names_no_call() -> None:
    page = read_calls_over(*body({"data": [OVER, {}, 7, {"call_uuid": "no id!"}]}))
    assert [facts.call_uuid for facts in page] == ["u-2"]


@pytest.mark.parametrize("read", [read_uuids, read_call_up, read_call_over, read_calls_over])
def test_answers_that_say_nothing_are_failures(read: Any) -> None:
    for answer in (b"", b"[]", b"{}", b'{"data":7,"calls":7}', b"\xff", b"[" * 100_000):
        with pytest.raises(VobizFailure) as caught:
            read(200, {}, answer)
        assert caught.value.verdict is Verdict.UNEXPECTED
    with pytest.raises(VobizFailure) as caught:
        read(503, {}, b"")
    assert caught.value.verdict is Verdict.PLATFORM_ERROR
