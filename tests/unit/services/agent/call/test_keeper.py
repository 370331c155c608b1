"""Snapshots are written behind the call's back: the newest, soon, never by one who is passed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.agent.call.keeper import Keeper
from services.agent.call.kept import KeptCall, read_call, write_call
from services.agent.turn.snapshot import BadSnapshot, Snapshot
from services.agent.turn.states import State
from shared.bus.base import BusUnavailable, SessionStore
from shared.protocol.call import CallId
from tests.support.fragile_bus import FragileBus

CALL = CallId("call-1")


class Scene:
    def __init__(self, store: SessionStore | None) -> None:
        self.bus = FragileBus()
        self.number = 0
        self.taken = self.passed = self.failed = 0
        self.keeper = Keeper(
            self.bus.sessions if store is None else store,
            CALL,
            epoch=lambda: 2,
            take=self._take,
            on_passed=self._on_passed,
            on_failed=self._on_failed,
        )

    def _take(self) -> KeptCall:
        self.taken += 1
        return KeptCall(Snapshot(State.LISTENING), "en", {"n": str(self.number)})

    def _on_passed(self) -> None:
        self.passed += 1

    def _on_failed(self) -> None:
        self.failed += 1

    async def kept(self) -> str | None:
        saved = await self.bus.inner.sessions.load(CALL)
        return None if saved is None else read_call(saved.text).variables["n"]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene(None)
    scene.keeper.start()
    yield scene
    await scene.keeper.aclose()


async def test_changes_are_gathered_and_the_newest_is_written_within_50_ms(scene: Scene) -> None:
    for scene.number in range(1, 20):
        scene.keeper.touch()
    await asyncio.sleep(0.05)
    assert await scene.kept() == "19"
    assert scene.taken == 1


async def test_nothing_is_written_where_nothing_changed(scene: Scene) -> None:
    await asyncio.sleep(0.06)
    assert scene.taken == 0


async def test_while_held_what_happens_does_not_count(scene: Scene) -> None:
    scene.number = 1
    scene.keeper.hold()
    scene.number = 2
    scene.keeper.touch()
    await asyncio.sleep(0.05)
    assert await scene.kept() == "1"
    scene.keeper.release()
    await asyncio.sleep(0.05)
    assert await scene.kept() == "2"


async def test_a_failure_is_counted_and_made_good(scene: Scene) -> None:
    scene.bus.is_away = True
    scene.keeper.touch()
    await asyncio.sleep(0.05)
    assert scene.failed == 1
    scene.bus.is_away = False
    scene.number = 7
    await asyncio.sleep(0.6)
    assert await scene.kept() == "7"


async def test_whoever_is_passed_is_told_once_and_writes_no_more(scene: Scene) -> None:
    await scene.bus.inner.sessions.claim(CALL, 3)
    scene.keeper.touch()
    await asyncio.sleep(0.05)
    scene.keeper.touch()
    await asyncio.sleep(0.05)
    assert scene.passed == 1
    assert await scene.kept() is None
    assert await scene.keeper.is_passed()


async def test_nobody_is_passed_while_the_store_is_away(scene: Scene) -> None:
    await scene.bus.inner.sessions.claim(CALL, 3)
    scene.bus.is_away = True
    assert not await scene.keeper.is_passed()
    await scene.keeper.forget()


async def test_who_was_cut_off_is_told_when_the_store_is_back(scene: Scene) -> None:
    await scene.bus.inner.sessions.claim(CALL, 3)
    scene.bus.is_away = True
    asking = asyncio.ensure_future(scene.keeper.is_passed(patience_s=10))
    await asyncio.sleep(0.05)
    assert not asking.done()
    scene.bus.is_away = False
    async with asyncio.timeout(2):
        assert await asking


async def test_the_last_snapshot_is_the_one_that_was_held(scene: Scene) -> None:
    scene.number = 4
    scene.keeper.hold()
    scene.number = 5
    await scene.keeper.write_last()
    assert await scene.kept() == "4"


async def test_an_ended_call_is_forgotten(scene: Scene) -> None:
    scene.keeper.touch()
    await asyncio.sleep(0.05)
    await scene.keeper.forget()
    assert await scene.kept() is None
    assert await scene.bus.inner.sessions.epoch(CALL) == 2


async def test_a_store_that_hangs_is_not_waited_for_long() -> None:
    class Hanging:
        async def epoch(self, call_id: CallId) -> int:
            await asyncio.sleep(60)
            raise BusUnavailable

    keeper = Scene(Hanging()).keeper  # type: ignore[arg-type]  # only `epoch` is asked
    async with asyncio.timeout(2):
        assert not await keeper.is_passed()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"session":{}}', "null"])
def test_what_is_no_call_is_refused(text: str) -> None:
    with pytest.raises(BadSnapshot):
        read_call(text)


def test_a_call_comes_back_as_it_was() -> None:
    kept = KeptCall(Snapshot(State.SPEAKING), "hi", {"a": "b"}, {"milestones": {}}, {"key_ms": 3})
    assert read_call(write_call(kept)) == kept
