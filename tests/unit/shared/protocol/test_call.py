"""A call's states and its record: forward only, final once, nothing lost."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.call import (
    CallChange,
    CallId,
    CallRecord,
    CallState,
    Direction,
    EndClass,
    EndReason,
    merge_change,
)

CALL = CallId("c")
NOW = "2026-01-01T00:00:00+00:00"


def test_states_only_follow_forward_and_final_ones_follow_nothing() -> None:
    for before, after in itertools.product(CallState, CallState):
        if before.is_final:
            assert not after.follows(before)
        if after.follows(before):
            assert after.rank > before.rank
    assert CallState.COMPLETED.follows(CallState.QUEUED)


def test_first_news_makes_a_record_with_its_time() -> None:
    record, changed, final = merge_change(None, CallChange(CALL), now_iso=NOW)
    assert (record.state, record.created_at, changed, final) == (CallState.QUEUED, NOW, True, False)


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (CallState.RINGING, "ringing_at"),
        (CallState.IN_PROGRESS, "answered_at"),
        (CallState.BUSY, "ended_at"),
    ],
)
def test_entering_a_state_sets_its_time_unless_told(state: CallState, name: str) -> None:
    record, _, _ = merge_change(None, CallChange(CALL, state), now_iso=NOW)
    assert getattr(record, name) == NOW
    told, _, _ = merge_change(None, CallChange(CALL, state, {name: "earlier"}), now_iso=NOW)
    assert getattr(told, name) == "earlier"


def test_what_was_concluded_from_a_call_s_absence_is_void_once_it_is_named() -> None:
    gone = CallChange(CALL, CallState.FAILED, {"error": "never had"}, only_unnamed=True)
    for known in (None, CallChange(CALL, CallState.RINGING)):
        before = merge_change(None, known, now_iso=NOW)[0] if known is not None else None
        record, changed, final = merge_change(before, gone, now_iso=NOW)
        assert (record.state, record.error, changed, final) == (
            *(CallState.FAILED, "never had", True, True),
        )
    named, _, _ = merge_change(None, CallChange(CALL, None, {"call_uuid": "u"}), now_iso=NOW)
    assert merge_change(named, gone, now_iso=NOW) == (named, False, False)


def test_reason_that_came_first_stays() -> None:
    first = CallChange(CALL, None, {"end_reason": EndReason.AGENT_HUNG_UP})
    record, _, _ = merge_change(None, first, now_iso=NOW)
    later = CallChange(CALL, CallState.COMPLETED, {"end_reason": EndReason.CALLER_HUNG_UP})
    record, _, final = merge_change(record, later, now_iso=NOW)
    assert final
    assert record.end_reason is EndReason.AGENT_HUNG_UP


def test_absent_values_change_nothing() -> None:
    record, _, _ = merge_change(None, CallChange(CALL, None, {"agent": "a"}), now_iso=NOW)
    record, changed, _ = merge_change(record, CallChange(CALL, None, {"agent": None}), now_iso=NOW)
    assert record.agent == "a"
    assert not changed


@pytest.mark.parametrize("name", ["call_id", "state", "colour"])
def test_change_of_a_field_that_is_not_the_records_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        CallChange(CALL, None, {name: "x"})


@pytest.mark.parametrize("retention_s", [0, -1, float("inf"), float("nan")])
def test_a_record_is_kept_for_a_real_time(retention_s: float) -> None:
    with pytest.raises(ValueError, match="not a time"):
        CallChange(CALL, None, {}, retention_s=retention_s)
    with pytest.raises(ValueError, match="retention_s"):
        CallChange(CALL, None, {"retention_s": 5})


def test_a_retention_holds_until_another_is_given() -> None:
    record, _, _ = merge_change(None, CallChange(CALL, None, {}, retention_s=60), now_iso=NOW)
    record, _, _ = merge_change(record, CallChange(CALL, None, {"agent": "a"}), now_iso=NOW)
    assert record.retention_s == 60
    record, _, _ = merge_change(record, CallChange(CALL, None, {}, retention_s=9), now_iso=NOW)
    assert record.retention_s == 9


def test_a_record_of_an_older_version_is_read() -> None:
    older = {
        "call_id": "c",
        "state": "completed",
        "transcript": [{"who": "agent", "text": "hi", "at_ms": 1, "is_interrupted": False}],
    }
    record = CallRecord.from_json(older)
    assert record.transcript == older["transcript"]
    assert (record.usage, record.summary, record.retention_s) == ([], {}, None)


def test_record_survives_json_and_newer_versions_fields() -> None:
    record = CallRecord(
        CALL,
        CallState.COMPLETED,
        direction=Direction.OUTBOUND,
        end_class=EndClass.CALLER,
        end_reason=EndReason.BUSY,
        metadata={"a": "b"},
        transcript=[{"who": "agent", "text": "hi", "at_ms": 1}],
    )
    data = json.loads(json.dumps(record.to_json()))
    assert CallRecord.from_json({**data, "from_the_future": 1}) == record


@given(st.lists(st.sampled_from(list(CallState)), min_size=1, max_size=12))
def test_any_order_of_news_is_final_at_most_once_and_never_goes_back(
    states: list[CallState],
) -> None:
    record, finals, ranks = None, 0, []
    for state in states:
        record, _, became_final = merge_change(record, CallChange(CALL, state), now_iso=NOW)
        finals += became_final
        ranks.append(record.state.rank)
    assert finals == any(state.is_final for state in states)
    assert ranks == sorted(ranks)
