"""What the gateway tells of calls: one line with milestones, and a reason where one failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared.bus.memory import MemoryBus
from shared.protocol.trace import root_of
from shared.protocol.worker import LinkClose
from shared.runtime.clock import SystemClock
from shared.runtime.tracing import Span, Tracer
from tests.support.fake_worker import FakeWorker
from tests.support.gateway import MediaClient, RunningGateway, new_call_id, running_gateway

pytestmark = pytest.mark.system
Lines = list[Any]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with capture_logs() as captured:
        yield captured


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
def spans() -> list[Span]:
    return []


@pytest.fixture
async def gateway(bus: MemoryBus, lines: Lines, spans: list[Span]) -> AsyncIterator[RunningGateway]:
    assert lines == []
    tracer = Tracer(spans.append, SystemClock())
    async with running_gateway(bus, tracer=tracer) as running:
        yield running


async def summary(lines: Lines, call_id: str) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while not (found := [one for one in lines if one["event"] == "call_summary"]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (line,) = found
    assert line["call_id"] == call_id
    return dict(line)


async def begun(gateway: RunningGateway, worker: FakeWorker) -> tuple[str, MediaClient]:
    """A call whose caller has heard something."""
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    await caller.start()
    link = await worker.call(call_id)
    await caller.media()
    await link.next_frame()
    await link.send('{"event":"playAudio"}')
    await caller.receive()
    return call_id, caller


async def test_a_call_that_went_well_is_told_in_one_line(
    bus: MemoryBus, gateway: RunningGateway, lines: Lines
) -> None:
    async with FakeWorker(bus.workers) as worker:
        call_id, caller = await begun(gateway, worker)
        await caller.socket.send(b"binary")
        await caller.media()
        assert await gateway.hang_up(call_id) == 200
        line = await summary(lines, call_id)
        await caller.close()
    moments = [
        *("answered_ms", "socket_ms", "first_frame_ms", "first_sound_ms"),
        *("media_over_ms", "ended_ms"),
    ]
    assert [line[name] for name in moments] == sorted(line[name] for name in moments)
    assert (line["log_level"], line["worker_id"], line["cause"]) == ("info", "worker-1", "4000")
    assert line["dropped"] == {"binary": 1}
    assert "failure" not in line


async def test_a_call_whose_worker_was_lost_says_so_as_an_error(
    bus: MemoryBus, gateway: RunningGateway, lines: Lines
) -> None:
    async with FakeWorker(bus.workers) as worker:
        call_id, caller = await begun(gateway, worker)
        (await worker.call(call_id)).vanish()
        await caller.wait_closed()
        await gateway.hang_up(call_id)
        line = await summary(lines, call_id)
    assert (line["log_level"], line["failure"], line["parting"]) == ("error", "no_worker", "lost")


async def test_a_caller_who_never_came_is_told_of_too(
    bus: MemoryBus, gateway: RunningGateway, lines: Lines
) -> None:
    async with FakeWorker(bus.workers):
        call_id = new_call_id()
        await gateway.answer(call_id)
        await gateway.hang_up(call_id)
        line = await summary(lines, call_id)
    assert "socket_ms" not in line
    assert line["sockets"] == 0


async def test_a_webhook_that_is_not_believed_is_told_of_seldom(
    bus: MemoryBus, lines: Lines
) -> None:
    async with running_gateway(
        bus, vobiz_auth_token="token", public_url="https://a.test"
    ) as gateway:
        for _ in range(5):
            assert (await gateway.answer(new_call_id())).status_code == 403
    refused = [line for line in lines if line["event"] == "webhooks_refused"]
    assert [(line["verdict"], line["times"]) for line in refused] == [("unsigned", 1)]


async def test_every_webhook_of_a_call_is_a_span_of_its_trace(
    bus: MemoryBus, gateway: RunningGateway, spans: list[Span]
) -> None:
    async with FakeWorker(bus.workers) as worker:
        call_id, caller = await begun(gateway, worker)
        await gateway.answer(call_id)
        await (await worker.call(call_id)).close(LinkClose.ENDED)
        await caller.wait_closed()
        await gateway.post("/fallback", {"CallUUID": call_id, "Event": "Redirect"})
        await gateway.hang_up(call_id)
        await gateway.post("/ring", {"Event": "Ring"})  # of no call
    root = root_of(call_id, 1.0)
    assert {span.place.trace_id for span in spans} == {root.trace_id}
    names = [span.name for span in spans]
    assert sorted(names) == [
        *("answer", "answer", "attach", "caller_socket", "connect", "fallback", "hangup"),
        *("relay", "reserve"),
    ]
    first, again = [span for span in spans if span.name == "answer"]
    assert (first.place, first.parent_id) == (root, None)
    assert (again.parent_id, again.attributes["outcome"]) == (root.span_id, "repeated")
