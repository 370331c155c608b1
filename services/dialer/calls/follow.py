"""Following outbound calls through the bus, for the dialer's figures."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import structlog

from shared.bus.base import Bus, BusUnavailable
from shared.bus.messages import BusEvent, Channel
from shared.metrics.catalogue import DialerMetrics
from shared.protocol.call import CallId, CallState, Direction

_REMEMBERED_ENDS = 10_000
_SEED_RECORDS = 1_000
_RETRY_S = 2.0
_log = structlog.get_logger(__name__)


class ActiveCalls:
    """PURE. Which outbound calls are under way. Events may repeat and calls be unknown."""

    def __init__(self) -> None:
        self._active: set[CallId] = set()
        self._ended: OrderedDict[CallId, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._active)

    def on_active(self, call_id: CallId) -> None:
        """Take in a call that has not ended; news older than its end is passed over."""
        if call_id not in self._ended:
            self._active.add(call_id)

    def on_end(self, call_id: CallId) -> bool:
        """Take in a call's end; whether it is news of a call that was under way."""
        is_news = call_id in self._active
        self._active.discard(call_id)
        self._ended[call_id] = None
        if len(self._ended) > _REMEMBERED_ENDS:
            self._ended.popitem(last=False)
        return is_news


class CallFollower:
    """Keeps the gauge of active calls and the counter of ends right."""

    def __init__(self, bus: Bus, metrics: DialerMetrics) -> None:
        self._bus = bus
        self._metrics = metrics
        self._calls = ActiveCalls()
        self.following = asyncio.Event()
        """Set once events are listened to."""

    async def run(self) -> None:
        """Follow until cancelled; an absent bus is waited for."""
        while True:
            try:
                await self._follow()
            except BusUnavailable as exc:
                _log.warning("follow_interrupted", error=str(exc))
            await asyncio.sleep(_RETRY_S)

    async def _follow(self) -> None:
        async with self._bus.events.subscribe(Channel.CALLS, Channel.HANGUPS) as events:
            # What ends between the two steps comes as an event after the record was read.
            for record in await self._bus.calls.recent(_SEED_RECORDS):
                if record.direction is Direction.OUTBOUND and not record.state.is_final:
                    self._calls.on_active(record.call_id)
            self._metrics.active_calls.set(len(self._calls))
            self.following.set()
            async for event in events:
                self.on_event(event)

    def on_event(self, event: BusEvent) -> None:
        """Take in one event of the bus."""
        if event.call_id is None:
            return
        if event.channel is Channel.HANGUPS:
            if self._calls.on_end(event.call_id):
                labels = (event.data.get("end_class", ""), event.data.get("end_reason", ""))
                self._metrics.ended.labels(*labels).inc()
        elif event.data.get("direction") == Direction.OUTBOUND and not _is_final(event):
            self._calls.on_active(event.call_id)
        self._metrics.active_calls.set(len(self._calls))


def _is_final(event: BusEvent) -> bool:
    try:
        return CallState(event.data.get("state", "")).is_final
    except ValueError:
        return True
