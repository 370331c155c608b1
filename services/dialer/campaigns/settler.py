"""Settling: what a call came to is noted in its row, and the row tried again or ended.

Ends come as events, at least once and to every dialer; the ledger takes the first. What no event
told (nobody was listening) is found by looking at the records of calls that hold a channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from services.dialer.campaigns.claims import Case, Claims
from services.dialer.campaigns.ledger import Ledger
from services.dialer.campaigns.model import CampaignId, CampaignState, RowPlace, RowState
from services.dialer.campaigns.outcome import Outcome, outcome_of
from services.dialer.errors import CampaignStands, UnknownCampaign
from shared.bus.base import Bus, BusUnavailable
from shared.bus.messages import Channel
from shared.metrics.catalogue import DialerMetrics
from shared.protocol.call import CallId, CallRecord

_log = structlog.get_logger(__name__)
_RETRY_S = 1.0
_PROGRESS_S = 1.0
_LOOK_TICKS = 5


class Settler:
    """Settles rows, judges campaigns, sweeps.

    Args:
        claims: rows in hand.
        ledger: pauses campaigns.
        bus: events and records.
        metrics: where ends are counted.
        wall_ms: returns Unix time.
        on_change: called when there may be something to dial: a channel is free, a row due.
        tick_s: between sweeps.
    """

    def __init__(
        self,
        claims: Claims,
        ledger: Ledger,
        bus: Bus,
        metrics: DialerMetrics,
        *,
        wall_ms: Callable[[], int],
        on_change: Callable[[], None] = lambda: None,
        tick_s: float = 2.0,
    ) -> None:
        self._claims = claims
        self._ledger = ledger
        self._bus = bus
        self._metrics = metrics
        self._wall_ms = wall_ms
        self._on_change = on_change
        self._tick_s = tick_s
        self._moved: set[CampaignId] = set()
        self._shown_states: set[CampaignState] = set()

    async def settle(self, place: RowPlace, call_id: CallId, outcome: Outcome) -> bool:
        """Note what a row's try came to, by its campaign's rules.

        Returns:
            whether this was news.

        Raises:
            BusUnavailable: nobody knows; settling again does no harm.
        """
        case = await self._claims.case(place)
        if case is None or case.row.call_id != call_id or not case.row.state.is_open:
            return False
        now_ms = self._wall_ms()
        wait_s = case.spec.retry.next_wait_s([*case.row.tries, outcome])
        due_ms = None if wait_s is None else now_ms + int(wait_s * 1000)
        if not await self._claims.settle(place, call_id, outcome, now_ms=now_ms, due_ms=due_ms):
            return False
        self._metrics.campaign_calls.labels(outcome.value).inc()
        _log.info(
            "row_settled",
            call_id=call_id,
            campaign_id=place.campaign_id,
            row=place.n,
            outcome=outcome.value,
            again_in_s=wait_s,
        )
        self._moved.add(place.campaign_id)
        await self._judge(place.campaign_id, case, outcome, now_ms)
        self._on_change()
        return True

    async def _judge(
        self, campaign_id: CampaignId, case: Case, outcome: Outcome, now_ms: int
    ) -> None:
        if case.state is not CampaignState.RUNNING:
            return
        reason = case.spec.pause_rules.reason_to_pause([outcome, *case.newest])
        if reason is None:
            return
        try:
            await self._ledger.pause(campaign_id, reason=reason, now_ms=now_ms)
        except (CampaignStands, UnknownCampaign):
            return
        _log.warning("campaign_paused", campaign_id=campaign_id, reason=reason)

    async def on_end(self, call_id: CallId) -> bool:
        """Take in that a call may have ended: its row is settled, its channel freed.

        Returns:
            whether its record says that it is over.

        Raises:
            BusUnavailable: nobody knows; coming again does no harm.
        """
        record = await self._bus.calls.get(call_id)
        if record is None or not record.state.is_final:
            return False
        await self._on_ended(record)
        return True

    async def _on_ended(self, record: CallRecord) -> None:
        place = await self._claims.place_of(record.call_id)
        if place is not None:
            await self.settle(place, record.call_id, outcome_of(record))
        await self._claims.free(record.call_id, record.call_uuid or "")
        self._on_change()

    async def follow(self) -> None:
        """Settle what ends, until cancelled; an absent bus is waited for."""
        while True:
            try:
                async with self._bus.events.subscribe(Channel.HANGUPS, Channel.CAMPAIGNS) as events:
                    async for event in events:
                        if event.channel is Channel.CAMPAIGNS:
                            self._on_change()
                        elif event.call_id is not None and not await self.on_end(event.call_id):
                            await self._claims.free(event.call_id)  # its record is gone already
                            self._on_change()
            except BusUnavailable as exc:
                _log.warning("settling_interrupted", error=str(exc))
            await asyncio.sleep(_RETRY_S)

    async def run(self) -> None:
        """Sweep until cancelled; an absent bus is waited for."""
        tick = 0
        while True:
            try:
                await self.sweep()
                if tick % _LOOK_TICKS == 0:
                    await self.look_at_channels()
                    await self.show_figures()
            except BusUnavailable as exc:
                _log.warning("sweep_interrupted", error=str(exc))
            tick += 1
            await asyncio.sleep(self._tick_s)

    async def sweep(self) -> None:
        """Sweep once, and tell how far campaigns are of which something was settled here."""
        is_busy = True
        while is_busy:
            swept = await self._claims.sweep(now_ms=self._wall_ms())
            is_busy = swept.is_busy
            if swept.lapsed:
                self._metrics.leases_lapsed.inc(swept.lapsed)
                _log.warning("leases_lapsed", rows=swept.lapsed)
                self._on_change()
            if swept.finished:
                _log.info("campaigns_finished", number=swept.finished)
        moved, self._moved = self._moved, set()
        for campaign_id in moved:
            if not await self._claims.tell_progress(campaign_id, every_s=_PROGRESS_S):
                self._moved.add(campaign_id)  # somebody did a moment ago, without this

    async def look_at_channels(self) -> None:
        """Settle calls that hold a channel although their record is final."""
        for call_id in await self._claims.slots():
            await self.on_end(call_id)

    async def show_figures(self) -> None:
        """Show how many campaigns and rows there are."""
        census = await self._claims.census()
        self._shown_states |= set(census.states)
        for state in self._shown_states:
            self._metrics.campaigns.labels(state.value).set(census.states.count(state))
        self._metrics.rows.labels(RowState.WAITING.value).set(census.waiting)
        self._metrics.rows.labels(RowState.LEASED.value).set(census.leased)
        self._metrics.rows.labels("open").set(census.open_rows)
