"""The bus inside one process: for tests and for a single service without Redis.

Holds the same contract as the Redis bus (tests/contract/test_bus.py runs over both).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from shared.bus.base import CacheBounds
from shared.bus.memory_live import MemoryLive
from shared.bus.memory_outbox import MemoryOutbox
from shared.bus.memory_sessions import MemorySessions
from shared.bus.memory_workers import MemoryWorkers
from shared.bus.messages import (
    Applied,
    BusEvent,
    Channel,
    apply_change,
)
from shared.protocol.call import CallChange, CallId, CallRecord
from shared.runtime.clock import Clock, SystemClock

_SUBSCRIBER_QUEUE = 10_000


class MemoryEvents:
    """EventBus in memory; keeps every event for late subscribers."""

    def __init__(self) -> None:
        self._log: list[BusEvent] = []
        self._queues: dict[asyncio.Queue[BusEvent], frozenset[Channel]] = {}

    async def publish(self, event: BusEvent) -> BusEvent:
        """Append to the log and hand to every subscriber."""
        placed = event.placed(f"{len(self._log) + 1}-0")
        self._log.append(placed)
        for queue, channels in self._queues.items():
            if placed.channel in channels:
                queue.put_nowait(placed)
        return placed

    @asynccontextmanager
    async def subscribe(
        self, *channels: Channel, after: str | None = None
    ) -> AsyncIterator[AsyncIterator[BusEvent]]:
        """Follow channels, after an entry where one is named."""
        queue: asyncio.Queue[BusEvent] = asyncio.Queue(_SUBSCRIBER_QUEUE)
        wanted = frozenset(channels)
        if after is not None:
            for event in self._log[int(after.split("-")[0]) :]:
                if event.channel in wanted:
                    queue.put_nowait(event)
        self._queues[queue] = wanted
        try:
            yield _drain(queue)
        finally:
            del self._queues[queue]


async def _drain(queue: asyncio.Queue[BusEvent]) -> AsyncIterator[BusEvent]:
    while True:
        yield await queue.get()


class MemoryCalls:
    """CallStore in memory."""

    def __init__(self, events: MemoryEvents, wall: Callable[[], datetime], clock: Clock) -> None:
        self._records: dict[CallId, CallRecord] = {}
        self._until_s: dict[CallId, float] = {}
        self._events = events
        self._wall = wall
        self._clock = clock

    async def apply(self, change: CallChange) -> Applied:
        """Merge and publish."""
        self._expire()
        now_iso = self._wall().isoformat(timespec="milliseconds")
        applied, events = apply_change(self._records.get(change.call_id), change, now_iso=now_iso)
        self._records[change.call_id] = applied.record
        if applied.record.retention_s is not None:
            self._until_s[change.call_id] = self._clock.now_s() + applied.record.retention_s
        for event in events:
            await self._events.publish(event)
        return applied

    async def get(self, call_id: CallId) -> CallRecord | None:
        """Look a record up."""
        self._expire()
        return self._records.get(call_id)

    async def recent(self, limit: int, *, before: CallId | None = None) -> list[CallRecord]:
        """Return the newest records first."""
        self._expire()
        ids = list(self._records)[::-1]
        if before is not None:
            ids = ids[ids.index(before) + 1 :] if before in self._records else []
        return [self._records[call_id] for call_id in ids[: max(0, limit)]]

    def _expire(self) -> None:
        now_s = self._clock.now_s()
        for call_id in [call for call, until_s in self._until_s.items() if until_s <= now_s]:
            del self._until_s[call_id], self._records[call_id]


class MemoryValues:
    """KeyValue in memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._values: dict[str, tuple[str, float]] = {}

    async def get(self, key: str) -> str | None:
        """Return a value that has not lapsed."""
        value, until_s = self._values.get(key, ("", 0.0))
        return value if until_s > self._clock.now_s() else None

    async def put(
        self, key: str, value: str, *, ttl_s: float, only_if_absent: bool = False
    ) -> bool:
        """Set a value."""
        if only_if_absent and await self.get(key) is not None:
            return False
        self._values[key] = (value, self._clock.now_s() + ttl_s)
        return True

    async def delete(self, key: str) -> None:
        """Remove a value."""
        self._values.pop(key, None)

    async def increment(self, key: str, *, ttl_s: float, above: int = 0) -> int:
        """Count up."""
        number = max(int(await self.get(key) or 0), above) + 1
        await self.put(key, str(number), ttl_s=ttl_s)
        return number


class MemoryCache:
    """SharedCache in memory."""

    def __init__(self, clock: Clock, bounds: CacheBounds | None = None) -> None:
        self._clock = clock
        self._bounds = bounds or CacheBounds()
        self._values: dict[str, tuple[str, float]] = {}

    async def get(self, key: str) -> str | None:
        """Return a text that has not lapsed."""
        value, until_s = self._values.get(key, ("", 0.0))
        return value if until_s > self._clock.now_s() else None

    async def put(self, key: str, value: str, *, ttl_s: float) -> bool:
        """Make room and keep it."""
        bounds, now_s = self._bounds, self._clock.now_s()
        if len(value) > bounds.entry_bytes:
            return False
        self._values.pop(key, None)
        self._values = {name: one for name, one in self._values.items() if one[1] > now_s}
        held_bytes = sum(len(text) for text, _ in self._values.values())
        while self._values and (
            len(self._values) >= bounds.entries or held_bytes + len(value) > bounds.total_bytes
        ):
            held_bytes -= len(self._values.pop(next(iter(self._values)))[0])
        self._values[key] = (value, now_s + ttl_s)
        return True

    async def keys(self) -> frozenset[str]:
        """Return the keys of what has not lapsed."""
        now_s = self._clock.now_s()
        return frozenset(key for key, (_, until_s) in self._values.items() if until_s > now_s)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryBus:
    """All parts in this process's memory."""

    def __init__(
        self, *, clock: Clock | None = None, wall: Callable[[], datetime] = _utc_now
    ) -> None:
        clock = clock or SystemClock()
        self.events = MemoryEvents()
        self.calls = MemoryCalls(self.events, wall, clock)
        self.workers = MemoryWorkers(clock)
        self.values = MemoryValues(clock)
        self.outbox = MemoryOutbox(clock)
        self.cache = MemoryCache(clock)
        self.sessions = MemorySessions(clock)
        self.live = MemoryLive()

    async def ping(self) -> bool:
        """Return True: memory answers."""
        return True
