"""Rows in hand, on Redis: leased, given back, placed, settled, swept.

A step that comes too late (the lease has lapsed, the try is settled already) changes nothing and
says so. Which row is dialled when is the runner's matter, what becomes of it the settler's; the
step from leased to asking is the grant, in pacing.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.dialer.campaigns import claims_scripts as scripts
from services.dialer.campaigns.judge import MAX_OVER_LAST
from services.dialer.campaigns.model import (
    CampaignId,
    CampaignSpec,
    CampaignState,
    Row,
    RowPlace,
    newest_tries,
)
from services.dialer.campaigns.outcome import Outcome
from shared.bus.redis.store import Store
from shared.protocol.call import CallId

_RUNNING_MAX: Final = 100
"""Campaigns that are dialled at the same time; others wait until one is over."""
_SWEPT_ROWS: Final = 500
_TIED_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Prospect:
    """A running campaign: `fresh` rows were never in hand, others wait until `due_ms` or later.

    `revision` grows when what is wanted of it changes.
    """

    campaign_id: CampaignId
    priority: int
    revision: int
    fresh: int
    due_ms: float | None

    def is_due(self, now_ms: int) -> bool:
        """Whether a row may be dialled now."""
        return self.fresh > 0 or (self.due_ms is not None and self.due_ms <= now_ms)


@dataclass(frozen=True, slots=True)
class Case:
    """All that decides how a try is settled; `newest` outcomes of the campaign, newest first."""

    spec: CampaignSpec
    state: CampaignState
    row: Row
    newest: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: leases that had lapsed, campaigns that were done; `is_busy`: not all."""

    lapsed: int
    finished: int
    is_busy: bool


@dataclass(frozen=True, slots=True)
class ToLookAt:
    """Calls of which no end is known for long: of rows, and one-off ones."""

    rows: tuple[tuple[CampaignId, Row], ...]
    calls: tuple[CallId, ...]


class Tie(StrEnum):
    """Whether a call of Vobiz's is ours: it is, it is another one, or ours is settled already."""

    TIED = "tied"
    TAKEN = "taken"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Census:
    """Campaigns that are not over by state, and their rows by where they stand."""

    states: tuple[CampaignState, ...]
    waiting: int
    leased: int
    open_rows: int


class Claims:
    """Rows in hand. Every method raises BusUnavailable when nobody knows whether it was done."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def prospects(self) -> list[Prospect]:
        """Return running campaigns, the most urgent first."""
        rows = await self._store.script("dial_outlook", scripts.OUTLOOK, _RUNNING_MAX)
        return [
            Prospect(CampaignId(name), priority, revision, fresh, float(due) if due else None)
            for name, priority, revision, fresh, due in rows
        ]

    async def lease(
        self, campaign_id: CampaignId, lease: str, *, now_ms: int, limit: int, lease_s: float
    ) -> list[Row]:
        """Take rows that are due, at most `limit`: those first that were in hand before.

        Until the lease ends nobody else gets them; then the sweep gives them back.
        """
        args = (lease, now_ms, limit, int(lease_s * 1000))
        found = await self._store.script("dial_lease", scripts.LEASE, campaign_id, *args)
        return [Row.from_texts(int(n), text, told) for n, text, told in found]

    async def give_back(
        self, campaign_id: CampaignId, lease: str, rows: Sequence[tuple[int, int]]
    ) -> int:
        """Put leased rows back, pairs of `n` and `due_ms`; return how many were still ours."""
        args = [part for pair in rows for part in pair]
        return int(
            await self._store.script("dial_give_back", scripts.GIVE_BACK, campaign_id, lease, *args)
        )

    async def end_row(
        self, campaign_id: CampaignId, lease: str, n: int, outcome: Outcome, *, now_ms: int
    ) -> bool:
        """End a leased row that is not to be dialled; False when it is not ours any more."""
        args = (lease, n, outcome.value, now_ms)
        return bool(await self._store.script("dial_end", scripts.END, campaign_id, *args))

    async def placed(self, place: RowPlace, call_id: CallId) -> bool:
        """Vobiz said yes; False when the call is settled already."""
        args = (place.campaign_id, place.n, call_id)
        return bool(await self._store.script("dial_placed", scripts.PLACED, *args))

    async def not_dialled(self, place: RowPlace, call_id: CallId, *, due_ms: int) -> bool:
        """Undo a grant that led to no call: the try does not count, the row waits again.

        False when the try is settled already, or was undone before.
        """
        args = (place.campaign_id, place.n, call_id, due_ms)
        return bool(await self._store.script("dial_not_dialled", scripts.NOT_DIALLED, *args))

    async def free(self, call_id: CallId, call_uuid: str = "") -> None:
        """A call is over: its channel is free in the next second. Harmless for any other call.

        Vobiz's `call_uuid`, where it is known, is that call's from then on; see `tie`.
        """
        await self._store.script("dial_free", scripts.FREE, call_id, call_uuid, _TIED_MS)

    async def place_of(self, call_id: CallId) -> RowPlace | None:
        """Return the row whose open try a call is, None where it is none's."""
        key = f"{self._store.prefix}:dial:of-call:{call_id}"
        text = await self._store.run("dial_place_of", self._store.redis.get(key))
        if not text:
            return None
        name, _, n = text.rpartition(" ")
        return RowPlace(CampaignId(name), int(n))

    async def case(self, place: RowPlace) -> Case | None:
        """Return what decides about a row's try, None where the campaign is gone."""
        found = await self._store.script("dial_case", scripts.CASE, place.campaign_id, place.n)
        if not found or not found[2]:
            return None
        spec, state, text, told, newest = found
        return Case(
            CampaignSpec.from_json(json.loads(spec)),
            CampaignState(state),
            Row.from_texts(place.n, text, told),
            tuple(newest_tries(newest)),
        )

    async def settle(
        self,
        place: RowPlace,
        call_id: CallId,
        outcome: Outcome,
        *,
        now_ms: int,
        due_ms: int | None,
    ) -> bool:
        """Note what a try came to; its row waits until `due_ms`, or ends where that is None.

        Returns:
            whether this was news: a try is settled once.
        """
        due: int | str = "" if due_ms is None else due_ms
        args = (place.n, call_id, outcome.value, now_ms, due, now_ms, MAX_OVER_LAST)
        done = await self._store.script("dial_settle", scripts.SETTLE, place.campaign_id, *args)
        return bool(done)

    async def sweep(self, *, now_ms: int) -> Swept:
        """Give lapsed leases back, end what waits in cancelled campaigns, finish what is done."""
        lapsed, finished, is_busy = await self._store.script(
            "dial_sweep", scripts.SWEEP, now_ms, _SWEPT_ROWS
        )
        return Swept(int(lapsed), int(finished), bool(is_busy))

    async def to_look_at(self, limit: int, *, again_s: float) -> ToLookAt:
        """Take calls whose time to be looked at has come; nobody else gets them for `again_s`."""
        rows, calls = await self._store.script(
            "dial_to_look_at", scripts.TO_LOOK_AT, limit, int(again_s * 1000)
        )
        found = [
            (CampaignId(name), Row.from_texts(int(n), text, told)) for name, n, text, told in rows
        ]
        return ToLookAt(tuple(found), tuple(CallId(call) for call in calls))

    async def look_again(self, call_id: CallId, place: RowPlace | None, *, in_s: float) -> None:
        """Say when a call is to be looked at next, as long as it is its row's newest one."""
        where = (place.campaign_id, place.n) if place else ("", 0)
        await self._store.script(
            "dial_look_again", scripts.LOOK_AGAIN, int(in_s * 1000), call_id, *where
        )

    async def tie(self, call_id: CallId, place: RowPlace | None, call_uuid: str) -> Tie:
        """Say which of Vobiz's calls a call is."""
        where = (place.campaign_id, place.n) if place else ("", 0)
        args = (call_id, call_uuid, _TIED_MS, *where)
        return Tie(await self._store.script("dial_tie", scripts.TIE, *args))

    async def slots(self) -> list[CallId]:
        """Return the calls that hold a channel, or did a moment ago."""
        found = await self._store.script("dial_slots", scripts.SLOTS)
        return [CallId(call) for call in found]

    async def tell_progress(self, campaign_id: CampaignId, *, every_s: float) -> bool:
        """Publish how far a campaign is; False where that was done less than `every_s` ago."""
        args = (campaign_id, int(every_s * 1000))
        return bool(await self._store.script("dial_progress", scripts.TELL_PROGRESS, *args))

    async def census(self) -> Census:
        """Count campaigns that are not over, and their rows."""
        counted = await self._store.script("dial_census", scripts.CENSUS)
        states, waiting, leased, open_rows = counted
        return Census(tuple(CampaignState(state) for state in states), waiting, leased, open_rows)
