"""The pool as it was last seen: calls are dispatched from it while the bus is away.

A worker has the last word on whether it is full, so a count that is out of date costs a handshake
and no more. What is booked here meanwhile is known to this gateway alone; the workers' heartbeats
tell the bus of those calls when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from random import Random

from services.gateway.workers.outage import Outage
from shared.bus.base import BusUnavailable, WorkerRegistry
from shared.bus.choice import better_of_two, choose
from shared.bus.messages import LEASE_S, WorkerLease, is_open_for_calls
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, WorkerId
from shared.runtime.clock import Clock

_REFRESH_S = 1.0
_READ_S = 1.0
_DOUBTED_S = 5.0


@dataclass(frozen=True, slots=True)
class PoolMemory:
    """How the pool is remembered.

    `keep_s` is how long after it was last seen it may be used; `slow_s` how long a reservation may
    take before it counts as unanswered; `zone` the gateway's own, "" where it has none.
    """

    keep_s: float = 60.0
    slow_s: float = 0.4
    zone: str = ""


class LastKnownPool:
    """WorkerRegistry that falls back on its memory of another.

    For `LEASE_S` after the bus is back, and when the pool is suddenly empty, what is remembered
    is still used where the bus knows of nobody: a Redis that has lost its data hears of the
    workers with their next heartbeats.

    A bus that answers and takes no writes (full memory or disk, a replica) is away: no worker can
    renew its lease there, and soon it would know of none.

    Args:
        pool: the one on the bus.
        outage: shared with all that asks the same bus.
        memory: how the pool is remembered.
        metrics: where reservations are counted.
        clock: the time.
        write: writes something small to the bus; raises BusUnavailable.
        chance: spreads calls.
    """

    def __init__(
        self,
        pool: WorkerRegistry,
        outage: Outage,
        memory: PoolMemory,
        metrics: GatewayMetrics,
        clock: Clock,
        *,
        write: Callable[[], Awaitable[object]] | None = None,
        chance: Random | None = None,
    ) -> None:
        self._pool = pool
        self._write = write
        self._outage = outage
        self._memory = memory
        self._metrics = metrics
        self._clock = clock
        self._chance = chance or Random()  # noqa: S311 - spreads calls
        self._leases: dict[WorkerId, WorkerLease] = {}
        self._seen_s = float("-inf")
        self._settled_s = float("-inf")
        self._is_settling = False
        self._booked: dict[CallId, WorkerId] = {}
        self._promised = 0
        self._doubted: dict[WorkerId, float] = {}

    async def run(self) -> None:
        """Look at the pool once a second, until cancelled."""
        while True:
            try:
                await self.look()
            except BusUnavailable:
                self._outage.begin()
            self._show()
            await asyncio.sleep(_REFRESH_S)

    def _show(self) -> None:
        self._metrics.pool_age.set(min(self._clock.now_s() - self._seen_s, 86_400.0))
        counts = {"open": 0, "full": 0, "draining": 0}
        for lease in self._leases.values():
            is_full = lease.active >= lease.capacity
            counts["draining" if lease.draining else "full" if is_full else "open"] += 1
        for state, count in counts.items():
            self._metrics.pool_workers.labels(state).set(count)

    async def look(self) -> None:
        """Take the pool as it is into memory; raises BusUnavailable."""
        if self._write is not None:
            await self._write()
        leases = {lease.worker_id: lease for lease in await self._pool.workers()}
        now_s = self._clock.now_s()
        was_away = self._outage.end()
        if was_away or (not self._is_settling and self._leases and not leases):
            self._is_settling, self._settled_s = True, now_s + LEASE_S
        elif now_s >= self._settled_s:
            self._is_settling = False
        if self._is_settling:
            leases = self._leases | leases
        else:
            self._booked.clear()
        self._leases = leases
        self._promised = 0
        self._seen_s = now_s

    @property
    def is_usable(self) -> bool:
        """Whether the pool was seen lately enough to be used without the bus."""
        return self._clock.now_s() - self._seen_s <= self._memory.keep_s

    def take_place(self, may_be_at: Callable[[str], bool]) -> bool:
        """Tell, without asking the bus, whether a call that is taken from its worker has a place.

        Each yes counts as a place until a call is booked or the pool looked at: of many calls that
        ask at once no more leave their worker than others can take.

        Args:
            may_be_at: whether a worker at this address counts.
        """
        if not self.is_usable:
            return False
        free = -self._promised - len(self._booked)
        for lease in self._leases.values():
            if not is_open_for_calls(lease) or not may_be_at(lease.address):
                continue
            free += lease.capacity - lease.active
            if free > 0:
                self._promised += 1
                return True
        return False

    # --- the registry ------------------------------------------------------------------------

    async def heartbeat(self, lease: WorkerLease, calls: Collection[CallId]) -> None:
        """Renew a worker's lease, on the bus alone."""
        await self._pool.heartbeat(lease, calls)

    async def withdraw(self, worker_id: WorkerId) -> None:
        """Take a worker out of the pool and out of memory."""
        self._leases.pop(worker_id, None)
        await self._pool.withdraw(worker_id)

    async def reserve(
        self, call_id: CallId, *, exclude: Collection[WorkerId] = (), zone: str = ""
    ) -> WorkerLease | None:
        """Book by the bus, or by memory where that does not answer.

        Raises:
            BusUnavailable: and the pool was not seen for too long.
        """
        zone = zone or self._memory.zone
        if not self._outage.is_on:
            try:
                async with asyncio.timeout(self._memory.slow_s):
                    lease = await self._pool.reserve(call_id, exclude=exclude, zone=zone)
            except (BusUnavailable, TimeoutError):
                self._outage.begin()
            else:
                if lease is not None:
                    self._leases[lease.worker_id] = lease
                    self._promised = max(0, self._promised - 1)
                if lease is not None or self._clock.now_s() >= self._settled_s:
                    self._metrics.reservations.labels("bus").inc()
                    return lease
        return self._reserve_from_memory(call_id, exclude, zone)

    def _reserve_from_memory(
        self, call_id: CallId, exclude: Collection[WorkerId], zone: str
    ) -> WorkerLease | None:
        if not self.is_usable:
            raise BusUnavailable("the pool was not seen for too long")
        booked = self._booked.pop(call_id, None)
        leases = self._counted()
        if booked is not None and booked not in exclude and booked in leases:
            best: WorkerLease | None = leases[booked]
        else:
            best = self._choose(list(leases.values()), exclude, zone)
        if best is None:
            return None
        self._booked[call_id] = best.worker_id
        self._promised = max(0, self._promised - 1)
        self._metrics.reservations.labels("memory").inc()
        return replace(best, active=best.active + 1)

    def _choose(
        self, leases: list[WorkerLease], exclude: Collection[WorkerId], zone: str
    ) -> WorkerLease | None:
        """Prefer workers that nobody was sent away from lately, and those with room."""
        draws = (self._chance.random(), self._chance.random())
        now_s = self._clock.now_s()
        doubted = [w for w, until_s in self._doubted.items() if until_s > now_s]
        # An excluded worker was lost or has refused, which the bus can't tell other calls now.
        self._doubted = {w: self._doubted[w] for w in doubted} | dict.fromkeys(
            exclude, now_s + _DOUBTED_S
        )
        left = [w for w in leases if w.worker_id not in exclude and not w.draining]
        return (
            choose(left, draws, zone=zone, exclude=doubted)
            or choose(left, draws, zone=zone)
            or better_of_two(left, draws)
        )

    def _counted(self) -> dict[WorkerId, WorkerLease]:
        counts: dict[WorkerId, int] = {}
        for worker_id in self._booked.values():
            counts[worker_id] = counts.get(worker_id, 0) + 1
        return {
            worker_id: replace(lease, active=lease.active + counts.get(worker_id, 0))
            for worker_id, lease in self._leases.items()
        }

    async def release(self, worker_id: WorkerId, call_id: CallId) -> None:
        """Give a booking up, here and on the bus; there it lapses by itself while that is away."""
        was_here = self._booked.get(call_id) == worker_id
        if was_here:
            del self._booked[call_id]
        if self._outage.is_on:
            if was_here:
                return
            raise BusUnavailable("away")
        await self._pool.release(worker_id, call_id)

    async def workers(self) -> list[WorkerLease]:
        """Return the pool, or what is remembered of it; raises BusUnavailable."""
        if not self._outage.is_on:
            try:
                async with asyncio.timeout(_READ_S):
                    leases = await self._pool.workers()
                if leases or self._clock.now_s() >= self._settled_s:
                    return leases
            except (BusUnavailable, TimeoutError):
                self._outage.begin()
        if not self.is_usable:
            raise BusUnavailable("the pool was not seen for too long")
        return sorted(self._counted().values(), key=lambda lease: lease.worker_id)
