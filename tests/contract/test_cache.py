"""One contract over both caches that services share: in memory and on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from shared.bus.base import BusUnavailable, CacheBounds, SharedCache
from shared.bus.memory import MemoryBus, MemoryCache
from shared.bus.redis import open_bus
from shared.bus.redis.cache import RedisCache
from shared.bus.redis.client import open_client
from shared.bus.redis.store import Store
from shared.runtime.clock import SystemClock

BOUNDS = CacheBounds(entry_bytes=50, entries=4, total_bytes=100)
Opener = Callable[[CacheBounds], SharedCache]


class CacheContract:
    """What every cache keeps; the classes at the end say for which."""

    async def test_what_was_put_comes_back(self, make: Opener) -> None:
        cache = make(BOUNDS)
        assert await cache.get("a") is None
        assert await cache.put("a", "one", ttl_s=60)
        assert await cache.put("a", "two", ttl_s=60)
        assert await cache.put("b", "", ttl_s=60)
        assert await cache.get("a") == "two"
        assert await cache.get("b") == ""
        assert await cache.keys() == {"a", "b"}

    async def test_what_is_too_large_is_refused(self, make: Opener) -> None:
        cache = make(BOUNDS)
        assert not await cache.put("a", "x" * 51, ttl_s=60)
        assert await cache.keys() == frozenset()

    async def test_the_oldest_make_room_by_number(self, make: Opener) -> None:
        cache = make(BOUNDS)
        for key in ("a", "b", "c", "d"):
            await cache.put(key, key, ttl_s=60)
            await asyncio.sleep(0.002)
        await cache.put("a", "again", ttl_s=60)
        await cache.put("e", "e", ttl_s=60)
        assert await cache.keys() == {"a", "c", "d", "e"}
        assert await cache.get("b") is None

    async def test_the_oldest_make_room_by_size(self, make: Opener) -> None:
        cache = make(BOUNDS)
        for key in ("a", "b", "c"):
            await cache.put(key, key * 30, ttl_s=60)
            await asyncio.sleep(0.002)
        await cache.put("d", "d" * 50, ttl_s=60)
        assert await cache.keys() == {"c", "d"}
        await cache.put("d", "d", ttl_s=60)
        await cache.put("e", "e" * 50, ttl_s=60)
        assert await cache.keys() == {"c", "d", "e"}

    async def test_what_has_lapsed_is_gone_and_takes_no_room(self, make: Opener) -> None:
        cache = make(BOUNDS)
        await cache.put("old", "x" * 50, ttl_s=0.03)
        await cache.put("a", "a" * 50, ttl_s=60)
        await asyncio.sleep(0.06)
        assert await cache.get("old") is None
        assert await cache.keys() == {"a"}
        await cache.put("b", "b" * 50, ttl_s=60)
        assert await cache.keys() == {"a", "b"}


class TestMemoryCache(CacheContract):
    @pytest.fixture
    def make(self) -> Opener:
        return lambda bounds: MemoryCache(SystemClock(), bounds)

    async def test_the_bus_has_one(self) -> None:
        cache: SharedCache = MemoryBus().cache
        assert await cache.keys() == frozenset()


class TestRedisCache(CacheContract):
    @pytest.fixture
    async def make(self, redis_url: str) -> AsyncIterator[Opener]:
        async with AsyncExitStack() as stack:
            redis = await stack.enter_async_context(open_client(redis_url, prefix="{test}"))
            store = Store(redis, prefix="{test}", timeout_s=5, metrics=None)
            yield lambda bounds: RedisCache(store, bounds)

    async def test_the_bus_has_one(self, redis_url: str) -> None:
        async with open_bus(redis_url, timeout_s=5) as bus:
            await bus.cache.put("a", "one", ttl_s=60)
            assert await bus.cache.get("a") == "one"

    async def test_nothing_of_it_outlives_its_time(self, make: Opener, redis_url: str) -> None:
        await make(BOUNDS).put("a", "one", ttl_s=0.05)
        await asyncio.sleep(0.1)
        async with open_client(redis_url, prefix="{test}") as redis:
            assert await redis.eval("return redis.call('KEYS', '*')", 1, "{test}") == []

    async def test_a_redis_that_is_away_is_said_to_be(self) -> None:
        async with open_bus("redis://127.0.0.1:1", timeout_s=1) as bus:
            with pytest.raises(BusUnavailable):
                await bus.cache.get("a")
            with pytest.raises(BusUnavailable):
                await bus.cache.put("a", "one", ttl_s=1)
            with pytest.raises(BusUnavailable):
                await bus.cache.keys()
