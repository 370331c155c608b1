"""What the media socket brings: streams that begin, audio that is another's, what can't be read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.agent.turn.states import State
from shared.protocol.call import Direction, StreamId
from shared.protocol.telephony import (
    Dtmf,
    Media,
    PlayedStream,
    Start,
    serialize_inbound,
)
from shared.protocol.worker import LinkRequest
from tests.support.lone_call import CALL, QUIET, FakeLink, LoneCall

MESSAGES = "voice_agent_messages_total"


@pytest.fixture
async def scene() -> AsyncIterator[LoneCall]:
    scene = LoneCall()
    scene.call.start()
    yield scene
    await scene.aclose()


async def test_media_without_a_start_begins_the_call(scene: LoneCall) -> None:
    assert scene.call.state is State.WAITING
    scene.hear()
    assert scene.call.state is not State.WAITING


async def test_a_second_start_of_the_same_stream_begins_nothing(scene: LoneCall) -> None:
    start = serialize_inbound(Start(stream_id=StreamId("one")))
    scene.call.on_text(start)
    scene.call.on_text(start)
    assert scene.value(MESSAGES, event="start") == 1
    assert scene.value(MESSAGES, event="foreign") == 1


async def test_audio_of_another_stream_is_not_heard(scene: LoneCall) -> None:
    scene.hear(stream_id="one")
    scene.hear(stream_id="two")
    assert scene.transcriber.streams[0].samples == 160
    assert scene.value(MESSAGES, event="foreign") == 1


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("{", "malformed"),
        ('{"event":"media","media":{"payload":"' + "A" * 400_000 + '"}}', "oversized"),
        ('{"event":"surprise"}', "unknown"),
    ],
)
async def test_what_cannot_be_read_is_counted_and_skipped(
    scene: LoneCall, text: str, event: str
) -> None:
    scene.hear()
    scene.call.on_text(text)
    scene.hear()
    assert scene.value(MESSAGES, event=event) == 1
    assert scene.transcriber.streams[0].samples == 320


async def test_what_was_dealt_with_is_counted_by_its_event(scene: LoneCall) -> None:
    scene.hear()
    scene.call.on_text(serialize_inbound(PlayedStream("nothing#1")))
    scene.call.on_text(serialize_inbound(Dtmf("5")))
    assert scene.value(MESSAGES, event="playedstream") == 1
    assert scene.value(MESSAGES, event="dtmf") == 1


async def test_nothing_is_taken_once_the_call_is_over(scene: LoneCall) -> None:
    scene.hear()
    scene.call.on_link_closed(scene.link.as_link, 1000)
    scene.hear()
    scene.call.on_text("{")
    assert scene.transcriber.streams[0].samples == 160
    assert scene.value(MESSAGES, event="malformed") == 0
    await scene.ended()


async def test_a_frame_that_had_to_wait_is_heard_at_its_own_time(scene: LoneCall) -> None:
    scene.hear()
    session = scene.call._own.session
    scene.clock.advance(5.0)
    waited_s = scene.clock.now_s() - 3.0
    scene.call.on_late_text(serialize_inbound(Media(QUIET)), waited_s)
    scene.scorer.score_all()
    assert session._floor.media_s == waited_s
    scene.hear()
    assert session._floor.media_s == scene.clock.now_s()


async def test_another_link_may_begin_the_stream_anew(scene: LoneCall) -> None:
    start = serialize_inbound(Start(stream_id=StreamId("one")))
    scene.call.on_text(start)
    scene.call.attach(FakeLink().as_link, LinkRequest(CALL, epoch=2))
    scene.call.on_text(start)
    assert scene.value(MESSAGES, event="start") == 2


async def test_a_machine_that_the_network_has_found_is_known_from_the_first_sound_on() -> None:
    request = LinkRequest(CALL, direction=Direction.OUTBOUND, metadata={"machine": "true"})
    scene = LoneCall(request=request)
    scene.call.start()
    scene.hear()
    await scene.ended()
    record = await scene.bus.calls.get(CALL)
    assert record is not None
    assert record.end_reason == "machine"
    await scene.aclose()
