from __future__ import annotations

import asyncio

from services.agent.speech.shared_speech import SharedSpeech
from services.agent.speech.speech_record import MOST_BYTES, SpeechRecord, serialize_speech
from shared.bus.base import BusUnavailable
from shared.bus.memory import MemoryCache
from tests.support.faulty_providers import Meters
from tests.support.virtual_loop import LoopClock, in_virtual_time

RECORD = SpeechRecord(b"\x80" * 800, -20.0)
NOT_SHARED = "voice_agent_speech_not_shared_total"


class SlowCache(MemoryCache):
    """Answers after `delay_s`, or says that it is away."""

    def __init__(self) -> None:
        super().__init__(LoopClock())
        self.delay_s = 0.0
        self.is_away = False
        self.commands = 0

    async def _reach(self) -> None:
        self.commands += 1
        await asyncio.sleep(self.delay_s)
        if self.is_away:
            raise BusUnavailable("away")

    async def get(self, key: str) -> str | None:
        await self._reach()
        return await super().get(key)

    async def put(self, key: str, value: str, *, ttl_s: float) -> bool:
        await self._reach()
        return await super().put(key, value, ttl_s=ttl_s)

    async def keys(self) -> frozenset[str]:
        await self._reach()
        return await super().keys()


@in_virtual_time
async def test_what_one_worker_offers_another_has_after_its_next_list() -> None:
    cache = SlowCache()
    metrics = Meters().metrics
    async with SharedSpeech(cache, metrics) as one, SharedSpeech(cache, metrics) as other:
        one.offer("a", RECORD)
        await asyncio.sleep(0.1)
        assert one.has("a")
        assert not other.has("a")
        await asyncio.sleep(10)
        assert other.has("a")
        assert await other.get("a") == RECORD


@in_virtual_time
async def test_what_is_not_on_the_list_is_not_asked_for() -> None:
    cache = SlowCache()
    async with SharedSpeech(cache, Meters().metrics) as shared:
        before = cache.commands
        assert await shared.get("a") is None
        assert cache.commands == before


@in_virtual_time
async def test_a_slow_store_is_not_waited_for() -> None:
    cache = SlowCache()
    await cache.put("a", serialize_speech(RECORD), ttl_s=60)
    async with SharedSpeech(cache, Meters().metrics) as shared:
        cache.delay_s = 0.5
        began_s = asyncio.get_running_loop().time()
        assert await shared.get("a") is None
        assert asyncio.get_running_loop().time() - began_s <= 0.031
        assert await shared.get("a", wait_s=1.0) == RECORD


@in_virtual_time
async def test_a_store_that_is_away_is_left_alone_until_it_is_back() -> None:
    meters = Meters()
    cache = SlowCache()
    await cache.put("a", serialize_speech(RECORD), ttl_s=600)
    async with SharedSpeech(cache, meters.metrics) as shared:
        cache.is_away = True
        assert await shared.get("a") is None
        before = cache.commands
        assert await shared.get("a") is None
        shared.offer("b", RECORD)
        assert cache.commands == before
        assert meters.of(NOT_SHARED) == {("away",): 1}
        await asyncio.sleep(25)
        cache.is_away = False
        await asyncio.sleep(10)
        assert await shared.get("a") == RECORD


@in_virtual_time
async def test_a_store_that_is_away_at_the_start_keeps_nobody_from_starting() -> None:
    meters = Meters()
    cache = SlowCache()
    cache.is_away = True
    async with SharedSpeech(cache, meters.metrics) as shared:
        assert not shared.has("a")
        cache.is_away = False
        await asyncio.sleep(11)
        cache.is_away = True
        shared.offer("b", RECORD)
        await asyncio.sleep(0.1)
        assert meters.of(NOT_SHARED) == {("away",): 1}


@in_virtual_time
async def test_garbage_in_the_store_is_as_nothing() -> None:
    cache = SlowCache()
    await cache.put("a", "garbage", ttl_s=60)
    async with SharedSpeech(cache, Meters().metrics) as shared:
        assert shared.has("a")
        assert await shared.get("a") is None


@in_virtual_time
async def test_what_is_too_large_or_too_much_at_once_is_dropped_and_counted() -> None:
    meters = Meters()
    cache = SlowCache()
    async with SharedSpeech(cache, meters.metrics) as shared:
        cache.delay_s = 1.0
        shared.offer("large", SpeechRecord(b"x" * (MOST_BYTES + 1), -20.0))
        shared.offer("empty", SpeechRecord(b"", -20.0))
        for number in range(20):
            shared.offer(str(number), RECORD)
        await asyncio.sleep(2)
        assert meters.of(NOT_SHARED) == {("too_large",): 2, ("busy",): 4}
        assert len(await cache.keys()) == 16


@in_virtual_time
async def test_what_the_store_finds_too_large_is_counted() -> None:
    meters = Meters()

    class Small(SlowCache):
        async def put(self, key: str, value: str, *, ttl_s: float) -> bool:
            return False

    async with SharedSpeech(Small(), meters.metrics) as shared:
        shared.offer("a", RECORD)
        await asyncio.sleep(0.1)
        assert not shared.has("a")
        assert meters.of(NOT_SHARED) == {("too_large",): 1}
