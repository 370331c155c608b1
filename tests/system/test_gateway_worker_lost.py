"""A worker is lost in mid-call: the caller's socket stays, and another worker goes on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from services.gateway.media.relay import Parting
from shared.bus.memory import MemoryBus
from shared.protocol.call import CallId
from shared.protocol.worker import LinkClose
from tests.support.fake_worker import FakeWorker, WorkerCall
from tests.support.gateway import MediaClient, RunningGateway, new_call_id, running_gateway, verbs

pytestmark = pytest.mark.system
HELLO, AGAIN = '{"event":"playAudio","n":1}', '{"event":"playAudio","n":2}'
REATTACHED = "voice_gateway_reattachments_total"


async def cut(link: WorkerCall) -> None:
    link.vanish()


async def freeze(link: WorkerCall) -> None:
    link.stop_reading()


async def hand_over(link: WorkerCall) -> None:
    await link.close(LinkClose.HANDOVER)


async def fail(link: WorkerCall) -> None:
    await link.close(1011)


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


async def in_conversation(
    gateway: RunningGateway, worker: FakeWorker
) -> tuple[MediaClient, WorkerCall, list[str]]:
    """A call whose caller has heard something; and all that the caller has said."""
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    said = [await caller.start()]
    link = await worker.call(call_id)
    for _ in range(20):
        said.append(await caller.media())
    played = f'{{"event":"playedStream","streamId":"{caller.stream_id}","name":"c-1"}}'
    await caller.socket.send(played)
    said.append(played)
    assert [await link.next_frame() for _ in said] == said
    await link.send(HELLO)
    assert await caller.receive() == HELLO
    return caller, link, said


@pytest.mark.parametrize(
    ("lose", "cause", "within_s"),
    [
        (cut, "broken", 0.5),
        (fail, "broken", 0.5),
        (hand_over, "handover", 0.5),
        (freeze, "silent", 1.5),
    ],
)
async def test_another_worker_goes_on_where_one_was_lost(
    bus: MemoryBus,
    lose: Callable[[WorkerCall], Awaitable[None]],
    cause: str,
    within_s: float,
    record_property: Callable[[str, object], None],
) -> None:
    async with FakeWorker(bus.workers, "worker-a") as first, running_gateway(bus) as gateway:
        caller, link, said = await in_conversation(gateway, first)
        async with FakeWorker(bus.workers, "worker-b") as second:
            began_s = time.monotonic()
            await lose(link)
            said.append(await caller.media())
            other = await second.call(caller.call_id)
            assert await other.next_frame() == said[0]
            seconds = time.monotonic() - began_s
            record_property("gap_s", round(seconds, 4))
            assert seconds < within_s
            said.append(await caller.media())
            assert [await other.next_frame() for _ in said[1:]] == said[1:]
            assert (other.request.resume, other.request.epoch) == (True, 2)
            with contextlib.suppress(ConnectionClosed):
                link.resume_reading()
                await link.send('{"event":"playAudio","n":"from the grave"}')
            await other.send(AGAIN)
            assert await caller.receive() == AGAIN
            assert gateway.metric(REATTACHED, cause=cause, outcome="attached") == 1
            record = await bus.calls.get(CallId(caller.call_id))
            assert record is not None
            assert record.worker_id == "worker-b"
            assert {w.worker_id: w.active for w in await bus.workers.workers()} == {
                "worker-a": 0,
                "worker-b": 1,
            }
            await caller.close(1000)
            assert await other.wait_closed() == 1000


async def test_a_call_that_loses_two_workers_gets_no_third(bus: MemoryBus) -> None:
    async with FakeWorker(bus.workers, "worker-a") as first, running_gateway(bus) as gateway:
        caller, link, _ = await in_conversation(gateway, first)
        async with (
            FakeWorker(bus.workers, "worker-b") as second,
            FakeWorker(bus.workers, "worker-c") as third,
        ):
            link.vanish()
            (await second.call(caller.call_id)).vanish()
            assert '"stop"' in await caller.receive()
            assert await caller.wait_closed() == 1011
            assert third.calls == []
        assert gateway.metric(REATTACHED, cause="broken", outcome="second_loss") == 1
        assert await gateway.state.switchboard.parting(CallId(caller.call_id)) is Parting.LOST
        fallback = await gateway.answer(caller.call_id, path="/fallback", Event="Redirect")
        assert verbs(fallback.content) == ["Speak", "Hangup"]


async def test_a_caller_waits_for_a_worker_that_is_yet_to_come(bus: MemoryBus) -> None:
    async with (
        FakeWorker(bus.workers, "worker-a") as first,
        running_gateway(bus, gateway_worker_wait_s=5.0) as gateway,
    ):
        caller, link, said = await in_conversation(gateway, first)
        link.vanish()
        await asyncio.sleep(0.3)
        async with FakeWorker(bus.workers, "worker-b") as second:
            other = await second.call(caller.call_id)
            assert [await other.next_frame() for _ in said] == said
            await caller.close(1000)
            await other.wait_closed()


async def test_a_worker_that_is_quiet_but_alive_keeps_its_call(bus: MemoryBus) -> None:
    async with (
        FakeWorker(bus.workers, "worker-a") as first,
        running_gateway(bus, gateway_link_ping_s=0.05, gateway_link_pong_s=0.3) as gateway,
    ):
        caller, link, _ = await in_conversation(gateway, first)
        await asyncio.sleep(1.0)
        assert not link.closed.is_set()
        await link.send(AGAIN)
        assert await caller.receive() == AGAIN
        await caller.close(1000)
        await link.wait_closed()


async def test_a_caller_that_does_not_read_is_not_taken_for_a_silent_worker(
    bus: MemoryBus,
) -> None:
    """While we read no more of a worker ourselves its pongs lie unread in our own socket."""
    async with (
        FakeWorker(bus.workers, "worker-a") as first,
        running_gateway(
            bus,
            gateway_link_ping_s=0.05,
            gateway_link_pong_s=0.1,
            gateway_reconnect_grace_s=0.1,
        ) as gateway,
    ):
        caller, link, _ = await in_conversation(gateway, first)
        caller.socket.transport.pause_reading()
        command = '{"event":"playAudio","media":{"payload":"' + "A" * 60_000 + '"}}'

        async def speak() -> None:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(400):
                    await link.send(command)

        speaking = asyncio.ensure_future(speak())
        assert await link.wait_closed(timeout_s=8) == 1001
        speaking.cancel()
        await asyncio.wait({speaking})
        caller.vanish()
        assert gateway.metric("voice_gateway_send_timeouts_total", to="caller") == 1


class BusyWorker(FakeWorker):
    """Takes a while to open a link, and counts how many are being opened."""

    opening = most = 0

    async def _judge(self, socket: ServerConnection, request: Request) -> Response | None:
        self.opening += 1
        self.most = max(self.most, self.opening)
        await asyncio.sleep(0.05)
        self.opening -= 1
        return await super()._judge(socket, request)


async def test_of_many_calls_that_lose_their_worker_sixteen_at_a_time_are_attached(
    bus: MemoryBus, record_property: Callable[[str, object], None]
) -> None:
    """A hundred at once made a worker late that was to take them over."""
    calls = 40
    async with (
        FakeWorker(bus.workers, "worker-a", capacity=calls) as first,
        running_gateway(bus, gateway_worker_wait_s=3.0) as gateway,
    ):
        callers = [(await in_conversation(gateway, first))[0] for _ in range(calls)]
        async with BusyWorker(bus.workers, "worker-b", capacity=calls) as second:
            began_s = time.monotonic()
            for link in first.calls:
                link.vanish()
            for caller in callers:
                await second.call(caller.call_id)
            seconds = time.monotonic() - began_s
            record_property("gap_s", round(seconds, 3))
            assert second.most == 16
            assert seconds < 1.0
            assert gateway.metric("voice_gateway_worker_refusals_total", reason="crowded") == 0
            for caller in callers:
                caller.vanish()
