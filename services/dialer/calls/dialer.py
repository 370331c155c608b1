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
from typing import Protocol, TypeVar

import structlog

from services.dialer.calls.listing import CallFilter, page_of_calls
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


class Pace(Protocol):
    """Whoever says when a call may be dialled."""

    async def take_turn(self, call_id: CallId, order: CallOrder) -> None:
        """Return when a call may be dialled: at once, or after a wait that is worth it.

        Raises:
            AtLimit: not now.
            DoNotCall: never.
            BusUnavailable: nobody knows; a turn may have been taken, and lapses.
        """
        ...


class NoPace:
    """Every call may be dialled at once."""

    async def take_turn(self, call_id: CallId, order: CallOrder) -> None:
        """Return at once."""


NO_PACE = NoPace()


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
        pace: of calls that are placed with none of their own.
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
        pace: Pace = NO_PACE,
        make_id: Callable[[], CallId] = new_call_id,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self._control = control
        self._calls = calls
        self._metrics = metrics
        self._gateway = gateway
        self._limits = limits
        self._pace = pace
        self._make_id = make_id
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def place(
        self, order: CallOrder, *, call_id: CallId | None = None, pace: Pace | None = None
    ) -> CallRecord:
        """Take a turn, record a call as queued, ask Vobiz to dial it, once, return its record.

        Args:
            order: a sound one.
            call_id: chosen by the caller, so that the call is known whatever happens here. However
                often one id is placed, the call is dialled once: all but the first get its record.
            pace: says when; None: the dialer's own.

        Raises:
            AtLimit, DoNotCall: there is no record, and nothing was dialled.
            BusUnavailable: nothing was dialled; there may be a record.
            VobizFailure: with the call's id; its record has ended, or, where the phone may be
                ringing, stays as it is with the error noted.
        """
        self._under_way += 1
        self._metrics.under_way.set(self._under_way)
        self._idle.clear()
        call_id = call_id or self._make_id()
        concern = self._tracer.concern(call_id)
        turn_to(concern)
        began_s, error = self._tracer.now_s(), "not_placed"
        try:
            record = await self._place(order, call_id, pace or self._pace)
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

    async def _place(self, order: CallOrder, call_id: CallId, pace: Pace) -> CallRecord:
        log = _log.bind(call_id=call_id)
        await pace.take_turn(call_id, order)
        queued = await self._calls.apply(queued_change(order, call_id))
        record = queued.record
        if not queued.state_changed:
            # Somebody else has made the record of this id, and it is theirs to dial it.
            log.warning("call_known_already")
            return record
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
        call_uuid = vobiz_id_of(record)
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

    async def page(
        self, wanted: CallFilter, *, limit: int, before: CallId | None = None
    ) -> tuple[list[CallRecord], CallId | None]:
        """Return a page of records, see `page_of_calls`."""
        return await page_of_calls(self._calls, wanted, limit=limit, before=before)

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


def vobiz_id_of(record: CallRecord) -> str:
    """Return what Vobiz calls a call.

    Raises:
        NotPlacedYet: it has not said so.
    """
    if record.call_uuid is not None:
        return record.call_uuid
    if record.direction is Direction.INBOUND:
        return record.call_id
    raise NotPlacedYet(record.call_id)


def _queued_at(record: CallRecord) -> datetime | None:
    """Return since when an outbound call waits for its first news; None: it does not."""
    if record.direction is not Direction.OUTBOUND or record.state is not CallState.QUEUED:
        return None
    try:
        queued_at = datetime.fromisoformat(record.created_at or "")
    except ValueError:
        return None
    return queued_at if queued_at.tzinfo is not None else None
