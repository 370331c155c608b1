"""Redis is stopped, or hangs, while calls begin and end: callers and records don't suffer."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.gateway.app import pool_memory
from services.gateway.workers.lasting_bus import LastingBus
from shared.bus.base import BusUnavailable, WorkerRegistry
from shared.bus.messages import BusEvent, Channel, WorkerLease
from shared.bus.redis import RedisBus, open_bus
from shared.bus.redis.client import open_client
from shared.metrics.catalogue import DeferredMetrics, GatewayMetrics
from shared.protocol.call import CallId, CallState
from shared.runtime.clock import SystemClock
from tests.support.fake_worker import FakeWorker
from tests.support.gateway import (
    MediaClient,
    RunningGateway,
    new_call_id,
    running_gateway,
    settings,
    stream_url,
    verbs,
)
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.system

AWAY_S = 2.5
SEEN_S = 1.2
"""By then the pool was looked at again."""
CALLS = 6


class Heartbeats:
    """A worker's side of the pool; it goes on when a heartbeat fails, as workers do."""

    def __init__(self, pool: WorkerRegistry) -> None:
        self._pool = pool

    async def heartbeat(self, lease: WorkerLease, calls: Collection[CallId]) -> None:
        try:
            await self._pool.heartbeat(lease, calls)
        except BusUnavailable:
            return


@dataclass
class Stage:
    redis: RedisServer
    bus: RedisBus
    worker: FakeWorker
    gateway: RunningGateway
    deferred: CollectorRegistry

    async def begin(self) -> tuple[str, MediaClient]:
        call_id = new_call_id()
        answer = await self.gateway.answer(call_id)
        assert verbs(answer.content)[0] == "Stream", answer.content
        caller = await MediaClient.open(stream_url(answer.content), call_id)
        start = await caller.start()
        link = await self.worker.call(call_id)
        assert await link.next_frame() == start
        return call_id, caller

    def count(self, outcome: str) -> float:
        name = "voice_bus_deferred_changes_total"
        return self.deferred.get_sample_value(name, {"outcome": outcome}) or 0.0

    async def ready(self) -> tuple[int, Any]:
        response = await self.gateway.client.get(f"{self.gateway.base}/readyz")
        return response.status_code, response.json()

    async def ended(self, calls: list[str]) -> None:
        """Wait until each call's record is final."""
        async with asyncio.timeout(5):
            for call_id in calls:
                while True:
                    record = await self.bus.calls.get(CallId(call_id))
                    if record is not None and record.state is CallState.COMPLETED:
                        break
                    await asyncio.sleep(0.02)


@pytest.fixture
async def stage(redis_server: RedisServer) -> AsyncIterator[Stage]:
    deferred = CollectorRegistry()
    async with (
        open_bus(redis_server.url, timeout_s=0.5) as bus,
        open_bus(redis_server.url, timeout_s=0.5) as workers_bus,
        LastingBus(
            bus,
            pool_memory(settings()),
            metrics=GatewayMetrics(CollectorRegistry()),
            deferred=DeferredMetrics(deferred),
            clock=SystemClock(),
        ) as lasting,
        FakeWorker(Heartbeats(workers_bus.workers), capacity=50) as worker,  # type: ignore[arg-type] # it beats, no more
        running_gateway(lasting) as gateway,
    ):
        await lasting.workers.look()
        yield Stage(redis_server, bus, worker, gateway, deferred)


@asynccontextmanager
async def killed(redis: RedisServer) -> AsyncIterator[None]:
    redis.stop()
    yield
    await asyncio.to_thread(redis.start)


@asynccontextmanager
async def frozen(redis: RedisServer) -> AsyncIterator[None]:
    redis.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        redis.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def full(redis: RedisServer) -> AsyncIterator[None]:
    """It answers everything, and takes no writes."""
    async with open_client(redis.url, prefix="{parley}") as client:
        await client.config_set("maxmemory", "1")
        await asyncio.sleep(SEEN_S)
        try:
            yield
        finally:
            await client.config_set("maxmemory", "0")


@asynccontextmanager
async def paused(redis: RedisServer) -> AsyncIterator[None]:
    """It answers nobody until the time is over; who waits is answered then."""
    async with open_client(redis.url, prefix="{parley}") as client:
        await client.client_pause(int(AWAY_S * 1000))
        yield


@pytest.mark.parametrize(
    "away", [killed, frozen, full, pytest.param(paused, marks=pytest.mark.soak)]
)
async def test_calls_begin_and_end_without_redis_and_each_end_is_recorded_once(
    stage: Stage, away: Any
) -> None:
    before = [await stage.begin() for _ in range(CALLS)]
    marker = await stage.bus.events.publish(BusEvent(Channel.WORKERS, "redis-goes-away"))
    # What Redis has taken is on its disk a second later at the latest.
    await asyncio.sleep(1.1)
    async with away(stage.redis):
        until_s = time.monotonic() + AWAY_S
        status, states = await stage.ready()
        assert (status, states["workers"]) == (200, "ok")
        assert states["redis"].startswith("ok: unreachable")
        during = [await stage.begin() for _ in range(CALLS)]
        for call_id, caller in [*before, *during]:
            assert await stage.gateway.hang_up(call_id) == 503
            await caller.wait_closed()
        link = await stage.worker.call(during[0][0])
        assert await link.wait_closed() == 1000
        await asyncio.sleep(max(0.0, until_s - time.monotonic()))
    calls = [call_id for call_id, _ in [*before, *during]]
    await stage.ended(calls)
    assert [await stage.gateway.hang_up(call_id) for call_id in calls] == [200] * len(calls)
    async with stage.bus.events.subscribe(Channel.HANGUPS, after=marker.entry_id) as events:
        async with asyncio.timeout(5):
            told = [(await anext(events)).call_id for _ in calls]
        assert told == calls
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await anext(events)
    assert stage.count("kept") == stage.count("written") >= len(calls)
    assert stage.count("lost") == stage.count("refused") == 0
    after = await stage.begin()
    await after[1].close()


@pytest.mark.soak
async def test_what_redis_took_is_there_after_it_was_killed(redis_server: RedisServer) -> None:
    """It writes before it answers; only a host that dies can take the last second with it."""
    acknowledged: list[str] = []

    async def publish(bus: RedisBus) -> None:
        while True:
            try:
                event = await bus.events.publish(BusEvent(Channel.CALLS, "x"))
            except BusUnavailable:
                return
            acknowledged.append(event.entry_id)

    for number in range(10):
        async with open_bus(redis_server.url) as bus:
            writers = [asyncio.ensure_future(publish(bus)) for _ in range(8)]
            await asyncio.sleep(1.0 + number / 10)
            redis_server.stop()
            await asyncio.gather(*writers)
        await asyncio.to_thread(redis_server.start)
    async with open_client(redis_server.url, prefix="{parley}") as client:
        there = {entry_id for entry_id, _ in await client.xrange("{parley}:events") or []}
    assert len(acknowledged) > 1000
    assert set(acknowledged) - there == set()
