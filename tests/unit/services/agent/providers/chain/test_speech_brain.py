from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from services.agent.providers.base import (
    CallFacts,
    Piece,
    Say,
    TranscriberStream,
    Usage,
    Words,
)
from services.agent.providers.chain.link import Link
from services.agent.providers.chain.speech_brain import GuardedSpeech
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.providers.errors import FailureCause, ProviderFailed, ProviderUnavailable
from shared.protocol.call import CallId, Direction
from tests.support.faulty_providers import LIMITS, FaultyEar, Meters
from tests.support.providers import FakeBrain, FakeConversation
from tests.support.virtual_loop import in_virtual_time

FACTS = CallFacts(CallId("call-1"), "default", Direction.INBOUND, "", "")
HEARD = Words("hello", is_understood=True)
CONFIRMED = ReplyConfirmation(is_given=True)
REFUSED = ProviderFailed("openai", "connection refused", FailureCause.UNREACHABLE)


class FakeSpeechBrain:
    def __init__(self, brain: FakeBrain, failure: Exception | None = None) -> None:
        self.brain = brain
        self.failure = failure
        self.opened = 0

    def open(
        self, call: CallFacts, variables: Mapping[str, str]
    ) -> tuple[FakeConversation, TranscriberStream]:
        self.opened += 1
        if self.failure is not None:
            raise self.failure
        return self.brain.open(call, variables), FaultyEar("openai").open(None)  # type: ignore[arg-type] # not asked


def guarded(brain: FakeSpeechBrain, meters: Meters) -> GuardedSpeech:
    return GuardedSpeech(Link("openai", brain), LIMITS, meters.breakers)


@in_virtual_time
async def test_a_conversation_passes_through_and_is_measured() -> None:
    meters = Meters()
    conversation, _ = guarded(FakeSpeechBrain(FakeBrain()), meters).open(FACTS, {"turn": "3"})
    greeting = [piece async for piece in conversation.greet()]
    assert Say("Hello.") in greeting
    pieces: list[Piece] = [piece async for piece in conversation.reply(HEARD, [], CONFIRMED)]
    assert pieces == [Say("You said hello.")]
    assert conversation.variables == {"turn": "4"}
    conversation.rewind({"turn": "1"})
    assert conversation.variables == {"turn": "1"}
    await conversation.aclose()
    count = meters.of("voice_agent_provider_seconds_count")
    assert count == {("realtime", "openai", "first"): 2, ("realtime", "openai", "total"): 2}


@in_virtual_time
async def test_a_provider_that_cannot_be_opened_says_so_and_is_left_alone() -> None:
    meters = Meters()
    brain = FakeSpeechBrain(FakeBrain(), ProviderUnavailable("x", "no key", FailureCause.MISSING))
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            guarded(brain, meters).open(FACTS, {})
    assert brain.opened == 1
    assert meters.of("voice_agent_provider_fallbacks_total") == {("realtime", "openai"): 2}
    await asyncio.sleep(LIMITS.breaker_refused_s)
    brain.failure = None
    guarded(brain, meters).open(FACTS, {})
    assert brain.opened == 2


@in_virtual_time
async def test_a_greeting_without_a_connection_fails_in_time() -> None:
    meters = Meters()
    stuck = FakeBrain(on_piece=lambda: asyncio.get_running_loop().create_future())
    conversation, _ = guarded(FakeSpeechBrain(stuck), meters).open(FACTS, {})
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(ProviderFailed, match="no connection"):
        await anext(conversation.greet())
    assert asyncio.get_running_loop().time() - began_s == pytest.approx(LIMITS.first_s)
    errors = meters.of("voice_agent_provider_errors_total")
    assert errors == {("timeout", "realtime", "openai"): 1}


@in_virtual_time
async def test_a_provider_that_keeps_failing_is_not_tried_by_the_next_call() -> None:
    meters = Meters()
    speech = guarded(FakeSpeechBrain(FakeBrain(greeting=(REFUSED,))), meters)
    for _ in range(LIMITS.breaker_failures):
        conversation, _ = speech.open(FACTS, {})
        with pytest.raises(ProviderFailed):
            await anext(conversation.greet())
    with pytest.raises(ProviderUnavailable, match="left alone"):
        speech.open(FACTS, {})


@in_virtual_time
async def test_usage_is_counted_under_the_links_name() -> None:
    meters = Meters()
    used = Usage("realtime", "whatever", "audio_seconds", 2.5)
    brain = FakeSpeechBrain(FakeBrain(script=[[Say("Yes."), used]]))
    conversation, _ = guarded(brain, meters).open(FACTS, {})
    assert used in [piece async for piece in conversation.reply(HEARD, [], CONFIRMED)]
    usage = meters.of("voice_agent_provider_usage_total")
    assert usage == {("realtime", "openai", "audio_seconds"): 2.5}
