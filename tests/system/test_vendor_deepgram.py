"""Deepgram by its own SDK: what goes over the wire, what becomes of words and of lost sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from services.agent.providers.base import (
    Expectation,
    Final,
    Partial,
    Pcm,
    TranscriberEvent,
    TranscriberFailed,
)
from services.agent.providers.deepgram.aura import DeepgramSynthesiser
from services.agent.providers.deepgram.listen import DeepgramStream, DeepgramTranscriber
from services.agent.providers.deepgram.options import DeepgramListenOptions, DeepgramSpeakOptions
from services.agent.providers.errors import ProviderUnavailable
from shared.audio.level import level_dbfs
from tests.support.standins import Fault, ScriptedEar, StandIns, ToneEar, World, tone_speech
from tests.support.standins.hearing import TONE_WORDS
from tests.support.vendors import vendor_secrets

pytestmark = pytest.mark.system

LISTEN = "/v1/listen"


@pytest.fixture
async def standins() -> AsyncIterator[StandIns]:
    async with StandIns(World(ear=ToneEar())) as running:
        yield running


@pytest.fixture
async def transcriber(standins: StandIns) -> AsyncIterator[DeepgramTranscriber]:
    made = DeepgramTranscriber(DeepgramListenOptions(), "en", vendor_secrets(standins))
    yield made
    await made.aclose()


def silence(seconds: float) -> Pcm:
    return np.zeros(int(seconds * 8000), np.int16)


async def push(stream: DeepgramStream, pcm: Pcm, *, speed: float = 20.0) -> None:
    """Push 20 ms frames, so many times faster than they would come."""
    for at in range(0, len(pcm), 160):
        stream.push(pcm[at : at + 160])
        await asyncio.sleep(0.02 / speed)


async def utter(
    stream: DeepgramStream, *words: str, quiet_s: float = 0.5, speed: float = 20.0
) -> None:
    """Say words as the session hears them: begun 0.1 s late, ended after some silence."""
    speech = tone_speech(words)
    await push(stream, silence(0.4), speed=speed)
    await push(stream, speech[:800], speed=speed)
    stream.begin()
    await push(stream, speech[800:], speed=speed)
    await push(stream, silence(quiet_s), speed=speed)
    stream.end()


async def heard(stream: DeepgramStream, finals: int = 1) -> list[TranscriberEvent]:
    """Events up to so many Finals."""
    events: list[TranscriberEvent] = []
    async with asyncio.timeout(8):
        async for event in stream.events():
            events.append(event)
            finals -= isinstance(event, Final | TranscriberFailed)
            if finals == 0:
                break
    return events


def text_of(events: list[TranscriberEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, Final)]


async def test_what_is_asked_of_deepgram(
    standins: StandIns, transcriber: DeepgramTranscriber
) -> None:
    stream = transcriber.open(Expectation())
    await utter(stream, "one", "two")
    await heard(stream)
    wanted = {
        "model": "nova-3",
        "language": "en",
        "encoding": "mulaw",
        "sample_rate": "8000",
        "interim_results": "true",
        "endpointing": "300",
        "utterance_end_ms": "1000",
        "vad_events": "true",
        "punctuate": "true",
    }
    assert wanted.items() <= dict(standins.world.last_asked(LISTEN).query).items()
    pushed = round((0.4 + 2 * 0.26 + 0.5) * 8000)
    assert standins.world.audio_bytes[LISTEN] == pytest.approx(pushed, abs=160)


@pytest.mark.parametrize(
    ("model", "field"), [("nova-3", "keyterm"), ("nova-2-phonecall", "keywords")]
)
async def test_switches_are_passed_on(standins: StandIns, model: str, field: str) -> None:
    options = DeepgramListenOptions(
        model=model,
        language="hi",
        keyterms=("Parley",),
        numerals=True,
        profanity_filter=True,
        mip_opt_out=True,
        utterance_end_ms=0,
    )
    transcriber = DeepgramTranscriber(options, "en", vendor_secrets(standins))
    stream = transcriber.open(Expectation())
    await utter(stream, "one")
    await heard(stream)
    query = dict(standins.world.last_asked(LISTEN).query)
    flags = {"numerals": "true", "profanity_filter": "true", "mip_opt_out": "true"}
    assert {"model": model, "language": "hi", field: "Parley", **flags}.items() <= query.items()
    assert "utterance_end_ms" not in query
    await transcriber.aclose()


async def test_partials_grow_then_settle_then_end(transcriber: DeepgramTranscriber) -> None:
    stream = transcriber.open(Expectation())
    await utter(stream, "one", "two", "three", "four")
    *partials, final = await heard(stream)
    assert all(isinstance(partial, Partial) for partial in partials)
    texts = [partial.text for partial in partials if isinstance(partial, Partial)]
    assert texts[0] == "one"
    assert all("one two three four".startswith(text) for text in texts)
    assert partials[0] == Partial("one", is_settled=False, is_end=False)
    assert partials[-1] == Partial("one two three four", is_settled=True, is_end=True)
    assert isinstance(final, Final)
    assert (final.text, final.is_understood) == ("one two three four", True)
    assert final.confidence == pytest.approx(0.97)


async def test_words_that_are_settled_already_need_no_finalize(
    standins: StandIns, transcriber: DeepgramTranscriber
) -> None:
    stream = transcriber.open(Expectation())
    speech = tone_speech(["one", "two"])
    await push(stream, np.concatenate([silence(0.4), speech[:800]]))
    stream.begin()
    await push(stream, np.concatenate([speech[800:], silence(0.5)]))
    await asyncio.sleep(0.05)  # the final result is in
    stream.end()
    async with asyncio.timeout(0.05):
        assert text_of(await heard(stream)) == ["one two"]
    assert standins.world.messages(LISTEN, "Finalize") == []


async def test_words_that_are_not_settled_are_asked_for(
    standins: StandIns, transcriber: DeepgramTranscriber
) -> None:
    stream = transcriber.open(Expectation())
    await utter(stream, "one", "two", quiet_s=0.1)
    assert text_of(await heard(stream)) == ["one two"]
    assert len(standins.world.messages(LISTEN, "Finalize")) == 1


async def test_finals_in_mid_speech_add_up(
    standins: StandIns, transcriber: DeepgramTranscriber
) -> None:
    standins.world.final_every_s = 0.6
    stream = transcriber.open(Expectation())
    await utter(stream, *TONE_WORDS)
    events = await heard(stream)
    assert text_of(events) == [" ".join(TONE_WORDS)]
    assert [e for e in events if isinstance(e, Partial) and e.is_settled and not e.is_end]


async def test_each_utterance_gets_its_own_words(transcriber: DeepgramTranscriber) -> None:
    stream = transcriber.open(Expectation())
    for word in ("one", "two", "three"):
        await utter(stream, word, "four", quiet_s=0.2)
    assert text_of(await heard(stream, 3)) == ["one four", "two four", "three four"]


async def test_words_long_before_the_beginning_belong_to_nobody(
    transcriber: DeepgramTranscriber,
) -> None:
    stream = transcriber.open(Expectation())
    await push(stream, tone_speech(["nine"]))
    await push(stream, silence(1.0))
    await utter(stream, "one")
    assert text_of(await heard(stream)) == ["one"]


async def test_where_noise_hides_the_silence_the_gap_between_words_is_an_end(
    standins: StandIns,
) -> None:
    options = DeepgramListenOptions(endpointing_ms=5000, utterance_end_ms=1000)
    transcriber = DeepgramTranscriber(options, "en", vendor_secrets(standins))
    stream = transcriber.open(Expectation())
    speech = tone_speech(["one", "two"])
    standins.world.final_every_s = len(speech) / 8000 + 0.4
    await push(stream, np.concatenate([silence(0.4), speech[:800]]))
    stream.begin()
    await push(stream, np.concatenate([speech[800:], silence(1.6)]))
    await asyncio.sleep(0.05)
    stream.end()
    events = await heard(stream)
    assert Partial("one two", is_settled=True, is_end=False) in events
    assert Partial("one two", is_settled=True, is_end=True) in events
    assert text_of(events) == ["one two"]
    await transcriber.aclose()


async def test_a_pause_without_audio_is_kept_alive(standins: StandIns) -> None:
    transcriber = DeepgramTranscriber(
        DeepgramListenOptions(), "en", vendor_secrets(standins), keep_alive_s=0.1
    )
    transcriber.open(Expectation())
    await asyncio.sleep(0.5)
    assert len(standins.world.messages(LISTEN, "KeepAlive")) >= 4
    await transcriber.aclose()


# --- lost sockets -------------------------------------------------------------------------------


@pytest.mark.parametrize("after_events", [0, 1, 2, 4, 6, 9, 12])
async def test_no_word_is_lost_nor_doubled_with_a_socket(
    standins: StandIns, transcriber: DeepgramTranscriber, after_events: int
) -> None:
    standins.world.final_every_s = 0.7
    standins.world.faults.plan(LISTEN, Fault.CUT, after_events=after_events)
    stream = transcriber.open(Expectation())
    await utter(stream, *TONE_WORDS[:10])
    assert text_of(await heard(stream)) == [" ".join(TONE_WORDS[:10])]
    assert stream.losses.total() == 1
    await utter(stream, "eleven", "twelve")  # and the clock is right still
    assert text_of(await heard(stream)) == ["eleven twelve"]


async def test_a_socket_lost_again_and_again_loses_no_word(
    standins: StandIns, transcriber: DeepgramTranscriber
) -> None:
    for after_events in (3, 2, 4, 3):
        standins.world.faults.plan(LISTEN, Fault.CUT, after_events=after_events)
    stream = transcriber.open(Expectation())
    await utter(stream, *TONE_WORDS[:8], speed=10)
    assert text_of(await heard(stream)) == [" ".join(TONE_WORDS[:8])]
    assert stream.losses.total() >= 3


async def test_what_is_said_while_connecting_is_heard(
    standins: StandIns, transcriber: DeepgramTranscriber
) -> None:
    standins.world.faults.plan(LISTEN, Fault.STATUS_503, 3)
    stream = transcriber.open(Expectation())
    await utter(stream, "one", "two", "three", speed=50)
    assert text_of(await heard(stream)) == ["one two three"]


async def test_audio_that_can_not_be_sent_is_dropped_oldest_first_and_counted(
    standins: StandIns,
) -> None:
    dropped: list[float] = []
    transcriber = DeepgramTranscriber(
        DeepgramListenOptions(), "en", vendor_secrets(standins), on_dropped=dropped.append
    )
    standins.world.faults.plan(LISTEN, Fault.TIMEOUT)
    stream = transcriber.open(Expectation())
    for _ in range(33):
        stream.push(silence(1.0))
    assert sum(dropped) == pytest.approx(3 * 50)
    await transcriber.aclose()


async def test_an_empty_utterance_that_deepgram_does_not_answer_ends_in_time(
    standins: StandIns,
) -> None:
    standins.world.tells_empty_finalize = False
    transcriber = DeepgramTranscriber(
        DeepgramListenOptions(), "en", vendor_secrets(standins), final_wait_s=0.3
    )
    stream = transcriber.open(Expectation())
    await push(stream, silence(1.0))
    stream.begin()
    noise = np.random.default_rng(1).standard_normal(2000) * 60  # too weak to be speech
    await push(stream, noise.astype(np.int16))
    stream.end()
    (event,) = await heard(stream)
    assert event == Final("", is_understood=False, confidence=0.0) or (
        isinstance(event, TranscriberFailed) and event.is_recoverable
    )
    await transcriber.aclose()


async def test_a_closed_transcriber_opens_nothing(transcriber: DeepgramTranscriber) -> None:
    stream = transcriber.open(Expectation())
    await transcriber.aclose()
    assert [event async for event in stream.events()] == []
    with pytest.raises(ProviderUnavailable):
        transcriber.open(Expectation())


async def test_a_script_is_heard_word_by_word(
    standins: StandIns, transcriber: DeepgramTranscriber
) -> None:
    standins.world.ear = ScriptedEar(["Where is my order?", "Thank you."])
    stream = transcriber.open(Expectation())
    await utter(stream, *TONE_WORDS[:6])
    first = await heard(stream)
    assert text_of(first) == ["Where is my order?"]
    assert isinstance(first[0], Partial)
    assert first[0].text == "Where"
    await utter(stream, "one", "two")
    assert text_of(await heard(stream)) == ["Thank you."]


# --- speech -------------------------------------------------------------------------------------


async def test_speech_is_yielded_before_the_last_byte_is_sent(standins: StandIns) -> None:
    mouth = standins.world.mouth
    mouth.is_tone, mouth.pace_s = True, 0.02
    voice = DeepgramSynthesiser(DeepgramSpeakOptions(), vendor_secrets(standins))
    chunks = voice.speak("Hello, how can I help?")
    first = await anext(chunks)
    assert standins.world.finished["/v1/speak"] == 0
    rest = [chunk async for chunk in chunks]
    assert len(np.concatenate([first, *rest])) / 8000 == pytest.approx(0.06 * 16, abs=0.01)
    query = dict(standins.world.last_asked("/v1/speak").query)
    wanted = {"model": "aura-2-thalia-en", "encoding": "linear16", "container": "none"}
    assert wanted.items() <= query.items()
    assert int(float(query["sample_rate"])) == 8000
    await voice.aclose()


async def test_a_text_longer_than_deepgram_takes_is_spoken_in_parts(standins: StandIns) -> None:
    standins.world.mouth.is_tone = True
    options = DeepgramSpeakOptions(gain_db=6)
    voice = DeepgramSynthesiser(options, vendor_secrets(standins))
    text = "This is a sentence. " * 120
    spoken = np.concatenate([chunk async for chunk in voice.speak(text)])
    assert standins.world.requests["/v1/speak"] == 2
    assert len(spoken) / 8000 == pytest.approx(0.06 * 15 * 120, abs=0.1)
    assert level_dbfs(spoken) == pytest.approx(-14, abs=0.2)
    await voice.aclose()
