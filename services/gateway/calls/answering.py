"""Answering calls: a worker booked, its link opened, XML made; asked twice, the same again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from enum import StrEnum

import structlog

from services.gateway.access.tokens import make_token
from services.gateway.calls.held import MAX_HELD, HeldCall, HeldCalls
from services.gateway.calls.records import Records
from services.gateway.calls.routing import (
    PublicAddress,
    Texts,
    agent_name,
    callback_query,
    hold_answer,
    link_metadata,
    link_variables,
    parting_answer,
    stream_answer,
)
from services.gateway.calls.token_note import write_note
from services.gateway.media.relay import Parting
from services.gateway.vobiz_recordings.rules import RecordRule
from services.gateway.workers.links import NoWorker, SocketLink
from services.gateway.workers.waiting_line import Turn, WaitingLine
from shared.bus.base import BusUnavailable, KeyValue
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, CallRecord, Direction, EndClass, EndReason
from shared.protocol.webhook import Webhook
from shared.protocol.worker import LinkClose, LinkRequest
from shared.runtime.clock import Clock
from shared.runtime.concern import turn_to
from shared.runtime.tasks import TaskOwner
from shared.runtime.tracing import NO_TRACER, Tracer

_log = structlog.get_logger(__name__)


class AnswerOutcome(StrEnum):
    """What an answer webhook was given; labels a counter."""

    STREAM = "stream"
    BUSY = "busy"
    WAITING = "waiting"
    REPEATED = "repeated"
    ENDED = "ended"
    DRAINING = "draining"


_FIRST = frozenset({AnswerOutcome.STREAM, AnswerOutcome.BUSY, AnswerOutcome.ENDED})


@dataclass(frozen=True, slots=True)
class Answer:
    """An outcome and the XML to send; no XML when the gateway takes no calls."""

    outcome: AnswerOutcome
    xml: bytes = b""


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """What goes into an answer, and how long it is remembered."""

    token_lifetime_s: float
    memory_s: float
    stream_max_retries: int
    texts: Texts
    token_secret: bytes
    hold_text: str = ""
    hold_pause_s: int = 5
    recorded: RecordRule = field(default_factory=RecordRule)

    def open_stream(
        self,
        address: PublicAddress,
        call_id: CallId,
        call_uuid: str,
        now_unix_s: float,
        note: str = "",
        *,
        begins_with: str | None = None,
    ) -> bytes:
        """Return the XML that opens a call's media socket, by a token of its own.

        `begins_with` is the agent of a call that begins: Vobiz may be asked to record it.
        """
        query = callback_query(call_id, call_uuid)
        record = begins_with and self.recorded.verb(begins_with, address, query)
        token = make_token(self.token_secret, call_id, now_unix_s + self.token_lifetime_s, note)
        return stream_answer(
            address,
            call_id,
            call_uuid,
            token,
            max_retries=self.stream_max_retries,
            texts=self.texts,
            record=record or None,
        )


class Answering:
    """Gives each call one answer, however often and wherever it is asked for."""

    def __init__(
        self,
        *,
        calls: HeldCalls,
        values: KeyValue,
        records: Records,
        rules: AnswerRules,
        clock: Clock,
        tasks: TaskOwner,
        line: WaitingLine,
        metrics: GatewayMetrics,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self._line = line
        self._metrics = metrics
        self._calls = calls
        self._values = values
        self._records = records
        self._rules = rules
        self._clock = clock
        self._tasks = tasks
        self._answering: dict[CallId, asyncio.Task[Answer]] = {}
        self.is_draining = False

    async def answer(
        self, call_id: CallId, webhook: Webhook, asked_agent: str | None, address: PublicAddress
    ) -> Answer:
        """Give a call its XML; the same XML when it is asked for again, here or elsewhere.

        The rest of the task that asks is about this call.
        """
        began_s = self._tracer.now_s()
        turn_to(self._tracer.concern(call_id))
        answer = await self._answer(call_id, webhook, asked_agent, address)
        self._tell(call_id, webhook, answer.outcome, began_s)
        return answer

    def _tell(
        self, call_id: CallId, webhook: Webhook, outcome: AnswerOutcome, began_s: float
    ) -> None:
        """Make a span of an answer; that to a call which nobody dialled begins its trace."""
        first = self._tracer.concern(call_id)
        is_first = call_id == webhook.call_uuid and outcome in _FIRST
        self._tracer.tell(
            "answer",
            None if is_first else first,
            began_s,
            place=first if is_first else None,
            outcome=outcome,
            error="pool_full" if outcome is AnswerOutcome.BUSY else "",
        )

    async def _answer(
        self, call_id: CallId, webhook: Webhook, asked_agent: str | None, address: PublicAddress
    ) -> Answer:
        held = self._calls.get(call_id)
        if held is not None and held.answer is not None:
            return Answer(AnswerOutcome.REPEATED, held.answer)
        running = self._answering.get(call_id)
        if running is not None:
            answer = await asyncio.shield(running)
            return Answer(AnswerOutcome.REPEATED, answer.xml) if answer.xml else answer
        task = self._tasks.start(
            self._make_answer(call_id, webhook, asked_agent, address), name=f"answer/{call_id}"
        )
        self._answering[call_id] = task
        task.add_done_callback(lambda _: self._answering.pop(call_id, None))
        return await asyncio.shield(task)

    async def _make_answer(
        self, call_id: CallId, webhook: Webhook, asked_agent: str | None, address: PublicAddress
    ) -> Answer:
        is_bus_away = False
        try:
            stored, record = await self._known(call_id)
        except BusUnavailable:
            _log.warning("answering_without_bus", call_id=call_id)
            stored, record, is_bus_away = None, None, True
        if stored is not None:
            return Answer(AnswerOutcome.REPEATED, stored)
        if record is not None and record.state.is_final:
            return self._ended()
        if self.is_draining or len(self._calls) >= MAX_HELD:
            return Answer(AnswerOutcome.DRAINING)
        request = replace(
            self._request(call_id, webhook, record, asked_agent),
            call_uuid=webhook.call_uuid,
            webhook_base=address.webhook_base,
        )
        held = self._calls.hold(request, webhook.call_uuid)
        has_ended, link = await asyncio.gather(
            self._records.answered(call_id, webhook, held.request.direction, held.request.agent),
            self._open_link(held),
        )
        held.link = link
        if has_ended or held.is_final:
            # The hang-up overtook the answer: since the call is held, or between the first look
            # at its record and that, when the hang-up found nothing here to end.
            held.is_final = True
            self._calls.keep_a_while(held)
            await self._calls.close_pending(held, LinkClose.NORMAL)
            if self._line.leave(call_id):
                self._count_line(Turn.GONE)
            return self._ended()
        if link is None:
            return self._hold(held, address) or await self._busy(call_id, held)
        if self._line.leave(call_id):
            self._count_line(Turn.SERVED)
        now_unix_s = self._clock.wall().timestamp()
        note = write_note(request, now_unix_s, is_whole=is_bus_away)
        xml = self._rules.open_stream(
            address, call_id, webhook.call_uuid, now_unix_s, note, begins_with=request.agent
        )
        agreed = await self._agree(call_id, xml)
        held.answer = agreed
        held.milestones.answered_s = self._clock.now_s()
        if agreed is not xml:
            # Another gateway was asked at the same time and was first: the call is there.
            await self._calls.close_pending(held, LinkClose.SUPERSEDED)
        return Answer(AnswerOutcome.STREAM, agreed)

    def _ended(self) -> Answer:
        return Answer(AnswerOutcome.ENDED, parting_answer(Parting.ENDED, self._rules.texts))

    async def _known(self, call_id: CallId) -> tuple[bytes | None, CallRecord | None]:
        stored, record = await asyncio.gather(
            self._values.get(_answer_key(call_id)), self._records.find(call_id)
        )
        return (stored.encode() if stored is not None else None), record

    def _request(
        self,
        call_id: CallId,
        webhook: Webhook,
        record: CallRecord | None,
        asked_agent: str | None,
    ) -> LinkRequest:
        is_outbound = (
            record is not None and record.direction is Direction.OUTBOUND
        ) or webhook.direction is Direction.OUTBOUND
        return LinkRequest(
            call_id=call_id,
            agent=agent_name(asked_agent, record),
            from_number=webhook.from_number,
            to_number=webhook.to_number,
            direction=Direction.OUTBOUND if is_outbound else Direction.INBOUND,
            metadata=link_metadata(webhook, record),
            variables=link_variables(record),
        )

    async def _open_link(self, held: HeldCall) -> SocketLink | None:
        try:
            return await self._calls.open_link(held, is_new=True)
        except NoWorker:
            return None

    def _hold(self, held: HeldCall, address: PublicAddress) -> Answer | None:
        """Let a call wait, or return None where it may not.

        Such an answer is not remembered: the call asks again, here or elsewhere, for a better one.
        """
        call_id, now_s = held.request.call_id, self._clock.now_s()
        if gone := self._line.forget_gone(now_s):
            self._count_line(Turn.GONE, gone)
        turn = self._line.ask(call_id, now_s)
        if turn is not Turn.WAITS:
            self._count_line(turn)
        if turn not in {Turn.JOINED, Turn.WAITS}:
            return None
        self._calls.let_go(held)
        query = callback_query(call_id, held.call_uuid) | {"agent": held.request.agent}
        xml = hold_answer(address, query, self._rules.hold_text, self._rules.hold_pause_s)
        return Answer(AnswerOutcome.WAITING, xml)

    def _count_line(self, turn: Turn, calls: int = 1) -> None:
        self._metrics.waiting_line.labels(turn).inc(calls)
        self._metrics.waiting_calls.set(len(self._line))

    async def _busy(self, call_id: CallId, held: HeldCall) -> Answer:
        held.parting = Parting.BUSY
        await self._records.will_end(call_id, EndClass.PLATFORM, EndReason.POOL_FULL)
        xml = await self._agree(call_id, parting_answer(Parting.BUSY, self._rules.texts))
        held.answer = xml
        _log.warning("pool_full", call_id=call_id)
        return Answer(AnswerOutcome.BUSY, xml)

    async def _agree(self, call_id: CallId, xml: bytes) -> bytes:
        """Store an answer unless there is one; return the one that holds."""
        key, memory_s = _answer_key(call_id), self._rules.memory_s
        try:
            is_first = await self._values.put(
                key, xml.decode(), ttl_s=memory_s, only_if_absent=True
            )
            stored = None if is_first else await self._values.get(key)
        except BusUnavailable:
            return xml
        return xml if stored is None else stored.encode()


def _answer_key(call_id: CallId) -> str:
    return f"answer:{call_id}"
