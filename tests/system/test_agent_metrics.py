"""What a worker counts when a call goes wrong on its side, or waits: real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection, connect

from services.agent.providers.base import Expectation, Say
from services.agent.providers.offline.sphinx import SphinxTranscriber
from services.agent.wire.link import Link
from shared.audio.g711 import decode_ulaw
from shared.metrics.catalogue import AgentMetrics
from shared.protocol.call import CallId, Direction
from shared.protocol.worker import LinkRequest
from tests.support.providers import FakeBrain
from tests.system.test_resume import two
from tests.system.test_worker import LOUD, QUIET, SECRET, Phone, Stand, standing

pytestmark = pytest.mark.system
LONG = Say("A greeting that goes on and on and on and on, and on and on and on and on and on.")


@asynccontextmanager
async def own_link(stand: Stand) -> AsyncIterator[tuple[ClientConnection, Link]]:
    """A call and the worker's end of its link."""
    made: list[Link] = []

    def make() -> Link:
        made.append(stand.worker.make_link())
        return made[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    request = LinkRequest(CallId("call-1"))
    async with connect(
        f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}{request.path}",
        additional_headers=request.headers(SECRET, time.time()),
        compression=None,
        proxy=None,
    ) as link:
        yield link, made[0]
    server.close()


async def test_the_first_words_and_their_pacing_are_measured() -> None:
    async with standing() as stand, stand.link() as link:
        phone = Phone(link)
        await phone.start()
        await phone.send(QUIET, 0.4)
        assert stand.value("voice_agent_first_audio_seconds_count") == 1
        assert stand.value("voice_agent_first_audio_seconds_sum") < 0.2
        assert stand.value("voice_agent_pacing_lateness_seconds_count") >= 5
        frames = stand.value("voice_agent_pacing_lateness_seconds_count")
        assert stand.value("voice_agent_pacing_lateness_seconds_sum") / frames < 0.03


async def test_a_worker_that_stands_still_lets_the_caller_run_dry_and_says_so() -> None:
    async with standing(FakeBrain(greeting=(LONG,))) as stand, stand.link() as link:
        phone = Phone(link)
        await phone.start()
        await phone.send(QUIET, 0.4)
        assert stand.value("voice_agent_underruns_total") == 0
        time.sleep(0.6)  # noqa: ASYNC251 - as something that blocks the loop would
        await phone.send(QUIET, 0.1)
        assert stand.value("voice_agent_underruns_total") == 1


async def test_a_gateway_that_falls_behind_is_counted_and_given_up_after_the_bound() -> None:
    brain = FakeBrain(greeting=(LONG,))
    async with standing(brain, send_timeout_s=0.2) as stand, own_link(stand) as (link, end):
        phone = Phone(link)
        await phone.start()
        await phone.send(QUIET, 0.1)
        end.pause_writing()  # as the transport says when its buffer is full
        assert stand.value("voice_agent_slow_links_total") == 1
        assert stand.value("voice_agent_send_timeouts_total") == 0
        await asyncio.wait_for(link.wait_closed(), 2)
        assert stand.value("voice_agent_send_timeouts_total") == 1


async def test_calls_are_shown_by_agent_direction_and_state() -> None:
    brain = FakeBrain(greeting=(LONG,))
    speaking = {"agent": "default", "direction": "outbound", "state": "speaking"}
    async with standing(brain) as stand:
        async with stand.link(direction=Direction.OUTBOUND) as link:
            phone = Phone(link)
            await phone.start()
            await phone.send(QUIET, 1.2)
            assert stand.value("voice_agent_calls_in_state", **speaking) == 1
        await stand.worker.wait_idle()
        await asyncio.sleep(1.1)
        assert stand.value("voice_agent_calls_in_state", **speaking) == 0
        assert stand.value("voice_agent_draining") == 0
        stand.worker.drain()
        await asyncio.sleep(0.05)
        assert stand.value("voice_agent_draining") == 1


async def test_an_agent_that_never_answers_is_dead_air() -> None:
    brain = FakeBrain(on_piece=lambda: asyncio.get_running_loop().create_future())
    async with standing(brain) as stand, stand.link() as link:
        phone = Phone(link)
        await phone.start()
        await phone.send(QUIET, 3.4)
        assert stand.value("voice_agent_dead_air_total") == 0
        await phone.send(QUIET, 2.6)
        assert stand.value("voice_agent_dead_air_total") == 1


async def test_the_silence_of_a_resumed_call_is_measured() -> None:
    async with two() as (gateway, first, second, _):
        link = await gateway.attach(first)
        await gateway.until(lambda: gateway.kinds().count("checkpoint") == 1)
        link.transport.abort()
        began_s = time.monotonic()
        await gateway.attach(second)
        await gateway.until(lambda: gateway.kinds().count("playAudio") > 1)
        took_s = time.monotonic() - began_s
        assert second.value("voice_agent_resume_silence_seconds_count") == 1
        measured_s = second.value("voice_agent_resume_silence_seconds_sum")
        assert measured_s == pytest.approx(took_s, abs=0.06)
        assert first.value("voice_agent_resume_silence_seconds_count") == 0


async def test_audio_that_recognition_has_no_room_for_is_counted() -> None:
    registry = CollectorRegistry()
    metrics = AgentMetrics(registry)
    async with SphinxTranscriber(on_dropped=metrics.dropped_audio.inc) as transcriber:
        stream = transcriber.open(Expectation())
        stream.begin()
        for _ in range(50 * 21):
            stream.push(decode_ulaw(LOUD))
        dropped = registry.get_sample_value("voice_agent_dropped_audio_total")
        assert dropped == pytest.approx(50, abs=2)
        await stream.aclose()
