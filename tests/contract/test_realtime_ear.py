"""The ear of speech to speech keeps what every recogniser promises, where it waits for words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.agent.providers.base import (
    CallFacts,
    Expectation,
    Transcriber,
    TranscriberStream,
)
from services.agent.providers.openai.entries import open_realtime
from services.agent.providers.openai.realtime import OpenAIRealtimeBrain
from services.agent.providers.openai.realtime_conversation import RealtimeConversation
from services.agent.providers.openai.realtime_options import (
    OpenAIRealtimeOptions,
)
from shared.protocol.call import CallId, Direction
from tests.contract.test_transcriber import (  # noqa: F401 - collected here, over the fixture below
    Opener,
    test_a_cancelled_wait_loses_no_event,
    test_a_closed_stream_ignores_what_comes_late,
    test_a_second_beginning_changes_nothing,
    test_an_end_without_a_beginning_understands_nothing,
    test_events_end_when_the_stream_is_closed_and_closing_twice_is_fine,
    test_finals_come_one_for_each_end_in_order,
    test_pushed_audio_may_be_reused_by_its_owner,
    test_streams_do_not_hear_each_other,
    test_what_was_expected_and_said_comes_back_understood,
)
from tests.support.livekit_servers import Keys
from tests.support.standins.realtime import RealtimeStandIn

pytestmark = pytest.mark.system
FACTS = CallFacts(CallId("call-1"), "default", Direction.INBOUND, "", "")


class _Ears:
    """Opens a conversation for each ear."""

    def __init__(self, brain: OpenAIRealtimeBrain) -> None:
        self._brain = brain
        self._conversations: list[RealtimeConversation] = []

    def open(self, _expect: Expectation) -> TranscriberStream:
        conversation, ear = self._brain.open(FACTS, {})
        self._conversations.append(conversation)
        return ear

    async def aclose(self) -> None:
        for conversation in self._conversations:
            await conversation.aclose()
        await self._brain.aclose()


@asynccontextmanager
async def realtime(*said: str) -> AsyncIterator[Transcriber]:
    async with RealtimeStandIn(said) as server:
        options = OpenAIRealtimeOptions(
            base_url=server.url, transcript_wait_s=2.0, silence_ms=700, connect_s=2.0
        )
        ears = _Ears(open_realtime(options, "en", Keys()))
        yield ears
        await ears.aclose()


@pytest.fixture
def opened() -> Opener:
    return realtime
