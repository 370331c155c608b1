"""When a call is taken down though nothing happens: by the clock, unless that was just done."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from services.agent.after_call.archive import Archive
from services.agent.after_call.deliver import Deliverer
from services.agent.agents.file import AgentFile
from services.agent.call.call import Call
from services.agent.call.parts import Parts
from services.agent.company.cast import Cast, Tongue
from services.agent.speech.phone_speech import PhoneSpeech
from services.agent.turn.rules import TurnTaking
from services.agent.turn.vad import SpeechDetector
from services.agent.wire.network import VobizNetwork
from services.agent.wire.scorer import FrameScorer
from shared.bus.memory import MemoryBus
from shared.bus.memory_sessions import MemorySessions
from shared.metrics.catalogue import AfterCallMetrics, AgentMetrics
from shared.protocol.call import CallId, WorkerId
from shared.protocol.worker import LinkRequest
from tests.support.clock import ManualClock
from tests.support.providers import (
    FakeBrain,
    FakeSynthesiser,
    FakeTranscriber,
    LevelVoiceActivity,
)

GATHERED_S = 0.05
JUST_NOT = 88


class CountingSessions(MemorySessions):
    writes = 0

    async def save(self, call_id: CallId, epoch: int, text: str) -> bool:
        self.writes += 1
        return await super().save(call_id, epoch, text)


class Scene:
    """A call that waits for its stream, and nothing happens to it but the clock."""

    def __init__(self) -> None:
        clock, bus, registry = ManualClock(), MemoryBus(), CollectorRegistry()
        metrics = AgentMetrics(registry)
        self.store = CountingSessions(clock)
        tongue = Tongue(FakeTranscriber([]), PhoneSpeech(FakeSynthesiser()), TurnTaking())
        deliverer = Deliverer(
            bus.outbox,
            worker="w1",
            secret_of=lambda _: None,
            metrics=AfterCallMetrics(registry),
            clock=clock,
            chance=random.Random(1),
        )
        parts = Parts(
            worker_id=WorkerId("w1"),
            scorer=FrameScorer(LevelVoiceActivity(), metrics, clock),
            make_detector=SpeechDetector,
            archive=Archive(bus.calls, deliverer),
            network=VobizNetwork(bus.values, None),
            metrics=metrics,
            clock=clock,
            sessions=self.store,
        )
        cast = Cast(AgentFile(), "v1", {"en": tongue}, FakeBrain())
        request = LinkRequest(CallId("call-1"))
        self.call = Call(request, cast, parts, on_over=lambda _: None)

    async def writes_after(self, ticks: int) -> int:
        """Let the wheel turn; return how many snapshots were written by then."""
        for _ in range(ticks):
            self.call.on_tick()
        await asyncio.sleep(GATHERED_S)
        return self.store.writes


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    scene.call.start()
    await scene.writes_after(0)
    yield scene
    await scene.call._own.keeper.aclose()
    await scene.call.stop()


async def test_a_call_that_nothing_happens_in_is_taken_down_within_two_seconds(
    scene: Scene,
) -> None:
    before = scene.store.writes
    for turns in (1, 2, 3):
        assert await scene.writes_after(96) == before + turns


async def test_a_call_that_was_just_taken_down_is_not_again_by_the_clock(scene: Scene) -> None:
    before = await scene.writes_after(JUST_NOT)
    scene.call.on_woken()
    assert await scene.writes_after(0) == before + 1
    assert await scene.writes_after(JUST_NOT) == before + 1
    assert await scene.writes_after(96 - JUST_NOT) == before + 2
