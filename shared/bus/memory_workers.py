"""The pool inside one process, with the guarantees of the one on Redis."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from random import Random

from shared.bus.choice import choose
from shared.bus.messages import BOOKING_S, LEASE_S, WorkerLease
from shared.protocol.call import CallId, WorkerId
from shared.runtime.clock import Clock


class MemoryWorkers:
    """WorkerRegistry in memory.

    A worker's places are counted by its own bookings, each with its end. Which of them a call
    would be given again is a second thing, `_holders`: a worker that still carries a call which
    has gone to another fills a place, and no more.
    """

    def __init__(self, clock: Clock, chance: Random | None = None) -> None:
        self._clock = clock
        self._chance = chance or Random()  # noqa: S311 - spreads calls
        self._leases: dict[WorkerId, tuple[WorkerLease, float]] = {}
        self._bookings: dict[WorkerId, dict[CallId, float]] = {}
        self._holders: dict[CallId, tuple[WorkerId, float]] = {}

    async def heartbeat(self, lease: WorkerLease, calls: Collection[CallId]) -> None:
        """Renew lease and bookings."""
        self._prune()
        until_s = self._clock.now_s() + LEASE_S
        self._leases[lease.worker_id] = (lease, until_s)
        for call_id in calls:
            self._bookings.setdefault(lease.worker_id, {})[call_id] = until_s
            holder = self._holders.get(call_id)
            if holder is None or holder[0] not in self._leases or holder[0] == lease.worker_id:
                self._holders[call_id] = (lease.worker_id, until_s)

    async def withdraw(self, worker_id: WorkerId) -> None:
        """Forget a worker."""
        self._leases.pop(worker_id, None)
        self._bookings.pop(worker_id, None)
        self._holders = {c: h for c, h in self._holders.items() if h[0] != worker_id}

    async def reserve(
        self, call_id: CallId, *, exclude: Collection[WorkerId] = (), zone: str = ""
    ) -> WorkerLease | None:
        """Book the better of two workers drawn by chance."""
        draws = (self._chance.random(), self._chance.random())
        leases = {lease.worker_id: lease for lease in await self.workers()}
        until_s = self._clock.now_s() + BOOKING_S
        holder, _ = self._holders.get(call_id, (None, 0.0))
        if holder is not None:
            is_booked = call_id in self._bookings.get(holder, {})
            if is_booked and holder in leases and holder not in exclude:
                self._book(call_id, holder, until_s)
                return leases[holder]
            await self.release(holder, call_id)
            leases = {lease.worker_id: lease for lease in await self.workers()}
        best = choose(leases.values(), draws, zone=zone, exclude=exclude)
        if best is None:
            return None
        has_place = call_id in self._bookings.get(best.worker_id, {})
        self._book(call_id, best.worker_id, until_s)
        return best if has_place else replace(best, active=best.active + 1)

    def _book(self, call_id: CallId, worker_id: WorkerId, until_s: float) -> None:
        self._bookings.setdefault(worker_id, {})[call_id] = until_s
        self._holders[call_id] = (worker_id, until_s)

    async def release(self, worker_id: WorkerId, call_id: CallId) -> None:
        """Give up a booking."""
        self._bookings.get(worker_id, {}).pop(call_id, None)
        if self._holders.get(call_id, (None, 0.0))[0] == worker_id:
            del self._holders[call_id]

    async def workers(self) -> list[WorkerLease]:
        """Prune what lapsed and count bookings."""
        self._prune()
        return [
            replace(lease, active=len(self._bookings.get(worker_id, {})))
            for worker_id, (lease, _) in sorted(self._leases.items())
        ]

    def _prune(self) -> None:
        now_s = self._clock.now_s()
        self._leases = {w: entry for w, entry in self._leases.items() if entry[1] > now_s}
        self._holders = {c: h for c, h in self._holders.items() if h[1] > now_s}
        for bookings in self._bookings.values():
            for call_id in [call for call, until_s in bookings.items() if until_s <= now_s]:
                del bookings[call_id]
