"""The offline recogniser beyond the contract: processes that die, early answers, odd grammars."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from services.agent.providers.base import Expectation, Final, Pcm, TranscriberFailed
from services.agent.providers.errors import ProviderUnavailable
from services.agent.providers.offline import sphinx
from services.agent.providers.offline.flow import find_intent, read_digits
from services.agent.providers.offline.sphinx import SphinxStream, SphinxTranscriber
from services.agent.providers.offline.sphinx_decoder import SphinxDecoder
from tests.support.agents import parley_flow
from tests.support.callers import installed, make_noise, say, through_line

PARLEY = parley_flow()

MENU = PARLEY.steps[0]
PHRASES = tuple(p for intent in PARLEY.intents(MENU) for p in intent.phrases)
SILENCE: Pcm = np.zeros(1600, np.int16)


@pytest_asyncio.fixture
async def transcriber() -> AsyncIterator[SphinxTranscriber]:
    async with SphinxTranscriber() as started:
        yield started


def speak(stream: SphinxStream, pcm: Pcm) -> None:
    stream.push(SILENCE)
    stream.begin()
    for start in range(0, len(pcm), 160):
        stream.push(pcm[start : start + 160])


def quiet(stream: SphinxStream, seconds: float) -> None:
    for _ in range(round(seconds / 0.02)):
        stream.push(np.zeros(160, np.int16))


async def event_of(stream: SphinxStream) -> Final | TranscriberFailed:
    async with asyncio.timeout(20):
        event = await anext(stream.events())
    assert isinstance(event, Final | TranscriberFailed)
    return event


def kill(transcriber: SphinxTranscriber) -> None:
    (process_id,) = transcriber.process_ids
    os.kill(process_id, signal.SIGKILL)


async def test_a_recogniser_that_is_not_started_is_unavailable() -> None:
    with pytest.raises(ProviderUnavailable):
        SphinxTranscriber().open(Expectation(PHRASES))


async def test_a_recogniser_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sphinx, "_WORKER", ("/bin/false",))
    with pytest.raises(ProviderUnavailable, match="did not start"):
        async with SphinxTranscriber():
            pass


async def test_an_utterance_survives_the_death_of_its_process(
    transcriber: SphinxTranscriber,
) -> None:
    stream = transcriber.open(Expectation(PHRASES))
    speak(stream, say("how does this work"))
    stream.end()
    await asyncio.sleep(0)
    kill(transcriber)
    final = await event_of(stream)
    assert isinstance(final, Final)
    assert (final.text, transcriber.restarts) == ("how does this work", 1)
    await stream.aclose()


async def test_a_process_that_dies_idle_is_replaced_before_it_is_missed(
    transcriber: SphinxTranscriber,
) -> None:
    (before,) = transcriber.process_ids
    kill(transcriber)
    async with asyncio.timeout(10):
        while transcriber.process_ids in ((), (before,)):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
    stream = transcriber.open(Expectation(PHRASES))
    speak(stream, say("is it free"))
    stream.end()
    assert isinstance(await event_of(stream), Final)
    assert transcriber.restarts == 1
    await stream.aclose()


async def test_an_utterance_that_hangs_its_process_twice_fails_alone(
    transcriber: SphinxTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sphinx, "_DECODE_TIMEOUT_S", 0.001)
    stream = transcriber.open(Expectation(PHRASES))
    speak(stream, say("is it free"))
    stream.end()
    failed = await event_of(stream)
    assert isinstance(failed, TranscriberFailed)
    assert failed.is_recoverable
    monkeypatch.undo()
    speak(stream, say("is it free"))
    stream.end()
    final = await event_of(stream)
    assert isinstance(final, Final)
    assert final.text == "is it free"
    await stream.aclose()


async def test_the_answer_is_in_when_the_turn_ends(transcriber: SphinxTranscriber) -> None:
    stream = transcriber.open(Expectation(PHRASES))
    speak(stream, say("how many calls can you take"))
    quiet(stream, 0.3)
    early = stream._early
    assert early is not None
    async with asyncio.timeout(10):
        answered = asyncio.Event()
        early.on_event = answered.set
        if early.event is None:
            await answered.wait()
    quiet(stream, 0.2)
    stream.end()
    async with asyncio.timeout(0):  # it is there already
        event = await anext(stream.events())
    assert isinstance(event, Final)
    assert event.text == "how many calls can you take"
    await stream.aclose()


async def test_a_caller_who_goes_on_is_heard_to_the_end(transcriber: SphinxTranscriber) -> None:
    stream = transcriber.open(Expectation(("take my number", "take my number please now")))
    speak(stream, say("take my number"))
    quiet(stream, 0.3)
    speak(stream, say("please now"))
    quiet(stream, 0.3)
    stream.end()
    final = await event_of(stream)
    assert isinstance(final, Final)
    assert final.text == "take my number please now"
    await stream.aclose()


async def test_a_full_queue_refuses_and_counts() -> None:
    async with SphinxTranscriber(queue_size=1) as transcriber:
        streams = [transcriber.open(Expectation(PHRASES)) for _ in range(4)]
        for stream in streams:
            speak(stream, say("goodbye"))
            stream.end()
        events = [await event_of(stream) for stream in streams]
        assert transcriber.refused == sum(isinstance(e, TranscriberFailed) for e in events) == 3
        for stream in streams:
            await stream.aclose()


async def test_endless_speech_is_bounded_and_what_is_dropped_is_counted() -> None:
    dropped: list[float] = []
    async with SphinxTranscriber(on_dropped=dropped.append) as transcriber:
        stream = transcriber.open(Expectation(PHRASES))
        stream.begin()
        loud = through_line(make_noise("white", 160, -30.0))
        for _ in range(50 * 25):
            stream.push(loud)
        assert sum(dropped) == pytest.approx(250, abs=2)
        await stream.aclose()


async def test_stopping_ends_the_streams() -> None:
    async with SphinxTranscriber() as transcriber:
        stream = transcriber.open(Expectation(PHRASES))
    speak(stream, say("goodbye"))
    stream.end()
    failed = await event_of(stream)
    assert isinstance(failed, TranscriberFailed)
    assert not failed.is_recoverable
    assert [event async for event in stream.events()] == []


async def test_a_recogniser_stopped_at_once_leaves_no_process() -> None:
    """A task that is cancelled before its first step cleans nothing up."""
    async with SphinxTranscriber() as transcriber:
        (process_id,) = transcriber.process_ids
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)


# --- what it hears ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def decoder() -> SphinxDecoder:
    return SphinxDecoder()


def heard_intents(
    decoder: SphinxDecoder, phrases: tuple[str, ...], voice: str, snr_db: float | None
) -> int:
    """How many phrases were understood as what they mean."""
    intents = PARLEY.intents(MENU)
    right = 0
    for number, phrase in enumerate(phrases):
        pcm = say(phrase, voice, snr_db=snr_db, lead_s=0.4, tail_s=0.25, seed=number)
        found = decoder.recognise(pcm, PHRASES, digits=False)
        right += found.is_understood and find_intent(found.text, intents) == find_intent(
            phrase, intents
        )
    return right


@pytest.mark.parametrize(("snr_db", "least"), [(None, 0.85), (20.0, 0.75)])
def test_most_of_the_default_agents_phrases_are_understood(
    decoder: SphinxDecoder, snr_db: float | None, least: float
) -> None:
    voices = installed(("libflite/rms", "libflite/slt"))
    if not voices:
        voices, least = installed(("espeakng-loader/en-us",)), least - 0.25
    phrases = PHRASES[::10]
    right = sum(heard_intents(decoder, phrases, voice, snr_db) for voice in voices)
    assert right >= least * len(phrases) * len(voices)


def test_most_of_what_is_off_the_script_is_refused(decoder: SphinxDecoder) -> None:
    off_script = (
        "the weather was cold in november",
        "i would like two tickets for the train",
        "my dog ate the newspaper this morning",
        "we went to the market yesterday",
        "please open the window in the kitchen",
        "she sells sea shells by the river",
        "remind me to water the plants",
        "turn on the lights in the garden",
        "the football match ended without a goal",
        "my grandmother bakes excellent apple pies",
    )
    accepted = [
        text
        for text in off_script
        if decoder.recognise(
            say(text, lead_s=0.4, tail_s=0.25), PHRASES, digits=False
        ).is_understood
    ]
    assert len(accepted) <= 3, accepted


@pytest.mark.parametrize("level_dbfs", [-60.0, -45.0, -30.0])
def test_noise_is_no_phrase(decoder: SphinxDecoder, level_dbfs: float) -> None:
    noise = through_line(make_noise("white", 16000, level_dbfs))
    for phrases, digits in ((PHRASES, False), (("yes", "no"), True)):
        assert not decoder.recognise(noise, phrases, digits=digits).is_understood


def test_spoken_digits_come_back_as_words(decoder: SphinxDecoder) -> None:
    pcm = say("five five five, one two one two", lead_s=0.4, tail_s=0.25)
    found = decoder.recognise(pcm, ("cancel", "goodbye"), digits=True)
    assert found.is_understood
    assert read_digits(found.text) == "5551212"


def test_small_words_around_a_phrase_are_left_out(decoder: SphinxDecoder) -> None:
    pcm = say("okay, take my number please", lead_s=0.4, tail_s=0.25)
    assert decoder.recognise(pcm, PHRASES, digits=False).text == "take my number"


def test_words_no_dictionary_has_are_spelled_out(decoder: SphinxDecoder) -> None:
    phrases = ("call zorbanix now", "ask brindlemere")
    pcm = say("call zorbanix now", lead_s=0.4, tail_s=0.25)
    assert decoder.recognise(pcm, phrases, digits=False).text == "call zorbanix now"


@pytest.mark.parametrize("phrases", [(), ("", "  ", "!?", "123")])
def test_nothing_expected_is_nothing_understood(
    decoder: SphinxDecoder, phrases: tuple[str, ...]
) -> None:
    found = decoder.recognise(say("goodbye"), phrases, digits=False)
    assert (found.text, found.is_understood) == ("", False)


def test_grammars_are_kept_and_let_go(decoder: SphinxDecoder) -> None:
    pcm = say("goodbye", lead_s=0.4, tail_s=0.25)
    for number in range(70):
        decoder.recognise(pcm[:1600], ("goodbye", "again " * (number + 1)), digits=False)
    assert len(decoder._loaded) == 64
    assert decoder.recognise(pcm, ("goodbye", "again"), digits=False).text == "goodbye"
