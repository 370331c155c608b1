"""LiveKit's plugins, behind our adapter, keep what every recogniser and voice promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from services.agent.providers.base import Synthesiser, Transcriber
from services.agent.providers.livekit.entries import open_synthesiser, open_transcriber
from services.agent.providers.livekit.synthesiser import LiveKitSynthesiser
from services.agent.providers.livekit.transcriber import LiveKitTranscriber
from tests.contract.test_synthesiser import (  # noqa: F401 - collected here, over the fixture below
    test_cancelling_the_wait_stops_it,
    test_chunks_belong_to_their_receiver,
    test_closing_stops_it_and_the_next_text_is_whole,
    test_speech_is_as_long_as_it_takes_at_a_phones_level,
    test_texts_spoken_at_once_do_not_mix,
    test_two_times_the_text_is_about_two_times_as_long,
    test_what_cannot_be_pronounced_yields_nothing,
)
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
from tests.support.livekit_servers import Keys, VendorServers

pytestmark = pytest.mark.system
TTS = {"deepgram": "/v1/speak", "openai": "/v1"}


@asynccontextmanager
async def streamed(*said: str) -> AsyncIterator[Transcriber]:
    async with VendorServers(said) as servers:
        options = servers.options("deepgram", "/v1/listen")
        transcriber = cast(LiveKitTranscriber, open_transcriber(options, "en", Keys()))
        yield transcriber
        await transcriber.aclose()


@asynccontextmanager
async def whole(*said: str) -> AsyncIterator[Transcriber]:
    async with VendorServers(said) as servers:
        options = servers.options("openai", "/v1", model="whisper-tiny")
        transcriber = cast(LiveKitTranscriber, open_transcriber(options, "en", Keys()))
        yield transcriber
        await transcriber.aclose()


@pytest.fixture(params=[streamed, whole])
def opened(request: pytest.FixtureRequest) -> Opener:
    opener: Opener = request.param
    return opener


@pytest.fixture(params=list(TTS))
async def synthesiser(request: pytest.FixtureRequest) -> AsyncIterator[Synthesiser]:
    async with VendorServers() as servers:
        options = servers.options(request.param, TTS[request.param])
        made = cast(LiveKitSynthesiser, open_synthesiser(options, "en", Keys()))
        yield made
        await made.aclose()
        await made.aclose()
