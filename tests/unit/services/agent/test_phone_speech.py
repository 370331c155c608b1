from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from services.agent.phone_speech import PhoneChunk, PhoneSpeech
from services.agent.providers.base import Pcm
from services.agent.providers.errors import ProviderFailed
from tests.support.providers import FakeSynthesiser


async def whole(speech: PhoneSpeech, text: str, *, is_first: bool = False) -> list[PhoneChunk]:
    return [chunk async for chunk in speech.speak(text, is_first=is_first)]


async def test_sentence_comes_in_pieces_and_the_last_one_says_so() -> None:
    synthesiser = FakeSynthesiser(16000)
    chunks = await whole(PhoneSpeech(synthesiser), "Hello there.")
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    seconds = sum(len(chunk.ulaw) for chunk in chunks) / 8000
    assert seconds == pytest.approx(synthesiser.duration_s("Hello there."), abs=0.001)
    assert chunks[-1].level_dbfs == pytest.approx(-20, abs=0.5)


async def test_sentence_said_before_is_not_made_again() -> None:
    synthesiser = FakeSynthesiser()
    speech = PhoneSpeech(synthesiser)
    first = await whole(speech, "Hello.")
    (again,) = await whole(speech, "Hello.")
    assert again.ulaw == b"".join(chunk.ulaw for chunk in first)
    assert again.is_last
    assert synthesiser.spoken == ["Hello."]


async def test_memory_is_bounded_and_forgets_the_least_used() -> None:
    synthesiser = FakeSynthesiser()
    size = int(synthesiser.duration_s("abcde") * 8000)
    speech = PhoneSpeech(synthesiser, memory_bytes=4 * size)
    for text in ("abcda", "abcdb", "abcdc", "abcdd", "abcda", "abcde", "abcda", "abcdb"):
        await whole(speech, text)
    assert synthesiser.spoken == ["abcda", "abcdb", "abcdc", "abcdd", "abcde", "abcdb"]


async def test_broken_or_abandoned_sentence_is_not_remembered() -> None:
    synthesiser = FakeSynthesiser()
    speech = PhoneSpeech(synthesiser)
    synthesiser.broken.add("Hello.")
    with pytest.raises(ProviderFailed):
        await whole(speech, "Hello.")
    synthesiser.broken.clear()
    abandoned = speech.speak("Hello.", is_first=False)
    await anext(abandoned)
    await abandoned.aclose()  # type: ignore[attr-defined] # a generator, as the seam allows
    await whole(speech, "Hello.")
    assert synthesiser.spoken == ["Hello."] * 3


async def test_voice_that_never_answers_is_given_up() -> None:
    class Silent:
        sample_rate_hz = 8000

        async def speak(self, text: str) -> AsyncIterator[Pcm]:
            await asyncio.Event().wait()
            yield np.zeros(1, dtype=np.int16)

    with pytest.raises(TimeoutError):
        await whole(PhoneSpeech(Silent(), chunk_timeout_s=0.02), "Hello.")
