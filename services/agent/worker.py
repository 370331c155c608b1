"""A worker: the calls it holds, its place in the pool, the wheel that paces them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import NoReturn

import structlog
from websockets.http11 import Request

from services.agent.call.arrival import Arrival
from services.agent.call.call import Call
from services.agent.call.kept import KeptCall
from services.agent.call.live import Watches
from services.agent.call.parts import Parts
from services.agent.capacity import (
    AdaptiveCapacity,
    LatenessRule,
    Load,
    Refusal,
    refuse_attach,
    refuse_new_call,
)
from services.agent.company.cast import Cast, Company
from services.agent.providers.errors import ProviderError
from services.agent.wire.link import Link, LinkHandler, Refused
from services.agent.wire.network import network_event
from shared.bus.base import Bus, BusUnavailable
from shared.bus.messages import BusEvent, Channel, WorkerLease
from shared.protocol.call import CallId, EndReason
from shared.protocol.live import (
    EVENT_DRAIN,
    EVENT_UNDRAIN,
    EVENT_WATCH,
    MAX_VIEW_CALLS,
    VIEW_LIFE_S,
    WorkerView,
    view_key,
)
from shared.protocol.worker import LinkClose, LinkRefused, LinkRequest
from shared.runtime.concern import About
from shared.runtime.lifecycle import LoopLag
from shared.runtime.tasks import TaskOwner

TICK_S = 0.02
_HEARTBEAT_S = 1.0
_STOOD_STILL_S = 0.8
"""A worker that did nothing for so long may have lost its calls to others."""
_STATUS = {
    Refusal.FULL: 503,
    Refusal.DRAINING: 503,
    Refusal.UNAUTHORIZED: 401,
    Refusal.STALE: 409,
}
_log = structlog.get_logger(__name__)


class Worker:
    """All calls of this process.

    Args:
        lease: what the pool is told of this worker; load and draining are filled in.
        parts: shared by the calls.
        company: who takes them.
        bus: the pool and the hang-up events.
        secret: the secret gateways sign links with.
        lag: of the event loop.
        lateness: when new calls are held off because frames are late.
        on_task_failed: told of a task of the worker's own that failed, which is a bug.
    """

    def __init__(
        self,
        lease: WorkerLease,
        parts: Parts,
        company: Company,
        *,
        bus: Bus,
        secret: str,
        lag: LoopLag,
        lateness: LatenessRule | None = None,
        on_task_failed: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        self._lease = lease
        self._parts = parts
        self._company = company
        self._bus = bus
        self._secret = secret
        self._lag = lag
        self._calls: dict[CallId, Call] = {}
        self._arrivals: dict[CallId, tuple[Arrival, Cast]] = {}
        self._watches = Watches(parts.clock)
        self._owner = TaskOwner("worker", on_failure=on_task_failed)
        self._is_draining = self._is_held_off = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._pool_changed = asyncio.Event()
        self._pool_state = "unavailable"
        self._shown_states: set[tuple[str, str, str]] = set()
        self._room = AdaptiveCapacity(lease.capacity, lateness)
        parts.metrics.capacity.set(lease.capacity)
        parts.metrics.open_capacity.set(lease.capacity)

    # --- links -------------------------------------------------------------------------------

    def make_link(self) -> Link:
        """Return the protocol of one new connection."""
        return Link(
            self.admit,
            on_malformed=self._parts.metrics.messages.labels("malformed").inc,
            on_slow=self._parts.metrics.slow_links.inc,
        )

    def admit(self, request: Request, link: Link) -> LinkHandler:
        """Decide on a gateway's handshake.

        Raises:
            Refused: unsigned, full, draining, stale, or no recogniser to be had.
        """
        try:
            asked = LinkRequest.from_headers(
                request.path.partition("?")[0],
                dict(request.headers.raw_items()),
                self._secret,
                self._parts.clock.wall().timestamp(),
            )
        except LinkRefused as exc:
            self._refuse(Refusal.UNAUTHORIZED, exc)
        with About(self._parts.tracer.concern(asked.call_id, asked.trace)):
            return self._admit(asked, link)

    def _admit(self, asked: LinkRequest, link: Link) -> LinkHandler:
        known = self._calls.get(asked.call_id)
        if known is not None:
            if refusal := refuse_attach(known.epoch, asked.epoch):
                self._refuse(refusal)
            if not (known.is_given_up or self._may_be_behind(known, asked)):
                known.attach(link, asked)
                return known
            del self._calls[asked.call_id]
            known.leave(LinkClose.SUPERSEDED)
        if (arriving := self._arrivals.get(asked.call_id)) is not None:
            before = arriving[0]
            if refusal := refuse_attach(before.request.epoch, asked.epoch):
                self._refuse(refusal)
            self._on_arrived(before, None)
            before.give_up(LinkClose.SUPERSEDED)
        load = Load(self._held, self._room.calls, self.is_draining)
        if refusal := refuse_new_call(load):
            self._refuse(refusal)
        cast = self._company.choose(asked.agent, asked.to_number)
        if asked.resume:
            return self._await_arrival(asked, link, cast)
        try:
            call = Call(asked, cast, self._parts, on_over=self._on_over)
        except ProviderError as exc:
            _log.error("call_not_taken", agent=cast.file.name, error=str(exc))
            self._refuse(Refusal.FULL, exc)
        self._company.enter(cast)
        self._calls[asked.call_id] = call
        self._count()
        if self._watches.has(asked.call_id):
            call.live.watch()
        call.attach(link, asked)
        call.start()
        return call

    def _may_be_behind(self, known: Call, asked: LinkRequest) -> bool:
        """Whether another worker may have had the call since this one lost it."""
        is_next = asked.epoch == known.epoch + 1
        return asked.resume and not is_next and self._parts.sessions is not None

    def _await_arrival(self, asked: LinkRequest, link: Link, cast: Cast) -> Arrival:
        """Take over a call that another worker has had."""

        def make(kept: KeptCall | None) -> Call:
            return Call(asked, cast, self._parts, on_over=self._on_over, kept=kept)

        arrival = Arrival(asked, link, self._parts, make=make, on_ready=self._on_arrived)
        self._company.enter(cast)
        self._arrivals[asked.call_id] = arrival, cast
        self._count()
        self._owner.start(arrival.run(), name="arrival")
        return arrival

    def _on_arrived(self, arrival: Arrival, call: Call | None) -> None:
        known = self._arrivals.get(arrival.request.call_id)
        if known is None or known[0] is not arrival:
            return
        del self._arrivals[arrival.request.call_id]
        if call is None:
            self._company.leave(known[1])
        else:
            self._calls[arrival.request.call_id] = call
            if self._watches.has(arrival.request.call_id):
                call.live.watch()
                call.live.tell("resumed", worker_id=self._lease.worker_id)
        self._count()

    @property
    def _held(self) -> int:
        return len(self._calls) + len(self._arrivals)

    def _count(self) -> None:
        self._parts.metrics.active_calls.set(self._held)
        if self._held:
            self._idle.clear()
        else:
            self._idle.set()

    def _refuse(self, reason: Refusal, cause: Exception | None = None) -> NoReturn:
        self._parts.metrics.refusals.labels(reason.value).inc()
        if reason is Refusal.UNAUTHORIZED:
            _log.warning("link_refused", reason=reason.value, error=str(cause) if cause else None)
        else:
            _log.info("link_refused", reason=reason.value)
        raise Refused(_STATUS[reason], reason.value) from cause

    def _on_over(self, call: Call) -> None:
        if self._calls.get(call.request.call_id) is call:
            del self._calls[call.request.call_id]
        self._owner.start(self._let_go(call), name="let_go")
        self._count()

    async def _let_go(self, call: Call) -> None:
        await call.stop()
        self._company.leave(call.cast)
        try:
            await self._bus.workers.release(self._lease.worker_id, call.request.call_id)
        except BusUnavailable:
            _log.info("booking_not_released", call_id=call.request.call_id)

    # --- tasks -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start pacing, heartbeats and the reader of what the network and the gateways tell."""
        self._owner.start(self._turn_wheel(), name="wheel")
        self._owner.start(self._heartbeats(), name="heartbeats")
        self._owner.start(self._read_events(), name="events")
        self._owner.start(self._lag.run(), name="lag")

    async def _turn_wheel(self) -> None:
        """Tick every call each 20 ms, on an absolute schedule.

        All calls are served in one pass; a pass that comes late is not made up by another, since
        each call sends whatever its own schedule says is due.
        """
        clock = self._parts.clock
        due_s = clock.now_s()
        while True:
            has_stood_still = clock.now_s() - due_s > _STOOD_STILL_S
            due_s = max(due_s + TICK_S, clock.now_s())
            await asyncio.sleep(due_s - clock.now_s())
            self._parts.scorer.on_turn()
            for call in list(self._calls.values()):
                if has_stood_still:
                    call.on_woken()
                call.on_tick()
            now_s = clock.now_s()
            if self._room.on_turn(now_s - due_s, self._held, now_s):
                self._tell_room()

    def _tell_room(self) -> None:
        """Tell the pool at once how many calls are taken now."""
        self._parts.metrics.open_capacity.set(self._room.calls)
        _log.warning("capacity_changed", calls=self._room.calls, is_reduced=self._room.is_reduced)
        self._pool_changed.set()

    async def _heartbeats(self) -> None:
        is_lost = False
        while True:
            self._show_states()
            lease = replace(
                self._lease,
                capacity=self._room.calls,
                active=self._held,
                lag_ms=self._lag.worst_ms,
                draining=self.is_draining,
            )
            try:
                await self._bus.workers.heartbeat(lease, [*self._calls, *self._arrivals])
                await self._show()
                is_lost = False
                self._pool_state = "ok"
            except BusUnavailable as exc:
                if not is_lost:
                    _log.warning("heartbeat_failed", error=str(exc))
                is_lost = True
                if self._pool_state == "ok":
                    self._pool_state = "ok: unreachable or full, calls go on and can't move"
            self._pool_changed.clear()
            try:
                async with asyncio.timeout(_HEARTBEAT_S):
                    await self._pool_changed.wait()
            except TimeoutError:
                continue

    async def _show(self) -> None:
        """Say how the calls stand, for the console."""
        calls = [call.shown() for call in islice(self._calls.values(), MAX_VIEW_CALLS)]
        view = WorkerView(tuple(self._company.shown()), tuple(calls))
        key = view_key(self._lease.worker_id)
        await self._bus.values.put(key, view.to_json(), ttl_s=VIEW_LIFE_S)

    def _show_states(self) -> None:
        """Count the calls by agent, direction and state; what there was before and is not, is 0."""
        counts = dict.fromkeys(self._shown_states, 0)
        held = [(call.cast, call.request, call.state.value) for call in self._calls.values()]
        held += [(cast, a.request, "arriving") for a, cast in self._arrivals.values()]
        for cast, request, state in held:
            labels = self._parts.agent_label.of(cast.file.name), request.direction.value, state
            counts[labels] = counts.get(labels, 0) + 1
        for labels, count in counts.items():
            self._parts.metrics.calls_in_state.labels(*labels).set(count)
        self._shown_states = set(counts)
        self._parts.metrics.is_draining.set(self.is_draining)

    async def _read_events(self) -> None:
        channels = (Channel.HANGUPS, Channel.CALLS, Channel.WORKERS)
        while True:
            try:
                async with self._bus.events.subscribe(*channels) as events:
                    async for event in events:
                        self._on_bus_event(event)
            except BusUnavailable as exc:
                _log.warning("events_not_followed", error=str(exc))
                await asyncio.sleep(_HEARTBEAT_S)

    def _on_bus_event(self, event: BusEvent) -> None:
        if event.channel is Channel.WORKERS:
            self._on_pool_event(event)
        if event.call_id is None:
            return
        if event.kind == EVENT_WATCH and event.channel is Channel.CALLS:
            self._watches.note(event.call_id)
        arriving = self._arrivals.get(event.call_id)
        call = self._calls.get(event.call_id) or (arriving[0] if arriving else None)
        if call is None:
            return
        if event.channel is Channel.HANGUPS:
            call.over(_reason(event.data.get("end_reason", "")))
        elif event.kind == EVENT_WATCH:
            if isinstance(call, Call):
                call.live.watch()
        elif (told := network_event(event)) is not None:
            call.on_network(told)

    def _on_pool_event(self, event: BusEvent) -> None:
        """An operator wants this worker to take no new calls, or to take them again."""
        if event.data.get("worker_id") != self._lease.worker_id:
            return
        if event.kind in (EVENT_DRAIN, EVENT_UNDRAIN):
            self._is_held_off = event.kind == EVENT_DRAIN
            _log.warning("told_to_drain" if self._is_held_off else "told_to_take_calls")
            self._pool_changed.set()

    # --- stopping ----------------------------------------------------------------------------

    @property
    def pool_state(self) -> str:
        """How it stands with the pool, for readiness.

        While Redis is away, gateways that know this worker go on giving it calls. One that they
        can't know of is not ready.
        """
        return self._pool_state

    @property
    def is_draining(self) -> bool:
        """Whether new calls are turned down: for good, or because an operator said so."""
        return self._is_draining or self._is_held_off

    def drain(self) -> None:
        """Take no new calls and tell the pool now."""
        self._is_draining = True
        self._pool_changed.set()

    async def wait_idle(self) -> None:
        """Wait until no call is left."""
        await self._idle.wait()

    async def stop(self) -> None:
        """Leave the calls that are left to other workers and withdraw from the pool.

        They end where nobody else could go on with them.
        """
        self._is_draining = True
        for arrival, _ in list(self._arrivals.values()):
            self._on_arrived(arrival, None)
            arrival.give_up(LinkClose.HANDOVER)
        for call in list(self._calls.values()):
            if self._parts.sessions is not None:
                self._owner.start(call.hand_over(), name="hand_over")
            else:
                call.over(EndReason.AGENT_FAILED)
        try:
            async with asyncio.timeout(3.0):
                await self._idle.wait()
        except TimeoutError:
            _log.error("calls_left", calls=len(self._calls))
        await self._owner.stop()
        try:
            await self._bus.workers.withdraw(self._lease.worker_id)
        except BusUnavailable:
            _log.info("not_withdrawn")


def _reason(text: str) -> EndReason:
    try:
        return EndReason(text)
    except ValueError:
        return EndReason.CALLER_HUNG_UP
