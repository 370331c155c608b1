"""How a call leaves a worker: recorded, said goodbye to, or left to another with neither."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from services.agent.providers.base import EndCall, Say
from services.agent.turn.events import End
from shared.bus.memory_sessions import MemorySessions
from shared.protocol.call import CallRecord, EndClass, EndReason
from shared.protocol.telephony import PlayedStream, serialize_inbound
from shared.protocol.worker import LinkClose
from tests.support.clock import ManualClock
from tests.support.lone_call import CALL, LoneCall
from tests.support.providers import FakeBrain


async def record_of(scene: LoneCall) -> CallRecord | None:
    return await scene.bus.calls.get(CALL)


@pytest.mark.parametrize(
    ("reason", "end_class", "code"),
    [
        (EndReason.CALLER_HUNG_UP, None, LinkClose.NORMAL),
        (EndReason.TRANSFERRED, EndClass.SUCCESS, LinkClose.NORMAL),
        (EndReason.PROVIDER_FAILED, EndClass.PROVIDER, 1011),
        (EndReason.AGENT_FAILED, EndClass.PLATFORM, 1011),
    ],
)
async def test_an_end_is_recorded_with_whose_doing_it_was(
    reason: EndReason, end_class: EndClass | None, code: int
) -> None:
    scene = LoneCall()
    await scene.begin()
    scene.call.over(reason)
    await scene.ended()
    record = await record_of(scene)
    assert record is not None
    assert (record.worker_id, record.agent) == ("w1", "default")
    assert record.end_class == end_class
    assert scene.link.code == code
    assert scene.transcriber.streams[0].is_closed
    assert scene.brain.conversations[0].is_closed
    await scene.aclose()


async def test_an_agent_that_hangs_up_stops_the_stream_first() -> None:
    scene = LoneCall(brain=FakeBrain(greeting=(Say("Goodbye."), EndCall("done"))))
    await scene.begin()
    await scene.pass_time(3.0)
    for name in scene.link.checkpoints:
        scene.call.on_text(serialize_inbound(PlayedStream(name)))
    await scene.ended()
    assert (scene.link.events[-1], scene.link.code) == ("stop", LinkClose.ENDED)
    record = await record_of(scene)
    assert record is not None
    assert record.end_reason is EndReason.AGENT_HUNG_UP
    await scene.aclose()


async def test_the_first_end_counts() -> None:
    scene = LoneCall()
    await scene.begin()
    for reason in (EndReason.AGENT_FAILED, EndReason.TRANSFERRED):
        scene.call._ending.end(End(reason, by_agent=False))
    await scene.ended()
    record = await record_of(scene)
    assert record is not None
    assert record.end_reason is EndReason.AGENT_FAILED
    await asyncio.sleep(0.05)
    assert scene.overs == 1
    await scene.aclose()


async def test_an_end_that_is_a_failure_says_why_and_no_other_does() -> None:
    whys = []
    for reason in (EndReason.AGENT_FAILED, EndReason.CALLER_HUNG_UP):
        scene = LoneCall()
        await scene.begin()
        scene.call._own.guard.why = "something"
        with capture_logs() as logs:
            scene.call.over(reason)
            await scene.ended()
        (told,) = [log for log in logs if log["event"] == "call_ended"]
        whys.append((told["log_level"], told["why"]))
        await scene.aclose()
    assert whys == [("error", "something"), ("info", None)]


async def test_a_call_that_is_another_workers_by_now_is_not_recorded() -> None:
    sessions = MemorySessions(ManualClock())
    scene = LoneCall(sessions=sessions)
    await scene.begin()
    await sessions.claim(CALL, 2)
    scene.call.over(EndReason.CALLER_HUNG_UP)
    await scene.ended()
    assert await record_of(scene) is None
    assert scene.link.code == LinkClose.STALE_EPOCH
    await scene.aclose()


async def test_a_call_that_is_handed_over_is_neither_ended_nor_recorded() -> None:
    sessions = MemorySessions(ManualClock())
    scene = LoneCall(sessions=sessions)
    await scene.begin()
    await scene.call.hand_over()
    assert (scene.is_over, scene.call.is_given_up) == (True, True)
    assert await record_of(scene) is None
    assert await sessions.load(CALL) is not None
    assert scene.link.code == LinkClose.HANDOVER
    assert scene.value("voice_agent_handed_over_calls_total") == 1
    await scene.aclose()


async def test_a_call_that_is_taken_away_while_it_ends_is_not_recorded() -> None:
    scene = LoneCall()
    await scene.begin()
    scene.call.over(EndReason.CALLER_HUNG_UP)
    scene.call.leave(LinkClose.SUPERSEDED)
    await scene.ended()
    assert await record_of(scene) is None
    assert scene.link.code == LinkClose.SUPERSEDED
    await scene.aclose()


async def test_a_caller_that_is_lost_is_given_up_and_one_that_hangs_up_is_not() -> None:
    for reason, is_given_up in ((EndReason.CARRIER_LOST, True), (EndReason.CALLER_HUNG_UP, False)):
        scene = LoneCall()
        await scene.begin()
        scene.call.over(reason)
        assert scene.call.is_given_up is is_given_up
        await scene.ended()
        await scene.aclose()
