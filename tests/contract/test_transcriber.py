"""What every Transcriber promises: one Final for each end, in order, and nothing that blocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache

import numpy as np
import pytest

from services.agent.providers.base import (
    Expectation,
    Final,
    Pcm,
    Transcriber,
    TranscriberFailed,
    TranscriberStream,
)
from services.agent.providers.chain.link import Link
from services.agent.providers.chain.transcriber import FallbackTranscriber
from services.agent.providers.deepgram.entries import STT as DEEPGRAM
from services.agent.providers.offline.sphinx import SphinxTranscriber
from services.agent.providers.openai.entries import STT as OPENAI
from services.agent.providers.registry import Entry
from tests.support.callers import say
from tests.support.faulty_providers import LIMITS, Fault, FaultyEar, Meters
from tests.support.providers import FakeTranscriber
from tests.support.standins import PhraseEar, StandIns, World
from tests.support.vendors import vendor_secrets

PHRASES = ("what can you do", "is it free", "take my number", "goodbye")
EXPECTED = Expectation(PHRASES)
SILENCE: Pcm = np.zeros(4000, np.int16)

Opener = Callable[..., AbstractAsyncContextManager[Transcriber]]


@asynccontextmanager
async def sphinx(*_said: str) -> AsyncIterator[Transcriber]:
    async with SphinxTranscriber() as transcriber:
        yield transcriber


@asynccontextmanager
async def fake(*said: str) -> AsyncIterator[Transcriber]:
    yield FakeTranscriber(said)


@asynccontextmanager
async def chain_whose_first_dies(*said: str) -> AsyncIterator[Transcriber]:
    dying = FaultyEar("dying", *[Fault(None, error=OSError("by script")) for _ in range(50)])
    links: list[Link[Transcriber]] = [Link("dying", dying), Link("fake", FakeTranscriber(said))]
    yield FallbackTranscriber(links, LIMITS, Meters().breakers)


@lru_cache
def ear() -> PhraseEar:
    return PhraseEar(PHRASES)


@asynccontextmanager
async def vendor(entry: Entry[Transcriber], **options: str) -> AsyncIterator[Transcriber]:
    """A vendor's provider, whose stand-in really recognises what was said."""
    async with StandIns(World(ear=ear())) as standins:
        transcriber = entry.open(entry.options(**options), "en", vendor_secrets(standins))
        yield transcriber
        await transcriber.aclose()  # type: ignore[attr-defined] # every vendor's has it


@asynccontextmanager
async def deepgram(*_said: str) -> AsyncIterator[Transcriber]:
    async with vendor(DEEPGRAM["deepgram"]) as transcriber:
        yield transcriber


@asynccontextmanager
async def openai_realtime(*_said: str) -> AsyncIterator[Transcriber]:
    async with vendor(OPENAI["openai"]) as transcriber:
        yield transcriber


@asynccontextmanager
async def openai_file(*_said: str) -> AsyncIterator[Transcriber]:
    async with vendor(OPENAI["openai"], mode="file") as transcriber:
        yield transcriber


@pytest.fixture(
    params=[sphinx, fake, chain_whose_first_dies, deepgram, openai_realtime, openai_file]
)
def opened(request: pytest.FixtureRequest) -> Opener:
    opener: Opener = request.param
    return opener


def utter(stream: TranscriberStream, text: str) -> None:
    """Say a text, told apart from silence as the session does it: a little late, both times."""
    speech = say(text)
    stream.push(SILENCE)
    stream.push(speech[:1600])
    stream.begin()
    for start in range(1600, len(speech), 160):
        stream.push(speech[start : start + 160])
    stream.push(SILENCE)
    stream.end()


async def next_event(stream: TranscriberStream) -> Final | TranscriberFailed:
    async with asyncio.timeout(20):
        async for event in stream.events():
            if isinstance(event, Final | TranscriberFailed):
                return event
    raise AssertionError("the events ended")


async def test_what_was_expected_and_said_comes_back_understood(opened: Opener) -> None:
    async with opened("what can you do") as transcriber:
        stream = transcriber.open(EXPECTED)
        utter(stream, "what can you do")
        final = await next_event(stream)
        assert isinstance(final, Final)
        assert (final.text, final.is_understood) == ("what can you do", True)
        assert 0.5 <= final.confidence <= 1.0
        await stream.aclose()


async def test_finals_come_one_for_each_end_in_order(opened: Opener) -> None:
    async with opened("is it free", "goodbye") as transcriber:
        stream = transcriber.open(EXPECTED)
        utter(stream, "is it free")
        utter(stream, "goodbye")
        texts = [await next_event(stream) for _ in range(2)]
        assert [final.text for final in texts if isinstance(final, Final)] == [
            "is it free",
            "goodbye",
        ]
        await stream.aclose()


async def test_an_end_without_a_beginning_understands_nothing(opened: Opener) -> None:
    async with opened("goodbye") as transcriber:
        stream = transcriber.open(EXPECTED)
        stream.push(SILENCE)
        stream.end()
        assert await next_event(stream) == Final("", is_understood=False, confidence=0.0)
        await stream.aclose()


async def test_a_second_beginning_changes_nothing(opened: Opener) -> None:
    async with opened("is it free") as transcriber:
        stream = transcriber.open(EXPECTED)
        stream.push(say("is it free"))
        stream.begin()
        stream.begin()
        stream.push(SILENCE)
        stream.end()
        final = await next_event(stream)
        assert isinstance(final, Final)
        await stream.aclose()


async def test_streams_do_not_hear_each_other(opened: Opener) -> None:
    async with opened("is it free", "goodbye") as transcriber:
        first, second = transcriber.open(EXPECTED), transcriber.open(EXPECTED)
        utter(first, "is it free")
        utter(second, "goodbye")
        for stream, text in ((first, "is it free"), (second, "goodbye")):
            final = await next_event(stream)
            assert isinstance(final, Final)
            assert final.text == text
            await stream.aclose()


async def test_events_end_when_the_stream_is_closed_and_closing_twice_is_fine(
    opened: Opener,
) -> None:
    async with opened("goodbye") as transcriber:
        stream = transcriber.open(EXPECTED)
        utter(stream, "goodbye")
        await stream.aclose()
        await stream.aclose()
        async with asyncio.timeout(5):
            assert [event async for event in stream.events()] == []


async def test_a_closed_stream_ignores_what_comes_late(opened: Opener) -> None:
    async with opened() as transcriber:
        stream = transcriber.open(EXPECTED)
        await stream.aclose()
        utter(stream, "goodbye")
        assert [event async for event in stream.events()] == []


async def test_a_cancelled_wait_loses_no_event(opened: Opener) -> None:
    async with opened("goodbye") as transcriber:
        stream = transcriber.open(EXPECTED)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream.events()), 0.05)
        utter(stream, "goodbye")
        final = await next_event(stream)
        assert isinstance(final, Final)
        await stream.aclose()


async def test_pushed_audio_may_be_reused_by_its_owner(opened: Opener) -> None:
    async with opened("goodbye") as transcriber:
        stream = transcriber.open(EXPECTED)
        speech = say("goodbye")
        frame = np.zeros(160, np.int16)
        stream.push(speech[:1600])
        stream.begin()
        for start in range(1600, len(speech) - 160, 160):
            frame[:] = speech[start : start + 160]
            stream.push(frame)
        stream.push(SILENCE)
        stream.end()
        final = await next_event(stream)
        assert isinstance(final, Final)
        assert final.text == "goodbye"
        await stream.aclose()
