"""What a service counts of its Redis: commands, failures, subscriptions that began again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from shared.bus.base import BusUnavailable
from shared.bus.messages import BusEvent, Channel
from shared.bus.redis import RedisBus, open_bus
from shared.metrics.catalogue import BusMetrics
from shared.protocol.call import CallId
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.system


@dataclass
class Stage:
    bus: RedisBus
    registry: CollectorRegistry

    def total(self, name: str) -> float:
        """Over all operations."""
        return sum(
            sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == name
        )


@pytest.fixture
async def stage(redis_server: RedisServer) -> AsyncIterator[Stage]:
    registry = CollectorRegistry()
    async with open_bus(redis_server.url, timeout_s=0.5, metrics=BusMetrics(registry)) as bus:
        yield Stage(bus, registry)


async def test_commands_are_timed_and_those_that_fail_counted(
    stage: Stage, redis_server: RedisServer
) -> None:
    await stage.bus.values.put("k", "1", ttl_s=60)
    assert stage.total("voice_bus_command_seconds_count") >= 1
    assert stage.total("voice_bus_errors_total") == 0
    assert 0 < stage.total("voice_bus_command_seconds_sum") < 0.5
    redis_server.stop()
    with pytest.raises(BusUnavailable):
        await stage.bus.values.put("k", "1", ttl_s=60)
    assert stage.total("voice_bus_errors_total") == 1


async def test_a_subscription_that_lost_redis_and_is_back_is_counted(
    stage: Stage, redis_server: RedisServer
) -> None:
    name = "voice_bus_subscription_reconnects_total"
    async with stage.bus.events.subscribe(Channel.CALLS) as events, asyncio.timeout(20):
        await stage.bus.events.publish(BusEvent(Channel.CALLS, "state", CallId("c1"), {}))
        following = aiter(events)
        assert (await anext(following)).call_id == "c1"
        assert stage.total(name) == 0
        redis_server.stop()
        following_on = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0.2)
        redis_server.start()
        await stage.bus.events.publish(BusEvent(Channel.CALLS, "state", CallId("c2"), {}))
        assert (await following_on).call_id == "c2"
        assert stage.total(name) >= 1
