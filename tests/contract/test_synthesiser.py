"""What every Synthesiser promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from services.agent.providers.base import Pcm, Synthesiser
from services.agent.providers.chain.link import Link
from services.agent.providers.chain.synthesiser import FallbackSynthesiser
from services.agent.providers.deepgram.entries import TTS as DEEPGRAM
from services.agent.providers.offline.voice import OfflineSynthesiser
from services.agent.providers.openai.entries import TTS as OPENAI
from services.agent.providers.registry import Entry
from shared.speech.level import active_level_dbfs
from tests.support.faulty_providers import LIMITS, FaultyVoice, Meters, refused
from tests.support.providers import FakeSynthesiser
from tests.support.standins import StandIns
from tests.support.vendors import vendor_secrets

SENTENCE = "I can tell you how I work, and take down a phone number."


@asynccontextmanager
async def offline() -> AsyncIterator[Synthesiser]:
    synthesiser = OfflineSynthesiser.open()
    yield synthesiser
    synthesiser.close()


@asynccontextmanager
async def fake() -> AsyncIterator[Synthesiser]:
    yield FakeSynthesiser(16000)


@asynccontextmanager
async def vendor(entry: Entry[Synthesiser]) -> AsyncIterator[Synthesiser]:
    async with StandIns() as standins:
        standins.world.speaks_odd_chunks = True
        synthesiser = entry.open(entry.options(), "en", vendor_secrets(standins))
        yield synthesiser
        await synthesiser.aclose()  # type: ignore[attr-defined] # every vendor's has it


@asynccontextmanager
async def chain() -> AsyncIterator[Synthesiser]:
    refusing = FaultyVoice(500, *[refused() for _ in range(200)])
    links: list[Link[Synthesiser]] = [
        Link("refusing", refusing),
        Link("fake", FakeSynthesiser(16000)),
    ]
    yield FallbackSynthesiser(links, LIMITS, Meters().breakers)


@pytest.fixture(
    params=[
        offline,
        fake,
        chain,
        lambda: vendor(DEEPGRAM["deepgram"]),
        lambda: vendor(OPENAI["openai"]),
    ],
    ids=["offline", "fake", "chain", "deepgram", "openai"],
)
async def synthesiser(request: pytest.FixtureRequest) -> AsyncIterator[Synthesiser]:
    async with request.param() as opened:
        yield opened


async def spoken(synthesiser: Synthesiser, text: str) -> Pcm:
    chunks = [chunk async for chunk in synthesiser.speak(text)]
    for chunk in chunks:
        assert chunk.dtype == np.int16
        assert chunk.ndim == 1
        assert len(chunk) > 0
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int16)


async def test_speech_is_as_long_as_it_takes_at_a_phones_level(synthesiser: Synthesiser) -> None:
    pcm = await spoken(synthesiser, SENTENCE)
    assert 1.5 < len(pcm) / synthesiser.sample_rate_hz < 8.0
    assert active_level_dbfs(pcm, synthesiser.sample_rate_hz) == pytest.approx(-20, abs=2.5)
    assert int(np.abs(pcm.astype(np.int32)).max()) < 32000


@pytest.mark.parametrize("text", ["", "   ", "...", "?!", "\n\t"])
async def test_what_cannot_be_pronounced_yields_nothing(
    synthesiser: Synthesiser, text: str
) -> None:
    assert len(await spoken(synthesiser, text)) == 0


async def test_two_times_the_text_is_about_two_times_as_long(synthesiser: Synthesiser) -> None:
    once = await spoken(synthesiser, SENTENCE)
    twice = await spoken(synthesiser, f"{SENTENCE} {SENTENCE}")
    assert len(twice) == pytest.approx(2 * len(once), rel=0.15)


async def test_texts_spoken_at_once_do_not_mix(synthesiser: Synthesiser) -> None:
    texts = [f"Sentence number {name}." for name in ("one", "two", "three", "four", "five", "six")]
    together = await asyncio.gather(*(spoken(synthesiser, text) for text in texts))
    for text, pcm in zip(texts, together, strict=True):
        assert len(pcm) == pytest.approx(len(await spoken(synthesiser, text)), rel=0.1)


async def test_closing_stops_it_and_the_next_text_is_whole(synthesiser: Synthesiser) -> None:
    stream = synthesiser.speak(SENTENCE * 5)
    await anext(stream)
    close: Callable[[], object] | None = getattr(stream, "aclose", None)
    assert close is not None
    await stream.aclose()  # type: ignore[attr-defined] # every implementation is a generator
    assert len(await spoken(synthesiser, SENTENCE)) > synthesiser.sample_rate_hz


async def test_cancelling_the_wait_stops_it(synthesiser: Synthesiser) -> None:
    task = asyncio.ensure_future(spoken(synthesiser, SENTENCE * 50))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await spoken(synthesiser, SENTENCE)) > synthesiser.sample_rate_hz


async def test_chunks_belong_to_their_receiver(synthesiser: Synthesiser) -> None:
    async for chunk in synthesiser.speak("Hello there."):
        chunk[:] = 0
    pcm = await spoken(synthesiser, "Hello there.")
    assert active_level_dbfs(pcm, synthesiser.sample_rate_hz) > -26
