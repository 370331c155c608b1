"""Joins the callers' sockets with the workers' links, and ends calls.

Everything about a call can be asked twice and of any gateway: what must be the same everywhere
(answers given, tokens used, how the media ended) lies on the bus, with a copy here for when the
bus is away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass

import structlog

from services.gateway.access.admission import (
    CLAIM_S,
    HEARTBEAT_S,
    SILENT_S,
    SOCKET_CLAIM,
    Admission,
    Refusal,
    SocketRefused,
)
from services.gateway.access.tokens import note_of
from services.gateway.calls.errands import Errands, parting_key, publish_once
from services.gateway.calls.held import HeldCall, HeldCalls
from services.gateway.calls.records import Records
from services.gateway.calls.routing import (
    PublicAddress,
    Texts,
    agent_name,
    fitting_metadata,
    link_variables,
    parting_answer,
    read_parting,
    resolve_call_id,
)
from services.gateway.calls.token_note import read_note
from services.gateway.media.bridge import Bridge, BridgeHooks, BridgeLimits
from services.gateway.media.caller import CallerDoor, CallerGone
from services.gateway.media.relay import Parting
from services.gateway.workers.links import SocketLink
from shared.bus.base import Bus, BusUnavailable
from shared.bus.messages import Applied, BusEvent, Channel
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, Direction, EndClass, EndReason, WorkerId
from shared.protocol.errand import EVENT_MACHINE
from shared.protocol.webhook import Webhook
from shared.protocol.worker import LinkClose, LinkRequest
from shared.runtime.clock import Clock
from shared.runtime.concern import About
from shared.runtime.tasks import TaskOwner
from shared.runtime.tracing import NO_TRACER, Tracer

_log = structlog.get_logger(__name__)
_PARTING_S = 0.5
_PARTING_POLL_S = 0.05
_LEVELS = {Parting.LOST: logging.ERROR, Parting.CARRIER_LOST: logging.WARNING}
_REASONS = {
    Parting.BUSY: EndReason.POOL_FULL,
    Parting.LOST: EndReason.AGENT_FAILED,
    Parting.CARRIER_LOST: EndReason.CARRIER_LOST,
    Parting.AWAY: EndReason.AGENT_FAILED,
}


@dataclass(frozen=True, slots=True)
class Admitted:
    """The right to open one socket."""

    call: HeldCall
    is_reconnect: bool


class Switchboard:
    """Lets media sockets in, carries them, and ends calls."""

    def __init__(
        self,
        *,
        bus: Bus,
        records: Records,
        calls: HeldCalls,
        admission: Admission,
        errands: Errands,
        texts: Texts,
        memory_s: float,
        bridge_limits: BridgeLimits,
        metrics: GatewayMetrics,
        clock: Clock,
        tasks: TaskOwner,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self._bus = bus
        self._records = records
        self._calls = calls
        self._admission = admission
        self._errands = errands
        self._texts = texts
        self._memory_s = memory_s
        self._bridge_limits = bridge_limits
        self._metrics = metrics
        self._clock = clock
        self._tasks = tasks
        self._opening: set[CallId] = set()

    # --- webhooks -------------------------------------------------------------------------------

    async def identify(self, webhook: Webhook, claimed: str | None) -> CallId:
        """Return our id of the call a webhook is about."""
        record, is_known = None, True
        if claimed is not None:
            held = self._calls.get(CallId(claimed))
            if held is not None and held.call_uuid == webhook.call_uuid:
                return held.request.call_id
            try:
                record = await self._records.find(CallId(claimed))
            except BusUnavailable:
                is_known = False
        return resolve_call_id(webhook, claimed, record, is_known=is_known)

    async def hang_up(self, call_id: CallId, webhook: Webhook) -> None:
        """End a call by its hang-up webhook.

        Raises:
            BusUnavailable: ended here, but not written down nor told to others.
        """
        with About(self._tracer.concern(call_id)):
            self._finish(call_id, webhook.hangup_cause_code)
            self._count_end(await self._records.ended(call_id, webhook))

    def _count_end(self, applied: Applied) -> None:
        """Count a call, once: whoever wrote down first that it is over does."""
        record = applied.record
        if applied.became_final:
            labels = (
                record.direction or Direction.INBOUND,
                record.end_class or EndClass.UNKNOWN,
                record.end_reason or EndReason.UNKNOWN,
            )
            self._metrics.ended_calls.labels(*labels).inc()

    async def parting(self, call_id: CallId) -> Parting:
        """Return how the call's media ended; LOST when nobody knows.

        Vobiz asks as soon as it has read `stop`, while the worker's link is still closing.
        """
        held = self._calls.get(call_id)
        if held is not None and held.bridge is not None:
            await held.bridge.wait_over(_PARTING_S)
        if held is not None and held.parting is not None:
            return held.parting
        if held is not None and held.is_final:
            return Parting.ENDED
        try:
            return read_parting(await self._stored_parting(call_id, is_here=held is not None))
        except BusUnavailable:
            return Parting.LOST

    async def _stored_parting(self, call_id: CallId, *, is_here: bool) -> str | None:
        """Return what the call's gateway has written, which may be about to."""
        key = parting_key(call_id)
        until_s = self._clock.now_s() + (0.0 if is_here else _PARTING_S)
        while (stored := await self._bus.values.get(key)) is None:
            if self._clock.now_s() >= until_s:
                break
            await asyncio.sleep(_PARTING_POLL_S)
        return stored

    async def fall_back(self, call_id: CallId) -> bytes:
        """Return the XML for a call whose stream has ended, and write down a call we lost."""
        parting = await self.parting(call_id)
        reason = _REASONS.get(parting)
        if reason is not None:
            await self._records.will_end(call_id, EndClass.PLATFORM, reason)
        return parting_answer(parting, self._texts)

    async def on_machine_judged(self, call_id: CallId, *, is_machine: bool) -> None:
        """Vobiz has judged who answered: write it down, and tell the worker, once."""
        await self._records.machine_detected(call_id, is_machine=is_machine)
        data = {"is_machine": "true" if is_machine else "false"}
        event = BusEvent(Channel.CALLS, EVENT_MACHINE, call_id, data)
        try:
            await publish_once(self._bus, event, call_id, ttl_s=self._memory_s)
        except BusUnavailable:
            _log.warning("machine_not_told", call_id=call_id)

    # --- media sockets --------------------------------------------------------------------------

    async def admit(self, call_id: CallId, token: str, address: PublicAddress | None) -> Admitted:
        """Let a media socket in, or raise SocketRefused; what was let in must be served.

        `address` is how it reached us, None when it does not say.
        """
        is_late = self._admission.judge(call_id, token)
        if call_id in self._opening:
            raise SocketRefused(Refusal.USED)
        self._opening.add(call_id)
        try:
            return await self._admit(call_id, token, address, is_late=is_late)
        except BaseException:
            self._opening.discard(call_id)
            raise

    async def _admit(
        self, call_id: CallId, token: str, address: PublicAddress | None, *, is_late: bool
    ) -> Admitted:
        held = self._calls.get(call_id)
        if held is not None and held.is_over:
            raise SocketRefused(Refusal.ENDED)
        is_reconnect = await self._admission.admit(
            call_id,
            is_late=is_late,
            was_used_here=held is not None and held.was_admitted,
            is_free_here=lambda: self._is_free(call_id),
        )
        held = self._calls.get(call_id) or await self._adopt(call_id, token, address)
        if is_reconnect and held.bridge is None:
            await self._refuse_ended(call_id)
        if held.is_over:
            raise SocketRefused(Refusal.ENDED)
        held.was_admitted = True
        return Admitted(held, is_reconnect)

    async def _is_free(self, call_id: CallId) -> bool:
        held = self._calls.get(call_id)
        if held is None or held.bridge is None:
            return True
        return await held.bridge.caller_is_gone(silent_s=SILENT_S, timeout_s=CLAIM_S)

    async def _adopt(self, call_id: CallId, token: str, address: PublicAddress | None) -> HeldCall:
        """Take over a call that another gateway answered."""
        try:
            record = await self._records.find(call_id)
        except BusUnavailable:
            record = None
        if record is None:
            return self._adopt_by_note(call_id, token, address)
        if record.state.is_final:
            raise SocketRefused(Refusal.ENDED)
        request = LinkRequest(
            call_id=call_id,
            agent=agent_name(None, record),
            from_number=record.from_number or "",
            to_number=record.to_number or "",
            direction=record.direction or Direction.INBOUND,
            metadata=fitting_metadata(record.metadata),
            variables=link_variables(record),
            call_uuid=record.call_uuid or call_id,
            webhook_base=address.webhook_base if address else "",
            # Says it too where the bus did not answer when asked who held the socket.
            resume=record.worker_id is not None,
        )
        return self._calls.get(call_id) or self._calls.hold(request, record.call_uuid or call_id)

    def _adopt_by_note(
        self, call_id: CallId, token: str, address: PublicAddress | None
    ) -> HeldCall:
        """Take over a call of which the bus does not tell, by what its token says."""
        noted = read_note(note_of(token), call_id, address.webhook_base if address else "")
        if noted is None:
            raise SocketRefused(Refusal.UNKNOWN)
        _log.warning("adopted_by_token", call_id=call_id)
        if (held := self._calls.get(call_id)) is not None:
            return held
        held = self._calls.hold(noted.request, noted.request.call_uuid or call_id)
        # More attaches than another gateway has counted meanwhile, for which the bus can't vouch.
        held.attaches = 1 + max(0, int(self._clock.wall().timestamp()) - noted.made_unix_s)
        return held

    async def _refuse_ended(self, call_id: CallId) -> None:
        try:
            record = await self._records.find(call_id)
            parting = await self._bus.values.get(parting_key(call_id))
        except BusUnavailable:
            return
        is_parted = parting is not None and read_parting(parting).is_for_good
        if is_parted or (record is not None and record.state.is_final):
            raise SocketRefused(Refusal.ENDED)

    async def serve(self, admitted: Admitted, door: CallerDoor) -> None:
        """Accept an admitted socket and carry it until it closes."""
        held = admitted.call
        call_id = held.request.call_id
        try:
            caller = await door.accept()
        except CallerGone:
            self._opening.discard(call_id)
            await self._admission.left(call_id)
            return
        if held.is_over:
            # A hang-up came between.
            self._opening.discard(call_id)
            caller.close(LinkClose.NORMAL)
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
            self._calls.resume(held)
            # Whoever is back has left nothing to be done for them.
            self._tasks.start(self._errands.forget(call_id), name=f"forget_errand/{call_id}")
        link, held.link = held.link, None

        async def open_link(exclude: Collection[WorkerId], resume: bool) -> SocketLink:
            if resume:
                self._calls.resume(held)
            return await self._calls.open_link(held, exclude)

        def give_up(worker_id: WorkerId) -> None:
            work = self._calls.release(held, worker_id)
            self._tasks.start(work, name=f"give_up/{call_id}")

        def on_worker(worker_id: WorkerId) -> None:
            work = self._records.worker_changed(call_id, worker_id)
            self._tasks.start(work, name=f"worker_changed/{call_id}")

        def on_first_frame(worker_id: WorkerId | None) -> None:
            work = self._records.media_started(call_id, worker_id)
            self._tasks.start(work, name=f"media_started/{call_id}")

        async def on_over(parting: Parting | None) -> None:
            if held.bridge is bridge:
                await self._on_media_over(held, parting)

        hooks = BridgeHooks(open_link, give_up, on_worker, on_first_frame, on_over)
        bridge = Bridge(
            call_id,
            link,
            hooks,
            self._bridge_limits,
            self._metrics,
            self._clock,
            held.milestones,
            self._tracer,
        )
        return bridge

    async def _run(self, held: HeldCall, bridge: Bridge) -> None:
        try:
            await bridge.run()
        finally:
            is_newest = held.bridge is bridge
            if is_newest:
                held.bridge = None
            self._calls.keep_a_while(held)
            # A worker that is away, or that the call is back at, keeps its place.
            is_left = is_newest and held.parting is not Parting.AWAY
            if is_newest and held.is_final:
                self._tell(held)
            if bridge.worker_id is not None and is_left:
                await self._calls.release(held, bridge.worker_id)

    async def _on_media_over(self, held: HeldCall, parting: Parting | None) -> None:
        call_id = held.request.call_id
        held.milestones.media_over_s = self._clock.now_s()
        if parting is None:
            held.milestones.failure = "moved"
            self._tell(held)
            self._calls.let_go(held)
            return
        if held.is_final:
            return
        if await self._errands.is_pending(call_id):
            # However the stream ended: /errand or /fallback will say what is to be done.
            parting = Parting.AWAY
        held.parting = parting
        try:
            await self._bus.values.put(parting_key(call_id), parting, ttl_s=self._memory_s)
        except BusUnavailable:
            _log.warning("parting_not_written", call_id=call_id)

    # --- life -----------------------------------------------------------------------------------

    def _tell(self, held: HeldCall) -> None:
        """Log what the call came by here, once; at its end, or when it goes on elsewhere."""
        if held.milestones.is_told:
            return
        held.milestones.is_told = True
        _log.log(
            _LEVELS.get(held.parting, logging.INFO) if held.parting else logging.INFO,
            "call_summary",
            call_id=held.request.call_id,
            agent=held.request.agent,
            direction=held.request.direction,
            parting=held.parting,
            **held.milestones.line(self._clock.now_s()),
        )

    def _finish(self, call_id: CallId, cause: str = "") -> None:
        """A call is over: close what is open of it. May be called twice."""
        held = self._calls.get(call_id)
        if held is None or held.is_final:
            return
        held.is_final = True
        held.milestones.cause = cause
        self._calls.keep_a_while(held)
        if held.bridge is None:
            self._tell(held)
        else:
            self._tasks.start(held.bridge.close(LinkClose.NORMAL), name=f"hangup/{call_id}")
        if held.link is not None:
            self._tasks.start(
                self._calls.close_pending(held, LinkClose.NORMAL), name=f"hangup/{call_id}"
            )

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
                with About(self._tracer.concern(event.call_id)):
                    self._on_event(event, event.call_id)

    def _on_event(self, event: BusEvent, call_id: CallId) -> None:
        if event.channel is Channel.HANGUPS:
            self._finish(call_id)
        elif event.kind == SOCKET_CLAIM:
            self._tasks.start(self._give_way(call_id), name="give_way")

    async def _give_way(self, call_id: CallId) -> None:
        held = self._calls.get(call_id)
        bridge = held.bridge if held else None
        if bridge is None:
            await self._admission.left(call_id)
        elif await bridge.caller_is_gone(silent_s=SILENT_S, timeout_s=CLAIM_S - SILENT_S):
            bridge.drop_caller()
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
            for held in self._calls.take_forgotten():
                with About(self._tracer.concern(held.request.call_id)):
                    self._forget(held)
            await asyncio.sleep(HEARTBEAT_S)

    def _forget(self, held: HeldCall) -> None:
        self._tell(held)
        work = self._calls.close_pending(held, LinkClose.NO_CALLER)
        self._tasks.start(work, name="no_caller")
