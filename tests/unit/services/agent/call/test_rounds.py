"""What the clock brings to a call: audio that is due, snapshots, a link that nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.bus.memory_sessions import MemorySessions
from shared.protocol.call import CallId
from tests.support.clock import ManualClock
from tests.support.lone_call import LoneCall

GATHERED_S = 0.05
JUST_NOT = 88
LOOK_S = 0.12


class CountingSessions(MemorySessions):
    writes = 0

    async def save(self, call_id: CallId, epoch: int, text: str) -> bool:
        self.writes += 1
        return await super().save(call_id, epoch, text)


class Scene(LoneCall):
    """A call that waits for its stream, and nothing happens to it but the clock."""

    def __init__(self) -> None:
        self.store = CountingSessions(ManualClock())
        super().__init__(sessions=self.store)

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
    await scene.aclose()


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


async def test_a_link_that_is_read_in_time_stays(scene: Scene) -> None:
    scene.link.stuck = 4.9
    await scene.pass_time(LOOK_S)
    assert not scene.link.is_cut
    assert scene.value("voice_agent_send_timeouts_total") == 0


async def test_a_link_that_nobody_reads_is_cut(scene: Scene) -> None:
    scene.link.stuck = 5.1
    await scene.pass_time(LOOK_S)
    assert scene.link.is_cut
    assert scene.value("voice_agent_send_timeouts_total") == 1


async def test_what_is_due_goes_out_at_every_turn_of_the_wheel(scene: Scene) -> None:
    await scene.begin()
    sent = []
    for _ in range(8):
        before = scene.link.events.count("playAudio")
        await scene.pass_time(0.02)
        sent.append(scene.link.events.count("playAudio") - before)
    assert sum(sent) >= 5


async def test_a_call_that_is_over_has_no_more_rounds(scene: Scene) -> None:
    await scene.begin()
    scene.call._performer.close()
    written = len(scene.link.texts)
    scene.link.stuck = 10.0
    await scene.pass_time(1.0)
    assert (len(scene.link.texts), scene.link.is_cut) == (written, False)
