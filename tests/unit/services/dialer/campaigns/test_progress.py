"""Campaigns and rows as the API tells them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.dialer.campaigns.bodies import CampaignBody, CampaignPatch
from services.dialer.campaigns.export import COLUMNS, cells
from services.dialer.campaigns.model import (
    Attempt,
    Campaign,
    CampaignId,
    CampaignSpec,
    CampaignState,
    Incomplete,
    Progress,
    Row,
    RowState,
)
from services.dialer.campaigns.outcome import Outcome
from services.dialer.campaigns.progress import progress_view, row_view, time_text
from services.dialer.campaigns.views import (
    BAD_ROW,
    CAMPAIGN,
    ROW,
    BadRowView,
    CampaignView,
    IncompleteView,
    RowView,
)
from services.dialer.numbers.e164 import NumberCheck
from shared.protocol.call import CallId

NOON = datetime(2027, 1, 4, 6, 30, tzinfo=UTC)  # a Monday in India
INDIA = ("Asia/Kolkata",)


def progress(**changes: object) -> Progress:
    spec = CampaignSpec("list")
    campaign = Campaign(
        CampaignId("c-1"), spec, CampaignState.RUNNING, 1_798_000_000_000, total=160
    )
    made = Progress(
        campaign=campaign,
        waiting=100,
        leased=1,
        open_rows=9,
        talking=4,
        ended=50,
        tries={Outcome.ANSWERED: 50},
        outcomes={Outcome.ANSWERED: 50},
        next_due_ms=0,
        dialled_last_minute=10,
    )
    return replace(made, **changes)  # type: ignore[arg-type] # its fields, by name


def estimate(told: Progress, at: datetime = NOON) -> object:
    return progress_view(told, at, zones=INDIA)["estimate_s"]


def test_every_row_is_in_one_place() -> None:
    told = progress_view(progress(), NOON, zones=INDIA)
    places = [told[name] for name in ("waiting", "dialling", "in_call", "ended")]
    assert places == [101, 5, 4, 50]
    assert sum(places) == told["total"]


def test_the_documents_show_what_is_told() -> None:
    told = progress_view(progress(), NOON)
    assert set(told) == set(CAMPAIGN) == set(CampaignView.model_json_schema()["properties"])
    row = Row(1, "+918000000002")
    assert set(row_view(row)) == set(ROW) == set(RowView.model_fields)
    assert set(BAD_ROW) == set(BadRowView.model_fields)


def test_a_list_that_was_not_wholly_added_is_told() -> None:
    assert progress_view(progress(), NOON)["incomplete"] is None
    lacks = {"missing": 350, "rows": 600, "is_being_added": False}
    told = progress_view(progress(incomplete=Incomplete(350, 600, False)), NOON)
    assert told["incomplete"] == lacks
    assert set(lacks) == set(IncompleteView.model_fields)


def test_an_end_is_estimated_by_the_last_minute_and_the_tries_a_row_takes() -> None:
    assert estimate(progress()) == 660
    tries = {Outcome.BUSY: 50, Outcome.ANSWERED: 50}
    assert estimate(progress(tries=tries)) == 1320
    assert estimate(progress(tries={Outcome.BUSY: 30}, ended=3, outcomes={})) == 660


def test_hours_in_which_nobody_is_called_count_as_well() -> None:
    """110 rows at one a minute from 20:30 on: half an hour today, the rest from nine tomorrow."""
    evening = NOON.replace(hour=15, minute=0)
    assert estimate(progress(dialled_last_minute=1), evening) == (13 * 60 + 50) * 60


def test_an_end_comes_after_the_next_try_that_waits() -> None:
    due_ms = int((NOON + timedelta(hours=3)).timestamp() * 1000)
    assert estimate(progress(next_due_ms=due_ms)) == 10_800


@pytest.mark.parametrize(
    "changes",
    [
        {"dialled_last_minute": 0},
        {"campaign": replace(progress().campaign, state=CampaignState.PAUSED)},
    ],
    ids=["has not dialled", "paused"],
)
def test_where_nobody_can_tell_nothing_is_told(changes: dict[str, object]) -> None:
    assert estimate(progress(**changes)) is None


def test_windows_that_never_open_have_no_end() -> None:
    assert progress_view(progress(), NOON, zones=())["estimate_s"] is None


def test_windows_that_are_always_open_take_no_account_of_hours() -> None:
    spec = CampaignSpec("list", windows={"always": True})
    told = progress(campaign=replace(progress().campaign, spec=spec))
    assert progress_view(told, NOON)["estimate_s"] == 660


def test_what_is_due_is_due_now_at_the_earliest() -> None:
    assert progress_view(progress(), NOON)["next_due_at"] == "2027-01-04T06:30:00.000+00:00"
    assert progress_view(progress(next_due_ms=None), NOON)["next_due_at"] is None
    assert time_text(None) is None


def test_a_row_is_written_with_its_tries() -> None:
    tries = (
        Attempt(CallId("a"), 1_798_000_000_000, Outcome.BUSY),
        Attempt(CallId("b"), 1_798_000_060_000, Outcome.ANSWERED),
    )
    row = Row(
        *(3, "+918000000002", {"name": "=cmd()"}, INDIA, "desk", 4, RowState.ENDED, 2),
        *(Outcome.ANSWERED, CallId("b"), None, tries),
    )
    written = dict(zip(COLUMNS, cells(row), strict=True))
    assert written["outcome"] == "answered"
    assert written["tries"].split() == [
        "busy@2026-12-23T04:26:40.000+00:00",
        "answered@2026-12-23T04:27:40.000+00:00",
    ]
    assert written["last_try_at"] == "2026-12-23T04:27:40.000+00:00"
    assert written["variables"] == '{"name": "=cmd()"}'
    assert not any(value.startswith(("=", "-", "@")) for value in written.values())
    empty = dict(zip(COLUMNS, cells(Row(1, "+918000000002")), strict=True))
    assert [name for name, value in empty.items() if value] == ["row", "to", "state", "attempts"]


def test_a_body_becomes_a_spec() -> None:
    body = CampaignBody.model_validate(
        {"name": "l", "from": "+91 80000 00001", "machine_detection": "hangup", "cps": 1}
    )
    spec = body.spec(NumberCheck.POSSIBLE)
    assert (spec.from_number, spec.machine_detection, spec.cps) == ("+918000000001", "hangup", 1.0)
    assert CampaignSpec.from_json(spec.to_json()) == spec
    assert CampaignPatch.model_validate({"cps": None}).changes() == {"cps": None}
    assert set(CampaignPatch.model_validate({"retry": None}).changes()) == {"retry"}
