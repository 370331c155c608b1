"""PURE. What a campaign is made of: what is wanted, its rows, and where each of them stands.

A row's life, each arrow one atomic step of the ledger:

    waiting --lease--> leased --grant--> asking --Vobiz said yes--> placed --end--> waiting or ended
       ^                 |                  |                                          (retry)
       +-- given back ---+---- not sent ----+

A lease that lapses gives its row back: nobody was dialled, because the grant is what comes before
dialling. From the grant on a row is settled by the end of its call alone, and where nothing is
heard of that by asking Vobiz.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NewType, Protocol

from services.dialer.campaigns.judge import PauseRules
from services.dialer.campaigns.outcome import Outcome
from services.dialer.campaigns.retry import RetryRules
from shared.protocol.call import CallId

CampaignId = NewType("CampaignId", str)

CAMPAIGN_MARK: Final = "campaign"
ROW_MARK: Final = "row"
RESERVED_VARIABLES: Final = frozenset({CAMPAIGN_MARK, ROW_MARK, "machine"})
"""Keys of a record's metadata that the platform writes itself: no row may bring them."""
ANY_TIME: Final[Mapping[str, Any]] = {"always": True}


class CampaignState(StrEnum):
    """Where a campaign stands; the last two are final."""

    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing of it will be dialled any more."""
        return self in {CampaignState.FINISHED, CampaignState.CANCELLED}


class RowState(StrEnum):
    """Where a row stands, see the module."""

    WAITING = "waiting"
    LEASED = "leased"
    ASKING = "asking"
    PLACED = "placed"
    ENDED = "ended"

    @property
    def is_open(self) -> bool:
        """Whether a call of it may be up."""
        return self in {RowState.ASKING, RowState.PLACED}


@dataclass(frozen=True, slots=True)
class CampaignSpec:
    """What is wanted of a campaign. Numbers and names are sound: checked by who takes them in.

    `agent` and `from_number` None: the default ones. `variables` hold for every row, whose own go
    before them. `machine_detection` is the JSON value of an order, None: the installation's.
    `priority` 9 goes before 1. `cps` and `concurrency` None: bounded by the account's alone.
    `windows` is what `Windows.to_json` gives. `needs_agent`: nobody is dialled for whom no agent is
    free.
    """

    name: str
    agent: str | None = None
    from_number: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    machine_detection: Any = None
    ring_timeout_s: int | None = None
    time_limit_s: int | None = None
    priority: int = 5
    cps: float | None = None
    concurrency: int | None = None
    windows: Mapping[str, Any] = field(default_factory=lambda: {"daily": [["09:00", "21:00"]]})
    retry: RetryRules = field(default_factory=RetryRules)
    pause_rules: PauseRules = field(default_factory=PauseRules)
    needs_agent: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields, as they are kept."""
        return {
            "name": self.name,
            "agent": self.agent,
            "from": self.from_number,
            "variables": dict(self.variables),
            "machine_detection": self.machine_detection,
            "ring_timeout_s": self.ring_timeout_s,
            "time_limit_s": self.time_limit_s,
            "priority": self.priority,
            "cps": self.cps,
            "concurrency": self.concurrency,
            "windows": dict(self.windows),
            "retry": self.retry.to_json(),
            "pause_rules": self.pause_rules.to_json(),
            "needs_agent": self.needs_agent,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CampaignSpec:
        """Rebuild what `to_json` gave."""
        return cls(
            name=data["name"],
            agent=data["agent"],
            from_number=data["from"],
            variables=data["variables"],
            machine_detection=data["machine_detection"],
            ring_timeout_s=data["ring_timeout_s"],
            time_limit_s=data["time_limit_s"],
            priority=data["priority"],
            cps=data["cps"],
            concurrency=data["concurrency"],
            windows=data["windows"],
            retry=RetryRules.from_json(data["retry"]),
            pause_rules=PauseRules.from_json(data["pause_rules"]),
            needs_agent=data["needs_agent"],
        )


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as it stands. Times are milliseconds of Unix time; `reason` says why it paused."""

    campaign_id: CampaignId
    spec: CampaignSpec
    state: CampaignState
    created_ms: int
    reason: str = ""
    started_ms: int | None = None
    finished_ms: int | None = None
    total: int = 0
    duplicates: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row that is to be added.

    `to_number` is E.164. `zones` are where the phone may be, none: nobody knows. `line` is its line
    in the upload, 0 where there was none.
    """

    to_number: str
    variables: Mapping[str, str] = field(default_factory=dict)
    zones: tuple[str, ...] = ()
    agent: str | None = None
    line: int = 0

    def to_text(self) -> str:
        """Return the text that is kept: short, because there are many."""
        kept: dict[str, Any] = {"to": self.to_number}
        if self.variables:
            kept["vars"] = dict(self.variables)
        if self.zones:
            kept["zones"] = list(self.zones)
        if self.agent is not None:
            kept["agent"] = self.agent
        if self.line:
            kept["line"] = self.line
        return json.dumps(kept, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> NewRow:
        """Read the text back."""
        kept = json.loads(text)
        return cls(
            to_number=kept["to"],
            variables=kept.get("vars", {}),
            zones=tuple(kept.get("zones", ())),
            agent=kept.get("agent"),
            line=kept.get("line", 0),
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try that is over. `at_ms` is Unix time of its end."""

    call_id: CallId
    at_ms: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it stands. `n` counts from 1 within its campaign.

    `attempts` counts the one that is under way too; `call_id` is that one's, or the last one's.
    `due_ms`: it is not dialled before. `outcome`: of an ended row.
    """

    n: int
    to_number: str
    variables: Mapping[str, str] = field(default_factory=dict)
    zones: tuple[str, ...] = ()
    agent: str | None = None
    line: int = 0
    state: RowState = RowState.WAITING
    attempts: int = 0
    outcome: Outcome | None = None
    call_id: CallId | None = None
    due_ms: int | None = None
    history: tuple[Attempt, ...] = ()

    @classmethod
    def from_texts(cls, n: int, row: str, told: str) -> Row:
        """Read a row as it was added and what is told of it since; '' where that is nothing."""
        added, news = NewRow.from_text(row), json.loads(told) if told else {}
        call_id, outcome = news.get("c"), news.get("o")
        history = tuple(
            Attempt(CallId(call), int(at_ms), Outcome(name))
            for at_ms, name, call in news.get("h", ())
        )
        return cls(
            n=n,
            to_number=added.to_number,
            variables=added.variables,
            zones=added.zones,
            agent=added.agent,
            line=added.line,
            state=RowState(news.get("s", RowState.WAITING)),
            attempts=int(news.get("a", 0)),
            outcome=Outcome(outcome) if outcome else None,
            call_id=CallId(call_id) if call_id else None,
            due_ms=int(news["d"]) if "d" in news else None,
            history=history,
        )

    @property
    def tries(self) -> list[Outcome]:
        """The outcomes of the tries that are over, the newest last."""
        return [attempt.outcome for attempt in self.history]


@dataclass(frozen=True, slots=True)
class AddedRows:
    """What became of rows that were added together.

    `duplicates` are places in that batch, from 0, whose number the campaign has already.
    """

    added: int
    first_n: int
    duplicates: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExpectedRows:
    """A list that is going to be added: its name, and how many rows it has.

    The name is made of what the list says, so that the same list sent again completes it.
    """

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class Incomplete:
    """Lists that are not wholly added: `missing` of their `rows`.

    `is_being_added` False: whoever added them has died or failed, and nobody goes on.
    """

    missing: int
    rows: int
    is_being_added: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a campaign is. waiting + leased + open_rows + ended is its total.

    `tries` counts outcomes of tries, `outcomes` those of ended rows. `talking`: open rows that a
    worker has. `next_due_ms`: when the next of the waiting rows may be dialled, 0: at once, None:
    none waits. `dialled_last_minute` counts grants.
    """

    campaign: Campaign
    waiting: int
    leased: int
    open_rows: int
    talking: int
    ended: int
    tries: Mapping[Outcome, int]
    outcomes: Mapping[Outcome, int]
    next_due_ms: int | None
    dialled_last_minute: int
    incomplete: Incomplete | None = None


@dataclass(frozen=True, slots=True)
class RowPage:
    """Rows in order of `n`; go on after `next_n`, None: that is all."""

    rows: tuple[Row, ...]
    next_n: int | None


@dataclass(frozen=True, slots=True)
class CampaignPage:
    """Campaigns, the newest first; go on after `next_id`, None: that is all."""

    campaigns: tuple[Campaign, ...]
    next_id: CampaignId | None


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Which row an outbound call is for."""

    campaign_id: CampaignId
    n: int


class Calendar(Protocol):
    """A campaign's hours, with the installation's holidays."""

    def next_opening(self, zones: tuple[str, ...], now_utc: datetime) -> datetime | None:
        """Return when somebody in these zones may be called: now, later, or None: not at all."""
        ...


def newest_tries(texts: Sequence[str]) -> list[Outcome]:
    """Read outcomes as they are kept."""
    return [Outcome(text) for text in texts]
