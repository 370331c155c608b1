"""Calls from the console's page: a gateway, a worker and a page's sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from shared.bus.memory import MemoryBus
from shared.protocol.call import CallId, CallRecord, CallState, EndReason
from shared.protocol.worker import LinkClose
from tests.support.fake_worker import FakeWorker
from tests.support.fragile_bus import FragileBus
from tests.support.gateway import MediaClient, RunningGateway, running_gateway

pytestmark = pytest.mark.system


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def worker(bus: MemoryBus) -> AsyncIterator[FakeWorker]:
    async with FakeWorker(bus.workers, capacity=1) as running:
        yield running


@pytest.fixture
async def gateway(bus: MemoryBus, worker: FakeWorker) -> AsyncIterator[RunningGateway]:
    async with running_gateway(bus, gateway_reconnect_grace_s=0.3) as running:
        yield running


async def post(gateway: RunningGateway, path: str, **body: str) -> httpx.Response:
    url, headers = f"{gateway.base}/console/api/{path}", {"origin": gateway.base}
    return await gateway.client.post(url, json=body, headers=headers)


async def begin(gateway: RunningGateway, agent: str = "default") -> tuple[str, str]:
    """Begin a call; return its id and where its media goes."""
    answer = await post(gateway, "talk", agent=agent)
    assert answer.status_code == 201, answer.text
    said = answer.json()
    return said["call_id"], gateway.base.replace("http", "ws") + said["media_path"]


async def ended(bus: MemoryBus, call_id: str, timeout_s: float = 5.0) -> CallRecord:
    """The call's record, once it is final."""
    async with asyncio.timeout(timeout_s):
        while True:
            record = await bus.calls.get(CallId(call_id))
            if record is not None and record.state.is_final:
                return record
            await asyncio.sleep(0.02)


async def test_a_call_from_the_page_goes_the_way_of_every_call(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id, url = await begin(gateway, "sales")
    link = await worker.call(call_id)
    assert (link.request.agent, link.request.from_number) == ("sales", "console")
    page = await MediaClient.open(url, call_id, origin=gateway.base)
    sent = [await page.start(), await page.media()]
    assert [await link.next_frame() for _ in sent] == sent
    await link.send('{"event":"playAudio"}')
    assert await page.receive() == '{"event":"playAudio"}'
    await asyncio.sleep(0.1)
    assert (await post(gateway, f"talk/{call_id}/hangup", source="caller")).status_code == 204
    assert await link.wait_closed() == 1000
    record = await ended(bus, call_id)
    assert (record.from_number, record.agent) == ("console", "sales")
    assert (record.state, record.end_reason) == (CallState.COMPLETED, EndReason.CALLER_HUNG_UP)
    assert record.duration_s is not None


async def test_hanging_up_twice_changes_nothing_and_the_first_word_holds(
    bus: MemoryBus, gateway: RunningGateway
) -> None:
    call_id, url = await begin(gateway)
    page = await MediaClient.open(url, call_id)
    await page.media()
    await asyncio.sleep(0.1)
    for source in ("agent", "caller", "caller"):
        answer = await post(gateway, f"talk/{call_id}/hangup", source=source)
        assert answer.status_code == 204
    record = await ended(bus, call_id)
    assert record.end_reason is EndReason.AGENT_HUNG_UP


async def test_a_full_pool_is_said_in_words_and_leaves_an_ended_record(
    bus: MemoryBus, gateway: RunningGateway
) -> None:
    await begin(gateway)
    answer = await post(gateway, "talk", agent="default")
    assert answer.status_code == 503
    assert "busy" in answer.json()["problem"]
    reasons = {record.end_reason for record in await bus.calls.recent(5)}
    assert reasons == {None, EndReason.POOL_FULL}


async def test_a_gateway_that_drains_takes_no_call_from_the_page(gateway: RunningGateway) -> None:
    gateway.state.answering.is_draining = True
    answer = await post(gateway, "talk", agent="default")
    assert answer.status_code == 503
    assert "stopped" in answer.json()["problem"]


@pytest.mark.parametrize("is_clean", [True, False])
async def test_a_page_that_is_gone_without_a_word_ends_its_call(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway, *, is_clean: bool
) -> None:
    call_id, url = await begin(gateway)
    page = await MediaClient.open(url, call_id)
    await page.start()
    await page.media()
    link = await worker.call(call_id)
    await link.next_frame()
    await asyncio.sleep(0.1)
    if is_clean:
        await page.close(1001)
    else:
        page.vanish()
    record = await ended(bus, call_id)
    assert record.end_reason is EndReason.CALLER_HUNG_UP
    await link.wait_closed()


async def test_a_page_whose_line_broke_may_come_back_to_its_call(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    gateway.state.browser_calls._back_s = 0.7
    call_id, url = await begin(gateway)
    first = await MediaClient.open(url, call_id)
    await first.media()
    link = await worker.call(call_id)
    await link.next_frame()
    first.vanish()
    second = await MediaClient.open(url, call_id)
    await second.start()
    assert (await link.next_event())["event"] == "start"
    # Longer than the first socket's absence would have been borne.
    for _ in range(12):
        await second.media()
        await asyncio.sleep(0.1)
    record = await bus.calls.get(CallId(call_id))
    assert record is not None
    assert not record.state.is_final
    await second.close(1000)
    await ended(bus, call_id)


async def test_a_page_that_comes_back_to_another_gateway_keeps_its_call(
    bus: MemoryBus, worker: FakeWorker
) -> None:
    """The first gateway has seen the socket go: it must not end what goes on elsewhere."""
    async with running_gateway(bus) as gateway, running_gateway(bus) as other:
        call_id, url = await begin(gateway)
        first = await MediaClient.open(url, call_id)
        await first.media()
        link = await worker.call(call_id)
        await link.next_frame()
        first.vanish()
        moved = url.replace(gateway.base.removeprefix("http"), other.base.removeprefix("http"))
        second = await MediaClient.open(moved, call_id)
        await second.media()
        # So a worker does with the link of a call that another link has taken over.
        await link.close(LinkClose.SUPERSEDED)
        for _ in range(10):
            await second.media()
            await asyncio.sleep(0.1)
        record = await bus.calls.get(CallId(call_id))
        assert record is not None
        assert not record.state.is_final
        await second.close(1000)
        await ended(bus, call_id)


async def test_a_page_that_never_opens_its_socket_gives_the_place_back(
    bus: MemoryBus, worker: FakeWorker
) -> None:
    async with running_gateway(bus) as gateway:
        gateway.state.browser_calls._come_s = 0.3
        call_id, _ = await begin(gateway)
        record = await ended(bus, call_id)
        assert (record.state, record.end_reason) == (CallState.CANCEL, EndReason.CANCELLED)
        await (await worker.call(call_id)).wait_closed()
        await begin(gateway)


async def test_a_telephone_callers_call_is_not_the_pages_to_end(gateway: RunningGateway) -> None:
    await gateway.answer("someone-elses")
    assert (await post(gateway, "talk/someone-elses/hangup")).status_code == 404
    assert (await post(gateway, "talk/nobodys/hangup")).status_code == 404
    assert (await post(gateway, "talk/nobodys/hangup", source="me")).status_code == 400


async def test_a_call_is_ended_though_the_store_is_away_and_the_page_is_told() -> None:
    bus = FragileBus()
    async with FakeWorker(bus.inner.workers) as worker, running_gateway(bus) as gateway:
        call_id, url = await begin(gateway)
        page = await MediaClient.open(url, call_id)
        await page.media()
        link = await worker.call(call_id)
        bus.is_away = True
        assert (await post(gateway, f"talk/{call_id}/hangup")).status_code == 503
        await link.wait_closed()
        bus.is_away = False
        assert (await post(gateway, f"talk/{call_id}/hangup")).status_code == 204
        await page.wait_closed()
