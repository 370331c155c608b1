"""Who gets into a call's media socket, over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from websockets.exceptions import InvalidStatus

from services.gateway.access.tokens import make_token
from shared.bus.memory import MemoryBus
from shared.protocol.call import CallId
from shared.protocol.worker import LinkClose
from tests.support.fake_worker import FakeWorker
from tests.support.gateway import (
    MediaClient,
    RunningGateway,
    new_call_id,
    refusal_status,
    running_gateway,
)

pytestmark = pytest.mark.system


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def worker(bus: MemoryBus) -> AsyncIterator[FakeWorker]:
    async with FakeWorker(bus.workers) as running:
        yield running


@pytest.fixture
async def gateway(bus: MemoryBus, worker: FakeWorker) -> AsyncIterator[RunningGateway]:
    async with running_gateway(bus) as running:
        yield running


def refusals(gateway: RunningGateway, reason: str) -> float:
    return gateway.metric("voice_gateway_token_refusals_total", reason=reason)


async def test_a_wrong_token_is_refused_before_the_upgrade(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    link = await worker.call(call_id)
    changed = url[:-1] + ("0" if url[-1] != "0" else "1")
    other_call = url.replace(call_id, new_call_id())
    garbage = url.rsplit("/", 1)[0] + "/" + "é" * 20
    for wrong in (changed, other_call, garbage, url + "0"):
        assert await refusal_status(wrong) == 403
    assert refusals(gateway, "wrong") == 4
    assert link.frames.empty()
    caller = await MediaClient.open(url, call_id)
    assert await caller.start() == await link.next_frame()


async def test_a_late_token_is_refused(worker: FakeWorker, gateway: RunningGateway) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    secret = gateway.state.settings.token_secret
    late = make_token(secret, CallId(call_id), time.time() - 2)
    assert await refusal_status(url.rsplit("/", 1)[0] + "/" + late) == 403
    assert refusals(gateway, "late") == 1


async def test_a_used_token_is_refused_while_its_socket_lives(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    caller = await MediaClient.open(url, call_id)
    await caller.start()

    async def talk() -> None:
        while True:
            await caller.media()
            await asyncio.sleep(0.02)

    talking = asyncio.ensure_future(talk())
    try:
        assert await refusal_status(url) == 403
    finally:
        talking.cancel()
        await asyncio.wait({talking})
    assert refusals(gateway, "used") == 1
    assert len(worker.calls) == 1


async def test_of_two_sockets_at_once_only_one_is_let_in(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)

    async def open_and_talk() -> MediaClient | None:
        try:
            caller = await MediaClient.open(url, call_id)
        except InvalidStatus:
            return None
        for _ in range(120):
            await caller.media()
            await asyncio.sleep(0.02)
        return caller

    opened = await asyncio.gather(*(open_and_talk() for _ in range(4)))
    assert sum(caller is not None for caller in opened) == 1
    assert len(worker.calls) == 1


async def test_a_token_of_an_ended_call_is_refused(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    caller = await MediaClient.open(url, call_id)
    await caller.start()
    await gateway.hang_up(call_id)
    await caller.wait_closed()
    assert await refusal_status(url) == 403
    unused = new_call_id()
    unused_url = await gateway.media_url(unused)
    await gateway.hang_up(unused)
    assert await refusal_status(unused_url) == 403
    assert refusals(gateway, "ended") == 2


async def test_after_the_agent_ended_the_call_no_socket_is_let_in(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    caller = await MediaClient.open(url, call_id)
    await caller.start()
    link = await worker.call(call_id)
    await link.next_frame()
    await link.close(LinkClose.ENDED)
    await caller.wait_closed()
    assert await refusal_status(url) == 403


@pytest.mark.parametrize("says_start", [True, False])
async def test_a_reconnect_comes_back_to_the_same_session(
    worker: FakeWorker, gateway: RunningGateway, says_start: bool
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    first = await MediaClient.open(url, call_id)
    await first.start()
    link = await worker.call(call_id)
    await link.next_frame()
    first.vanish()
    again = await MediaClient.open(url, call_id)
    sent = await (again.start() if says_start else again.media())
    assert await link.next_frame() == sent
    await link.send('{"event":"playAudio"}')
    assert await again.receive() == '{"event":"playAudio"}'
    assert len(worker.calls) == 1
    assert gateway.metric("voice_gateway_media_sockets_total", outcome="reconnected") == 1


async def test_a_silent_socket_gives_way_to_a_reconnect(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    first = await MediaClient.open(url, call_id)
    await first.start()
    link = await worker.call(call_id)
    await link.next_frame()
    again = await MediaClient.open(url, call_id)
    media = await again.media()
    assert await link.next_frame() == media
    assert await first.wait_closed() == LinkClose.SUPERSEDED


async def test_a_caller_that_does_not_come_back_is_given_up_after_the_grace(
    bus: MemoryBus, worker: FakeWorker
) -> None:
    async with running_gateway(bus, gateway_reconnect_grace_s=0.3) as gateway:
        call_id = new_call_id()
        caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
        await caller.start()
        link = await worker.call(call_id)
        await link.next_frame()
        caller.vanish()
        assert await link.wait_closed() == 1001


async def test_a_reconnect_after_the_grace_gets_a_resumed_session(
    bus: MemoryBus, worker: FakeWorker
) -> None:
    async with running_gateway(bus, gateway_reconnect_grace_s=0.1) as gateway:
        call_id = new_call_id()
        url = await gateway.media_url(call_id)
        caller = await MediaClient.open(url, call_id)
        await caller.start()
        link = await worker.call(call_id)
        await link.next_frame()
        caller.vanish()
        await link.wait_closed()
        again = await MediaClient.open(url, call_id)
        await again.media()
        resumed = await worker.call(call_id, attach=2)
        assert (resumed.request.resume, resumed.request.epoch) == (True, 2)


async def test_another_gateway_takes_the_first_socket(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    async with running_gateway(bus) as other:
        caller = await MediaClient.open(url.replace(gateway.base[7:], other.base[7:]), call_id)
        start = await caller.start()
        link = await worker.call(call_id, attach=2)
        assert (link.request.epoch, link.request.from_number) == (2, "+15550100001")
        assert await link.next_frame() == start


async def test_another_gateway_takes_a_reconnect_and_refuses_a_second_use(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    first = await MediaClient.open(url, call_id)
    await first.start()
    async with running_gateway(bus) as other:
        elsewhere = url.replace(gateway.base[7:], other.base[7:])
        stop = asyncio.Event()

        async def talk() -> None:
            while not stop.is_set():
                await first.media()
                await asyncio.sleep(0.02)

        talking = asyncio.ensure_future(talk())
        assert await refusal_status(elsewhere) == 403
        stop.set()
        await talking
        again = await MediaClient.open(elsewhere, call_id)
        media = await again.media()
        link = await worker.call(call_id, attach=2)
        assert link.request.resume
        assert await link.next_frame() == media
        assert await first.wait_closed() == LinkClose.SUPERSEDED


async def test_a_forged_token_of_an_unknown_call_reaches_no_worker(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    token = make_token(gateway.state.settings.token_secret, CallId(call_id), time.time() + 60)
    url = f"ws://{gateway.base[7:]}/ws/{call_id}/{token}"
    assert await refusal_status(url) == 403
    assert refusals(gateway, "unknown") == 1
    assert worker.calls == []
