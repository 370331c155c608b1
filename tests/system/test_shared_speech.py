"""Speech that workers share, on a Redis that goes away and comes back."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from services.agent.speech.phone_speech import PhoneSpeech
from services.agent.speech.shared_speech import SharedSpeech
from shared.bus.base import BusUnavailable, SharedCache
from shared.bus.redis import open_bus
from tests.support.faulty_providers import FaultyVoice, Meters
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.system


async def said(speech: PhoneSpeech, text: str) -> bytes:
    return b"".join([chunk.ulaw async for chunk in speech.speak(text, is_first=True)])


async def until_stored(cache: SharedCache, count: int) -> bool:
    for _ in range(500):
        with suppress(BusUnavailable):
            if len(await cache.keys()) == count:
                return True
        await asyncio.sleep(0.01)
    return False


async def test_workers_share_speech_and_do_without_it_while_redis_is_away(
    redis_server: RedisServer,
) -> None:
    meters = Meters()
    async with (
        open_bus(redis_server.url, timeout_s=1) as bus,
        SharedSpeech(bus.cache, meters.metrics, refresh_s=0.05, wait_s=0.5) as shared,
    ):
        one = PhoneSpeech(FaultyVoice(500, pace_s=0), voice_key="v", shared=shared)
        await one.prepare(["Hello.", "Goodbye."])
        hello = await said(one, "Hello.")
        assert await until_stored(bus.cache, 2)
        await shared.refresh()

        voice = FaultyVoice(900, pace_s=0)
        other = PhoneSpeech(voice, voice_key="v", shared=shared)
        assert await said(other, "Hello.") == hello
        assert voice.spoken == []

        redis_server.stop()
        began_s = time.monotonic()
        assert await said(other, "Goodbye.")
        assert time.monotonic() - began_s < 0.6
        assert voice.spoken == ["Goodbye."]

        redis_server.start()
        assert await until_stored(bus.cache, 2)  # kept on disk
        await shared.refresh()
        later = PhoneSpeech(FaultyVoice(900, pace_s=0), voice_key="v", shared=shared)
        assert await said(later, "Hello.") == hello
        await later.prepare(["Good evening."])
        assert await until_stored(bus.cache, 3)
        for speech in (one, other, later):
            await speech.aclose()
