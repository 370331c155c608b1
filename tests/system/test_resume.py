"""A call whose worker is gone goes on with another: real sockets, two workers, one bus."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.agent.after_call.archive import Archive
from services.agent.agents.file import AgentFile
from services.agent.call.kept import KeptCall, write_call
from services.agent.call.parts import Parts
from services.agent.company.cast import Cast, Tongue
from services.agent.providers.base import Message, Say
from services.agent.speech.phone_speech import PhoneSpeech
from services.agent.turn.rules import EndpointingRules, TurnTaking
from services.agent.turn.snapshot import Snapshot
from services.agent.turn.states import State
from services.agent.turn.vad import SpeechDetector, VadTuning
from services.agent.wire.network import VobizNetwork
from services.agent.wire.scorer import FrameScorer
from services.agent.worker import Worker
from shared.bus.base import BusUnavailable
from shared.bus.memory import MemoryBus
from shared.bus.messages import WorkerLease
from shared.metrics.catalogue import AgentMetrics, RuntimeMetrics
from shared.protocol.call import CallId, WorkerId
from shared.protocol.telephony import Media, Start, serialize_inbound
from shared.protocol.worker import LinkClose, LinkRequest
from shared.runtime.clock import SystemClock
from shared.runtime.lifecycle import LoopLag
from tests.support.fragile_bus import FragileBus
from tests.support.providers import (
    FakeBrain,
    FakeSynthesiser,
    FakeTranscriber,
    LevelVoiceActivity,
)
from tests.system.test_worker import LOUD, QUIET, SECRET, OneCast, quiet_deliverer

pytestmark = pytest.mark.system
CALL = CallId("call-1")
GREETING = (Say("First of it."), Say("Second of it."), Say("Third of it."))


class Loose(FakeSynthesiser):
    """Remembers what it spoke."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def speak(self, text: str) -> Any:
        self.texts.append(text)
        return super().speak(text)


@dataclass
class Stand:
    worker: Worker
    registry: CollectorRegistry
    port: int
    brain: FakeBrain
    voice: Loose

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def ends(self) -> list[tuple[str, ...]]:
        """Agent, direction, class and reason of the calls that ended here, each once."""
        return [
            tuple(sample.labels.values())
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == "voice_agent_calls_total"
            for _ in range(int(sample.value))
        ]

    def histories(self) -> list[tuple[Message, ...]]:
        return [h for conversation in self.brain.conversations for h in conversation.histories]


@asynccontextmanager
async def standing(bus: MemoryBus | FragileBus, name: str, **more: Any) -> AsyncIterator[Stand]:
    registry = CollectorRegistry()
    brain, voice = FakeBrain(greeting=GREETING), Loose()
    endpointing = EndpointingRules(wait_s=0.1, least_wait_s=0.1, most_wait_s=0.1)
    tongue = Tongue(
        FakeTranscriber(["one", "two", "three"]),
        PhoneSpeech(voice),
        TurnTaking(silence_s=20.0, endpointing=endpointing),
    )
    metrics = AgentMetrics(registry)
    parts = Parts(
        worker_id=WorkerId(name),
        scorer=FrameScorer(LevelVoiceActivity(), metrics, SystemClock()),
        make_detector=lambda: SpeechDetector(VadTuning()),
        archive=Archive(bus.calls, quiet_deliverer(bus, registry)),
        network=VobizNetwork(bus.values, None),
        metrics=metrics,
        clock=SystemClock(),
        **{"sessions": bus.sessions, "reattach_grace_s": 0.3, **more},
    )
    worker = Worker(
        WorkerLease(WorkerId(name), "127.0.0.1:0", 4),
        parts,
        OneCast(Cast(AgentFile(), "v1", {"en": tongue}, brain)),
        bus=bus,
        secret=SECRET,
        lag=LoopLag(RuntimeMetrics(registry)),
    )
    server = await asyncio.get_running_loop().create_server(worker.make_link, "127.0.0.1", 0)
    worker.start()
    try:
        yield Stand(worker, registry, server.sockets[0].getsockname()[1], brain, voice)
    finally:
        server.close()
        await worker.stop()
        await server.wait_closed()


class Gateway:
    """The caller's stream: kept by the gateway while workers come and go."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.ring: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.epoch = 0
        self._chunk = 0
        self._reader: asyncio.Task[None] | None = None
        self.link: ClientConnection | None = None
        self._acknowledges = True

    async def attach(self, stand: Stand) -> ClientConnection:
        self.epoch += 1
        request = LinkRequest(CALL, epoch=self.epoch, resume=self.epoch > 1)
        self.link = await self._stack.enter_async_context(
            connect(
                f"ws://127.0.0.1:{stand.port}{request.path}",
                additional_headers=request.headers(SECRET, time.time()),
                compression=None,
                proxy=None,
            )
        )
        self.events = []
        for text in (serialize_inbound(Start()), *self.ring[-250:]):
            await self.link.send(text)
        return self.link

    async def pass_on(self, text: str) -> None:
        self.ring.append(text)
        assert self.link is not None
        await self.link.send(text)

    async def send(self, frame: bytes, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self._chunk += 1
            at_ms = 1_800_000_000_000 + self._chunk * 20
            await self.pass_on(
                serialize_inbound(Media(frame, timestamp_ms=at_ms, chunk=self._chunk))
            )
            await self.read(0.02)

    async def read(self, seconds: float) -> None:
        assert self.link is not None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    event = json.loads(await self.link.recv())
                    self.events.append(event)
                    if event["event"] == "clearAudio":
                        await self.pass_on('{"event":"clearedAudio"}')
                    if event["event"] == "checkpoint":
                        played = {"event": "playedStream", "name": event["name"]}
                        await self.pass_on(json.dumps(played))
        except TimeoutError:
            return

    def kinds(self) -> list[str]:
        return [event["event"] for event in self.events]

    async def until(self, condition: Any, within_s: float = 5.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                await self.send(QUIET, 0.02)


async def read_all(link: ClientConnection) -> None:
    """Read what a worker has written before it closes the link in some way of its own."""
    async for _ in link:
        pass


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Gateway, Stand, Stand, MemoryBus]]:
    bus = MemoryBus()
    async with (
        standing(bus, "w1") as first,
        standing(bus, "w2") as second,
        AsyncExitStack() as stack,
    ):
        yield Gateway(stack), first, second, bus


async def test_a_call_whose_link_is_cut_goes_on_with_its_memory_and_says_nothing_twice() -> None:
    async with two() as (gateway, first, second, bus):
        link = await gateway.attach(first)
        await gateway.until(lambda: gateway.kinds().count("checkpoint") == 1)
        await gateway.send(QUIET, 0.1)
        link.transport.abort()
        await gateway.attach(second)
        await gateway.until(lambda: gateway.kinds().count("checkpoint") == 3)
        assert gateway.kinds()[:2] == ["playAudio", "checkpoint"]
        assert gateway.events[1]["name"] == "drained#2"
        assert second.voice.texts == ["Second of it.", "Third of it."]
        assert first.voice.texts[:3] == ["First of it.", "Second of it.", "Third of it."]
        await gateway.send(QUIET, 1.0)
        await gateway.send(LOUD, 0.4)
        await gateway.until(lambda: bool(second.histories()))
        (history,) = second.histories()
        assert [message.text for message in history] == [
            "First of it. Second of it. Third of it.",
            "one",
        ]
        assert second.value("voice_agent_resumed_calls_total", outcome="restored") == 1
        await asyncio.wait_for(first.worker.wait_idle(), 2)
        record = await bus.calls.get(CALL)
        assert record is None, "the first worker must not record a call that is not its own"
        assert gateway.link is not None
        await gateway.link.close(1000)
        await asyncio.wait_for(second.worker.wait_idle(), 2)
        record = await bus.calls.get(CALL)
        assert record is not None
        assert record.worker_id == "w2"
        assert await bus.sessions.load(CALL) is None
        assert first.ends() == []
        assert second.ends() == [("default", "inbound", "caller", "caller_hung_up")]


async def test_words_spoken_into_the_gap_are_heard() -> None:
    async with two() as (gateway, first, second, _):
        link = await gateway.attach(first)
        await gateway.until(lambda: gateway.kinds().count("checkpoint") == 3)
        await gateway.send(QUIET, 0.5)
        await gateway.send(LOUD, 0.2)
        link.transport.abort()
        for frame in [LOUD] * 10 + [QUIET] * 10:
            gateway._chunk += 1
            at_ms = 1_800_000_000_000 + gateway._chunk * 20
            gateway.ring.append(serialize_inbound(Media(frame, timestamp_ms=at_ms)))
        await gateway.attach(second)
        await gateway.until(lambda: bool(second.histories()))
        assert [message.text for message in second.histories()[0]][-1] == "one"
        assert first.histories() == []


async def test_a_worker_that_stops_hands_its_calls_over() -> None:
    async with two() as (gateway, first, second, bus):
        link = await gateway.attach(first)
        await gateway.until(lambda: gateway.kinds().count("checkpoint") == 1)
        await gateway.read(0.05)
        await first.worker.stop()
        with pytest.raises(ConnectionClosed):
            await read_all(link)
        assert link.close_code == LinkClose.HANDOVER
        assert await bus.calls.get(CALL) is None
        assert first.value("voice_agent_handed_over_calls_total") == 1
        await gateway.attach(second)
        began_s = time.monotonic()
        await gateway.until(lambda: gateway.kinds().count("playAudio") > 1)
        assert time.monotonic() - began_s < 0.5
        assert second.voice.texts == ["Second of it.", "Third of it."]


async def test_without_a_snapshot_the_caller_is_asked_and_not_greeted() -> None:
    async with two() as (gateway, _, second, __):
        gateway.epoch = 1
        await gateway.attach(second)
        await gateway.until(lambda: "checkpoint" in gateway.kinds())
        assert second.voice.texts == ["Sorry, where were we?"]
        assert second.value("voice_agent_resumed_calls_total", outcome="no_snapshot") == 1


async def test_a_snapshot_that_nobody_can_go_on_with_ends_its_call() -> None:
    """The call was held for ever, silent, and its place with it."""
    kept = KeptCall(Snapshot(State.LISTENING), "en", {}, {"begun_wall_s": "soon"}, {})
    async with two() as (gateway, _, second, bus):
        await bus.sessions.claim(CALL, 1)
        assert await bus.sessions.save(CALL, 1, write_call(kept))
        gateway.epoch = 1
        with suppress(ConnectionClosed):
            await gateway.attach(second)
            await gateway.send(QUIET, 2.0)
        assert gateway.link is not None
        assert gateway.link.close_code == 1011
        await asyncio.wait_for(second.worker.wait_idle(), 2)
        assert second.value("voice_agent_sessions_crashed_total") == 1


async def test_a_claim_under_a_passed_epoch_is_refused() -> None:
    async with two() as (gateway, _, second, bus):
        await bus.sessions.claim(CALL, 9)
        gateway.epoch = 1
        with suppress(ConnectionClosed):
            await gateway.attach(second)
            await gateway.send(QUIET, 1.0)
        assert gateway.link is not None
        assert gateway.link.close_code == LinkClose.STALE_EPOCH
        assert second.value("voice_agent_resumed_calls_total", outcome="refused") == 1
        assert second.value("voice_agent_active_calls") == 0


async def test_a_worker_that_lost_its_call_falls_silent_at_once() -> None:
    async with two() as (gateway, first, _, bus):
        link = await gateway.attach(first)
        await gateway.until(lambda: gateway.kinds().count("playAudio") > 1)
        await bus.sessions.claim(CALL, 2)
        await asyncio.sleep(0.01)
        with pytest.raises(ConnectionClosed):
            await gateway.send(QUIET, 2.0)
        assert link.close_code == LinkClose.STALE_EPOCH
        await asyncio.wait_for(first.worker.wait_idle(), 2)
        assert await bus.calls.get(CALL) is None


async def test_a_call_ends_as_ever_while_the_store_is_away() -> None:
    bus = MemoryBus()

    class Away:
        async def epoch(self, call_id: CallId) -> int:
            raise BusUnavailable("away")

        async def save(self, call_id: CallId, epoch: int, text: str) -> bool:
            raise BusUnavailable("away")

        async def forget(self, call_id: CallId, epoch: int) -> bool:
            raise BusUnavailable("away")

    async with standing(bus, "w1", sessions=Away()) as stand, AsyncExitStack() as stack:
        gateway = Gateway(stack)
        link = await gateway.attach(stand)
        await gateway.until(lambda: "checkpoint" in gateway.kinds())
        await link.close(1000)
        await asyncio.wait_for(stand.worker.wait_idle(), 2)
        assert await bus.calls.get(CALL) is not None
        assert stand.value("voice_agent_snapshot_failures_total") >= 1


async def test_a_caller_who_comes_back_while_it_is_unknown_whose_the_call_is_is_heard() -> None:
    """For a minute of an outage such a call was silent, and then ended."""
    bus = FragileBus()
    async with (
        standing(bus, "w1", reattach_grace_s=0.05) as stand,
        AsyncExitStack() as stack,
    ):
        gateway = Gateway(stack)
        link = await gateway.attach(stand)
        await gateway.until(lambda: gateway.kinds().count("checkpoint") == 3)
        bus.is_away = True
        link.transport.abort()
        await asyncio.sleep(0.3)
        await gateway.attach(stand)
        await gateway.until(lambda: gateway.kinds().count("playAudio") > 10)
        assert stand.voice.texts[-1] == "Sorry, where were we?"
        assert stand.value("voice_agent_active_calls") == 1
        bus.is_away = False
        await gateway.send(QUIET, 1.0)
        assert await bus.calls.get(CALL) is None, "it goes on"
        assert gateway.link is not None
        await gateway.link.close(1000)
        await asyncio.wait_for(stand.worker.wait_idle(), 2)
        record = await bus.calls.get(CALL)
        assert record is not None
        assert stand.ends() == [("default", "inbound", "caller", "caller_hung_up")]


class Slow:
    """A store whose claims wait until a test lets them."""

    def __init__(self, bus: MemoryBus) -> None:
        self.gate = asyncio.Event()
        self._sessions = bus.sessions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sessions, name)

    async def claim(self, call_id: CallId, epoch: int) -> Any:
        await self.gate.wait()
        return await self._sessions.claim(call_id, epoch)


async def test_a_second_link_takes_the_place_of_one_that_still_waits_for_the_snapshot() -> None:
    bus = MemoryBus()
    slow = Slow(bus)
    async with (
        standing(bus, "w1") as first,
        standing(bus, "w2", sessions=slow) as second,
        AsyncExitStack() as stack,
    ):
        gateway = Gateway(stack)
        link = await gateway.attach(first)
        await gateway.until(lambda: gateway.kinds().count("checkpoint") == 1)
        await gateway.read(0.1)
        link.transport.abort()
        waiting = await gateway.attach(second)
        await gateway.attach(second)
        slow.gate.set()
        with suppress(ConnectionClosed):
            await waiting.recv()
        assert waiting.close_code == LinkClose.SUPERSEDED
        await gateway.until(lambda: gateway.kinds().count("checkpoint") == 2)
        assert second.voice.texts == ["Second of it.", "Third of it."]
        assert second.value("voice_agent_active_calls") == 1
        assert second.value("voice_agent_resumed_calls_total", outcome="restored") == 1


async def test_a_caller_who_hangs_up_while_the_snapshot_is_waited_for_is_recorded_once() -> None:
    bus = MemoryBus()
    slow = Slow(bus)
    async with (
        standing(bus, "w1") as first,
        standing(bus, "w2", sessions=slow) as second,
        AsyncExitStack() as stack,
    ):
        gateway = Gateway(stack)
        link = await gateway.attach(first)
        await gateway.until(lambda: gateway.kinds().count("checkpoint") == 1)
        await gateway.read(0.1)
        link.transport.abort()
        link = await gateway.attach(second)
        await link.close(1000)
        slow.gate.set()
        await asyncio.wait_for(second.worker.wait_idle(), 2)
        await asyncio.wait_for(first.worker.wait_idle(), 2)
        record = await bus.calls.get(CALL)
        assert record is not None
        assert record.worker_id == "w2"
        assert record.transcript[0]["text"] == "First of it."


async def test_a_worker_that_stops_lets_arriving_calls_go_elsewhere() -> None:
    bus = MemoryBus()
    slow = Slow(bus)
    async with standing(bus, "w2", sessions=slow) as second, AsyncExitStack() as stack:
        gateway = Gateway(stack)
        gateway.epoch = 1
        link = await gateway.attach(second)
        await asyncio.sleep(0.05)
        assert second.value("voice_agent_active_calls") == 1
        await second.worker.stop()
        with suppress(ConnectionClosed):
            await link.recv()
        assert link.close_code == LinkClose.HANDOVER
        assert second.value("voice_agent_active_calls") == 0


async def test_a_call_that_another_worker_may_have_had_comes_back_by_its_snapshot() -> None:
    async with two() as (gateway, first, _, __):
        link = await gateway.attach(first)
        await gateway.until(lambda: gateway.kinds().count("checkpoint") == 1)
        await gateway.read(0.1)
        link.transport.abort()
        gateway.epoch += 1
        await gateway.attach(first)
        await gateway.until(lambda: gateway.kinds().count("checkpoint") == 2)
        assert len(first.brain.conversations) == 2
        assert first.value("voice_agent_active_calls") == 1
        assert first.value("voice_agent_resumed_calls_total", outcome="restored") == 1
