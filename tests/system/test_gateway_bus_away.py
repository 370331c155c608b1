"""What a gateway does while the bus is away, over real sockets."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from services.gateway.access.tokens import make_token
from shared.bus.messages import WorkerLease
from shared.protocol.call import CallId, CallState, EndReason
from shared.protocol.errand import GatherErrand, errand_key, serialize_errand
from shared.protocol.signature import signed_headers
from shared.protocol.worker import LinkClose
from tests.support.fake_worker import FakeWorker
from tests.support.fragile_bus import FragileBus
from tests.support.gateway import (
    MediaClient,
    RunningGateway,
    hangup,
    new_call_id,
    query,
    refusal_status,
    running_gateway,
    stream_url,
    verbs,
)

pytestmark = pytest.mark.system


@pytest.fixture
def bus() -> FragileBus:
    return FragileBus()


@pytest.fixture
async def worker(bus: FragileBus) -> AsyncIterator[FakeWorker]:
    async with FakeWorker(bus.inner.workers) as running:
        yield running


@pytest.fixture
async def gateway(bus: FragileBus, worker: FakeWorker) -> AsyncIterator[RunningGateway]:
    async with running_gateway(bus) as running:
        yield running


async def test_a_call_already_answered_is_carried_and_ended(
    bus: FragileBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    answer = await gateway.answer(call_id)
    bus.is_away = True
    assert (await gateway.answer(call_id)).content == answer.content
    caller = await MediaClient.open(stream_url(answer.content), call_id)
    start = await caller.start()
    link = await worker.call(call_id)
    assert await link.next_frame() == start
    assert await gateway.hang_up(call_id) == 503
    assert await link.wait_closed() == 1000
    assert await caller.wait_closed() == 1000
    bus.is_away = False
    assert await gateway.hang_up(call_id) == 200
    record = await bus.inner.calls.get(CallId(call_id))
    assert record is not None
    assert record.state is CallState.COMPLETED


async def test_a_token_is_still_good_once_and_for_reconnects(
    bus: FragileBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    bus.is_away = True
    first = await MediaClient.open(url, call_id)
    await first.start()
    link = await worker.call(call_id)
    await link.next_frame()
    first.vanish()
    again = await MediaClient.open(url, call_id)
    media = await again.media()
    assert await link.next_frame() == media
    assert await refusal_status(url.replace(call_id, new_call_id())) == 403


async def test_a_call_nobody_here_knows_is_let_in_by_what_its_token_says_alone(
    bus: FragileBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    secret = gateway.state.settings.token_secret
    silent = make_token(secret, CallId(call_id), time.time() + 60)
    async with running_gateway(bus) as other:
        bus.is_away = True
        url = url.replace(gateway.base[7:], other.base[7:])
        assert await refusal_status(f"{url.rpartition('/')[0]}/{silent}") == 403
        assert other.metric("voice_gateway_token_refusals_total", reason="unknown") == 1
        caller = await MediaClient.open(url, call_id)
        await caller.start()
        held = other.state.calls.get(CallId(call_id))
        assert held is not None
        assert held.request.agent == "default"


async def test_a_new_call_hears_the_busy_words(
    bus: FragileBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    bus.is_away = True
    claimed = query("/answer", c=new_call_id())
    for path in ("/answer", claimed):
        call_id = new_call_id()
        answer = await gateway.answer(call_id, path=path, Direction="outbound")
        assert verbs(answer.content) == ["Speak", "Hangup"]
        assert (
            await gateway.answer(call_id, path=path, Direction="outbound")
        ).content == answer.content
    assert worker.calls == []


async def test_an_agents_end_is_known_to_the_fallback(
    bus: FragileBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    await caller.start()
    link = await worker.call(call_id)
    await link.next_frame()
    bus.is_away = True
    await link.close(LinkClose.ENDED)
    await caller.wait_closed()
    assert verbs((await gateway.answer(call_id, path="/fallback")).content) == ["Hangup"]
    unknown = await gateway.answer(new_call_id(), path="/fallback")
    assert verbs(unknown.content) == ["Speak", "Hangup"]


async def test_a_lost_link_can_not_be_replaced_but_is_apologised_for(
    bus: FragileBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    url = await gateway.media_url(call_id)
    caller = await MediaClient.open(url, call_id)
    await caller.start()
    link = await worker.call(call_id)
    await link.next_frame()
    bus.is_away = True
    link.vanish()
    assert '"stop"' in await caller.receive()
    assert await caller.wait_closed() == 1011
    bus.is_away = False
    assert verbs((await gateway.answer(call_id, path="/fallback")).content) == ["Speak", "Hangup"]
    await gateway.hang_up(call_id, HangupSource="Answer XML")
    record = await bus.inner.calls.get(CallId(call_id))
    assert record is not None
    assert record.end_reason is EndReason.AGENT_FAILED


async def test_calls_can_not_be_read_and_readiness_says_so(
    bus: FragileBus, gateway: RunningGateway
) -> None:
    bus.is_away = True
    for path in ("/calls", "/calls/abc", "/readyz"):
        assert (await gateway.client.get(gateway.base + path)).status_code == 503
    ready = (await gateway.client.get(f"{gateway.base}/readyz")).json()
    assert (ready["redis"], ready["workers"]) == ("unreachable", "unknown")


async def test_nonces_are_still_remembered_here(bus: FragileBus) -> None:
    public = "https://voice.example.com"
    async with running_gateway(bus, public_url=public, vobiz_auth_token="t") as gateway:
        headers = signed_headers(f"{public}/hangup", "t", "1" * 20, "2" * 20)
        bus.is_away = True
        call_id = new_call_id()
        statuses = [
            (await gateway.post("/hangup", fields, headers)).status_code
            for fields in (hangup(call_id), hangup(call_id), hangup(new_call_id()))
        ]
        assert statuses == [503, 503, 403]


async def test_a_booking_that_can_not_be_given_up_lapses(bus: FragileBus) -> None:
    """A worker refuses while the bus goes away: the caller is told, nothing hangs."""
    lease = WorkerLease(worker_id=FakeWorker(bus.inner.workers).worker_id, address="x", capacity=1)
    async with running_gateway(bus) as gateway:
        await bus.inner.workers.heartbeat(lease, [])
        answer = await gateway.answer(new_call_id())
        assert verbs(answer.content) == ["Speak", "Hangup"]
        refused = gateway.metric("voice_gateway_worker_refusals_total", reason="protocol")
        unreachable = gateway.metric("voice_gateway_worker_refusals_total", reason="unreachable")
        assert refused + unreachable == 1


async def test_who_comes_back_from_an_errand_meets_the_agent_all_the_same(
    bus: FragileBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    """What was keyed is lost then, the call is not."""
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    await caller.start()
    link = await worker.call(call_id)
    await link.next_frame()
    errand = serialize_errand(GatherErrand("e1"))
    await bus.inner.values.put(errand_key(CallId(call_id)), errand, ttl_s=60)
    await link.close(LinkClose.AWAY)
    await caller.wait_closed()
    asked = await gateway.answer(call_id, path="/fallback", Event="Redirect")
    assert verbs(asked.content)[0] == "Gather"
    bus.is_away = True
    done = query("/errand-done", e="e1")
    given = await gateway.answer(call_id, path=done, Event="Redirect", Digits="42")
    assert verbs(given.content)[0] == "Stream"
    events = query("/dial-events", e="e1")
    assert (await gateway.answer(call_id, path=events, Event="DialAnswer")).status_code == 200
    machine = await gateway.answer(call_id, path="/machine-detection", Machine="true")
    assert machine.status_code == 200
    bus.is_away = False
    returned = await MediaClient.open(stream_url(given.content), call_id)
    start = await returned.start()
    back = await worker.call(call_id, attach=2)
    assert await back.next_frame() == start
    await returned.close()


async def test_an_errand_cannot_be_run_while_the_bus_is_away(
    bus: FragileBus, worker: FakeWorker, gateway: RunningGateway
) -> None:
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    await caller.start()
    link = await worker.call(call_id)
    await link.next_frame()
    bus.is_away = True
    await link.close(LinkClose.AWAY)
    await caller.wait_closed()
    asked = await gateway.answer(call_id, path="/fallback", Event="Redirect")
    assert verbs(asked.content) == ["Speak", "Hangup"]
    sent = await gateway.answer(call_id, path="/errand", Event="Transfer")
    assert verbs(sent.content)[0] == "Stream"
