"""The bus on sets of Redis servers, under load: masters that die, hang, or change places."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from prometheus_client import CollectorRegistry

from shared.bus.base import BusUnavailable
from shared.bus.deferred_calls import DeferredCalls
from shared.bus.messages import BusEvent, Channel
from shared.bus.redis import RedisBus, open_bus
from shared.metrics.catalogue import DeferredMetrics
from shared.protocol.call import CallChange, CallId, CallState
from shared.runtime.clock import SystemClock
from tests.support.redis_set import ClusterSet, Node, SentinelSet

pytestmark = pytest.mark.system

WORKS_AGAIN_S = 20.0
"""Three seconds, unless two Sentinels stand for election at once: then six more."""
EVERY_S = 0.01


@dataclass
class Load:
    """Calls that end all the time, each end asked for once, and who hears of them."""

    bus: RedisBus
    calls: DeferredCalls
    asked: list[CallId] = field(default_factory=list)
    acknowledged: list[CallId] = field(default_factory=list)
    heard: list[CallId] = field(default_factory=list)
    is_listening: asyncio.Event = field(default_factory=asyncio.Event)

    async def end_calls(self) -> None:
        while True:
            call_id = CallId(f"call-{len(self.asked)}")
            self.asked.append(call_id)
            try:
                await self.calls.apply(CallChange(call_id, CallState.COMPLETED))
                self.acknowledged.append(call_id)
            except BusUnavailable:
                pass
            await asyncio.sleep(EVERY_S)

    async def listen(self) -> None:
        async with self.bus.events.subscribe(Channel.HANGUPS) as events:
            self.is_listening.set()
            async for event in events:
                assert event.call_id is not None
                self.heard.append(event.call_id)

    async def until(self, claim: Callable[[], bool], limit_s: float) -> None:
        async with asyncio.timeout(limit_s):
            while not claim():  # noqa: ASYNC110 - it is about lists
                await asyncio.sleep(0.01)

    async def all_written(self) -> None:
        await self.until(lambda: not len(self.calls), WORKS_AGAIN_S)

    async def final(self) -> set[CallId]:
        records = await self.bus.calls.recent(len(self.asked) + 1)
        return {record.call_id for record in records if record.state.is_final}


@asynccontextmanager
async def load_on(url: str) -> AsyncIterator[Load]:
    metrics = DeferredMetrics(CollectorRegistry())
    async with (
        open_bus(url, timeout_s=1.0) as bus,
        DeferredCalls(bus.calls, metrics, SystemClock()) as calls,
        asyncio.TaskGroup() as group,
    ):
        load = Load(bus, calls)
        listening = group.create_task(load.listen())
        await load.is_listening.wait()
        ending = group.create_task(load.end_calls())
        try:
            yield load
        finally:
            ending.cancel()
            listening.cancel()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[SentinelSet]:
    servers = SentinelSet(tmp_path)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


def ends_on(node: Node) -> set[CallId]:
    """The calls whose end a server has, read from itself."""
    with redis.Redis.from_url(node.url, decode_responses=True) as client:
        entries = client.xrange("{parley}:events")
    return {CallId(json.loads(fields["event"])["call_id"]) for _, fields in entries}


async def test_ends_of_calls_outlive_the_master_that_dies(watched: SentinelSet) -> None:
    async with load_on(watched.url) as load:
        await asyncio.sleep(1.0)
        watched.master.stop()
        copied, promised = ends_on(watched.replica), set(load.acknowledged)
        before = len(load.acknowledged)
        await load.until(lambda: len(load.acknowledged) > before, WORKS_AGAIN_S)
        await asyncio.sleep(0.5)
        asked = set(load.asked)
        await load.all_written()
        final = await load.final()
        assert len(promised) > 20, "there was no load"
        assert len(asked) > before, "nothing was asked for meanwhile"
        assert copied - final == set(), "the replica had them"
        assert asked - final <= promised - copied, "kept and never written"
        lost = asked - final
        await load.until(lambda: asked - lost <= set(load.heard), WORKS_AGAIN_S)
        heard = [call_id for call_id in load.heard if call_id in asked]
        assert len(heard) == len(set(heard)), "an end was told twice"


@pytest.mark.soak
async def test_a_subscriber_leaves_a_master_that_hangs(watched: SentinelSet) -> None:
    """Its connection stays open and says nothing: what others publish came 5 s late, for ever."""
    async with (
        open_bus(watched.url) as bus,
        bus.events.subscribe(Channel.CALLS) as events,
    ):
        for kind in ("1", "2"):
            assert await published(bus, kind)
            assert (await anext(events)).kind == kind
        watched.master.process.send_signal(signal.SIGSTOP)
        begun_s = time.monotonic()
        while not await published(bus, "during"):
            assert time.monotonic() - begun_s < WORKS_AGAIN_S
        async with asyncio.timeout(WORKS_AGAIN_S):
            assert (await anext(events)).kind == "during"
        reading = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.5)
        assert await published(bus, "after")
        async with asyncio.timeout(1.0):
            assert (await reading).kind == "after"


async def published(bus: RedisBus, kind: str) -> bool:
    try:
        await bus.events.publish(BusEvent(Channel.CALLS, kind))
    except BusUnavailable:
        return False
    return True


async def test_a_replica_that_takes_a_masters_place_in_a_cluster_is_followed(
    tmp_path: Path,
) -> None:
    servers = ClusterSet(tmp_path)
    try:
        servers.start()
        replica = await asyncio.to_thread(servers.add_replica, "{parley}")
        async with load_on(servers.url) as load:
            await load.until(lambda: len(load.acknowledged) > 20, 5)
            replica.run("CLUSTER", "FAILOVER")
            await asyncio.to_thread(replica.until, lambda client: client.role()[0] == "master")
            asked_by_then = len(load.asked)
            await load.until(lambda: len(load.acknowledged) > asked_by_then + 20, WORKS_AGAIN_S)
            asked = set(load.asked)
            await load.all_written()
            assert asked <= await load.final()
            await load.until(lambda: asked <= set(load.heard), WORKS_AGAIN_S)
            heard = [call_id for call_id in load.heard if call_id in asked]
            assert len(heard) == len(set(heard)), "an end was told twice"
    finally:
        servers.stop()


async def test_whoever_is_cancelled_on_the_way_to_the_master_stops(watched: SentinelSet) -> None:
    """On Python 3.11 one of twenty went on as if nothing had been said: tasks never ended."""
    for number in range(100):
        async with open_bus(watched.url) as bus:
            task = asyncio.ensure_future(publish_for_ever(bus))
            await asyncio.sleep(number * 0.0002)
            task.cancel()
            await asyncio.wait([task], timeout=1)
            assert task.cancelled()


async def publish_for_ever(bus: RedisBus) -> None:
    while True:
        await published(bus, "x")
