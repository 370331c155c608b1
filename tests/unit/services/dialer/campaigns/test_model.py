"""Campaigns and rows as they are kept."""

from __future__ import annotations

import json

from services.dialer.campaigns.judge import PauseRules
from services.dialer.campaigns.model import (
    ANY_TIME,
    Attempt,
    CampaignSpec,
    CampaignState,
    NewRow,
    Row,
    RowState,
    newest_tries,
)
from services.dialer.campaigns.outcome import Outcome
from services.dialer.campaigns.retry import RetryRules
from shared.protocol.call import CallId


def test_a_spec_comes_back_as_it_was_from_json() -> None:
    plain = CampaignSpec("plain")
    full = CampaignSpec(
        "full",
        agent="sales",
        from_number="+918000000001",
        variables={"shop": "Süd"},
        machine_detection={"mode": "detect", "sync": True},
        ring_timeout_s=30,
        time_limit_s=600,
        priority=9,
        cps=0.5,
        concurrency=4,
        windows=ANY_TIME,
        retry=RetryRules(1, {}),
        pause_rules=PauseRules(None, 0.1, 0.9, 5),
        needs_agent=False,
    )
    for spec in (plain, full):
        assert CampaignSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_row_is_kept_short_and_comes_back() -> None:
    assert NewRow("+918000000002").to_text() == '{"to":"+918000000002"}'
    full = NewRow("+918000000002", {"name": "Äsha"}, ("Asia/Kolkata", "Asia/Dubai"), "sales", 7)
    for row in (NewRow("+918000000002"), full):
        assert NewRow.from_text(row.to_text()) == row


def test_a_row_without_news_waits() -> None:
    row = Row.from_texts(3, NewRow("+918000000002", line=4).to_text(), "")
    assert (row.n, row.line, row.state, row.attempts) == (3, 4, RowState.WAITING, 0)
    assert (row.tries, row.outcome, row.due_ms, row.call_id) == ([], None, None, None)


def test_a_row_tells_what_became_of_it() -> None:
    news = {"s": "ended", "a": 2, "o": "answered", "c": "c2", "d": 5.0}
    news["h"] = [[1, "busy", "c1"], [9, "answered", "c2"]]
    row = Row.from_texts(1, '{"to":"+918000000002"}', json.dumps(news))
    assert row.history == (
        Attempt(CallId("c1"), 1, Outcome.BUSY),
        Attempt(CallId("c2"), 9, Outcome.ANSWERED),
    )
    assert row.tries == [Outcome.BUSY, Outcome.ANSWERED]
    assert (row.state, row.outcome, row.due_ms) == (RowState.ENDED, Outcome.ANSWERED, 5)


def test_states_say_what_is_final_and_what_is_open() -> None:
    assert {state for state in CampaignState if state.is_final} == {
        CampaignState.FINISHED,
        CampaignState.CANCELLED,
    }
    assert {state for state in RowState if state.is_open} == {RowState.ASKING, RowState.PLACED}
    assert newest_tries(["busy"]) == [Outcome.BUSY]
