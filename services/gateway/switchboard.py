"""The calls this gateway holds, from the answer webhook to the hang-up.

Everything about a call can be asked twice and of any gateway: what must be the same everywhere
(answers given, tokens used, how the media ended) lies on the bus, with a copy here for when the
bus is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

import structlog

from services.gateway.admission import (
    CLAIM_S,
    HEARTBEAT_S,
    SILENT_S,
    SOCKET_CLAIM,
    Admission,
    Refusal,
    SocketRefused,
)
from services.gateway.bridge import (
    Bridge,
    BridgeHooks,
    BridgeLimits,
    CallerGone,
    CallerSocket,
)
from services.gateway.links import LinkOpener, NoWorker, SocketLink
from services.gateway.records import Records
from services.gateway.routing import (
    Parting,
    PublicAddress,
    Texts,
    agent_name,
    link_metadata,
    parting_answer,
    read_parting,
    resolve_call_id,
    stream_answer,
)
from services.gateway.tokens import make_token
from shared.bus.base import Bus, BusUnavailable
from shared.bus.messages import Channel
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, CallRecord, Direction, EndClass, EndReason, WorkerId
from shared.protocol.webhook import Webhook
from shared.protocol.worker import LinkClose, LinkRequest
from shared.runtime.clock import Clock
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
_FORGET_S = 60.0
_MAX_HELD = 50_000
_REASONS = {
    Parting.BUSY: EndReason.POOL_FULL,
    Parting.LOST: EndReason.AGENT_FAILED,
    Parting.CARRIER_LOST: EndReason.CARRIER_LOST,
}


class AnswerOutcome(StrEnum):
    """What an answer webhook was given; labels a counter."""

    STREAM = "stream"
    BUSY = "busy"
    REPEATED = "repeated"
    ENDED = "ended"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Answer:
    """An outcome and the XML to send; no XML when the gateway takes no calls."""

    outcome: AnswerOutcome
    xml: bytes = b""


@dataclass(frozen=True, slots=True)
class SwitchboardLimits:
    """Bounds and texts of the switchboard."""

    token_lifetime_s: float
    call_memory_s: float
    stream_max_retries: int
    texts: Texts
    token_secret: bytes


@dataclass(slots=True)
class HeldCall:
    """What this gateway knows of a call.

    `link` is a worker's link that waits for the caller; the bridge takes it over. `forget_at_s`
    is when an entry without a bridge is dropped.
    """

    request: LinkRequest
    forget_at_s: float
    answer: bytes | None = None
    link: SocketLink | None = None
    bridge: Bridge | None = None
    parting: Parting | None = None
    is_final: bool = False
    was_admitted: bool = False
    attaches: int = 0

    @property
    def is_over(self) -> bool:
        """Whether no media socket of the call is let in any more."""
        return self.is_final or (self.parting is not None and self.parting.is_for_good)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The right to open one socket."""

    call: HeldCall
    is_reconnect: bool


class Switchboard:
    """Answers calls, joins their sockets, ends them."""

    def __init__(
        self,
        *,
        bus: Bus,
        records: Records,
        opener: LinkOpener,
        admission: Admission,
        limits: SwitchboardLimits,
        bridge_limits: BridgeLimits,
        metrics: GatewayMetrics,
        clock: Clock,
        tasks: TaskOwner,
    ) -> None:
        self._bus = bus
        self._records = records
        self._opener = opener
        self._admission = admission
        self._limits = limits
        self._bridge_limits = bridge_limits
        self._metrics = metrics
        self._clock = clock
        self._tasks = tasks
        self._held: dict[CallId, HeldCall] = {}
        self._answering: dict[CallId, asyncio.Task[Answer]] = {}
        self._opening: set[CallId] = set()
        self._changed = asyncio.Event()
        self.is_draining = False

    # --- webhooks -------------------------------------------------------------------------------

    async def identify(self, webhook: Webhook, claimed: str | None) -> CallId:
        """Return our id of the call a webhook is about."""
        record, is_known = None, True
        if claimed is not None:
            if CallId(claimed) in self._held:
                record_id = CallId(claimed)
                held = self._held[record_id]
                if held.request.direction is Direction.OUTBOUND:
                    return record_id
            try:
                record = await self._records.find(CallId(claimed))
            except BusUnavailable:
                is_known = False
        return resolve_call_id(webhook, claimed, record, is_known=is_known)

    async def answer(
        self, call_id: CallId, webhook: Webhook, asked_agent: str | None, address: PublicAddress
    ) -> Answer:
        """Give a call its XML; the same XML when it is asked for again, here or elsewhere."""
        held = self._held.get(call_id)
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
        stored, record = await self._known(call_id)
        if stored is not None:
            return Answer(AnswerOutcome.REPEATED, stored)
        if record is not None and record.state.is_final:
            return self._ended()
        if self.is_draining or len(self._held) >= _MAX_HELD:
            return Answer(AnswerOutcome.DRAINING)
        held = self._hold(call_id, self._request(call_id, webhook, record, asked_agent))
        _, link = await asyncio.gather(
            self._records.answered(call_id, webhook, held.request.direction, held.request.agent),
            self._open_link(held),
        )
        if held.is_final:
            # The hang-up overtook the answer.
            await self._close_pending(held, LinkClose.NORMAL)
            return self._ended()
        if link is None:
            return await self._busy(call_id, held)
        token = make_token(
            self._limits.token_secret,
            call_id,
            self._clock.wall().timestamp() + self._limits.token_lifetime_s,
        )
        xml = stream_answer(
            address,
            call_id,
            webhook.call_uuid,
            token,
            max_retries=self._limits.stream_max_retries,
            texts=self._limits.texts,
        )
        agreed = await self._agree(call_id, xml)
        held.answer = agreed
        if agreed is not xml:
            # Another gateway was asked at the same time and was first: the call is there.
            await self._close_pending(held, LinkClose.SUPERSEDED)
        return Answer(AnswerOutcome.STREAM, agreed)

    def _ended(self) -> Answer:
        return Answer(AnswerOutcome.ENDED, parting_answer(Parting.ENDED, self._limits.texts))

    async def _known(self, call_id: CallId) -> tuple[bytes | None, CallRecord | None]:
        try:
            stored, record = await asyncio.gather(
                self._bus.values.get(_answer_key(call_id)), self._records.find(call_id)
            )
        except BusUnavailable:
            _log.warning("answering_without_bus", call_id=call_id)
            return None, None
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
        )

    def _hold(self, call_id: CallId, request: LinkRequest) -> HeldCall:
        forget_at_s = self._clock.now_s() + self._limits.token_lifetime_s
        held = self._held[call_id] = HeldCall(request, forget_at_s)
        return held

    async def _open_link(self, held: HeldCall) -> SocketLink | None:
        try:
            held.link = await self._opener.open(
                held.request, next_epoch=lambda: self._next_epoch(held)
            )
        except NoWorker:
            return None
        return held.link

    async def _next_epoch(self, held: HeldCall) -> int:
        held.attaches += 1
        try:
            key = f"epoch:{held.request.call_id}"
            count = await self._bus.values.increment(key, ttl_s=self._limits.call_memory_s)
        except BusUnavailable:
            return held.attaches
        held.attaches = max(held.attaches, count)
        return count

    async def _busy(self, call_id: CallId, held: HeldCall) -> Answer:
        held.parting = Parting.BUSY
        await self._records.will_end(call_id, EndClass.PLATFORM, EndReason.POOL_FULL)
        xml = await self._agree(call_id, parting_answer(Parting.BUSY, self._limits.texts))
        held.answer = xml
        _log.warning("pool_full", call_id=call_id)
        return Answer(AnswerOutcome.BUSY, xml)

    async def _agree(self, call_id: CallId, xml: bytes) -> bytes:
        """Store an answer unless there is one; return the one that holds."""
        key, memory_s = _answer_key(call_id), self._limits.call_memory_s
        try:
            is_first = await self._bus.values.put(
                key, xml.decode(), ttl_s=memory_s, only_if_absent=True
            )
            stored = None if is_first else await self._bus.values.get(key)
        except BusUnavailable:
            return xml
        return xml if stored is None else stored.encode()

    async def hang_up(self, call_id: CallId, webhook: Webhook) -> None:
        """End a call by its hang-up webhook.

        Raises:
            BusUnavailable: ended here, but not written down nor told to others.
        """
        self._finish(call_id)
        await self._records.ended(call_id, webhook)

    async def parting(self, call_id: CallId) -> Parting:
        """Return how the call's media ended; LOST when nobody knows."""
        held = self._held.get(call_id)
        if held is not None and held.parting is not None:
            return held.parting
        if held is not None and held.is_final:
            return Parting.ENDED
        try:
            return read_parting(await self._bus.values.get(_parting_key(call_id)))
        except BusUnavailable:
            return Parting.LOST

    async def fall_back(self, call_id: CallId) -> bytes:
        """Return the XML for a call whose stream has ended, and write down a call we lost."""
        parting = await self.parting(call_id)
        reason = _REASONS.get(parting)
        if reason is not None:
            await self._records.will_end(call_id, EndClass.PLATFORM, reason)
        return parting_answer(parting, self._limits.texts)

    # --- media sockets --------------------------------------------------------------------------

    async def admit(self, call_id: CallId, token: str) -> Admitted:
        """Let a media socket in, or raise SocketRefused; what was let in must be served."""
        is_late = self._admission.judge(call_id, token)
        if call_id in self._opening:
            raise SocketRefused(Refusal.USED)
        self._opening.add(call_id)
        try:
            return await self._admit(call_id, is_late=is_late)
        except BaseException:
            self._opening.discard(call_id)
            raise

    async def _admit(self, call_id: CallId, *, is_late: bool) -> Admitted:
        held = self._held.get(call_id)
        if held is not None and held.is_over:
            raise SocketRefused(Refusal.ENDED)
        is_reconnect = await self._admission.admit(
            call_id,
            is_late=is_late,
            was_used_here=held is not None and held.was_admitted,
            is_free_here=lambda: self._is_free(call_id),
        )
        held = self._held.get(call_id) or await self._adopt(call_id)
        if is_reconnect and held.bridge is None:
            await self._refuse_ended(call_id)
        if held.is_over:
            raise SocketRefused(Refusal.ENDED)
        held.was_admitted = True
        return Admitted(held, is_reconnect)

    async def _is_free(self, call_id: CallId) -> bool:
        held = self._held.get(call_id)
        if held is None or held.bridge is None:
            return True
        return await held.bridge.caller_is_gone(silent_s=SILENT_S, timeout_s=CLAIM_S)

    async def _adopt(self, call_id: CallId) -> HeldCall:
        """Take over a call that another gateway answered."""
        try:
            record = await self._records.find(call_id)
        except BusUnavailable:
            record = None
        if record is None:
            raise SocketRefused(Refusal.UNKNOWN)
        if record.state.is_final:
            raise SocketRefused(Refusal.ENDED)
        request = LinkRequest(
            call_id=call_id,
            agent=agent_name(None, record),
            from_number=record.from_number or "",
            to_number=record.to_number or "",
            direction=record.direction or Direction.INBOUND,
            metadata=record.metadata,
        )
        return self._held.get(call_id) or self._hold(call_id, request)

    async def _refuse_ended(self, call_id: CallId) -> None:
        try:
            record = await self._records.find(call_id)
            parting = await self._bus.values.get(_parting_key(call_id))
        except BusUnavailable:
            return
        is_parted = parting is not None and read_parting(parting).is_for_good
        if is_parted or (record is not None and record.state.is_final):
            raise SocketRefused(Refusal.ENDED)

    async def serve(self, admitted: Admitted, caller: CallerSocket) -> None:
        """Accept an admitted socket and carry it until it closes."""
        held = admitted.call
        call_id = held.request.call_id
        try:
            await caller.accept()
        except CallerGone:
            self._opening.discard(call_id)
            await self._admission.left(call_id)
            return
        bridge = held.bridge
        if bridge is None or bridge.is_over:
            bridge = self._new_bridge(held, is_reconnect=admitted.is_reconnect)
            held.bridge, held.parting = bridge, None
            self._tasks.start(self._run(held, bridge), name=f"bridge/{call_id}")
        self._opening.discard(call_id)
        self._metrics.active_calls.inc()
        try:
            await bridge.serve(caller)
        finally:
            self._metrics.active_calls.dec()
            if not bridge.has_live_caller:
                await self._admission.left(call_id)

    def _new_bridge(self, held: HeldCall, *, is_reconnect: bool) -> Bridge:
        call_id = held.request.call_id
        if is_reconnect:
            held.request = _resumed(held.request)
        link, held.link = held.link, None

        async def open_link(exclude: Collection[WorkerId]) -> SocketLink:
            return await self._opener.open(
                held.request, next_epoch=lambda: self._next_epoch(held), exclude=exclude
            )

        async def give_up(worker_id: WorkerId) -> None:
            await self._opener.release(worker_id, call_id)

        def on_first_frame(worker_id: WorkerId | None) -> None:
            work = self._records.media_started(call_id, worker_id)
            self._tasks.start(work, name=f"media_started/{call_id}")

        async def on_over(parting: Parting | None) -> None:
            await self._on_media_over(held, parting)

        hooks = BridgeHooks(open_link, give_up, on_first_frame, on_over)
        return Bridge(call_id, link, hooks, self._bridge_limits, self._metrics, self._clock)

    async def _run(self, held: HeldCall, bridge: Bridge) -> None:
        try:
            await bridge.run()
        finally:
            if held.bridge is bridge:
                held.bridge = None
            held.forget_at_s = self._clock.now_s() + _FORGET_S
            self._changed.set()
            if bridge.worker_id is not None:
                await self._opener.release(bridge.worker_id, held.request.call_id)

    async def _on_media_over(self, held: HeldCall, parting: Parting | None) -> None:
        call_id = held.request.call_id
        if parting is None:
            self._held.pop(call_id, None)
            return
        if held.is_final:
            return
        held.parting = parting
        try:
            await self._bus.values.put(
                _parting_key(call_id), parting, ttl_s=self._limits.call_memory_s
            )
        except BusUnavailable:
            _log.warning("parting_not_written", call_id=call_id)

    # --- life -----------------------------------------------------------------------------------

    @property
    def held_calls(self) -> int:
        """Calls with an open bridge or a link that waits for its caller."""
        return sum(1 for held in self._held.values() if held.bridge or held.link)

    def _finish(self, call_id: CallId) -> None:
        """A call is over: close what is open of it. May be called twice."""
        held = self._held.get(call_id)
        if held is None or held.is_final:
            return
        held.is_final = True
        held.forget_at_s = self._clock.now_s() + _FORGET_S
        if held.bridge is not None:
            self._tasks.start(held.bridge.close(LinkClose.NORMAL), name=f"hangup/{call_id}")
        if held.link is not None:
            self._tasks.start(self._close_pending(held, LinkClose.NORMAL), name=f"hangup/{call_id}")

    async def _close_pending(self, held: HeldCall, code: LinkClose) -> None:
        link, held.link = held.link, None
        if link is None:
            return
        await link.close(code)
        if code is not LinkClose.SUPERSEDED:
            await self._opener.release(link.worker_id, held.request.call_id)
        self._changed.set()

    async def follow_events(self) -> None:
        """Follow hang-ups and claims of other gateways, until cancelled."""
        while True:
            try:
                await self._follow()
            except BusUnavailable:
                # Once begun, a subscription mends itself: only its beginning can fail.
                await asyncio.sleep(HEARTBEAT_S)

    async def _follow(self) -> None:
        async with self._bus.events.subscribe(Channel.HANGUPS, Channel.WORKERS) as events:
            async for event in events:
                if event.call_id is None:
                    continue
                if event.channel is Channel.HANGUPS:
                    self._finish(event.call_id)
                elif event.kind == SOCKET_CLAIM:
                    self._tasks.start(self._give_way(event.call_id), name="give_way")

    async def _give_way(self, call_id: CallId) -> None:
        held = self._held.get(call_id)
        bridge = held.bridge if held else None
        if bridge is None:
            await self._admission.left(call_id)
        elif await bridge.caller_is_gone(silent_s=SILENT_S, timeout_s=CLAIM_S - SILENT_S):
            await bridge.drop_caller()
            await self._admission.left(call_id)

    async def keep_house(self) -> None:
        """Say that we live and forget calls that never came or are over, until cancelled."""
        is_bus_up = True
        while True:
            try:
                await self._admission.heartbeat()
                is_bus_up = True
            except BusUnavailable:
                if is_bus_up:
                    _log.warning("bus_away")
                is_bus_up = False
            now_s = self._clock.now_s()
            for call_id, held in list(self._held.items()):
                if held.bridge is None and held.forget_at_s <= now_s:
                    del self._held[call_id]
                    self._tasks.start(
                        self._close_pending(held, LinkClose.NO_CALLER), name="no_caller"
                    )
            await asyncio.sleep(HEARTBEAT_S)

    async def until_idle(self) -> None:
        """Return when no call is held any more."""
        while self.held_calls:
            self._changed.clear()
            await self._changed.wait()


def _resumed(request: LinkRequest) -> LinkRequest:
    return LinkRequest(
        call_id=request.call_id,
        agent=request.agent,
        from_number=request.from_number,
        to_number=request.to_number,
        direction=request.direction,
        resume=True,
        metadata=request.metadata,
    )


def _answer_key(call_id: CallId) -> str:
    return f"answer:{call_id}"


def _parting_key(call_id: CallId) -> str:
    return f"parting:{call_id}"
