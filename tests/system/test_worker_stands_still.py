"""A worker's process stands still for a moment: its calls go elsewhere, or wait for it.

Gateway, worker and Redis are processes, so that the worker can be stopped as a whole.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.bus.redis import RedisBus
from tests.support.fake_worker import FakeWorker, WorkerCall
from tests.support.gateway import MediaClient, new_call_id, start_app, stream_url
from tests.support.processes import sample_key
from tests.support.redis_server import RedisServer
from tests.system.test_gateway_process import Process, house

pytestmark = pytest.mark.system
CALLS, STOOD_STILL_S, FRAME_S = 4, 1.5, 0.02
REATTACHED = "voice_gateway_reattachments_total"


@asynccontextmanager
async def echo_worker(redis: RedisServer, bus: RedisBus) -> AsyncIterator[int]:
    """A worker that says back what it hears; gives its process's id once it is in the pool."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.echo_worker", redis.url, "worker-a"
    )
    try:
        async with asyncio.timeout(20):
            while not await bus.workers.workers():  # noqa: ASYNC110 - it comes by itself
                await asyncio.sleep(0.05)
        yield process.pid
    finally:
        process.kill()
        await process.wait()


class Talk:
    """A caller who speaks all the time, and when each piece of that came back."""

    def __init__(self, caller: MediaClient) -> None:
        self.call_id = caller.call_id
        self.caller = caller
        self.said: list[str] = []
        self.heard: list[str] = []
        self.heard_s: list[float] = []

    @classmethod
    async def begin(cls, gateway: Process) -> Talk:
        call_id = new_call_id()
        answer = await gateway.client.post("/answer", data=start_app(call_id))
        caller = await MediaClient.open(stream_url(answer.content), call_id)
        await caller.start()
        return cls(caller)

    async def speak(self, seconds: float) -> None:
        began_s = time.monotonic()
        for n in range(round(seconds / FRAME_S)):
            await asyncio.sleep(began_s + n * FRAME_S - time.monotonic())
            self.said.append(await self.caller.media())

    async def listen(self) -> None:
        async for message in self.caller.socket:
            self.heard.append(str(message))
            self.heard_s.append(time.monotonic())

    async def until(self, is_so: Callable[[], bool], within_s: float = 3.0) -> None:
        async with asyncio.timeout(within_s):
            while not is_so():  # noqa: ASYNC110 - what comes wakes nobody here
                await asyncio.sleep(0.01)

    @property
    def longest_gap_s(self) -> float:
        pairs = zip(self.heard_s, self.heard_s[1:], strict=False)
        return max(after - before for before, after in pairs)


@asynccontextmanager
async def talking(gateway: Process, calls: int) -> AsyncIterator[list[Talk]]:
    """Callers in conversation, who are listening while the context lasts."""
    talks = [await Talk.begin(gateway) for _ in range(calls)]
    listening = [asyncio.ensure_future(talk.listen()) for talk in talks]
    try:
        yield talks
    finally:
        await hang_up(talks)
        await asyncio.gather(*listening)


async def hang_up(talks: list[Talk]) -> None:
    """End the calls, while there is a worker yet; those that have ended stay so."""
    for talk in talks:
        await talk.caller.close()


async def speak_while(talks: list[Talk], seconds: float, trouble: Callable[[], None]) -> None:
    """Have all speak, and make trouble when a second has passed."""
    loop = asyncio.get_running_loop()
    loop.call_later(1.0, trouble)
    await asyncio.gather(*(talk.speak(seconds) for talk in talks))


def stand_still(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    asyncio.get_running_loop().call_later(seconds, os.kill, pid, signal.SIGCONT)


async def replaced(gateway: Process) -> dict[str, float]:
    """Calls attached anew, by cause."""
    text = (await gateway.client.get("/metrics")).text
    samples = {
        sample_key(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    causes = ("broken", "silent", "handover")
    keys = {c: sample_key(REATTACHED, {"cause": c, "outcome": "attached"}) for c in causes}
    return {cause: samples[key] for cause, key in keys.items() if samples.get(key)}


async def test_the_only_worker_keeps_its_calls_and_all_that_was_said_meanwhile(
    redis_server: RedisServer, record_property: Callable[[str, object], None]
) -> None:
    """All were cut and came back to it at once, late as it was: most were lost."""
    async with (
        house(redis_server) as (gateway, bus),
        echo_worker(redis_server, bus) as pid,
        talking(gateway, CALLS) as talks,
    ):
        await speak_while(talks, 3.5, lambda: stand_still(pid, STOOD_STILL_S))
        for talk in talks:
            await talk.until(lambda talk=talk: len(talk.heard) >= len(talk.said))  # type: ignore[misc]
            assert talk.heard == talk.said
        gaps_s = [round(talk.longest_gap_s, 2) for talk in talks]
        record_property("gaps_s", gaps_s)
        assert min(gaps_s) > STOOD_STILL_S - 0.1, "it did not stand still"
        assert max(gaps_s) < STOOD_STILL_S + 0.5
        assert await replaced(gateway) == {}


async def test_with_another_worker_there_the_calls_are_moved_within_about_a_second(
    redis_server: RedisServer, record_property: Callable[[str, object], None]
) -> None:
    async with (
        house(redis_server) as (gateway, bus),
        echo_worker(redis_server, bus) as pid,
        talking(gateway, CALLS) as talks,
        FakeWorker(bus.workers, "worker-b", on_call=WorkerCall.say_back) as second,
    ):
        await talks[0].speak(1.5)  # until the gateway has looked at the pool
        stopped_s = 0.0

        def stop() -> None:
            nonlocal stopped_s
            stopped_s = time.monotonic()
            os.kill(pid, signal.SIGSTOP)

        await speak_while(talks, 3.5, stop)
        back_s = []
        for talk in talks:
            link = await second.call(talk.call_id)
            assert link.request.resume
            assert json.loads(talk.heard[-1])["event"] == "media"
            back_s.append(round(min(s for s in talk.heard_s if s > stopped_s + 0.1) - stopped_s, 2))
        record_property("back_s", back_s)
        assert max(back_s) < 1.5
        assert await replaced(gateway) == {"silent": CALLS}
        await hang_up(talks)


async def test_a_new_call_waits_for_the_only_worker_as_well(
    redis_server: RedisServer, record_property: Callable[[str, object], None]
) -> None:
    """It heard the busy words after a second, though the worker was back soon."""
    async with house(redis_server) as (gateway, bus), echo_worker(redis_server, bus) as pid:
        stand_still(pid, 1.8)
        began_s = time.monotonic()
        talk = await Talk.begin(gateway)
        took_s = time.monotonic() - began_s
        record_property("answered_after_s", round(took_s, 2))
        assert 1.7 < took_s < 2.5
        listening = asyncio.ensure_future(talk.listen())
        await talk.speak(0.5)
        await talk.until(lambda: len(talk.heard) >= len(talk.said))
        assert talk.heard == talk.said
        await talk.caller.close()
        await listening


async def test_a_new_call_is_given_to_whoever_comes_while_it_waits(
    redis_server: RedisServer,
) -> None:
    async with house(redis_server) as (gateway, bus), echo_worker(redis_server, bus) as pid:
        os.kill(pid, signal.SIGSTOP)
        began_s = time.monotonic()
        begun = asyncio.ensure_future(Talk.begin(gateway))
        await asyncio.sleep(1.3)
        async with FakeWorker(bus.workers, "worker-b") as second:
            talk = await begun
            # The gateway looks at the pool once a second.
            assert time.monotonic() - began_s < 2.8
            await second.call(talk.call_id)
            await talk.caller.close()


async def test_a_new_call_hears_the_busy_words_when_its_worker_does_not_come_back(
    redis_server: RedisServer,
) -> None:
    async with house(redis_server) as (gateway, bus), echo_worker(redis_server, bus) as pid:
        os.kill(pid, signal.SIGSTOP)
        began_s = time.monotonic()
        answer = await gateway.client.post("/answer", data=start_app(new_call_id()))
        assert b"busy" in answer.content
        assert 2.9 < time.monotonic() - began_s < 4.5
