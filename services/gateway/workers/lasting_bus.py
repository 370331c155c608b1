"""The bus as a gateway uses it: calls are still taken, and their ends kept, while Redis is away."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from services.gateway.workers.last_known_pool import LastKnownPool, PoolMemory
from services.gateway.workers.outage import Outage, PromptValues
from shared.bus.base import Bus
from shared.bus.deferred_calls import DeferredCalls
from shared.metrics.catalogue import DeferredMetrics, GatewayMetrics
from shared.runtime.clock import Clock
from shared.runtime.tasks import TaskOwner

_PROBE_KEY, _PROBE_LIFE_S = "probe", 60.0


class LastingBus:
    """Bus over another one.

    A context: inside it the pool is looked at and what waits is written; leaving it writes the
    rest, bounded.
    """

    def __init__(
        self,
        bus: Bus,
        memory: PoolMemory,
        *,
        metrics: GatewayMetrics,
        deferred: DeferredMetrics,
        clock: Clock,
    ) -> None:
        self._bus = bus
        self._outage = outage = Outage(clock)
        self.events = bus.events
        self.outbox = bus.outbox
        self.sessions = bus.sessions
        self.live = bus.live
        self.calls = DeferredCalls(bus.calls, deferred, clock)
        self.workers = LastKnownPool(bus.workers, outage, memory, metrics, clock, write=self._write)
        self.values = PromptValues(bus.values, outage)
        self._owner = TaskOwner("lasting_bus")

    async def ping(self) -> bool:
        """Whether the store itself answers now, and took the last write."""
        return await self._bus.ping() and not self._outage.is_on

    async def _write(self) -> None:
        await self._bus.values.put(_PROBE_KEY, "1", ttl_s=_PROBE_LIFE_S)

    async def __aenter__(self) -> Self:
        await self.calls.__aenter__()
        self._owner.start(self.workers.run(), name="pool")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._owner.stop()
        await self.calls.__aexit__(exc_type, exc, traceback)
