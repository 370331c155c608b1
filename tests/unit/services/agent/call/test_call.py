"""The way into a call: its links, its beginning, what another worker gets of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.agent.call.kept import read_call
from shared.bus.memory_sessions import MemorySessions
from shared.protocol.call import EndReason
from shared.protocol.worker import LinkClose, LinkRequest
from tests.support.clock import ManualClock
from tests.support.lone_call import CALL, FakeLink, LoneCall

GRACE_S = 0.05


@pytest.fixture
async def scene() -> AsyncIterator[LoneCall]:
    scene = LoneCall(reattach_grace_s=GRACE_S)
    await scene.begin()
    yield scene
    await scene.aclose()


async def end_reason(scene: LoneCall) -> str | None:
    record = await scene.bus.calls.get(CALL)
    return None if record is None else record.end_reason or "the webhook knows"


async def test_a_clean_close_ends_the_call(scene: LoneCall) -> None:
    scene.call.on_link_closed(scene.link.as_link, 1000)
    assert scene.call.is_ending
    assert not scene.call.is_given_up
    await scene.ended()


@pytest.mark.parametrize("code", [1006, 1001, LinkClose.SUPERSEDED])
async def test_a_lost_link_is_waited_for_and_then_given_up(scene: LoneCall, code: int) -> None:
    scene.call.on_link_closed(scene.link.as_link, code)
    assert not scene.call.is_ending
    await asyncio.sleep(GRACE_S * 2)
    assert scene.call.is_given_up
    await scene.ended()


async def test_another_link_in_time_goes_on_with_the_call(scene: LoneCall) -> None:
    second = FakeLink()
    scene.call.on_link_closed(scene.link.as_link, 1006)
    scene.call.attach(second.as_link, LinkRequest(CALL, epoch=2))
    await asyncio.sleep(GRACE_S * 2)
    assert (scene.call.is_ending, scene.call.epoch) == (False, 2)
    await scene.pass_time(0.1)
    assert "playAudio" in second.events


async def test_the_end_of_a_link_that_was_replaced_means_nothing(scene: LoneCall) -> None:
    scene.call.attach(FakeLink().as_link, LinkRequest(CALL, epoch=2))
    scene.call.on_link_closed(scene.link.as_link, 1000)
    assert not scene.call.is_ending


async def test_a_snapshot_is_enough_for_another_worker_to_go_on() -> None:
    sessions = MemorySessions(ManualClock())
    first = LoneCall(sessions=sessions)
    await first.begin()
    await first.pass_time(0.3)
    await first.call.hand_over()
    saved = await sessions.load(CALL)
    assert saved is not None
    kept = read_call(saved.text)

    second = LoneCall(kept=kept, sessions=sessions, request=LinkRequest(CALL, epoch=2))
    second.call.go_on(kept, since_s=second.clock.now_s())
    second.call.caught_up()
    assert second.link.checkpoints == ["drained#2"]
    assert second.brain.conversations[0].variables == kept.variables
    await second.aclose()
    await first.aclose()


async def test_what_is_shown_of_a_call_is_how_it_stands(scene: LoneCall) -> None:
    scene.clock.advance(2.0)
    shown = scene.call.shown()
    assert (shown.call_id, shown.agent, shown.state) == (CALL, "default", "speaking")
    assert shown.age_s == 2.0


async def test_a_call_that_is_another_workers_says_nothing_more(scene: LoneCall) -> None:
    scene.call.leave(LinkClose.STALE_EPOCH)
    assert scene.call.is_given_up
    written = len(scene.link.texts)
    await scene.pass_time(0.2)
    assert len(scene.link.texts) == written
    await scene.ended()
    assert scene.link.code == LinkClose.STALE_EPOCH
    assert await end_reason(scene) is None


async def test_the_other_sides_end_is_an_end(scene: LoneCall) -> None:
    scene.call.over(EndReason.CALLER_HUNG_UP)
    await scene.ended()
    assert await end_reason(scene) == "the webhook knows"
