from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from services.agent.providers.base import Pcm, Usage
from services.agent.providers.chain.link import Link
from services.agent.providers.chain.synthesiser import (
    Attributed,
    ChainSpeech,
    FallbackSynthesiser,
)
from services.agent.providers.errors import ProviderError, ProviderTimeout
from tests.support.faulty_providers import (
    LIMITS,
    Fault,
    FaultyVoice,
    Meters,
    bug,
    cut,
    garbage,
    missing,
    refused,
    stalled,
    status,
)
from tests.support.virtual_loop import in_virtual_time

TEXT = "We open at nine in the morning and close at ten."
FIRST_HZ, SECOND_HZ = 500, 1500
ERRORS = "voice_agent_provider_errors_total"


def chain(*voices: FaultyVoice, meters: Meters | None = None) -> FallbackSynthesiser:
    names = ("first", "second", "third")
    links = [Link(name, voice) for name, voice in zip(names, voices, strict=False)]
    return FallbackSynthesiser(links, LIMITS, (meters or Meters()).breakers)


async def heard(speech: ChainSpeech) -> Pcm:
    chunks = [chunk async for chunk in speech]
    assert all(len(chunk) and chunk.dtype == np.int16 for chunk in chunks)
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int16)


def seconds_of(pcm: Pcm, hz: int) -> float:
    """How long a tone sounds in it, by 20 ms pieces."""
    pieces = pcm[: len(pcm) // 160 * 160].reshape(-1, 160) * np.hanning(160)
    loudest = np.abs(np.fft.rfft(pieces)).argmax(axis=1) * 50
    is_sound = np.abs(pieces).max(axis=1) > 300
    return float(np.count_nonzero(is_sound & (np.abs(loudest - hz) <= 50))) * 0.02


@in_virtual_time
async def test_speech_comes_at_the_phones_rate_whole_to_the_last_sample() -> None:
    for rate_hz in (8000, 16_000, 24_000):
        pcm = await heard(chain(FaultyVoice(FIRST_HZ, rate_hz=rate_hz)).speak(TEXT))
        assert len(pcm) == round(0.07 * len(TEXT) * 8000)
        assert np.abs(pcm[:400]).max() > 2000
        assert np.abs(pcm[-400:]).max() > 2000


FAULTS = {
    "refused": refused(),
    "401": status(401),
    "429": status(429),
    "500": status(500),
    "missing": missing(),
    "stalled": stalled(),
    "cut": cut(),
    "garbage": garbage(),
    "bug": bug(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
@in_virtual_time
async def test_a_voice_that_fails_before_a_sound_is_followed_by_the_next(fault: Fault) -> None:
    meters = Meters()
    first, second = FaultyVoice(FIRST_HZ, *[fault] * 9), FaultyVoice(SECOND_HZ, rate_hz=16_000)
    began_s = asyncio.get_running_loop().time()
    speech = chain(first, second, meters=meters).speak(TEXT)
    first_chunk = await anext(speech)
    assert asyncio.get_running_loop().time() - began_s < 2.0
    pcm = np.concatenate([first_chunk, await heard(speech)])
    assert second.spoken == [TEXT]
    assert seconds_of(pcm, SECOND_HZ) == pytest.approx(0.07 * len(TEXT), abs=0.1)
    assert seconds_of(pcm, FIRST_HZ) == 0
    assert speech.served_by == ("second",)
    assert not speech.is_first_choice
    assert fault.cause is not None
    assert meters.of(ERRORS) == {(fault.cause.value, "tts", "first"): first.faults.calls}
    assert meters.of("voice_agent_provider_fallbacks_total") == {("tts", "first"): 1}
    assert first.open == second.open == 0


@pytest.mark.parametrize("fault", [stalled(10), cut(10), garbage(10), bug(10)])
@in_virtual_time
async def test_a_voice_that_breaks_off_is_followed_by_the_rest_of_the_sentence(
    fault: Fault,
) -> None:
    first, second = FaultyVoice(FIRST_HZ, fault), FaultyVoice(SECOND_HZ)
    speech = chain(first, second).speak(TEXT)
    pcm = await heard(speech)
    assert second.spoken == ["in the morning and close at ten."]  # 1 s is some 14 characters
    assert seconds_of(pcm, FIRST_HZ) == pytest.approx(1.0, abs=0.05)
    assert seconds_of(pcm, SECOND_HZ) == pytest.approx(0.07 * len(second.spoken[0]), abs=0.05)
    assert len(pcm) / 8000 == pytest.approx(1.0 + 0.07 * len(second.spoken[0]), abs=0.05)
    assert speech.served_by == ("first", "second")
    assert not speech.is_first_choice


@in_virtual_time
async def test_the_second_voice_begins_with_its_first_sound() -> None:
    class Late(FaultyVoice):
        async def speak(self, text: str) -> AsyncIterator[Pcm]:
            yield np.zeros(12_000, np.int16)
            async for chunk in super().speak(text):
                yield chunk

    pcm = await heard(chain(FaultyVoice(FIRST_HZ, cut(10)), Late(SECOND_HZ)).speak(TEXT))
    is_quiet = np.abs(pcm) < 80
    longest = max(len(run) for run in "".join("q" if q else "s" for q in is_quiet).split("s"))
    assert longest <= 240


@in_virtual_time
async def test_a_voice_cut_behind_its_last_word_is_done_but_was_not_whole() -> None:
    first, second = FaultyVoice(FIRST_HZ, cut(99)), FaultyVoice(SECOND_HZ)
    speech = chain(first, second).speak("We open at nine.")
    assert seconds_of(await heard(speech), FIRST_HZ) > 1
    assert second.spoken == []
    assert speech.served_by == ("first",)
    assert not speech.is_first_choice


@in_virtual_time
async def test_a_second_try_of_the_first_voice_is_its_own_speech() -> None:
    meters = Meters()
    first = FaultyVoice(FIRST_HZ, status(500))
    speech = chain(first, FaultyVoice(SECOND_HZ), meters=meters).speak(TEXT)
    await heard(speech)
    assert first.spoken == [TEXT, TEXT]
    assert speech.is_first_choice
    assert isinstance(speech, Attributed)
    assert meters.of("voice_agent_provider_retries_total") == {("tts", "first"): 1}


@in_virtual_time
async def test_silence_in_the_middle_is_waited_for_no_longer_than_the_limit() -> None:
    speech = chain(FaultyVoice(FIRST_HZ, stalled(5)), FaultyVoice(SECOND_HZ)).speak(TEXT)
    last_s = asyncio.get_running_loop().time()
    longest_s = 0.0
    async for _ in speech:
        now_s = asyncio.get_running_loop().time()
        longest_s, last_s = max(longest_s, now_s - last_s), now_s
    assert longest_s <= LIMITS.next_s + 0.1


@in_virtual_time
async def test_when_all_have_failed_the_last_error_comes_out() -> None:
    speech = chain(FaultyVoice(FIRST_HZ, garbage()), FaultyVoice(SECOND_HZ, stalled())).speak(TEXT)
    with pytest.raises(ProviderTimeout):
        await heard(speech)


@in_virtual_time
async def test_a_voice_that_runs_here_is_waited_for_while_the_machine_is_busy() -> None:
    link = Link("offline", FaultyVoice(FIRST_HZ, stalled()), is_here=True)
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(ProviderTimeout):
        await heard(FallbackSynthesiser([link], LIMITS, Meters().breakers).speak(TEXT))
    waited_s = asyncio.get_running_loop().time() - began_s
    assert waited_s == pytest.approx(LIMITS.last_patience * LIMITS.tts_first_s, abs=0.1)


@in_virtual_time
async def test_a_text_with_words_and_no_audio_is_a_failure_and_dots_are_not() -> None:
    class Mute:
        sample_rate_hz = 8000

        async def speak(self, text: str) -> AsyncIterator[Pcm]:
            for _ in text[:0]:
                yield np.zeros(1, np.int16)

    class Floats:
        sample_rate_hz = 8000

        async def speak(self, text: str) -> AsyncIterator[Pcm]:
            yield np.zeros(80)  # type: ignore[misc] # what a broken adapter might give

    for broken in (Mute(), Floats()):
        links = [Link("broken", broken), Link("second", FaultyVoice(SECOND_HZ))]
        meters = Meters()
        synthesiser = FallbackSynthesiser(links, LIMITS, meters.breakers)
        assert len(await heard(synthesiser.speak("Yes."))) > 0
        assert meters.of(ERRORS) == {("garbage", "tts", "broken"): 1}
    alone = FallbackSynthesiser([Link("mute", Mute())], LIMITS, Meters().breakers)
    assert len(await heard(alone.speak("..."))) == 0
    with pytest.raises(ProviderError, match="no audio"):
        await heard(alone.speak("Yes."))


@in_virtual_time
async def test_characters_are_counted_for_everybody_who_was_asked() -> None:
    meters = Meters()
    speech = chain(
        FaultyVoice(FIRST_HZ, refused(), refused()), FaultyVoice(SECOND_HZ), meters=meters
    )
    said = speech.speak("Hello.")
    await heard(said)
    assert said.usage == (
        Usage("tts", "first", "characters", 6),
        Usage("tts", "second", "characters", 6),
    )
    usage = meters.of("voice_agent_provider_usage_total")
    assert usage == {("tts", "first", "characters"): 6, ("tts", "second", "characters"): 6}


@in_virtual_time
async def test_closing_early_stops_the_voice_and_is_no_failure() -> None:
    meters = Meters()
    first = FaultyVoice(FIRST_HZ)
    speech = chain(first, meters=meters).speak(TEXT)
    await anext(speech)
    await speech.aclose()
    assert first.open == 0
    assert meters.of(ERRORS) == {}


@in_virtual_time
async def test_another_voice_of_the_same_vendor_is_not_the_first_choice() -> None:
    first, second = FaultyVoice(FIRST_HZ, missing()), FaultyVoice(SECOND_HZ)
    links = [Link("vendor", first, "one key"), Link("vendor", second, "another key")]
    synthesiser = FallbackSynthesiser(links, LIMITS, Meters().breakers)
    for _ in range(2):  # the first one fails, then its breaker is open
        speech = synthesiser.speak(TEXT)
        assert seconds_of(await heard(speech), SECOND_HZ) > 1
        assert not speech.is_first_choice
    assert len(first.spoken) == 1
