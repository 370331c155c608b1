"""Placing calls and hanging them up: the order of permit, record, network and record again.

Once there is a connection to Vobiz a permit is obtained, then the call is written down, and only
then Vobiz is asked: whatever happens from there on, there is a record that webhooks can find. From
then on its state is the webhooks' matter: they reach the record by way of the gateway.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

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
from services.dialer.calls.permit import NoPermit, Permit
from services.dialer.errors import DialerError, NotPlacedYet, UnknownCall
from shared.bus.base import BusUnavailable, CallStore
from shared.metrics.catalogue import DialerMetrics
from shared.protocol.call import CallChange, CallId, CallRecord, CallState, Direction
from shared.runtime.concern import turn_to
from shared.runtime.tracing import NO_TRACER, Tracer
from shared.vobiz.client import CallControl, HangupOutcome
from shared.vobiz.errors import ADVICE, Verdict, VobizFailure

SWEEP_EVERY_S = 30.0
_SWEEP_RECORDS = 500
_PERMIT_TRIES = 20
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
        permit_for: gives leave to orders that bring no permit.
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
        permit_for: Callable[[CallOrder], Permit] = lambda _: NoPermit(),
    ) -> None:
        self._permit_for = permit_for
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

    async def place(
        self, order: CallOrder, *, call_id: CallId | None = None, permit: Permit | None = None
    ) -> CallRecord:
        """Obtain a permit, record a call as queued, ask Vobiz to dial it, once; return its record.

        Args:
            order: what is wanted.
            call_id: of the call, where it must be known before. However often one id is placed, the
                call is dialled once: all but the first get its record.
            permit: leave to dial it. Where it brings its own, an attempt that did not come as far
                as a permit leaves no record.

        Raises:
            DialerError: the permit's reason; nothing was dialled.
            BusUnavailable: nothing was dialled.
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
        placing = _Placing(
            order, call_id, permit or self._permit_for(order), is_recorded=permit is None
        )
        try:
            record = await self._place(placing)
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

    async def _place(self, placing: _Placing) -> CallRecord:
        call_id, permit = placing.call_id, placing.permit
        log = _log.bind(call_id=call_id)
        body = make_call_body(placing.order, call_id, self._gateway, self._limits)
        try:
            call_uuid = await self._control.make_call(
                body,
                before_sending=lambda: self._prepare(placing),
                after_sending=lambda: permit.sent(call_id),
            )
        except VobizFailure as failure:
            self._metrics.requests.labels(failure.verdict).inc()
            self._observe("make_call", placing)
            await self._refused(placing, failure)
            log.warning("call_refused", verdict=failure.verdict, status=failure.status)
            failure.call_id = call_id
            raise
        except _PlacedBefore as before:
            return before.record
        except (DialerError, BusUnavailable):
            await self._not_sent(placing)
            raise
        assert placing.record is not None  # nothing is sent without
        self._metrics.requests.labels(Verdict.ACCEPTED).inc()
        accepted_ms = self._observe("make_call", placing)
        fields = {"call_uuid": call_uuid, "milestones": {"vobiz_accepted_ms": accepted_ms}}
        noted = await self._note(CallChange(call_id, None, fields))
        await permit.accepted(call_id)
        log.info("call_placed", call_uuid=call_uuid, vobiz_ms=accepted_ms)
        return noted or placing.record

    async def _prepare(self, placing: _Placing) -> None:
        """Obtain the permit, write the record, and renew the permit where that took too long.

        Asked again before the last part of the request goes out: what is good still is used.
        """
        if placing.record is not None and placing.permit.is_good():
            placing.sent_s = time.perf_counter()
            return
        for _ in range(_PERMIT_TRIES):
            await placing.permit.obtain(placing.call_id)
            if placing.record is None:
                change = queued_change(placing.order, placing.call_id)
                queued = await self._calls.apply(change)
                if not queued.state_changed:
                    raise _PlacedBefore(queued.record)
                placing.record = queued.record
            if placing.permit.is_good():
                placing.sent_s = time.perf_counter()
                return
        raise BusUnavailable("permits come too late to be used: Redis or this process is slow")

    async def _refused(self, placing: _Placing, failure: VobizFailure) -> None:
        """Note what Vobiz said: with the permit first, because the record's end is news to all."""
        call_id, verdict = placing.call_id, failure.verdict
        if verdict.may_have_dialled:
            await placing.permit.unsure(call_id, failure)
        else:
            await placing.permit.refused(call_id, failure)
        if placing.record is None and not placing.is_recorded:
            return
        if placing.record is None:
            await self._note(queued_change(placing.order, call_id))
        await self._note(refused_change(call_id, verdict, ADVICE[verdict]))

    async def _not_sent(self, placing: _Placing) -> None:
        await placing.permit.refused(placing.call_id, None)
        if placing.record is not None:
            await self._note(
                refused_change(placing.call_id, Verdict.RATE_LIMITED, "It was not dialled.")
            )

    def _observe(self, operation: str, placing: _Placing) -> float:
        """Take the time since the request went out; return it in ms."""
        taken_s = time.perf_counter() - placing.sent_s
        self._metrics.vobiz_seconds.labels(operation).observe(taken_s)
        return round(taken_s * 1000, 1)

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

    async def sweep(
        self, *, now: datetime, silent_for_s: float, looked_after: Collection[CallId] = ()
    ) -> int:
        """End the records of calls of which nothing was heard for too long; return how many.

        Those are calls whose dialling had an unknown outcome, or a dialer that died in it. Calls
        that are looked after by others are left to them.
        """
        limit = now - timedelta(seconds=silent_for_s)
        swept, oldest = 0, now
        for record in await self._calls.recent(_SWEEP_RECORDS):
            queued_at = _queued_at(record)
            if queued_at is None:
                continue
            if queued_at < limit and record.call_id not in looked_after:
                applied = await self._calls.apply(lost_change(record.call_id))
                swept += applied.became_final
            else:
                oldest = min(oldest, queued_at)
        self._metrics.oldest_queued.set((now - oldest).total_seconds())
        if swept:
            self._metrics.swept.inc(swept)
            _log.warning("calls_without_news_ended", number=swept)
        return swept

    async def run_sweeps(
        self,
        *,
        silent_for_s: float,
        looked_after: Callable[[], Awaitable[Collection[CallId]]] | None = None,
    ) -> None:
        """Sweep until cancelled; an absent bus is waited for."""
        while True:
            try:
                others = set(await looked_after()) if looked_after is not None else set()
                await self.sweep(
                    now=datetime.now(UTC), silent_for_s=silent_for_s, looked_after=others
                )
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


class _PlacedBefore(Exception):
    """Somebody has placed this call already; the permit, obtained again, is theirs."""

    def __init__(self, record: CallRecord) -> None:
        super().__init__(record.call_id)
        self.record = record


@dataclass(slots=True)
class _Placing:
    """A call on its way to Vobiz. `is_recorded`: even when it comes to nothing before that."""

    order: CallOrder
    call_id: CallId
    permit: Permit
    is_recorded: bool
    record: CallRecord | None = None
    sent_s: float = field(default_factory=time.perf_counter)


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
