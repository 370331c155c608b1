"""Calls answered, carried and ended: a gateway, workers and Vobiz's side over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from services.gateway.media.relay import Parting
from shared.bus.memory import MemoryBus, MemoryValues
from shared.bus.messages import Channel
from shared.protocol.call import (
    CallChange,
    CallId,
    CallRecord,
    CallState,
    Direction,
    EndClass,
    EndReason,
)
from shared.protocol.worker import LinkClose
from shared.runtime.clock import SystemClock
from tests.support.fake_worker import FakeWorker
from tests.support.gateway import (
    MediaClient,
    RunningGateway,
    hangup,
    new_call_id,
    query,
    running_gateway,
    stream_url,
    verbs,
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


async def record_of(bus: MemoryBus, call_id: str) -> CallRecord:
    record = await bus.calls.get(CallId(call_id))
    assert record is not None
    return record


async def until_free(bus: MemoryBus, timeout_s: float = 5.0) -> None:
    """Wait until no worker has a booking left."""
    deadline_s = time.monotonic() + timeout_s
    while any(lease.active for lease in await bus.workers.workers()):
        assert time.monotonic() < deadline_s, "a booking was left behind"
        await asyncio.sleep(0.02)


async def test_frames_pass_unchanged_both_ways(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    link = await worker.call(call_id)
    caller = await MediaClient.open(url, call_id)
    sent = [await caller.start(), await caller.media(), await caller.media()]
    odd = '{"event":"media",  "media":{"payload":"/w=="}, "né":"☎" }'
    await caller.socket.send(odd)
    assert [await link.next_frame() for _ in range(4)] == [*sent, odd]
    command = '{"event":"playAudio","media":{"payload":"/w==","x":"☎"}}'
    await link.send(command)
    assert await caller.receive() == command
    record = await record_of(bus, call_id)
    assert (record.state, record.worker_id) == (CallState.IN_PROGRESS, worker.worker_id)
    await caller.close(1000)
    assert await link.wait_closed() == 1000
    await until_free(bus)


async def test_the_worker_learns_of_the_call_when_it_is_answered(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    await gateway.answer(
        call_id, path=query("/answer", agent="sales"), **{"X-PH-lead": "42", "From": "08000000002"}
    )
    told = (await worker.call(call_id)).request
    assert (told.agent, told.epoch, told.resume) == ("sales", 1, False)
    assert (told.from_number, told.to_number) == ("+918000000002", "+918000000001")
    assert told.metadata == {"X-PH-lead": "42"}
    record = await record_of(bus, call_id)
    assert (record.state, record.direction, record.agent) == (
        CallState.RINGING,
        Direction.INBOUND,
        "sales",
    )


async def test_the_answer_streams_and_has_a_safety_net(gateway: RunningGateway) -> None:
    call_id = new_call_id()
    xml = (await gateway.answer(call_id)).content
    assert verbs(xml) == ["Stream", "Redirect", "Speak", "Hangup"]
    for attribute in (
        b'bidirectional="true"',
        b'keepCallAlive="true"',
        b'audioTrack="inbound"',
        b'contentType="audio/x-mulaw;rate=8000"',
        b'maxRetries="10"',
        f'statusCallbackUrl="{gateway.base}/stream-status"'.encode(),
    ):
        assert attribute in xml


async def test_a_repeated_answer_gets_the_same_xml_and_no_second_worker(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    answers = await asyncio.gather(*(gateway.answer(call_id) for _ in range(5)))
    answers.append(await gateway.client.get(f"{gateway.base}/answer?CallUUID={call_id}"))
    assert len({answer.content for answer in answers}) == 1
    assert len(worker.calls) == 1
    assert gateway.metric("voice_gateway_answers_total", outcome="stream") == 1
    assert gateway.metric("voice_gateway_answers_total", outcome="repeated") == 5


async def test_every_gateway_gives_the_same_answer(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    async with running_gateway(bus, public_url=None) as other:
        first, second = await asyncio.gather(gateway.answer(call_id), other.answer(call_id))
        third = await other.answer(call_id)
    assert first.content == second.content == third.content


async def test_a_hangup_posted_to_answer_gets_an_empty_200(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    await gateway.answer(call_id)
    link = await worker.call(call_id)
    response = await gateway.post("/answer", hangup(call_id))
    assert (response.status_code, response.content) == (200, b"")
    assert await link.wait_closed() == LinkClose.NORMAL
    record = await record_of(bus, call_id)
    assert (record.state, record.duration_s) == (CallState.COMPLETED, 7.0)
    await until_free(bus)


async def test_an_answer_after_the_hangup_only_hangs_up(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    await gateway.hang_up(call_id)
    assert verbs((await gateway.answer(call_id)).content) == ["Hangup"]
    assert worker.calls == []


async def test_a_hangup_that_overtakes_the_answer_leaves_nothing_open(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    for _ in range(10):
        call_id = new_call_id()
        answer, status = await asyncio.gather(gateway.answer(call_id), gateway.hang_up(call_id))
        assert (answer.status_code, status) == (200, 200)
        assert (await record_of(bus, call_id)).state is CallState.COMPLETED
    await until_free(bus)
    assert gateway.state.calls.active == 0


async def test_a_hangup_between_the_first_look_and_the_hold_gives_the_place_back() -> None:
    """It found no call to end, the answer found one to begin: a place was booked for a minute."""
    bus = MemoryBus()
    looks, goes_on = asyncio.Event(), asyncio.Event()

    class SlowValues(MemoryValues):
        async def get(self, key: str) -> str | None:
            if key.startswith("answer:"):
                looks.set()
                await goes_on.wait()
            return await super().get(key)

    bus.values = SlowValues(SystemClock())
    async with FakeWorker(bus.workers), running_gateway(bus) as gateway:
        call_id = new_call_id()
        answering = asyncio.ensure_future(gateway.answer(call_id))
        await looks.wait()
        assert await gateway.hang_up(call_id) == 200
        goes_on.set()
        assert verbs((await answering).content) == ["Hangup"]
        assert [lease.active for lease in await bus.workers.workers()] == [0]
        assert gateway.state.calls.active == 0
        assert await gateway.state.switchboard.parting(CallId(call_id)) is Parting.ENDED


async def test_a_full_pool_is_told_politely(bus: MemoryBus) -> None:
    async with FakeWorker(bus.workers, capacity=1), running_gateway(bus) as gateway:
        first, second = new_call_id(), new_call_id()
        await gateway.answer(first)
        answer = await gateway.answer(second)
        assert verbs(answer.content) == ["Speak", "Hangup"]
        assert b"busy" in answer.content
        assert (await gateway.answer(second)).content == answer.content
        assert gateway.metric("voice_gateway_answers_total", outcome="busy") == 1
        await gateway.hang_up(second, HangupSource="Answer XML")
        record = await record_of(bus, second)
        assert (record.end_class, record.end_reason) == (EndClass.PLATFORM, EndReason.POOL_FULL)


async def test_a_full_pool_may_be_waited_for(bus: MemoryBus) -> None:
    """Hold words, then the same URL again, until a worker has room."""
    async with (
        FakeWorker(bus.workers, capacity=1) as worker,
        running_gateway(bus, gateway_waiting_calls=1, gateway_hold_text="Hold on.") as gateway,
    ):
        first = new_call_id()
        await MediaClient.open(await gateway.media_url(first), first)
        waiting, third = new_call_id(), new_call_id()
        held = await gateway.answer(waiting, path="/answer?agent=sales")
        assert verbs(held.content) == ["Speak", "Wait", "Redirect"]
        assert b"/answer?agent=sales" in held.content
        assert verbs((await gateway.answer(third)).content) == ["Speak", "Hangup"]
        again = await gateway.answer(waiting, path="/answer?agent=sales", Event="Redirect")
        assert again.content == held.content
        await gateway.hang_up(first)
        await (await worker.call(first)).wait_closed()
        await bus.workers.release(worker.worker_id, CallId(first))
        served = await gateway.answer(waiting, path="/answer?agent=sales", Event="Redirect")
        assert verbs(served.content)[0] == "Stream"
        assert (await worker.call(waiting)).request.agent == "sales"
        counts = [
            gateway.metric("voice_gateway_waiting_line_total", turn=turn)
            for turn in ("joined", "served", "full")
        ]
        assert counts == [1, 1, 1]
        assert gateway.metric("voice_gateway_waiting_calls") == 0


@pytest.mark.parametrize(("status", "reason"), [(503, "full"), (401, "unauthorized")])
async def test_a_worker_that_refuses_is_followed_by_the_next(
    bus: MemoryBus, status: int, reason: str
) -> None:
    async with (
        FakeWorker(bus.workers, "worker-a", refuse_with=status) as first,
        FakeWorker(bus.workers, "worker-b") as second,
        running_gateway(bus) as gateway,
    ):
        call_id = new_call_id()
        assert verbs((await gateway.answer(call_id)).content)[0] == "Stream"
        assert first.refused == 1
        link = await second.call(call_id)
        assert link.request.epoch == 2
        assert gateway.metric("voice_gateway_worker_refusals_total", reason=reason) == 1
        assert [lease.active for lease in await bus.workers.workers()] == [0, 1]


async def test_a_worker_that_is_gone_is_followed_by_the_next(bus: MemoryBus) -> None:
    async with FakeWorker(bus.workers, "worker-b") as second, running_gateway(bus) as gateway:
        async with FakeWorker(bus.workers, "worker-a"):
            pass
        call_id = new_call_id()
        assert verbs((await gateway.answer(call_id)).content)[0] == "Stream"
        await second.call(call_id)
        assert gateway.metric("voice_gateway_worker_refusals_total", reason="unreachable") == 1


async def test_a_link_lost_before_the_caller_came_is_replaced(bus: MemoryBus) -> None:
    async with (
        FakeWorker(bus.workers, "worker-a") as first,
        FakeWorker(bus.workers, "worker-b") as second,
        running_gateway(bus) as gateway,
    ):
        call_id = new_call_id()
        url = await gateway.media_url(call_id)
        (await first.call(call_id)).vanish()
        await asyncio.sleep(0.05)
        caller = await MediaClient.open(url, call_id)
        start = await caller.start()
        link = await second.call(call_id)
        assert await link.next_frame() == start
        await link.send('{"event":"playAudio"}')
        assert await caller.receive() == '{"event":"playAudio"}'


@pytest.mark.parametrize("code", [LinkClose.FULL, LinkClose.HANDOVER, 1011])
async def test_a_worker_that_gives_up_unheard_is_followed_by_one_that_gets_the_start(
    bus: MemoryBus, code: int
) -> None:
    async with (
        FakeWorker(bus.workers, "worker-a") as first,
        FakeWorker(bus.workers, "worker-b") as second,
        running_gateway(bus) as gateway,
    ):
        call_id = new_call_id()
        caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
        start = await caller.start()
        refusing = await first.call(call_id)
        assert await refusing.next_frame() == start
        await refusing.close(code)
        link = await second.call(call_id)
        assert link.request.epoch == 2
        assert await link.next_frame() == start
        media = await caller.media()
        assert await link.next_frame() == media


async def test_media_that_comes_before_any_start_is_passed_on(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    media = await caller.media()
    assert await (await worker.call(call_id)).next_frame() == media


async def test_a_hangup_webhook_reaches_the_worker_and_the_caller(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    await caller.start()
    link = await worker.call(call_id)
    await link.next_frame()
    async with bus.events.subscribe(Channel.HANGUPS) as hangups:
        assert await gateway.hang_up(call_id) == 200
        event = await anext(hangups)
    assert (event.kind, event.call_id) == ("hangup", call_id)
    assert await link.wait_closed() == LinkClose.NORMAL
    assert await caller.wait_closed() == 1000
    record = await record_of(bus, call_id)
    assert (record.hangup_cause, record.hangup_cause_code) == ("NORMAL_CLEARING", "4000")
    assert record.hangup_source == "Caller"
    assert record.end_reason is EndReason.CALLER_HUNG_UP
    assert await gateway.hang_up(call_id) == 200
    await until_free(bus)


async def test_a_hangup_at_another_gateway_ends_the_call_here(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    await caller.start()
    async with running_gateway(bus) as other:
        await other.hang_up(call_id)
        assert await caller.wait_closed() == 1000
        assert await (await worker.call(call_id)).wait_closed() == LinkClose.NORMAL


async def test_who_asks_before_the_workers_link_has_closed_is_told_how_the_call_ended(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    await caller.start()
    link = await worker.call(call_id)
    await link.send(f'{{"event":"stop","streamId":"{caller.stream_id}"}}')
    await caller.receive()
    asked = asyncio.ensure_future(gateway.answer(call_id, path="/fallback", Event="Redirect"))
    await asyncio.sleep(0.1)
    assert not asked.done()
    await link.close(LinkClose.ENDED)
    assert verbs((await asked).content) == ["Hangup"]


async def test_an_agent_that_ends_the_call_leads_to_a_hangup(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    await caller.start()
    link = await worker.call(call_id)
    stop = f'{{"event":"stop","streamId":"{caller.stream_id}"}}'
    await link.send(stop)
    await link.close(LinkClose.ENDED)
    assert await caller.receive() == stop
    assert await caller.wait_closed() == 1000
    fallback = await gateway.answer(call_id, path="/fallback", Event="Redirect")
    assert verbs(fallback.content) == ["Hangup"]


async def test_an_agent_that_ends_without_stop_gets_it_said_for_it(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    await caller.start()
    link = await worker.call(call_id)
    await link.next_frame()
    await link.close(LinkClose.ENDED)
    assert caller.stream_id in await caller.receive()
    assert await caller.wait_closed() == 1000


async def test_the_only_worker_lost_in_mid_call_leads_to_the_apology(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    caller = await MediaClient.open(url, call_id)
    await caller.start()
    link = await worker.call(call_id)
    await link.next_frame()
    await link.send('{"event":"playAudio"}')
    await caller.receive()
    link.vanish()
    stop = await caller.receive()
    assert '"stop"' in stop
    assert caller.stream_id in stop
    assert await caller.wait_closed() == 1011
    fallback = await gateway.answer(call_id, path="/fallback", Event="Redirect")
    assert verbs(fallback.content) == ["Speak", "Hangup"]
    await gateway.hang_up(call_id, HangupSource="Answer XML")
    record = await record_of(bus, call_id)
    assert (record.end_class, record.end_reason) == (EndClass.PLATFORM, EndReason.AGENT_FAILED)


@pytest.mark.parametrize(
    ("worker_code", "caller_code"), [(1000, 1000), (1001, 1011), (4002, 1011), (1011, 1011)]
)
async def test_a_workers_close_code_is_carried_to_the_caller(
    worker: FakeWorker, gateway: RunningGateway, worker_code: int, caller_code: int
) -> None:
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    await caller.start()
    link = await worker.call(call_id)
    await link.next_frame()
    await link.send('{"event":"playAudio"}')
    await caller.receive()
    await link.close(worker_code)
    assert await caller.wait_closed() == caller_code


async def test_a_callers_close_code_is_carried_to_the_worker(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    for code in (1000, 1001):
        call_id = new_call_id()
        caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
        await caller.start()
        await caller.close(code)
        assert await (await worker.call(call_id)).wait_closed() == code


async def test_a_caller_that_says_stop_is_not_waited_for(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    await caller.start()
    stop = f'{{"event":"stop","streamId":"{caller.stream_id}","reason":"call_ended"}}'
    await caller.socket.send(stop)
    link = await worker.call(call_id)
    await link.next_frame()
    assert await link.next_frame() == stop
    caller.vanish()
    assert await link.wait_closed(timeout_s=1.0) == 1001


async def test_a_caller_that_never_comes_gives_the_place_back(bus: MemoryBus) -> None:
    lifetime_s = 5.0  # the shortest a setting allows
    async with (
        FakeWorker(bus.workers) as worker,
        running_gateway(bus, gateway_token_lifetime_s=lifetime_s) as gateway,
    ):
        call_id = new_call_id()
        await gateway.answer(call_id)
        link = await worker.call(call_id)
        assert await link.wait_closed(timeout_s=lifetime_s + 3) == LinkClose.NO_CALLER
        await until_free(bus)


async def test_an_outbound_call_keeps_the_dialers_id(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id, vobiz_id = new_call_id(), new_call_id()
    fields = {"direction": Direction.OUTBOUND, "agent": "survey", "metadata": {"lead": "7"}}
    await bus.calls.apply(CallChange(CallId(call_id), CallState.QUEUED, fields))
    outbound = {"Direction": "outbound"}
    ring = await gateway.answer(vobiz_id, path=query("/ring", c=call_id), Event="Ring", **outbound)
    assert ring.status_code == 200
    assert (await record_of(bus, call_id)).state is CallState.RINGING
    answer = await gateway.answer(
        vobiz_id, path=query("/answer", c=call_id), CallStatus="in-progress", **outbound
    )
    record = await record_of(bus, call_id)
    assert (record.state, record.call_uuid) == (CallState.IN_PROGRESS, vobiz_id)
    assert f"c={call_id}".encode() in answer.content
    link = await worker.call(call_id)
    assert (link.request.agent, link.request.metadata) == ("survey", {"lead": "7"})
    assert link.request.direction is Direction.OUTBOUND
    caller = await MediaClient.open(stream_url(answer.content), vobiz_id)
    await caller.start()
    await link.next_frame()
    path = query("/hangup", c=call_id)
    assert await gateway.hang_up(vobiz_id, path=path, HangupSource="Callee", **outbound) == 200
    record = await record_of(bus, call_id)
    assert (record.state, record.duration_s) == (CallState.COMPLETED, 7.0)
    assert await bus.calls.get(CallId(vobiz_id)) is None


async def test_a_claimed_id_of_another_call_is_not_believed(
    bus: MemoryBus, gateway: RunningGateway
) -> None:
    victim, call_id = new_call_id(), new_call_id()
    await gateway.answer(victim)
    await gateway.hang_up(call_id, path=query("/hangup", c=victim))
    assert (await record_of(bus, victim)).state is CallState.RINGING


async def test_a_verdict_that_comes_with_the_answer_is_known_before_the_agent_speaks(
    bus: MemoryBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    """Detection without a URL of its own: Vobiz asks for the answer when it has judged."""
    call_id = new_call_id()
    fields = {"variables": {"name": "Asha"}, "direction": Direction.OUTBOUND}
    await bus.calls.apply(CallChange(CallId(call_id), CallState.QUEUED, fields))
    answer = await gateway.answer(call_id, Direction="outbound", Machine="true")
    assert answer.status_code == 200
    link = await worker.call(call_id)
    assert link.request.metadata["machine"] == "true"
    assert link.request.variables == {"name": "Asha"}
    assert (await record_of(bus, call_id)).metadata == {"machine": "true"}


async def test_machine_detection_is_written_down(bus: MemoryBus, gateway: RunningGateway) -> None:
    call_id = new_call_id()
    fields = {"Event": "MachineDetection", "CallUUID": call_id, "Machine": "true"}
    assert (await gateway.post("/machine-detection", fields)).status_code == 200
    assert (await record_of(bus, call_id)).metadata == {"machine": "true"}


async def test_stream_callbacks_are_counted(gateway: RunningGateway) -> None:
    fields = {"Event": "DroppedStream", "CallUUID": new_call_id(), "Error": "connection degraded"}
    assert (await gateway.post("/stream-status", fields)).content == b""
    count = gateway.metric("voice_gateway_webhooks_total", event="DroppedStream", verdict="open")
    assert count == 1


async def test_calls_can_be_read(bus: MemoryBus, gateway: RunningGateway) -> None:
    call_id = new_call_id()
    await gateway.answer(call_id)
    words = [{"who": "agent", "text": "Hello", "at_ms": 5, "is_interrupted": False}]
    await bus.calls.apply(CallChange(CallId(call_id), fields={"transcript": words}))
    one = await gateway.client.get(f"{gateway.base}/calls/{call_id}")
    assert one.json()["transcript"] == words
    listed = (await gateway.client.get(f"{gateway.base}/calls?limit=5")).json()["calls"]
    assert [call["call_id"] for call in listed] == [call_id]
    assert "transcript" not in listed[0]
    assert (await gateway.client.get(f"{gateway.base}/calls/nobody")).status_code == 404
    assert (await gateway.client.get(f"{gateway.base}/calls?limit=9999")).status_code == 422


async def test_readiness_wants_a_worker(bus: MemoryBus) -> None:
    async with running_gateway(bus) as gateway:
        response = await gateway.client.get(f"{gateway.base}/readyz")
        assert (response.status_code, response.json()["workers"]) == (503, "none")
        async with FakeWorker(bus.workers):
            assert (await gateway.client.get(f"{gateway.base}/readyz")).status_code == 200
            gateway.state.answering.is_draining = True
            response = await gateway.client.get(f"{gateway.base}/readyz")
            assert response.json()["gateway"] == "draining"


async def test_a_draining_gateway_refuses_new_calls_and_keeps_its_own(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    gateway.state.answering.is_draining = True
    assert (await gateway.answer(new_call_id())).status_code == 503
    assert stream_url((await gateway.answer(call_id)).content) == url
    caller = await MediaClient.open(url, call_id)
    await caller.start()
    link = await worker.call(call_id)
    await link.next_frame()
    idle = asyncio.ensure_future(gateway.state.calls.until_idle())
    await link.send('{"event":"playAudio"}')
    await caller.receive()
    assert not idle.done()
    await caller.close()
    await asyncio.wait_for(idle, 5)
