from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from services.agent.providers.base import Pcm, Usage
from services.agent.providers.chain.limits import ChainLimits
from services.agent.providers.chain.link import Link
from services.agent.providers.chain.synthesiser import FallbackSynthesiser
from services.agent.providers.errors import ProviderFailed
from services.agent.speech.phone_speech import PhoneChunk, PhoneSpeech
from services.agent.speech.shared_speech import SharedSpeech
from shared.bus.memory import MemoryCache
from tests.support.faulty_providers import FaultyVoice, Meters, cut, garbage, refused
from tests.support.providers import FakeSynthesiser
from tests.support.virtual_loop import LoopClock, in_virtual_time

CACHE = "voice_agent_speech_cache_total"


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


# --- several calls at once ----------------------------------------------------------------------


@in_virtual_time
async def test_calls_that_say_the_same_at_once_have_it_made_once_and_as_it_comes() -> None:
    meters = Meters()
    voice = FaultyVoice(500, pace_s=0.1)
    speech = PhoneSpeech(voice, metrics=meters.metrics)
    clock = asyncio.get_running_loop()
    began_s = clock.time()
    firsts: list[float] = []

    async def call(delay_s: float) -> bytes:
        await asyncio.sleep(delay_s)
        ulaw = b""
        async for chunk in speech.speak("One and the same sentence.", is_first=False):
            if not ulaw and chunk.ulaw:
                firsts.append(clock.time() - began_s - delay_s)
            ulaw += chunk.ulaw
        return ulaw

    said = await asyncio.gather(*(call(delay_s) for delay_s in (0.0, 0.0, 0.5, 1.0)))
    assert len(set(said)) == 1
    assert voice.spoken == ["One and the same sentence."]
    assert max(firsts) < 0.25
    assert meters.of(CACHE) == {("miss",): 1, ("joined",): 3}


@in_virtual_time
async def test_one_call_that_leaves_does_not_stop_the_others() -> None:
    voice = FaultyVoice(500, pace_s=0.1)
    speech = PhoneSpeech(voice)
    leaving, staying = (speech.speak("A whole sentence.", is_first=False) for _ in range(2))
    await anext(leaving)
    await anext(staying)
    await leaving.aclose()  # type: ignore[attr-defined] # a generator, as the seam allows
    chunks = [chunk async for chunk in staying]
    assert chunks[-1].is_last
    assert voice.spoken == ["A whole sentence."]
    assert voice.open == 0


@in_virtual_time
async def test_when_the_last_call_leaves_the_voice_is_stopped() -> None:
    voice = FaultyVoice(500, pace_s=0.1)
    speech = PhoneSpeech(voice)
    calls = [asyncio.ensure_future(whole(speech, "A whole sentence.")) for _ in range(3)]
    await asyncio.sleep(0.35)
    assert voice.open == 1
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert voice.open == 0
    assert len(await whole(speech, "A whole sentence.")) > 5
    assert len(voice.spoken) == 2


@in_virtual_time
async def test_a_failure_reaches_everybody_who_listens() -> None:
    speech = PhoneSpeech(FaultyVoice(500, cut(3), pace_s=0.1))
    results = await asyncio.gather(
        *(whole(speech, "A whole sentence.") for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(result, ProviderFailed) for result in results)


@in_virtual_time
async def test_a_worker_that_stops_ends_what_is_being_said() -> None:
    voice = FaultyVoice(500, pace_s=0.1)
    speech = PhoneSpeech(voice)
    call = asyncio.ensure_future(whole(speech, "A whole sentence."))
    await asyncio.sleep(0.25)
    await speech.aclose()
    with pytest.raises(ProviderFailed, match="stops"):
        await call
    assert voice.open == 0


@in_virtual_time
async def test_a_voice_that_never_ends_is_broken() -> None:
    class Endless:
        sample_rate_hz = 8000

        async def speak(self, text: str) -> AsyncIterator[Pcm]:
            while True:
                await asyncio.sleep(0)
                yield np.full(80_000, 1000, np.int16)

    with pytest.raises(ProviderFailed, match="does not end"):
        await whole(PhoneSpeech(Endless()), "Hello.")


# --- whose voice --------------------------------------------------------------------------------


def chain(*voices: FaultyVoice) -> FallbackSynthesiser:
    links = [Link(str(voice.hz), voice) for voice in voices]
    return FallbackSynthesiser(links, ChainLimits(), Meters().breakers)


@in_virtual_time
async def test_what_another_voice_said_even_in_part_is_not_remembered() -> None:
    first, second = FaultyVoice(500, cut(4), garbage()), FaultyVoice(900)
    speech = PhoneSpeech(chain(first, second))
    for _ in range(4):
        await whole(speech, "We open at nine in the morning.")
    assert len(first.spoken) == 3  # cut, garbage, whole; then remembered
    assert len(second.spoken) == 2


@in_virtual_time
async def test_usage_is_told_to_one_call_alone() -> None:
    speech = PhoneSpeech(chain(FaultyVoice(500, garbage()), FaultyVoice(900)))
    told = await asyncio.gather(*(whole(speech, "We open at nine.") for _ in range(3)))
    usage = [[one for chunk in chunks for one in chunk.usage] for chunks in told]
    assert usage[0] == [
        Usage("tts", "500", "characters", 16),
        Usage("tts", "900", "characters", 16),
    ]
    assert usage[1:] == [[], []]


# --- in advance ---------------------------------------------------------------------------------

APOLOGY = "I am sorry. Please call again later."


@in_virtual_time
async def test_what_is_prepared_is_at_hand_by_sentence_and_as_a_whole() -> None:
    meters = Meters()
    voice = FaultyVoice(500)
    speech = PhoneSpeech(voice, metrics=meters.metrics)
    assert speech.prepared(APOLOGY) is None
    assert await speech.prepare([APOLOGY, "One moment."]) == ()
    assert sorted(voice.spoken) == ["I am sorry.", "One moment.", "Please call again later."]
    chunk = speech.prepared(APOLOGY)
    assert chunk is not None
    assert chunk.is_last
    seconds = 0.07 * (len("I am sorry.") + len("Please call again later.")) + 0.2
    assert len(chunk.ulaw) / 8000 == pytest.approx(seconds, abs=0.01)
    assert chunk.level_dbfs == pytest.approx(-20, abs=0.5)
    assert [chunk.is_last for chunk in await whole(speech, "One moment.", is_first=True)] == [True]
    assert await speech.prepare([APOLOGY]) == ()
    assert len(voice.spoken) == 3
    assert meters.of("voice_agent_speech_cache_bytes") != {}
    await speech.aclose()
    assert meters.of("voice_agent_speech_cache_bytes") == {}


@in_virtual_time
async def test_what_is_prepared_is_not_forgotten_for_what_is_said() -> None:
    voice = FaultyVoice(500)
    speech = PhoneSpeech(voice, memory_bytes=20_000)
    await speech.prepare(["One moment."])
    for number in range(30):
        await whole(speech, f"Sentence {number}.")
    assert speech.prepared("One moment.") is not None


@in_virtual_time
async def test_pins_are_bounded_and_the_oldest_become_ordinary() -> None:
    speech = PhoneSpeech(FaultyVoice(500), pinned_bytes=30_000)
    texts = [f"Sentence {number}." for number in range(9)]
    for text in texts:
        await speech.prepare([text])
    assert all(speech.prepared(text) is not None for text in texts)
    assert speech._pinned.held_bytes <= 30_000


@in_virtual_time
async def test_an_apology_is_there_although_every_vendor_is_away() -> None:
    machine = FaultyVoice(900, rate_hz=16_000)
    vendor = FaultyVoice(500, *[refused()] * 9)
    speech = PhoneSpeech(vendor, last_resort=machine)
    assert await speech.prepare(["I am sorry."]) == ()
    makeshift = speech.prepared("I am sorry.")
    assert makeshift is not None
    assert machine.spoken == ["I am sorry."]
    # The sentence itself is not spoken by the makeshift voice, and the vendor's takes its place.
    for _ in range(8):
        with pytest.raises(ProviderFailed):
            await whole(speech, "I am sorry.", is_first=True)
    await whole(speech, "I am sorry.", is_first=True)
    own = speech.prepared("I am sorry.")
    assert own is not None
    assert own.ulaw != makeshift.ulaw
    assert (await whole(speech, "I am sorry.", is_first=True))[0].ulaw == own.ulaw


@in_virtual_time
async def test_what_no_voice_can_make_is_told() -> None:
    broken = [FaultyVoice(500, *[refused()] * 9) for _ in range(2)]
    speech = PhoneSpeech(broken[0], last_resort=broken[1])
    assert await speech.prepare(["I am sorry.", " "]) == ("I am sorry.",)
    assert await PhoneSpeech(broken[0]).prepare(["Hello."]) == ("Hello.",)
    assert speech.prepared("I am sorry.") is None


@in_virtual_time
async def test_a_fallback_voice_may_make_it_in_advance_but_not_for_good() -> None:
    first, second = FaultyVoice(500, garbage()), FaultyVoice(900)
    speech = PhoneSpeech(chain(first, second))
    assert await speech.prepare(["I am sorry."]) == ()
    assert speech.prepared("I am sorry.") is not None
    assert await speech.prepare(["I am sorry."]) == ()
    assert first.spoken == ["I am sorry."] * 2


# --- between workers ----------------------------------------------------------------------------


@in_virtual_time
async def test_workers_share_what_is_prepared_and_what_was_said_twice() -> None:
    cache = MemoryCache(LoopClock())
    meters = Meters()
    async with SharedSpeech(cache, meters.metrics) as shared:
        one = PhoneSpeech(FaultyVoice(500), voice_key="v", shared=shared)
        await one.prepare(["Hello."])
        for text, times in (("Once.", 1), ("Twice.", 2), ("Thrice.", 3)):
            for _ in range(times):
                await whole(one, text)
        await asyncio.sleep(0.1)
        assert len(await cache.keys()) == 3
    async with SharedSpeech(cache, meters.metrics) as shared:
        voice = FaultyVoice(500)
        other = PhoneSpeech(voice, voice_key="v", shared=shared, metrics=meters.metrics)
        assert await other.prepare(["Hello."]) == ()
        (chunk,) = await whole(other, "Twice.")
        assert (chunk.ulaw, chunk.is_last) == ((await whole(one, "Twice."))[0].ulaw, True)
        assert voice.spoken == []
        assert meters.of(CACHE) == {("redis",): 2}
        await whole(other, "Once.")
        assert voice.spoken == ["Once."]
        stranger = PhoneSpeech(voice, voice_key="w", shared=shared)
        await whole(stranger, "Twice.")
        assert voice.spoken == ["Once.", "Twice."]


@in_virtual_time
async def test_repeats_are_kept_to_itself_where_they_are_nobodys_business() -> None:
    cache = MemoryCache(LoopClock())
    async with SharedSpeech(cache, Meters().metrics) as shared:
        speech = PhoneSpeech(FaultyVoice(500), voice_key="v", shared=shared, shares_repeats=False)
        for _ in range(3):
            await whole(speech, "Your balance is ten.")
        await speech.prepare(["Hello."])
        await asyncio.sleep(0.1)
        assert len(await cache.keys()) == 1


@in_virtual_time
async def test_makeshift_speech_is_not_shared() -> None:
    cache = MemoryCache(LoopClock())
    async with SharedSpeech(cache, Meters().metrics) as shared:
        speech = PhoneSpeech(
            FaultyVoice(500, *[refused()] * 9),
            voice_key="v",
            shared=shared,
            last_resort=FaultyVoice(900),
        )
        await speech.prepare(["Hello."])
        await asyncio.sleep(0.1)
        assert await cache.keys() == frozenset()
