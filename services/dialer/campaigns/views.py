"""PURE. What the routes of campaigns answer, for the documents, with an example of each."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class IncompleteView(BaseModel):
    """Lists of which not all rows were added."""

    missing: int = Field(description="rows")
    rows: int = Field(description="of these lists")
    is_being_added: bool = Field(description="false: nobody goes on, send the list again")


class CampaignView(BaseModel):
    """A campaign as it stands. waiting + dialling + in_call + ended is its total."""

    id: str
    name: str
    agent: str | None
    from_: str | None = Field(alias="from")
    state: str = Field(description="ready, running, paused, finished or cancelled")
    reason: str | None = Field(description="why it paused")
    priority: int
    cps: float | None
    concurrency: int | None
    windows: dict[str, Any]
    retry: dict[str, Any]
    pause_rules: dict[str, Any]
    created_at: str
    started_at: str | None
    finished_at: str | None
    total: int = Field(description="rows")
    duplicates: int = Field(description="rows left out: their number was there already")
    refused: int = Field(description="rows left out: they were bad")
    waiting: int
    dialling: int
    in_call: int
    ended: int
    outcomes: dict[str, int] = Field(description="ended rows by what they came to")
    tries: dict[str, int] = Field(description="tries by what they came to")
    next_due_at: str | None
    dialled_per_minute: int
    incomplete: IncompleteView | None = Field(
        description="rows are missing, because whoever added a list failed or is still at it; null:"
        " all are there"
    )
    estimate_s: int | None = Field(description="seconds to its end at this rate; null: unknown")


class CampaignsView(BaseModel):
    """Campaigns, newest first."""

    campaigns: list[CampaignView]
    next: str | None = Field(description="cursor of the next page; null: there is none")


class BadRowView(BaseModel):
    """A row that was not added."""

    line: int = Field(description="of the text, its header is 1; or its place in the list, from 1")
    number: str | None
    problem: str


class MadeCampaignView(CampaignView):
    """A new campaign."""

    bad_rows: list[BadRowView] = Field(description="the first hundred")


class AddedView(BaseModel):
    """What became of rows."""

    added: int
    duplicates: int
    refused: int
    bad_rows: list[BadRowView] = Field(description="the first hundred")


class TryView(BaseModel):
    """A try that is over."""

    call_id: str
    at: str
    outcome: str


class RowView(BaseModel):
    """A row and its tries."""

    n: int
    to: str
    state: str = Field(description="waiting, leased, asking, placed or ended")
    outcome: str | None = Field(description="of an ended row")
    attempts: int
    call_id: str | None = Field(description="of the newest try")
    due_at: str | None = Field(description="it is not dialled before")
    agent: str | None
    zones: list[str]
    variables: dict[str, str]
    line: int | None = Field(description="of the upload")
    history: list[TryView]


class RowsView(BaseModel):
    """Rows in their order. A page may have few or none of what was asked for; go by `next`."""

    rows: list[RowView]
    next: str | None = Field(description="cursor of the next page; null: there is none")


CAMPAIGN: dict[str, Any] = {
    "id": "c-5e3f1c0a4d52",
    "name": "Renewals, November",
    "agent": "renewals",
    "from": "+918000000001",
    "state": "running",
    "reason": None,
    "priority": 5,
    "cps": 2.0,
    "concurrency": 20,
    "windows": {"days": {"mon": [["09:00", "21:00"]]}},
    "retry": {"max_attempts": 3, "after_s": {"busy": [300, 900]}},
    "pause_rules": {
        "error_rate": 0.5,
        "answer_rate_min": None,
        "answer_rate_max": None,
        "over_last": 50,
    },
    "created_at": "2026-11-26T09:00:00.000+00:00",
    "started_at": "2026-11-26T09:01:00.000+00:00",
    "finished_at": None,
    "total": 100_000,
    "duplicates": 12,
    "refused": 3,
    "waiting": 99_000,
    "dialling": 12,
    "in_call": 8,
    "ended": 980,
    "outcomes": {"answered": 700, "no_answer": 280},
    "tries": {"answered": 700, "no_answer": 900, "busy": 110},
    "next_due_at": "2026-11-26T09:30:00.000+00:00",
    "dialled_per_minute": 118,
    "incomplete": None,
    "estimate_s": 88_100,
}
BAD_ROW: dict[str, Any] = {
    "line": 17,
    "number": "+9180000",
    "problem": "to: is too short, too long or otherwise no number there",
}
ROW: dict[str, Any] = {
    "n": 1,
    "to": "+918000000002",
    "state": "waiting",
    "outcome": None,
    "attempts": 1,
    "call_id": "5e3f1c0a-4d52-4b0f-9d4e-0d6a51e1f4b7",
    "due_at": "2026-11-26T09:35:00.000+00:00",
    "agent": None,
    "zones": ["Asia/Calcutta"],
    "variables": {"name": "Asha"},
    "line": 2,
    "history": [
        {
            "call_id": "5e3f1c0a-4d52-4b0f-9d4e-0d6a51e1f4b7",
            "at": "2026-11-26T09:30:00.000+00:00",
            "outcome": "busy",
        }
    ],
}
