"""The calls a gateway holds: what it knows of each, and the worker's link that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from services.gateway.media.bridge import Bridge
from services.gateway.media.milestones import Milestones
from services.gateway.media.relay import Parting
from services.gateway.workers.links import LinkOpener, SocketLink
from shared.bus.base import BusUnavailable, KeyValue
from shared.protocol.call import CallId, WorkerId
from shared.protocol.worker import LinkClose, LinkRequest
from shared.runtime.clock import Clock
from shared.runtime.concern import Concern

MAX_HELD = 50_000
_FORGET_S = 60.0


@dataclass(slots=True)
class HeldCall:
    """What this gateway knows of a call.

    `call_uuid` is Vobiz's id. `link` is a worker's link that waits for the caller; the bridge
    takes it over. `forget_at_s` is when an entry without a bridge is dropped, `attached` the span
    that opened its newest link.
    """

    request: LinkRequest
    call_uuid: str
    forget_at_s: float
    milestones: Milestones
    answer: bytes | None = None
    link: SocketLink | None = None
    bridge: Bridge | None = None
    parting: Parting | None = None
    is_final: bool = False
    was_admitted: bool = False
    attaches: int = 0
    attached: Concern | None = None

    @property
    def is_over(self) -> bool:
        """Whether no media socket of the call is let in any more."""
        return self.is_final or (self.parting is not None and self.parting.is_for_good)

    @property
    def is_away(self) -> bool:
        """Whether the call has left its stream and may come back."""
        return self.parting is Parting.AWAY and not self.is_final


class HeldCalls:
    """All calls of this gateway, by id."""

    def __init__(
        self,
        opener: LinkOpener,
        values: KeyValue,
        clock: Clock,
        *,
        wait_s: float,
        memory_s: float,
    ) -> None:
        self._opener = opener
        self._values = values
        self._clock = clock
        self._wait_s = wait_s
        self._memory_s = memory_s
        self._calls: dict[CallId, HeldCall] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._calls)

    def get(self, call_id: CallId) -> HeldCall | None:
        """Return a call, if it is held here."""
        return self._calls.get(call_id)

    def hold(self, request: LinkRequest, call_uuid: str) -> HeldCall:
        """Hold a call from now on, for as long as its caller may take to come."""
        now_s = self._clock.now_s()
        held = HeldCall(request, call_uuid, now_s + self._wait_s, Milestones(now_s))
        self._calls[request.call_id] = held
        return held

    def let_go(self, held: HeldCall) -> None:
        """Forget a call at once."""
        self._calls.pop(held.request.call_id, None)
        self._changed.set()

    def keep_a_while(self, held: HeldCall) -> None:
        """Remember a call that is over for what may still be asked about it."""
        held.forget_at_s = self._clock.now_s() + _FORGET_S
        self._changed.set()

    def take_forgotten(self) -> Iterator[HeldCall]:
        """Remove and give the calls whose time is over."""
        now_s = self._clock.now_s()
        for held in list(self._calls.values()):
            if held.bridge is None and held.forget_at_s <= now_s:
                self.let_go(held)
                yield held

    @property
    def active(self) -> int:
        """Calls with a bridge, with a link that waits for its caller, or that are away."""
        return sum(1 for held in self._calls.values() if held.bridge or held.link or held.is_away)

    def part(self, call_id: CallId, parting: Parting) -> None:
        """Note how it stands with a call that has no media here."""
        held = self._calls.get(call_id)
        if held is not None and held.bridge is None:
            held.parting = parting
            self._changed.set()

    async def until_idle(self) -> None:
        """Return when no call is active."""
        while self.active:
            self._changed.clear()
            await self._changed.wait()

    async def open_link(
        self, held: HeldCall, exclude: Collection[WorkerId] = (), *, is_new: bool = False
    ) -> SocketLink:
        """Open a link to a worker for a call, or raise NoWorker; see LinkOpener."""
        link = await self._opener.open(
            held.request,
            next_epoch=lambda: self._next_epoch(held),
            exclude=exclude,
            after=held.attached,
            is_new=is_new,
        )
        held.attached = link.concern
        held.milestones.on_worker(link.worker_id)
        return link

    async def _next_epoch(self, held: HeldCall) -> int:
        """Count up on the bus, and here while it is away; never back.

        A bus that was away, or has lost its data, is brought up to what was given out meanwhile.
        """
        last, held.attaches = held.attaches, held.attaches + 1
        key = f"epoch:{held.request.call_id}"
        try:
            count = await self._values.increment(key, ttl_s=self._memory_s, above=last)
        except BusUnavailable:
            return held.attaches
        held.attaches = count
        return count

    async def close_pending(self, held: HeldCall, code: LinkClose) -> None:
        """Close the link that waits for the caller, if one does, and give its place back.

        A superseded one's place is the call's still: another link has it.
        """
        link, held.link = held.link, None
        if link is None:
            return
        await link.close(code)
        if code is not LinkClose.SUPERSEDED:
            await self.release(held, link.worker_id)
        self._changed.set()

    async def release(self, held: HeldCall, worker_id: WorkerId) -> None:
        """Give a call's place on a worker back."""
        await self._opener.release(worker_id, held.request.call_id)

    def resume(self, held: HeldCall) -> None:
        """Say to the next worker that the call was in conversation before."""
        held.request = replace(held.request, resume=True)
