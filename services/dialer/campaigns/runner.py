"""The runner: one replica's loop that dials the rows of running campaigns.

The most urgent campaigns go first, equals in turn. A row is leased, looked at (may this number be
called at this hour?), and dialled by a task of its own; whether it may be dialled now is decided by
the grant alone, right before Vobiz is asked.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from services.dialer.calls.dialer import Dialer, new_call_id
from services.dialer.calls.order import CallOrder
from services.dialer.campaigns.claims import Prospect
from services.dialer.campaigns.model import Calendar, Campaign, CampaignId, Row
from services.dialer.campaigns.outcome import Outcome
from services.dialer.campaigns.pacing import Grant, GrantAnswer
from services.dialer.campaigns.row_permit import NotGranted, RowPermit, RowTools
from services.dialer.errors import InvalidOrder, UnknownCampaign
from shared.bus.base import BusUnavailable
from shared.protocol.call import CallId
from shared.runtime.tasks import TaskOwner
from shared.vobiz.errors import VobizFailure

_log = structlog.get_logger(__name__)
_IDLE_S: Final = 5.0
"""Between looks while nothing runs: a start is told by an event."""
_BUSY_S: Final = 1.0
_AWAY_S: Final = 1.0
_SOON_S: Final = 1.5
_LEAST_S: Final = 0.1
_MOST_STARTED: Final = 20
_ROWS_WHERE_CLOSED: Final = 500
"""Rows looked at together once those at hand turned out to be closed."""


@dataclass(frozen=True, slots=True)
class RunnerRules:
    """How a runner behaves. `lease_s`: how long a row is its own before it must be granted."""

    lease_s: float = 30.0


@dataclass(frozen=True, slots=True)
class _Known:
    """A campaign as last read, good while its revision is."""

    revision: int
    campaign: Campaign
    calendar: Calendar


class Runner:
    """Dials rows.

    Args:
        tools: what rows are moved with.
        dialer: places the calls.
        tasks: owns the calls that are being placed.
        order_of: makes a row's order; raises InvalidOrder for one that can't be dialled.
        calendar_of: returns a campaign's hours, given its windows as JSON.
        rules: see there.
    """

    def __init__(
        self,
        tools: RowTools,
        dialer: Dialer,
        tasks: TaskOwner,
        *,
        order_of: Callable[[Campaign, Row], CallOrder],
        calendar_of: Callable[[Any], Calendar],
        rules: RunnerRules | None = None,
    ) -> None:
        self._tools = tools
        self._dialer = dialer
        self._tasks = tasks
        self._order_of = order_of
        self._calendar_of = calendar_of
        self._rules = rules or RunnerRules()
        self._known: dict[CampaignId, _Known] = {}
        self._blocked_s: dict[CampaignId, float] = {}
        self._turn_s: dict[CampaignId, float] = {}
        self._is_closed: set[CampaignId] = set()
        self._starting: dict[CallId, CampaignId] = {}
        self._wake = asyncio.Event()
        self._is_stopping = False

    def wake(self) -> None:
        """There may be something to dial: look now."""
        self._wake.set()

    def stop(self) -> None:
        """Start nothing more; calls that are being placed go on."""
        self._is_stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Dial until stopped; an absent bus is waited for."""
        while not self._is_stopping:
            try:
                wait_s = await self.look()
            except BusUnavailable as exc:
                _log.warning("dialling_interrupted", error=str(exc))
                wait_s = _AWAY_S
            await self._rest(wait_s)

    async def _rest(self, wait_s: float) -> None:
        if wait_s <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def look(self) -> float:
        """Start what may be started now; return how long nothing else can be, in seconds.

        Raises:
            BusUnavailable: as it says.
        """
        prospects = await self._tools.claims.prospects()
        self._forget_all_but({prospect.campaign_id for prospect in prospects})
        if not prospects:
            return _IDLE_S
        now_ms, wait_s = self._tools.wall_ms(), _BUSY_S
        for prospect in sorted(prospects, key=self._urgency):
            if self._room() <= 0:
                return _BUSY_S
            if not prospect.is_due(now_ms):
                wait_s = min(wait_s, _until(prospect, now_ms))
                continue
            blocked_s = self._blocked_s.get(prospect.campaign_id, 0.0) - time.monotonic()
            if blocked_s > 0:
                wait_s = min(wait_s, blocked_s)
                continue
            known = await self._read(prospect)
            if known is None:
                continue
            grant = await self._tools.pacing.peek(
                prospect.campaign_id, needs_agent=known.campaign.spec.needs_agent
            )
            if self._is_worth_starting(known, grant):
                await self._serve(known)
                return 0.0
            pause_s = max(grant.wait_s, _LEAST_S)
            if grant.is_of_account:
                return min(pause_s, _BUSY_S)
            self._blocked_s[prospect.campaign_id] = time.monotonic() + pause_s
            wait_s = min(wait_s, pause_s)
        return max(wait_s, 0.01)

    def _is_worth_starting(self, known: _Known, grant: Grant) -> bool:
        """Whether to connect to Vobiz for a row now: the grant is there, or comes as soon.

        Of a campaign with limits of its own one row at a time waits for its grant, lest others are
        kept waiting with it.
        """
        spec = known.campaign.spec
        if spec.cps is not None or spec.concurrency is not None:
            is_waiting = known.campaign.campaign_id in self._starting.values()
            return grant.answer is GrantAnswer.GO and not is_waiting
        return grant.answer is GrantAnswer.GO or (grant.why == "rate" and grant.wait_s < _SOON_S)

    def _urgency(self, prospect: Prospect) -> tuple[int, float]:
        return -prospect.priority, self._turn_s.get(prospect.campaign_id, 0.0)

    def _room(self) -> int:
        """Return how many more calls may be on their way to a grant."""
        wanted = math.ceil(self._tools.pacing.rules.cps / 2) + 1
        return min(_MOST_STARTED, wanted) - len(self._starting)

    def _forget_all_but(self, running: set[CampaignId]) -> None:
        for kept in (self._known, self._blocked_s, self._turn_s):
            for campaign_id in set(kept) - running:
                del kept[campaign_id]
        self._is_closed &= running

    async def _read(self, prospect: Prospect) -> _Known | None:
        known = self._known.get(prospect.campaign_id)
        if known is None or known.revision != prospect.revision:
            try:
                campaign = await self._tools.ledger.get(prospect.campaign_id)
            except UnknownCampaign:
                return None
            known = _Known(prospect.revision, campaign, self._calendar_of(campaign.spec.windows))
            self._known[prospect.campaign_id] = known
        return known

    async def _serve(self, known: _Known) -> None:
        """Lease rows of a campaign, start those that may be called at this hour."""
        campaign_id = known.campaign.campaign_id
        self._turn_s[campaign_id] = time.monotonic()
        is_closed = campaign_id in self._is_closed
        limit = _ROWS_WHERE_CLOSED if is_closed else 1
        lease, now_ms = str(new_call_id()), self._tools.wall_ms()
        rows = await self._tools.claims.lease(
            campaign_id, lease, now_ms=now_ms, limit=limit, lease_s=self._rules.lease_s
        )
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        back: list[tuple[int, int]] = []
        closed = 0
        for row in rows:
            opening = known.calendar.next_opening(row.zones, now)
            if opening is None:
                await self._tools.claims.end_row(
                    campaign_id, lease, row.n, Outcome.OUT_OF_TIME, now_ms=now_ms
                )
                closed += 1
            elif opening > now:
                back.append((row.n, math.ceil(opening.timestamp() * 1000)))
                closed += 1
            elif self._room() <= 0:
                back.append((row.n, now_ms))
            else:
                self._start(known, row, lease)
        if rows and closed == len(rows):
            self._is_closed.add(campaign_id)
        else:
            self._is_closed.discard(campaign_id)
        if back:
            await self._tools.claims.give_back(campaign_id, lease, back)

    def _start(self, known: _Known, row: Row, lease: str) -> None:
        call_id = new_call_id()
        self._starting[call_id] = known.campaign.campaign_id
        self._tasks.start(self._dial(known, row, lease, call_id), name=f"dial-{call_id}")

    async def _dial(self, known: _Known, row: Row, lease: str, call_id: CallId) -> None:
        campaign = known.campaign

        def is_open() -> bool:
            now = datetime.fromtimestamp(self._tools.wall_ms() / 1000, UTC)
            opening = known.calendar.next_opening(row.zones, now)
            return opening is not None and opening <= now

        def on_granted() -> None:
            self._starting.pop(call_id, None)
            self.wake()

        permit = RowPermit(
            self._tools, campaign, row, lease, is_open=is_open, on_granted=on_granted
        )
        try:
            order = self._order_of(campaign, row)
            await self._dialer.place(order, call_id=call_id, permit=permit)
        except NotGranted as refusal:
            wait_s = min(refusal.grant.wait_s, _BUSY_S)
            self._blocked_s[campaign.campaign_id] = time.monotonic() + wait_s
        except InvalidOrder as exc:
            _log.warning("row_refused", campaign_id=campaign.campaign_id, row=row.n, why=exc.field)
            await self._end(campaign.campaign_id, row, lease, Outcome.REFUSED)
        except BusUnavailable as exc:
            _log.warning("row_not_dialled", campaign_id=campaign.campaign_id, error=str(exc))
        except VobizFailure:
            pass  # logged where it happened, and the permit has seen to the row
        finally:
            self._starting.pop(call_id, None)
            self.wake()

    async def _end(self, campaign_id: CampaignId, row: Row, lease: str, outcome: Outcome) -> None:
        now_ms = self._tools.wall_ms()
        try:
            await self._tools.claims.end_row(campaign_id, lease, row.n, outcome, now_ms=now_ms)
        except BusUnavailable as exc:
            _log.warning("row_not_ended", campaign_id=campaign_id, error=str(exc))


def _until(prospect: Prospect, now_ms: int) -> float:
    due_ms = now_ms if prospect.due_ms is None else prospect.due_ms
    return _BUSY_S if prospect.due_ms is None else max(0.0, (due_ms - now_ms) / 1000)
