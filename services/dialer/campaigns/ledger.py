"""The ledger of campaigns, on Redis: made, filled, started and stopped, looked at.

Every step is one atomic script, so any number of dialers may write at once and any of them may die
between two steps. What happens to rows in hand is in claims.py; who may dial when, in pacing.py.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

from services.dialer.campaigns import ledger_scripts as scripts
from services.dialer.campaigns.model import (
    AddedRows,
    Campaign,
    CampaignId,
    CampaignPage,
    CampaignSpec,
    CampaignState,
    ExpectedRows,
    Incomplete,
    NewRow,
    Progress,
    Row,
    RowPage,
    RowState,
)
from services.dialer.campaigns.outcome import Outcome
from services.dialer.errors import CampaignFull, CampaignIncomplete, CampaignStands, UnknownCampaign
from shared.bus.base import BusUnavailable
from shared.bus.redis.store import Store

BATCH_ROWS: Final = 500
"""Rows that are best added at once: a script holds Redis up for a few milliseconds."""
_FILLING_MS: Final = 30_000
_SCAN_ROWS = 500
_SCANS = 20
_CONFLICT_TRIES = 20
_CANCELLED = '{"s":"ended","o":"cancelled"}'


def new_campaign_id() -> CampaignId:
    """Return an id for a new campaign."""
    return CampaignId(f"c-{secrets.token_hex(6)}")


class Ledger:
    """Campaigns and their rows.

    Args:
        store: the Redis.
        rows_max: most rows of one campaign.
    """

    def __init__(self, store: Store, *, rows_max: int = 1_000_000) -> None:
        self._store = store
        self._rows_max = rows_max

    async def create(
        self,
        spec: CampaignSpec,
        *,
        now_ms: int,
        campaign_id: CampaignId | None = None,
        rows: ExpectedRows | None = None,
    ) -> Campaign:
        """Make a campaign without rows, `ready`.

        Args:
            spec: what is wanted.
            now_ms: Unix time.
            campaign_id: what it is called; where there is one of this id it is returned as it is.
                None: one that nobody has.
            rows: of which list it is to be made: until all of them are added it is incomplete.

        Raises:
            BusUnavailable: it may have been made all the same; nobody will start it.
        """
        campaign_id = campaign_id or new_campaign_id()
        of_list = (rows.name, rows.number, _FILLING_MS) if rows is not None else ("", 0, 0)
        args = (now_ms, *_own_fields(spec), _text(spec), *of_list)
        if not await self._store.script("campaign_create", scripts.CREATE, campaign_id, *args):
            return await self.get(campaign_id)
        return Campaign(campaign_id, spec, CampaignState.READY, now_ms)

    async def expect_rows(self, campaign_id: CampaignId, rows: ExpectedRows) -> None:
        """Say that the rows of a list are going to be added.

        Until the last of them is, the campaign is incomplete: it neither starts nor finishes.

        Raises:
            UnknownCampaign, CampaignStands, BusUnavailable: as `add_rows`.
        """
        args = (rows.name, rows.number, _FILLING_MS)
        answer = await self._store.script("campaign_list", scripts.OPEN_LIST, campaign_id, *args)
        _check(answer, campaign_id, "add_rows")

    async def add_rows(
        self,
        campaign_id: CampaignId,
        rows: Sequence[NewRow],
        *,
        more_follow: bool,
        refused: int = 0,
        batch: str | None = None,
        of_list: str = "",
    ) -> AddedRows:
        """Add rows at the end, whatever the campaign's state as long as it is not final.

        Numbers that the campaign has already are left out, and counted. Best given BATCH_ROWS at a
        time.

        Args:
            campaign_id: whose.
            rows: may be none, to count `refused` or to say that no more follow.
            more_follow: the campaign does not finish for want of rows during the next half minute.
            refused: how many rows were left out beside these because they are bad.
            batch: names these rows: added once, however often they come within a minute. Made up
                when not given, so that a connection's retry adds nothing twice.
            of_list: the list they are of, where that was said before.

        Raises:
            UnknownCampaign: there is none.
            CampaignStands: it is finished or cancelled.
            CampaignFull: it would have too many; none of these was added.
            BusUnavailable: nobody knows; the same batch may come again.
        """
        texts = [part for row in rows for part in (row.to_number, row.to_text())]
        name = batch or secrets.token_hex(8)
        filling_ms = _FILLING_MS if more_follow else 0
        args: list[str | int] = [name, filling_ms, self._rows_max, refused, of_list, *texts]
        answer = await self._store.script("campaign_add_rows", scripts.ADD_ROWS, campaign_id, *args)
        if answer[0] == "full":
            raise CampaignFull(campaign_id, self._rows_max)
        _check(answer, campaign_id, "add_rows")
        duplicates = tuple(int(float(place)) for place in answer[3].split())
        return AddedRows(int(answer[2]), int(answer[1]), duplicates)

    async def start(
        self, campaign_id: CampaignId, *, now_ms: int, accepts_incomplete: bool = False
    ) -> Campaign:
        """Begin to dial; nothing happens where it runs already.

        Args:
            campaign_id: whose.
            now_ms: Unix time.
            accepts_incomplete: rows that are missing are not waited for any more.

        Raises:
            CampaignIncomplete: not all rows of its lists are there.
            UnknownCampaign, CampaignStands, BusUnavailable: as said there.
        """
        return await self._move(
            *(campaign_id, "start", CampaignState.RUNNING, "ready", "", now_ms),
            accepts_incomplete=accepts_incomplete,
        )

    async def pause(self, campaign_id: CampaignId, *, reason: str, now_ms: int) -> Campaign:
        """Dial nobody more; calls that are up go on. Raises as `start`."""
        return await self._move(
            campaign_id, "pause", CampaignState.PAUSED, "running", reason, now_ms
        )

    async def resume(
        self, campaign_id: CampaignId, *, now_ms: int, accepts_incomplete: bool = False
    ) -> Campaign:
        """Go on after a pause; its own rules judge it anew. As `start`."""
        return await self._move(
            *(campaign_id, "resume", CampaignState.RUNNING, "paused", "", now_ms),
            accepts_incomplete=accepts_incomplete,
        )

    async def cancel(self, campaign_id: CampaignId, *, now_ms: int) -> Campaign:
        """End it for good: rows that wait end as cancelled, calls that are up go on.

        Raises as `start`.
        """
        states = "ready running paused"
        return await self._move(campaign_id, "cancel", CampaignState.CANCELLED, states, "", now_ms)

    async def _move(
        self,
        campaign_id: CampaignId,
        verb: str,
        to: CampaignState,
        states: str,
        reason: str,
        now_ms: int,
        *,
        accepts_incomplete: bool = False,
    ) -> Campaign:
        args = (_TOLD_AS[verb], to.value, f" {states} ", reason, now_ms, int(accepts_incomplete))
        answer = await self._store.script("campaign_move", scripts.MOVE, campaign_id, *args)
        _check(answer, campaign_id, verb)
        return await self.get(campaign_id)

    async def patch(
        self, campaign_id: CampaignId, change: Callable[[CampaignSpec], CampaignSpec]
    ) -> Campaign:
        """Change what is wanted; holds from the next call on.

        Args:
            campaign_id: whose.
            change: given the present spec, returns the new one; may be asked more than once.

        Raises:
            UnknownCampaign: there is none.
            CampaignStands: it is finished or cancelled.
            BusUnavailable: not changed, or nobody knows.
        """
        for _ in range(_CONFLICT_TRIES):
            command = self._store.redis.hmget(self._key(campaign_id), ["spec", "state"])
            text, state = await self._store.run("campaign_get", command)
            if text is None:
                raise UnknownCampaign(campaign_id)
            if CampaignState(state).is_final:
                raise CampaignStands(campaign_id, "patch", state)
            spec = change(CampaignSpec.from_json(json.loads(text)))
            args = (text, _text(spec), *_own_fields(spec))
            if await self._store.script("campaign_patch", scripts.PATCH, campaign_id, *args):
                return await self.get(campaign_id)
        raise BusUnavailable("campaign_patch: too many writers of one campaign")

    async def get(self, campaign_id: CampaignId) -> Campaign:
        """Return a campaign.

        Raises:
            UnknownCampaign: there is none.
            BusUnavailable: it can't be read.
        """
        command = self._store.redis.hgetall(self._key(campaign_id))
        held = await self._store.run("campaign_get", command)
        if not held:
            raise UnknownCampaign(campaign_id)
        return campaign_from(campaign_id, held)

    async def page(
        self,
        *,
        limit: int,
        after: CampaignId | None = None,
        state: CampaignState | None = None,
    ) -> CampaignPage:
        """Return campaigns, the newest first, from the one after `after` on.

        Where only one state is wanted a page may have fewer than `limit`, even none, and others
        follow all the same. Raises BusUnavailable.
        """
        index, redis = f"{self._store.prefix}:dial:campaigns", self._store.redis
        first = 0
        if after is not None:
            rank = await self._store.run("campaign_page", redis.zrevrank(index, after))
            if rank is None:
                return CampaignPage((), None)
            first = rank + 1
        ids = await self._store.run("campaign_page", redis.zrevrange(index, first, first + limit))
        shown = [CampaignId(name) for name in ids[:limit]]
        found = []
        for campaign_id in shown:
            held = await self._store.run("campaign_page", redis.hgetall(self._key(campaign_id)))
            if held and (state is None or held["state"] == state):
                found.append(campaign_from(campaign_id, held))
        return CampaignPage(tuple(found), shown[-1] if len(ids) > limit else None)

    async def progress(self, campaign_id: CampaignId) -> Progress:
        """Return how far a campaign is.

        Raises:
            UnknownCampaign: there is none.
            BusUnavailable: it can't be read.
        """
        answer = await self._store.script("campaign_progress", scripts.PROGRESS, campaign_id)
        if not answer:
            raise UnknownCampaign(campaign_id)
        flat, due, leased, open_rows, talking, next_due, dialled, lists = answer
        held = dict(zip(flat[::2], flat[1::2], strict=True))
        fresh = int(held["total"]) - int(held["next"])
        outcomes = _counted(held, "ended:")
        next_due_ms = int(float(next_due)) if next_due else None
        return Progress(
            campaign=campaign_from(campaign_id, held),
            waiting=fresh + due,
            leased=leased,
            open_rows=open_rows,
            talking=talking,
            ended=sum(outcomes.values()),
            tries=_counted(held, "tries:"),
            outcomes=outcomes,
            next_due_ms=0 if fresh else next_due_ms,
            dialled_last_minute=dialled,
            incomplete=Incomplete(lists[0], lists[1], bool(lists[2])) if lists[1] else None,
        )

    async def rows(
        self,
        campaign_id: CampaignId,
        *,
        limit: int,
        after: int = 0,
        state: RowState | None = None,
        outcome: Outcome | None = None,
    ) -> RowPage:
        """Return rows in their order, those after row `after`, of one state or outcome if wanted.

        At most ten thousand rows are looked at: a page may have fewer than `limit`, even none, and
        others follow all the same.

        Raises:
            UnknownCampaign: there is none.
            BusUnavailable: they can't be read.
        """
        found: list[Row] = []
        for _ in range(_SCANS):
            size = limit - len(found) if state is None and outcome is None else _SCAN_ROWS
            part, total = await self._scan(campaign_id, after + 1, min(size, _SCAN_ROWS))
            for row in part:
                if len(found) == limit:
                    return RowPage(tuple(found), after)
                after = row.n
                if state in {None, row.state} and outcome in {None, row.outcome}:
                    found.append(row)
            if after >= total or not part:
                return RowPage(tuple(found), None)
            if len(found) == limit:
                break
        return RowPage(tuple(found), after)

    async def _scan(self, campaign_id: CampaignId, first: int, size: int) -> tuple[list[Row], int]:
        answer = await self._store.script(
            "campaign_rows", scripts.ROWS, campaign_id, first, first + size - 1
        )
        if not answer:
            raise UnknownCampaign(campaign_id)
        total, stopped_at, texts, news = answer
        rows = []
        for n, (text, told) in enumerate(zip(texts, news, strict=True), start=first):
            is_stopped = told is None and stopped_at != "" and n > int(stopped_at)
            rows.append(Row.from_texts(n, text, _CANCELLED if is_stopped else told or ""))
        return rows, int(total)

    async def row(self, campaign_id: CampaignId, n: int) -> Row | None:
        """Return one row, None where there is none of that number.

        Raises:
            UnknownCampaign: there is no such campaign.
            BusUnavailable: it can't be read.
        """
        rows, _ = await self._scan(campaign_id, n, 1) if n > 0 else ([], 0)
        return rows[0] if rows else None

    async def remove(self, campaign_id: CampaignId) -> None:
        """Forget a campaign with all its rows.

        Raises:
            UnknownCampaign: there is none.
            CampaignStands: it runs or is paused, or calls of it are up.
            BusUnavailable: nobody knows.
        """
        answer = await self._store.script("campaign_remove", scripts.REMOVE, campaign_id)
        _check(answer, campaign_id, "remove")

    def _key(self, campaign_id: CampaignId) -> str:
        return f"{self._store.prefix}:dial:campaign:{campaign_id}"


_TOLD_AS = {"start": "started", "pause": "paused", "resume": "resumed", "cancel": "cancelled"}


def _check(answer: list[Any], campaign_id: CampaignId, verb: str) -> None:
    if answer[0] == "unknown":
        raise UnknownCampaign(campaign_id)
    if answer[0] in {"over", "wrong"}:
        raise CampaignStands(campaign_id, verb, answer[1])
    if answer[0] == "incomplete":
        raise CampaignIncomplete(campaign_id, answer[1], answer[2], bool(answer[3]))


def _text(spec: CampaignSpec) -> str:
    return json.dumps(spec.to_json(), separators=(",", ":"), ensure_ascii=False)


def _own_fields(spec: CampaignSpec) -> tuple[int | float | str, ...]:
    """Return what scripts look at: priority, cps, concurrency, '' for no bound."""
    cps = "" if spec.cps is None else spec.cps
    return spec.priority, cps, "" if spec.concurrency is None else spec.concurrency


def _counted(held: dict[str, str], head: str) -> dict[Outcome, int]:
    return {
        Outcome(name.removeprefix(head)): int(number)
        for name, number in held.items()
        if name.startswith(head)
    }


def campaign_from(campaign_id: CampaignId, held: dict[str, str]) -> Campaign:
    """Read a campaign's hash."""

    def time_of(name: str) -> int | None:
        return int(held[name]) if held.get(name) else None

    return Campaign(
        campaign_id=campaign_id,
        spec=CampaignSpec.from_json(json.loads(held["spec"])),
        state=CampaignState(held["state"]),
        created_ms=int(held["created_ms"]),
        reason=held.get("reason", ""),
        started_ms=time_of("started_ms"),
        finished_ms=time_of("finished_ms"),
        total=int(held["total"]),
        duplicates=int(held.get("duplicates", 0)),
        refused=int(held.get("refused", 0)),
    )
