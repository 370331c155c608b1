"""Placing calls and hanging them up: the order of record, network and record again.

A call is written down before Vobiz is asked, so that whatever happens then, there is a record
that webhooks can find. From then on its state is the webhooks' matter: they reach the record by
way of the gateway.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog

from services.dialer.calls.order import (
    CallLimits,
    CallOrder,
    GatewayAddress,
    lost_change,
    make_call_body,
    queued_change,
    refused_change,
)
from services.dialer.errors import NotPlacedYet, UnknownCall
from shared.bus.base import BusUnavailable, CallStore
from shared.metrics.catalogue import DialerMetrics
from shared.protocol.call import CallChange, CallId, CallRecord, CallState, Direction
from shared.runtime.concern import turn_to
from shared.runtime.tracing import NO_TRACER, Tracer
from shared.vobiz.client import CallControl, HangupOutcome
from shared.vobiz.errors import ADVICE, Verdict, VobizFailure

SWEEP_EVERY_S = 30.0
_SWEEP_RECORDS = 500
_log = structlog.get_logger(__name__)
T = TypeVar("T")


def new_call_id() -> CallId:
    """Return an id for a call that Vobiz has not named yet."""
    return CallId(str(uuid.uuid4()))


class Dialer:
    """Places calls, hangs them up, looks them up.

    Args:
        control: Vobiz.
        calls: the records.
        metrics: where verdicts and times are counted.
        gateway: how Vobiz reaches the gateway.
        limits: what Vobiz enforces for each call.
        make_id: makes ids.
        tracer: told of each call that is dialled.
    """

    def __init__(
        self,
        control: CallControl,
        calls: CallStore,
        metrics: DialerMetrics,
        *,
        gateway: GatewayAddress,
        limits: CallLimits,
        make_id: Callable[[], CallId] = new_call_id,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self._control = control
        self._calls = calls
        self._metrics = metrics
        self._gateway = gateway
        self._limits = limits
        self._make_id = make_id
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def place(self, order: CallOrder) -> CallRecord:
        """Record a call as queued, ask Vobiz to dial it, once, and return its record.

        Raises:
            BusUnavailable: there is no record, and nothing was dialled.
            VobizFailure: with the call's id; its record has ended, or, where the phone may be
                ringing, stays as it is with the error noted.
        """
        self._under_way += 1
        self._metrics.under_way.set(self._under_way)
        self._idle.clear()
        call_id = self._make_id()
        concern = self._tracer.concern(call_id)
        turn_to(concern)
        began_s, error = self._tracer.now_s(), "not_placed"
        try:
            record = await self._place(order, call_id)
            error = ""
            return record
        except VobizFailure as failure:
            error = failure.verdict
            raise
        finally:
            # The first of its trace: the gateway's, when Vobiz answers, stand under it.
            self._tracer.tell("dial", None, began_s, place=concern, agent=order.agent, error=error)
            self._under_way -= 1
            self._metrics.under_way.set(self._under_way)
            if not self._under_way:
                self._idle.set()

    async def _place(self, order: CallOrder, call_id: CallId) -> CallRecord:
        log = _log.bind(call_id=call_id)
        record = (await self._calls.apply(queued_change(order, call_id))).record
        body = make_call_body(order, call_id, self._gateway, self._limits)
        started_s = time.perf_counter()
        try:
            call_uuid = await self._timed("make_call", self._control.make_call(body))
        except VobizFailure as failure:
            self._metrics.requests.labels(failure.verdict).inc()
            await self._note(refused_change(call_id, failure.verdict, ADVICE[failure.verdict]))
            log.warning("call_refused", verdict=failure.verdict, status=failure.status)
            failure.call_id = call_id
            raise
        self._metrics.requests.labels(Verdict.ACCEPTED).inc()
        accepted_ms = round((time.perf_counter() - started_s) * 1000, 1)
        fields = {"call_uuid": call_uuid, "milestones": {"vobiz_accepted_ms": accepted_ms}}
        noted = await self._note(CallChange(call_id, None, fields))
        log.info("call_placed", call_uuid=call_uuid, vobiz_ms=accepted_ms)
        return noted or record

    async def until_idle(self) -> None:
        """Wait until no call is being placed: only then is every outcome written down."""
        await self._idle.wait()

    async def hang_up(self, call_id: CallId) -> None:
        """End a call; one that is over already is a success. Its state follows the webhook.

        Raises:
            BusUnavailable: its record can't be read.
            UnknownCall: there is none.
            NotPlacedYet: Vobiz has not named it.
            VobizFailure: Vobiz did not do it.
        """
        record = await self.get(call_id)
        if record.state.is_final:
            return
        call_uuid = record.call_uuid
        if call_uuid is None and record.direction is Direction.INBOUND:
            call_uuid = record.call_id
        if call_uuid is None:
            raise NotPlacedYet(call_id)
        try:
            outcome = await self._timed("hang_up", self._control.hang_up(call_uuid))
        except VobizFailure as failure:
            failure.call_id = call_id
            raise
        _log.info(
            "call_hung_up",
            call_id=call_id,
            was_over=outcome is HangupOutcome.ALREADY_OVER,
        )

    async def get(self, call_id: CallId) -> CallRecord:
        """Return a record.

        Raises:
            BusUnavailable: it can't be read.
            UnknownCall: there is none.
        """
        record = await self._calls.get(call_id)
        if record is None:
            raise UnknownCall(call_id)
        return record

    async def recent(self, limit: int) -> list[CallRecord]:
        """Return the newest records, inbound ones too, newest first."""
        return await self._calls.recent(limit)

    async def sweep(self, *, now: datetime, silent_for_s: float) -> int:
        """End the records of calls of which nothing was heard for too long; return how many.

        Those are calls whose dialling had an unknown outcome, or a dialer that died in it.
        """
        limit = now - timedelta(seconds=silent_for_s)
        swept, oldest = 0, now
        for record in await self._calls.recent(_SWEEP_RECORDS):
            queued_at = _queued_at(record)
            if queued_at is None:
                continue
            if queued_at < limit:
                applied = await self._calls.apply(lost_change(record.call_id))
                swept += applied.became_final
            else:
                oldest = min(oldest, queued_at)
        self._metrics.oldest_queued.set((now - oldest).total_seconds())
        if swept:
            self._metrics.swept.inc(swept)
            _log.warning("calls_without_news_ended", number=swept)
        return swept

    async def run_sweeps(self, *, silent_for_s: float) -> None:
        """Sweep until cancelled; an absent bus is waited for."""
        while True:
            try:
                await self.sweep(now=datetime.now(UTC), silent_for_s=silent_for_s)
            except BusUnavailable as exc:
                _log.warning("sweep_skipped", error=str(exc))
            await asyncio.sleep(SWEEP_EVERY_S)

    async def _note(self, change: CallChange) -> CallRecord | None:
        """Apply a change after Vobiz has answered; without a bus, webhooks make it good."""
        try:
            return (await self._calls.apply(change)).record
        except BusUnavailable as exc:
            _log.warning("call_not_noted", call_id=change.call_id, error=str(exc))
            return None

    async def _timed(self, operation: str, request: Awaitable[T]) -> T:
        with self._metrics.vobiz_seconds.labels(operation).time():
            return await request


def _queued_at(record: CallRecord) -> datetime | None:
    """Return since when an outbound call waits for its first news; None: it does not."""
    if record.direction is not Direction.OUTBOUND or record.state is not CallState.QUEUED:
        return None
    try:
        queued_at = datetime.fromisoformat(record.created_at or "")
    except ValueError:
        return None
    return queued_at if queued_at.tzinfo is not None else None
