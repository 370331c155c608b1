"""services.agent.call.live."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.agent.call.live import LiveView, Moment, Watches
from services.agent.turn.events import Measure, Stage
from shared.bus.base import BusUnavailable
from shared.bus.memory_live import MemoryLive
from shared.metrics.catalogue import AgentMetrics
from shared.protocol.call import CallId
from shared.protocol.live import WATCH_S
from shared.runtime.tasks import TaskOwner
from tests.support.clock import ManualClock

CALL = CallId("c-1")
ASKED = {"who": "caller", "text": "what can you do", "at_ms": 900, "is_understood": True}
ANSWERED = {"who": "agent", "text": "I can tell", "at_ms": 2100, "is_interrupted": True}


class Watched:
    """A call that is watched, and what its watcher gets."""

    def __init__(self, feed: MemoryLive, owner: TaskOwner) -> None:
        self.clock = ManualClock()
        self.lost = 0
        self.feed = feed
        self.view = LiveView(
            CALL, feed, owner, self.clock, at_ms=lambda: 5000, on_lost=self._on_lost
        )

    def _on_lost(self) -> None:
        self.lost += 1

    async def told(self, texts: AsyncIterator[str], count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(2):
            return [json.loads(await anext(texts)) for _ in range(count)]


@pytest.fixture
async def stage() -> AsyncIterator[Watched]:
    owner = TaskOwner("test")
    yield Watched(MemoryLive(), owner)
    await owner.stop()


async def test_nothing_is_told_while_nobody_watches(stage: Watched) -> None:
    async with stage.feed.follow(CALL) as texts:
        stage.view.on_partial("what")
        stage.view.on_measure(Measure(Stage.BARGE_IN, 0.1))
        stage.view.tell("keys", who="caller", text="1")
        stage.view.watch()
        stage.view.on_partial("what can")
        assert await stage.told(texts, 1) == [
            {"kind": "caller_partial", "at_ms": 5000, "text": "what can"}
        ]
        stage.clock.advance(WATCH_S + 0.1)
        assert not stage.view.is_watched
        stage.view.tell("ended", reason="agent_hung_up")
        stage.view.watch()
        stage.view.tell("state", state="listening")
        assert [one["kind"] for one in await stage.told(texts, 1)] == ["state"]


async def test_who_comes_later_is_told_all_that_was_said(stage: Watched) -> None:
    now = Moment("speaking", [ASKED, ANSWERED], "I can tell you")
    async with stage.feed.follow(CALL) as texts:
        for _ in range(2):
            stage.view.watch()
            stage.view.look(now)
            stage.view.look(now)
            assert await stage.told(texts, 4) == [
                {"kind": "caller", "at_ms": 900, "n": 0, "text": "what can you do"}
                | {"is_understood": True},
                {"kind": "interrupted", "at_ms": 2100, "n": 1, "text": "I can tell"},
                {"kind": "agent", "at_ms": 5000, "text": "I can tell you"},
                {"kind": "state", "at_ms": 5000, "state": "speaking"},
            ]


async def test_words_that_are_taken_back_are_said_anew_in_their_place(stage: Watched) -> None:
    longer = ASKED | {"text": "what can you do for me"}
    async with stage.feed.follow(CALL) as texts:
        stage.view.watch()
        stage.view.look(Moment("thinking", [ASKED], ""))
        stage.view.look(Moment("hearing", [], ""))
        stage.view.look(Moment("thinking", [longer], ""))
        told = await stage.told(texts, 6)
    assert [(one["kind"], one.get("n"), one.get("text")) for one in told] == [
        ("caller", 0, "what can you do"),
        ("state", None, None),
        ("take_back", 0, None),
        ("state", None, None),
        ("caller", 0, "what can you do for me"),
        ("state", None, None),
    ]


async def test_a_turns_stages_are_told_together(stage: Watched) -> None:
    async with stage.feed.follow(CALL) as texts:
        stage.view.watch()
        for named, seconds in ((Stage.ENDPOINTING, 0.3), (Stage.BRAIN, 0.2), (Stage.TOTAL, 0.5)):
            stage.view.on_measure(Measure(named, seconds))
        stage.view.on_measure(Measure(Stage.FIRST_AUDIO, 0.1))
        stage.view.on_measure(Measure(Stage.BARGE_IN, 0.12))
        assert await stage.told(texts, 2) == [
            {
                "kind": "latency",
                "at_ms": 5000,
                "endpointing": 300.0,
                "brain": 200.0,
                "total": 500.0,
            },
            {"kind": "barge_in", "at_ms": 5000, "ms": 120.0},
        ]


async def test_what_can_not_be_told_is_counted_and_holds_nothing_up(stage: Watched) -> None:
    class Away(MemoryLive):
        async def publish(self, call_id: CallId, text: str) -> None:
            raise BusUnavailable("away")

    owner = TaskOwner("away")
    registry = CollectorRegistry()
    count = AgentMetrics(registry).live_lost.inc
    view = LiveView(CALL, Away(), owner, stage.clock, at_ms=lambda: 0, on_lost=count)
    view.watch()
    for _ in range(600):  # 500 find a place
        view.tell("state", state="listening")
    assert registry.get_sample_value("voice_agent_live_lost_total") == 100
    await asyncio.sleep(0.05)
    assert registry.get_sample_value("voice_agent_live_lost_total") == 600
    await owner.stop()


async def test_without_a_feed_nobody_can_watch(stage: Watched) -> None:
    owner = TaskOwner("none")
    view = LiveView(CALL, None, owner, stage.clock, at_ms=lambda: 0, on_lost=lambda: None)
    view.watch()
    assert not view.is_watched


def test_a_watch_holds_for_a_while_and_the_oldest_of_too_many_is_forgotten() -> None:
    clock = ManualClock()
    watches = Watches(clock)
    watches.note(CALL)
    assert watches.has(CALL)
    assert not watches.has(CallId("other"))
    clock.advance(WATCH_S + 0.1)
    assert not watches.has(CALL)
    watches.note(CALL)
    for number in range(1000):
        watches.note(CallId(f"more-{number}"))
    assert not watches.has(CALL)
    assert watches.has(CallId("more-0"))
