from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.bus.messages import BusEvent, Channel, WorkerLease, apply_change, is_open_for_calls
from shared.protocol.call import CallChange, CallId, CallState, EndReason, WorkerId

NOW = "2026-01-01T00:00:00+00:00"


def test_event_survives_json() -> None:
    event = BusEvent(Channel.HANGUPS, "hangup", CallId("c"), {"a": "b"}, "5-1")
    assert BusEvent.from_json(event.to_json(), entry_id="5-1") == event


@given(st.text() | st.sampled_from(["[]", "{}", '{"channel":"calls"}', "null"]))
def test_unreadable_event_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the contract names no subclass
        BusEvent.from_json(text, entry_id="1-0")


def test_lease_survives_json_but_its_load_is_counted() -> None:
    lease = WorkerLease(WorkerId("w"), "h:1", 5, active=3, lag_ms=1.5, version="1", zone="a")
    assert WorkerLease.from_json(lease.to_json(), active=4).active == 4
    assert WorkerLease.from_json(lease.to_json(), active=3) == lease


@pytest.mark.parametrize(
    ("active", "draining", "is_open"), [(1, False, True), (2, False, False), (0, True, False)]
)
def test_worker_is_open_below_its_capacity(active: int, draining: bool, is_open: bool) -> None:
    lease = WorkerLease(WorkerId("w"), "h:1", 2, active=active, draining=draining)
    assert is_open_for_calls(lease) is is_open


def test_final_change_tells_state_and_hangup_and_repeated_news_tells_nothing() -> None:
    change = CallChange(CallId("c"), CallState.BUSY, {"end_reason": EndReason.BUSY})
    applied, events = apply_change(None, change, now_iso=NOW)
    assert [(event.channel, event.kind) for event in events] == [
        (Channel.CALLS, "state"),
        (Channel.HANGUPS, "hangup"),
    ]
    assert events[1].data["end_reason"] == "busy"
    assert apply_change(applied.record, change, now_iso=NOW)[1] == []
