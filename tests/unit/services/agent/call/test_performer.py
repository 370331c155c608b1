"""Events go to the session at their time, and what it asks for is done; nothing after the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.agent.turn import events as ev
from services.agent.turn.states import State
from shared.protocol.call import EndReason
from shared.protocol.telephony import PlayedStream, Start, serialize_inbound
from tests.support.lone_call import CALL, LOUD, LoneCall


@pytest.fixture
async def scene() -> AsyncIterator[LoneCall]:
    scene = LoneCall(["what"])
    yield scene
    await scene.aclose()


async def test_speech_over_the_agent_clears_in_the_step_that_heard_it(scene: LoneCall) -> None:
    await scene.begin()
    await scene.pass_time(0.1)
    scene.hear(LOUD)
    assert scene.link.events[-1] == "clearAudio"
    assert scene.call.state is State.PAUSED


async def test_a_question_is_asked_and_its_answer_spoken(scene: LoneCall) -> None:
    await scene.begin()
    await scene.pass_time(3.0)
    for name in scene.link.checkpoints:
        scene.call.on_text(serialize_inbound(PlayedStream(name)))
    assert scene.call.state is State.LISTENING
    spoken = len(scene.link.texts)
    for _ in range(20):
        scene.hear(LOUD)
        await scene.pass_time(0.02)
    for _ in range(60):
        scene.hear()
        await scene.pass_time(0.02)
    (heard,) = scene.brain.conversations[0].heard
    assert getattr(heard, "text", None) == "what"
    assert "playAudio" in scene.link.events[spoken:]


async def test_what_is_asked_for_after_the_end_is_not_done(scene: LoneCall) -> None:
    await scene.begin()
    scene.call._performer.close()
    written = len(scene.link.texts)
    scene.call._performer.audio.waiting.append((LOUD, scene.clock.now_s()))
    scene.call._performer.settle()
    scene.call._performer.play_due(more_s=1.0)
    assert (len(scene.link.texts), scene.transcriber.streams[0].samples) == (written, 0)


async def test_an_event_finds_the_audio_before_it_scored(scene: LoneCall) -> None:
    await scene.begin()
    audio = scene.call._performer.audio
    audio.waiting.append((LOUD, scene.clock.now_s()))
    scene.call._performer.on_event(ev.DigitPressed("5"))
    assert not audio.waiting
    assert scene.transcriber.streams[0].samples == 160


async def test_a_call_that_catches_up_is_silent_until_it_has() -> None:
    scene = LoneCall()
    scene.call.go_on(None, since_s=scene.clock.now_s())
    scene.call.on_late_text(serialize_inbound(Start()), scene.clock.now_s())
    await scene.pass_time(0.5)
    assert scene.link.events == []
    scene.call.caught_up()
    drained = scene.link.checkpoints
    assert drained == ["drained#1"]
    scene.call.on_text(serialize_inbound(PlayedStream(drained[0])))
    await scene.pass_time(0.2)
    assert scene.link.events.count("playAudio") > 5
    await scene.aclose()


async def test_a_crowd_of_replies_ends_the_call(scene: LoneCall) -> None:
    await scene.begin()
    scene.call._performer._on_lane_full()
    assert scene.call.is_ending
    await scene.ended()
    record = await scene.bus.calls.get(CALL)
    assert record is not None
    assert record.end_reason is EndReason.AGENT_FAILED
    assert scene.call._own.guard.why == "lane_full"


async def test_a_bug_in_a_frame_ends_the_call_and_nothing_else(scene: LoneCall) -> None:
    await scene.begin()
    await scene.pass_time(0.1)
    broken: list[object] = scene.call._own.session.playout._sentences  # type: ignore[assignment]
    broken.append(None)
    scene.hear(LOUD)
    await scene.pass_time(0.1)
    assert scene.call.is_ending
    await scene.ended()
    assert scene.link.code == 1011
    assert scene.value("voice_agent_sessions_crashed_total") == 1


async def test_a_wait_to_be_scored_counts_to_the_interruption(scene: LoneCall) -> None:
    await scene.begin()
    await scene.pass_time(0.1)
    performer = scene.call._performer
    performer.audio.waiting.append((LOUD, scene.clock.now_s()))
    scene.clock.advance(0.5)
    scene.scorer.score_now(performer.audio)
    await asyncio.sleep(0)
    assert scene.link.events[-1] == "clearAudio"
    assert scene.value("voice_agent_barge_in_seconds_sum") >= 0.5
