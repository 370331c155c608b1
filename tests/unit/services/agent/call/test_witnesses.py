"""What more than one of a call's witnesses is to know is told to each of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from services.agent.call.witnesses import Witnesses
from services.agent.providers.base import ToolUsed, Usage
from services.agent.turn import events as ev
from shared.bus.memory_live import MemoryLive
from tests.support.lone_call import CALL, LoneCall


class FakeRecorder:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_played(self, name: str) -> None:
        self.told.append(name)

    def on_cleared(self) -> None:
        self.told.append("cleared")


class Watched:
    """Witnesses of a call that is watched, and what its watcher is told."""

    def __init__(self, scene: LoneCall, texts: AsyncIterator[str]) -> None:
        own = scene.call._own.witnesses
        self.session = scene.call._own.session
        self.recorder = FakeRecorder()
        recorder: Any = self.recorder
        self.witnesses = Witnesses(own.account, own.trace, own.live, recorder)
        self._texts = texts

    async def told(self) -> dict[str, Any]:
        async with asyncio.timeout(2):
            told: dict[str, Any] = json.loads(await anext(self._texts))
        del told["at_ms"]
        return told

    def marks(self) -> list[str]:
        record = self.witnesses.account.kept()["record"]
        return [mark["kind"] for mark in record["marks"]]


@asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    feed = MemoryLive()
    scene = LoneCall(live=feed)
    async with feed.follow(CALL) as texts:
        scene.call.live.watch()
        yield Watched(scene, texts)
    await scene.aclose()


async def test_keys_are_told_with_who_pressed_them() -> None:
    async with watched() as one:
        one.witnesses.on_keys("5")
        one.witnesses.on_keys("12", by_agent=True)
        assert await one.told() == {"kind": "keys", "who": "caller", "text": "5"}
        assert await one.told() == {"kind": "keys", "who": "agent", "text": "12"}


async def test_a_tool_is_told_without_its_arguments_and_usage_is_not_told() -> None:
    async with watched() as one:
        one.witnesses.on_note(Usage("tts", "voice", "characters", 5))
        one.witnesses.on_note(ToolUsed("look_up", {"name": "Asha"}, "ok", "found", 0.25))
        assert await one.told() == {
            "kind": "tool",
            "name": "look_up",
            "outcome": "ok",
            "took_ms": 250.0,
        }


async def test_a_measure_is_counted_and_told() -> None:
    async with watched() as one:
        one.witnesses.on_measure(ev.Measure(ev.Stage.BARGE_IN, 0.05))
        assert await one.told() == {"kind": "barge_in", "ms": 50.0}
        assert one.marks() == ["barge_in"]


async def test_what_comes_back_from_the_network_is_marked_and_recorded() -> None:
    async with watched() as one:
        one.witnesses.on_played("a#1")
        one.witnesses.on_cleared()
        assert one.recorder.told == ["a#1", "cleared"]
        assert one.marks() == ["checkpoint", "cleared"]


async def test_a_watcher_is_shown_the_state() -> None:
    async with watched() as one:
        one.witnesses.show(one.session, 1000.0)
        assert await one.told() == {"kind": "state", "state": "waiting"}
