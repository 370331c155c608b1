"""Calls that leave the agent for a while: a gateway on Redis, a worker, the simulated cloud."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.agent.wire.network import (
    Departure,
    FarPartyAnswered,
    FarPartyMissed,
    KeysCollected,
    Left,
    NetworkCall,
    NetworkEvent,
    NetworkRefused,
    VobizNetwork,
    WhoAnswered,
    network_event,
)
from services.dialer.calls.actions import CallActions
from services.dialer.calls.order import GatewayAddress
from services.simulator.calls.call import Call
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.forms import CallFacts
from services.simulator.calls.knobs import Knobs
from services.simulator.calls.plan import CallPlan, Target
from services.simulator.calls.timeline import Moment
from services.simulator.calls.wheel import SimulatedClock
from services.simulator.person.caller import KeyPresses
from services.simulator.rest.app import create_app
from services.simulator.settings import SimulatorSettings
from shared.bus.base import Bus
from shared.bus.memory import MemoryBus
from shared.bus.messages import Channel
from shared.bus.redis import open_bus
from shared.metrics.catalogue import DialerMetrics
from shared.protocol.call import CallId, CallRecord, CallState, Direction, EndClass, EndReason
from shared.protocol.errand import TransferErrand, errand_key, serialize_errand
from shared.protocol.worker import LinkClose
from shared.runtime.http import serve_app
from shared.runtime.tasks import TaskOwner
from shared.vobiz.account import VobizAccount
from shared.vobiz.client import VobizClient, open_vobiz
from tests.support.fake_worker import FakeWorker, WorkerCall
from tests.support.gateway import (
    MediaClient,
    RunningGateway,
    new_call_id,
    query,
    running_gateway,
    stream_url,
    verbs,
)
from tests.support.redis_server import RedisServer
from tests.support.simulated_call import no_voice, quick

pytestmark = pytest.mark.system

SPEED = 4.0  # of the cloud's clock: waiting for keys takes five seconds at least
AUTH_ID, TOKEN = "MA_TEST", "test-token"
DESK, BUSY_DESK = "+918000000009", "+918000003010"


@dataclass
class Stage:
    """All that a call meets."""

    bus: Bus
    gateway: RunningGateway
    worker: FakeWorker
    cloud: Cloud
    vobiz: VobizClient
    events: list[NetworkEvent] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def place(self, *turns: KeyPresses, **changes: Any) -> Call:
        """Let somebody call in; `knobs` and the script's limits may differ."""
        knobs = Knobs(hangup_delay_s=0.1, **changes.pop("knobs", {}))
        facts = CallFacts(
            call_uuid=str(uuid.uuid4()),
            direction=Direction.INBOUND,
            from_number="+918000000001",
            to_number="+918000000002",
            auth_id=AUTH_ID,
            session_start=self.cloud.clock.wall(),
        )
        limits = {"hangup_at_s": 40.0, "max_duration_s": 60.0} | changes
        base = self.gateway.base
        return self.cloud.start(
            CallPlan(
                facts=facts,
                answer=Target(f"{base}/answer"),
                hangup=Target(f"{base}/hangup"),
                token=TOKEN,
                script=quick(turns=turns, **limits),
                knobs=knobs,
            )
        )

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until the events are as they should be."""
        async with asyncio.timeout(10):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()

    async def record(self, call_id: str) -> CallRecord:
        record = await self.bus.calls.get(CallId(call_id))
        assert record is not None
        return record

    def network(self, *, by_rest: bool) -> VobizNetwork:
        return VobizNetwork(self.bus.values, self.vobiz if by_rest else None)


@asynccontextmanager
async def open_stage(bus: Bus) -> AsyncIterator[Stage]:
    settings = SimulatorSettings(vobiz_auth_id=AUTH_ID, vobiz_auth_token=SecretStr(TOKEN))
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        worker = await enter(FakeWorker(bus.workers))
        gateway = await enter(running_gateway(bus))
        cloud = await enter(Cloud(SimulatedClock(SPEED), open_engine=no_voice))
        port = await enter(serve_app(create_app(cloud, settings), host="127.0.0.1", port=0))
        account = VobizAccount(AUTH_ID, TOKEN, f"http://127.0.0.1:{port}/api/v1")
        vobiz = await enter(open_vobiz(account, timeout_s=5, connect_timeout_s=2))
        stage = Stage(bus, gateway, worker, cloud, vobiz)
        events = await enter(bus.events.subscribe(Channel.CALLS))

        async def collect() -> None:
            async for event in events:
                if (told := network_event(event)) is not None:
                    stage.events.append(told)
                    stage.changed.set()

        tasks = await enter(TaskOwner("errands-test"))
        tasks.start(collect(), name="collect")
        yield stage


@pytest.fixture
async def stage(redis_server: RedisServer) -> AsyncIterator[Stage]:
    async with (
        open_bus(redis_server.url, prefix="errands", timeout_s=2.0) as bus,
        open_stage(bus) as made,
    ):
        yield made


async def first_link(stage: Stage, call: Call) -> tuple[WorkerCall, NetworkCall]:
    """Return the call's link once its stream has begun."""
    link = await stage.worker.call(call.call_uuid)
    start = await link.next_event()
    assert start["event"] == "start"
    network_call = NetworkCall.of(link.request, start["start"]["callId"])
    assert network_call.webhook_base == stage.gateway.base
    assert network_call.call_uuid == call.call_uuid
    stage.worker.sessions.add(CallId(call.call_uuid))
    return link, network_call


async def go(link: WorkerCall, left: Left) -> None:
    """Do what the way of leaving asks of a worker."""
    if left.departure is Departure.BY_STOP:
        await link.send('{"event":"stop"}')
        await link.close(LinkClose.AWAY)
    else:
        assert await link.wait_closed() == LinkClose.NORMAL


async def say_goodbye(link: WorkerCall) -> None:
    await link.send('{"event":"stop"}')
    await link.close(LinkClose.ENDED)


def verbs_run(call: Call) -> list[str]:
    return [moment.detail["verb"] for moment in call.timeline.of(Moment.VERB)]


async def over(call: Call) -> None:
    async with asyncio.timeout(15):
        await call.over.wait()


@pytest.mark.parametrize("by_rest", [False, True], ids=["redirect", "rest"])
async def test_keys_are_collected_and_the_caller_comes_back(stage: Stage, by_rest: bool) -> None:
    network = stage.network(by_rest=by_rest)
    call = stage.place(KeyPresses("7", at_s=0.5), KeyPresses("42#", at_s=6.0))
    link, known = await first_link(stage, call)
    while (await link.next_event())["event"] != "dtmf":
        pass  # what was keyed before is not collected
    left = await network.leave_to_gather(known, prompt="Your number, please.", most=8, timeout_s=9)
    assert left.departure is (Departure.BY_NETWORK if by_rest else Departure.BY_STOP)
    await go(link, left)
    back = await stage.worker.call(call.call_uuid, attach=2)
    assert (back.request.epoch, back.request.resume) == (2, True)
    start = await back.next_event()
    assert start["event"] == "start"
    await stage.until(lambda: len(stage.events) == 1)
    assert stage.events == [KeysCollected(left.errand_id, "42")]
    await say_goodbye(back)
    await over(call)
    assert call.ending is not None
    assert call.ending.source == "Answer XML"
    record = await stage.record(call.call_uuid)
    assert (record.end_class, record.end_reason) == (EndClass.SUCCESS, EndReason.AGENT_HUNG_UP)
    outcome = {"kind": "gather", "outcome": "gathered"}
    assert stage.gateway.metric("voice_gateway_errands_total", **outcome) == 1


async def test_who_presses_nothing_comes_back_without_keys(stage: Stage) -> None:
    call = stage.place()
    link, known = await first_link(stage, call)
    left = await stage.network(by_rest=True).leave_to_gather(known, timeout_s=1)
    await go(link, left)
    back = await stage.worker.call(call.call_uuid, attach=2)
    await stage.until(lambda: len(stage.events) == 1)
    assert stage.events == [KeysCollected(left.errand_id, "")]
    await say_goodbye(back)
    await over(call)


@pytest.mark.parametrize("by_rest", [False, True], ids=["redirect", "rest"])
async def test_a_transfer_that_is_answered_ends_as_transferred(stage: Stage, by_rest: bool) -> None:
    call = stage.place()
    link, known = await first_link(stage, call)
    left = await stage.network(by_rest=by_rest).leave_to_transfer(
        known, to=DESK, caller_id="+918000000002", say="I will put you through."
    )
    await go(link, left)
    await stage.until(lambda: len(stage.events) == 1)
    assert stage.events == [FarPartyAnswered(left.errand_id)]
    assert not call.over.is_set()
    await over(call)
    record = await stage.record(call.call_uuid)
    assert (record.end_class, record.end_reason) == (EndClass.SUCCESS, EndReason.TRANSFERRED)
    assert verbs_run(call)[-3:] == ["Speak", "Dial", "Hangup"]
    assert len(stage.worker.calls) == 1
    assert len(stage.events) == 1


async def transfer_from_outside(stage: Stage, call: Call, to_number: str) -> None:
    """Hand a call over as the dialer does, once its media has begun."""
    metrics, gateway = DialerMetrics(CollectorRegistry()), GatewayAddress(stage.gateway.base)
    actions = CallActions(stage.vobiz, stage.bus, metrics, gateway)
    async with asyncio.timeout(5):
        # The record has no event to wait for.
        while (await stage.record(call.call_uuid)).state is not CallState.IN_PROGRESS:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await actions.transfer_to_number(CallId(call.call_uuid), to_number)


async def test_a_transfer_asked_for_from_outside_leaves_the_agent(stage: Stage) -> None:
    call = stage.place()
    link, _ = await first_link(stage, call)
    await transfer_from_outside(stage, call, DESK)
    assert await link.wait_closed() == LinkClose.NORMAL
    await stage.until(lambda: len(stage.events) == 1)
    assert isinstance(stage.events[0], FarPartyAnswered)
    await over(call)
    record = await stage.record(call.call_uuid)
    assert (record.end_class, record.end_reason) == (EndClass.SUCCESS, EndReason.TRANSFERRED)


async def test_who_was_not_reached_from_outside_comes_back_to_an_agent(stage: Stage) -> None:
    call = stage.place()
    link, _ = await first_link(stage, call)
    await transfer_from_outside(stage, call, BUSY_DESK)
    assert await link.wait_closed() == LinkClose.NORMAL
    back = await stage.worker.call(call.call_uuid, attach=2)
    assert (await back.next_event())["event"] == "start"
    await say_goodbye(back)
    await over(call)


async def test_nobody_reached_means_back_to_the_same_session(stage: Stage) -> None:
    async with FakeWorker(stage.bus.workers, "worker-0") as other:
        other.refuse_with = 503
        call = stage.place()
        link, known = await first_link(stage, call)
        other.refuse_with = None
        network = stage.network(by_rest=True)
        await go(link, left := await network.leave_to_transfer(known, to=BUSY_DESK))
        back = await stage.worker.call(call.call_uuid, attach=2)
        assert (await back.next_event())["event"] == "start"
        await stage.until(lambda: len(stage.events) == 1)
        assert stage.events == [FarPartyMissed(left.errand_id, "busy")]
        # A second try is an errand of its own.
        await go(back, again := await network.leave_to_transfer(known, to=DESK))
        await stage.until(lambda: len(stage.events) == 2)
        assert stage.events[1] == FarPartyAnswered(again.errand_id)
        await over(call)
        assert other.calls == []


async def test_a_caller_whose_worker_died_meanwhile_gets_another(stage: Stage) -> None:
    async with FakeWorker(stage.bus.workers, "worker-2") as heir:
        heir.refuse_with = 503
        call = stage.place()
        link, known = await first_link(stage, call)
        heir.refuse_with = None
        left = await stage.network(by_rest=False).leave_to_gather(known, timeout_s=1)
        await go(link, left)
        stage.worker.refuse_with = 503
        await stage.bus.workers.withdraw(stage.worker.worker_id)
        back = await heir.call(call.call_uuid)
        assert back.request.resume
        assert back.request.epoch >= 2
        await say_goodbye(back)
        await over(call)


async def test_repeated_webhooks_change_nothing(stage: Stage) -> None:
    call = stage.place(knobs={"duplicates_webhooks": True})
    link, known = await first_link(stage, call)
    network = stage.network(by_rest=True)
    await go(link, missed := await network.leave_to_transfer(known, to=BUSY_DESK))
    back = await stage.worker.call(call.call_uuid, attach=2)
    await back.next_event()
    await go(back, reached := await network.leave_to_transfer(known, to=DESK))
    await over(call)
    assert stage.events == [
        FarPartyMissed(missed.errand_id, "busy"),
        FarPartyAnswered(reached.errand_id),
    ]
    assert len(stage.worker.calls) == 2


async def test_who_hangs_up_while_it_rings_has_hung_up(stage: Stage) -> None:
    """The Dial's end then comes after the hang-up, and is no news."""
    call = stage.place()
    link, known = await first_link(stage, call)
    await go(link, await stage.network(by_rest=True).leave_to_transfer(known, to=DESK))
    async with asyncio.timeout(5):
        # The timeline has no event to wait for.
        while "Dial" not in verbs_run(call):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await stage.vobiz.hang_up(call.call_uuid)).value == "ended"
    await over(call)
    record = await stage.record(call.call_uuid)
    assert record.end_reason is EndReason.API_HUNG_UP
    late = [d for d in call.deliveries if d.path == "/errand-done"]
    assert [delivery.status for delivery in late] == [200]
    assert stage.events == []


async def test_a_transfer_that_rest_refuses_goes_by_stop(stage: Stage) -> None:
    call = stage.place()
    link, known = await first_link(stage, call)
    async with open_vobiz(
        VobizAccount(AUTH_ID, "wrong", "http://127.0.0.1:9/api/v1"),
        timeout_s=1,
        connect_timeout_s=0.5,
    ) as unreachable:
        network = VobizNetwork(stage.bus.values, unreachable)
        left = await network.leave_to_transfer(known, to=DESK)
    assert left.departure is Departure.BY_STOP
    await go(link, left)
    await stage.until(lambda: len(stage.events) == 1)
    assert stage.events == [FarPartyAnswered(left.errand_id)]
    await over(call)


async def test_keys_are_pressed_by_rest(stage: Stage) -> None:
    call = stage.place()
    link, known = await first_link(stage, call)
    await stage.network(by_rest=True).send_digits(known, "12#")
    pressed = [m.detail["digits"] for m in call.timeline.of(Moment.DTMF)]
    assert pressed == ["12#"]
    await say_goodbye(link)
    await over(call)
    with pytest.raises(NetworkRefused, match="over"):
        await stage.network(by_rest=True).send_digits(known, "1")


# --- webhooks by hand, on a bus in memory ---------------------------------------------------------


async def test_any_gateway_runs_an_errand_and_takes_the_call_back() -> None:
    bus = MemoryBus()
    async with (
        FakeWorker(bus.workers) as worker,
        running_gateway(bus) as first,
        running_gateway(bus) as second,
    ):
        call_id = new_call_id()
        caller = await MediaClient.open(await first.media_url(call_id), call_id)
        await caller.start()
        link = await worker.call(call_id)
        await link.next_frame()
        worker.sessions.add(CallId(call_id))
        left = await VobizNetwork(bus.values, None).leave_to_gather(NetworkCall.of(link.request))
        await link.close(LinkClose.AWAY)
        assert json.loads(await caller.receive()) == {
            "event": "stop",
            "streamId": caller.stream_id,
        }
        assert await caller.wait_closed() == 1000
        asked = await second.answer(call_id, path="/fallback", Event="Redirect")
        assert verbs(asked.content) == ["Gather", "Redirect"]
        done = query("/errand-done", e=left.errand_id)
        given = await second.answer(call_id, path=done, Event="Redirect", Digits="4 2")
        assert verbs(given.content) == ["Stream", "Redirect", "Speak", "Hangup"]
        again = await first.answer(call_id, path=done, Event="Redirect", Digits="99")
        assert again.content == given.content
        returned = await MediaClient.open(stream_url(given.content), call_id)
        await returned.start()
        back = await worker.call(call_id, attach=2)
        assert (back.request.epoch, back.request.webhook_base) == (2, second.base)
        assert back.request.call_uuid == call_id
        await returned.close()
        # Once back, nothing is pending: the end of the call is a plain one.
        assert await back.wait_closed() == LinkClose.NORMAL
        ended = await second.answer(call_id, path="/fallback", Event="Redirect")
        assert verbs(ended.content) == ["Hangup"]


@dataclass
class Small:
    """A call that talks, on one gateway and a bus in memory."""

    bus: MemoryBus
    gateway: RunningGateway
    worker: FakeWorker
    call_id: str
    caller: MediaClient
    link: WorkerCall


@pytest.fixture
async def small() -> AsyncIterator[Small]:
    bus = MemoryBus()
    async with FakeWorker(bus.workers) as worker, running_gateway(bus) as gateway:
        call_id = new_call_id()
        caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
        await caller.start()
        link = await worker.call(call_id)
        await link.next_frame()
        worker.sessions.add(CallId(call_id))
        yield Small(bus, gateway, worker, call_id, caller, link)
        await caller.close()


async def told(bus: MemoryBus, call_id: str) -> list[NetworkEvent]:
    """All that the network has told of a call so far."""
    found = []
    async with bus.events.subscribe(Channel.CALLS, after="0-0") as events:
        try:
            async with asyncio.timeout(0.2):
                async for event in events:
                    if event.call_id == call_id and (known := network_event(event)):
                        found.append(known)
        except TimeoutError:
            pass
    return found


async def test_who_reconnects_instead_of_leaving_is_not_sent_away_later(small: Small) -> None:
    errand = TransferErrand("e1", DESK)
    await small.bus.values.put(errand_key(CallId(small.call_id)), serialize_errand(errand), ttl_s=9)
    await small.link.close(LinkClose.AWAY)
    await small.caller.wait_closed()
    url = stream_url((await small.gateway.answer(small.call_id)).content)
    returned = await MediaClient.open(url, small.call_id)
    await returned.start()
    back = await small.worker.call(small.call_id, attach=2)
    await back.next_frame()
    await say_goodbye(back)
    await returned.wait_closed()
    ended = await small.gateway.answer(small.call_id, path="/fallback", Event="Redirect")
    assert verbs(ended.content) == ["Hangup"]


async def test_an_errand_nobody_knows_brings_the_caller_back(small: Small) -> None:
    await small.link.close(LinkClose.AWAY)
    await small.caller.wait_closed()
    given = await small.gateway.answer(small.call_id, path="/errand", Event="Transfer")
    assert verbs(given.content)[0] == "Stream"
    gone = await small.gateway.answer(small.call_id, path="/fallback", Event="Redirect")
    assert verbs(gone.content) == ["Speak", "Hangup"]


async def test_a_far_leg_that_never_was_is_no_transfer(small: Small) -> None:
    errand = TransferErrand("e1", DESK)
    await small.bus.values.put(errand_key(CallId(small.call_id)), serialize_errand(errand), ttl_s=9)
    fields = {"Event": "Redirect", "DialStatus": "completed", "DialBLegUUID": ""}
    done = query("/errand-done", e="e1")
    given = await small.gateway.answer(small.call_id, path=done, **fields)
    assert verbs(given.content)[0] == "Stream"
    assert await told(small.bus, small.call_id) == [FarPartyMissed("e1", "failed")]


async def test_a_far_party_that_answered_counts_whatever_the_dial_says(small: Small) -> None:
    events = query("/dial-events", e="e1")
    for event in ("DialHangup", "DialAnswer", "DialConnected"):
        response = await small.gateway.answer(small.call_id, path=events, Event=event)
        assert (response.status_code, response.content) == (200, b"")
    done = query("/errand-done", e="e1")
    given = await small.gateway.answer(small.call_id, path=done, DialStatus="failed")
    assert verbs(given.content) == ["Hangup"]
    assert await told(small.bus, small.call_id) == [FarPartyAnswered("e1")]


@pytest.mark.parametrize("path", ["/errand", "/errand-done?e=e1", "/fallback"])
async def test_webhooks_of_an_errand_after_the_hangup_end_nothing_new(
    small: Small, path: str
) -> None:
    errand = TransferErrand("e1", DESK)
    await small.bus.values.put(errand_key(CallId(small.call_id)), serialize_errand(errand), ttl_s=9)
    await small.gateway.hang_up(small.call_id)
    late = await small.gateway.answer(small.call_id, path=path, Event="Redirect")
    assert verbs(late.content) == ["Hangup"]
    assert await told(small.bus, small.call_id) == []


async def test_a_hangup_sent_to_an_errands_url_is_one(small: Small) -> None:
    assert await small.gateway.hang_up(small.call_id, path="/errand-done") == 200
    assert await small.gateway.hang_up(small.call_id, path="/errand") == 200
    record = await small.bus.calls.get(CallId(small.call_id))
    assert record is not None
    assert record.state.is_final


async def test_who_answered_is_told_once(small: Small) -> None:
    for _ in range(2):
        await small.gateway.answer(
            small.call_id, path="/machine-detection", Event="MachineDetection", Machine="true"
        )
    assert await told(small.bus, small.call_id) == [WhoAnswered(is_machine=True)]


async def test_who_answered_may_come_with_the_answer(small: Small) -> None:
    call_id = new_call_id()
    await small.gateway.answer(call_id, Direction="outbound", AnsweredBy="human")
    assert (await small.worker.call(call_id)).request.metadata == {"machine": "false"}
    assert await told(small.bus, call_id) == [WhoAnswered(is_machine=False)]


async def test_a_gateway_that_drains_waits_for_who_is_away(small: Small) -> None:
    errand = TransferErrand("e1", DESK)
    await small.bus.values.put(errand_key(CallId(small.call_id)), serialize_errand(errand), ttl_s=9)
    await small.link.close(LinkClose.AWAY)
    await small.caller.wait_closed()
    async with TaskOwner("drain-test") as tasks:
        idle = tasks.start(small.gateway.state.calls.until_idle(), name="idle")
        await asyncio.wait({idle}, timeout=0.2)
        assert not idle.done()
        done = query("/errand-done", e="e1")
        fields = {"DialStatus": "completed", "DialBLegUUID": "b"}
        given = await small.gateway.answer(small.call_id, path=done, **fields)
        assert verbs(given.content) == ["Hangup"]
        await asyncio.wait_for(idle, 5)


async def test_an_errand_that_cannot_be_read_is_none(small: Small) -> None:
    await small.bus.values.put(errand_key(CallId(small.call_id)), "fetch me a coffee", ttl_s=9)
    await small.link.close(LinkClose.AWAY)
    await small.caller.wait_closed()
    given = await small.gateway.answer(small.call_id, path="/errand", Event="Transfer")
    assert verbs(given.content)[0] == "Stream"


async def test_an_errands_end_without_its_name_brings_the_caller_back(small: Small) -> None:
    given = await small.gateway.answer(small.call_id, path="/errand-done", Digits="42")
    assert verbs(given.content)[0] == "Stream"
    assert await told(small.bus, small.call_id) == []


async def test_an_errands_urls_carry_the_paths_secret() -> None:
    bus, secret = MemoryBus(), "0123456789abcdef"
    async with (
        FakeWorker(bus.workers) as worker,
        running_gateway(bus, gateway_path_secret=secret, gateway_webhook_auth="path") as gateway,
    ):
        call_id = new_call_id()
        await gateway.answer(call_id, path=f"/{secret}/answer")
        base = (await worker.call(call_id)).request.webhook_base
        assert base == f"{gateway.base}/{secret}"
        errand = serialize_errand(TransferErrand("e1", DESK))
        await bus.values.put(errand_key(CallId(call_id)), errand, ttl_s=9)
        path = base.removeprefix(gateway.base)
        given = await gateway.answer(call_id, path=f"{path}/errand", Event="Transfer")
        assert f"{base}/errand-done?e=e1".encode() in given.content
        for name in ("errand", "errand-done", "dial-events"):
            assert (await gateway.answer(call_id, path=f"/{name}")).status_code == 403
