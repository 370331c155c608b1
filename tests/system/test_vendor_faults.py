"""Every fault of every vendor's route comes out as the right error, in time, without its key."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest

from services.agent.providers.base import (
    ChatMessage,
    Expectation,
    Final,
    TranscriberFailed,
    TranscriberStream,
)
from services.agent.providers.deepgram.entries import STT as DEEPGRAM_STT
from services.agent.providers.deepgram.entries import TTS as DEEPGRAM_TTS
from services.agent.providers.deepgram.listen import DeepgramTranscriber
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.agent.providers.openai.entries import LLM, STT, TTS
from services.agent.providers.openai.options import OpenAiTranscriptionOptions
from services.agent.providers.openai.transcription import OpenAiRealtimeTranscriber
from services.agent.providers.openai.transcription_file import OpenAiFileTranscriber
from services.agent.providers.registry import Entry
from shared.audio.wav import wav_bytes
from tests.support.ports import free_ports
from tests.support.standins import Fault, StandIns, ToneEar, World, tone_speech
from tests.support.vendors import FakeSecrets, vendor_secrets

pytestmark = pytest.mark.system

TIMEOUT_S = 0.3
EXPECTED: dict[Fault, tuple[type[ProviderError], FailureCause]] = {
    Fault.REFUSED: (ProviderFailed, FailureCause.UNREACHABLE),
    Fault.STATUS_401: (ProviderUnavailable, FailureCause.UNAUTHORIZED),
    Fault.STATUS_429: (ProviderFailed, FailureCause.RATE_LIMITED),
    Fault.STATUS_500: (ProviderFailed, FailureCause.SERVER_ERROR),
    Fault.STATUS_503: (ProviderFailed, FailureCause.SERVER_ERROR),
    Fault.TIMEOUT: (ProviderTimeout, FailureCause.TIMEOUT),
    Fault.STALL: (ProviderTimeout, FailureCause.TIMEOUT),
    Fault.CUT: (ProviderFailed, FailureCause.CUT),
    Fault.GARBAGE: (ProviderFailed, FailureCause.GARBAGE),
}
SILENCE = np.zeros(4000, np.int16)


@pytest.fixture
async def standins() -> AsyncIterator[StandIns]:
    async with StandIns(World(ear=ToneEar())) as running:
        running.world.mouth.is_tone = True
        yield running


# --- requests -----------------------------------------------------------------------------------


async def chat(secrets: FakeSecrets) -> None:
    model = LLM["openai"].open(LLM["openai"].options(timeout_s=TIMEOUT_S), "en", secrets)  # type: ignore[call-arg] # of its subclass
    try:
        async for _ in model.stream([ChatMessage("user", "hello there")], ()):
            pass
    finally:
        await model.aclose()  # type: ignore[attr-defined] # every vendor's has it


async def speak(entry: Entry[Any], secrets: FakeSecrets) -> None:
    voice = entry.open(entry.options(timeout_s=TIMEOUT_S), "en", secrets)  # type: ignore[call-arg] # of its subclass
    try:
        async for _ in voice.speak("Hello there, how are you today?"):
            pass
    finally:
        await voice.aclose()


async def transcribe(secrets: FakeSecrets) -> None:
    options = OpenAiTranscriptionOptions(mode="file", timeout_s=TIMEOUT_S)
    transcriber = OpenAiFileTranscriber(options, "en", secrets)
    try:
        await transcriber.recognise(wav_bytes(tone_speech(["one", "two"]), 8000), lambda _: None)
    finally:
        await transcriber.aclose()


Work = Callable[[FakeSecrets], Awaitable[None]]
ROUTES: dict[str, Work] = {
    "/v1/chat/completions": chat,
    "/v1/audio/speech": lambda secrets: speak(TTS["openai"], secrets),
    "/v1/audio/transcriptions": transcribe,
    "/v1/speak": lambda secrets: speak(DEEPGRAM_TTS["deepgram"], secrets),
}


@pytest.mark.parametrize("fault", EXPECTED)
@pytest.mark.parametrize("route", ROUTES)
async def test_each_fault_of_a_request_is_told_apart(
    standins: StandIns, route: str, fault: Fault
) -> None:
    after = 1 if fault in (Fault.STALL, Fault.CUT) else 0
    standins.world.faults.plan(route, fault, after_events=after)
    began_s = time.monotonic()
    kind, cause = EXPECTED[fault]
    with pytest.raises(ProviderError) as caught:
        await ROUTES[route](vendor_secrets(standins))
    assert (type(caught.value), caught.value.cause) == (kind, cause)
    assert time.monotonic() - began_s < 2.0
    await ROUTES[route](vendor_secrets(standins))
    assert standins.world.requests[route] == 2  # no retry of the SDK's own


@pytest.mark.parametrize("route", ROUTES)
async def test_a_port_that_nobody_listens_on_is_unreachable(route: str) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    secrets = FakeSecrets(
        DEEPGRAM_API_KEY="k",
        DEEPGRAM_BASE_URL=url,
        OPENAI_API_KEY="k",
        OPENAI_BASE_URL=f"{url}/v1",
    )
    with pytest.raises(ProviderFailed) as caught:
        await ROUTES[route](secrets)
    assert caught.value.cause is FailureCause.UNREACHABLE


@pytest.mark.parametrize("route", ROUTES)
async def test_a_slow_answer_is_whole(standins: StandIns, route: str) -> None:
    standins.world.faults.plan(route, Fault.SLOW, delay_s=0.01)
    await ROUTES[route](vendor_secrets(standins))
    assert standins.world.finished[route] == 1


@pytest.mark.parametrize("route", ROUTES)
async def test_a_wrong_key_is_in_no_error_though_the_vendor_quotes_it(
    standins: StandIns, route: str
) -> None:
    key = "sk-very-secret-0123456789"
    secrets = vendor_secrets(standins, OPENAI_API_KEY=key, DEEPGRAM_API_KEY=key)
    with pytest.raises(ProviderUnavailable) as caught:
        await ROUTES[route](secrets)
    told = [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]
    assert "401" in str(caught.value)
    assert [text for text in told if "very-secret" in text] == []


@pytest.mark.parametrize("route", ROUTES)
async def test_without_a_key_nothing_is_asked(standins: StandIns, route: str) -> None:
    secrets = vendor_secrets(standins, OPENAI_API_KEY="", DEEPGRAM_API_KEY="")
    with pytest.raises(ProviderUnavailable) as caught:
        await ROUTES[route](secrets)
    assert caught.value.cause is FailureCause.MISSING
    assert "_API_KEY is not set" in str(caught.value)
    assert not standins.world.requests


@pytest.mark.parametrize("route", ROUTES)
async def test_an_address_that_is_none_is_said_plainly(standins: StandIns, route: str) -> None:
    wrong = "127.0.0.1:5090"
    secrets = vendor_secrets(standins, OPENAI_BASE_URL=wrong, DEEPGRAM_BASE_URL=wrong)
    with pytest.raises(ProviderUnavailable, match="base URL"):
        await ROUTES[route](secrets)


# --- sockets ------------------------------------------------------------------------------------

SOCKETS: dict[str, Entry[Any]] = {
    "/v1/listen": DEEPGRAM_STT["deepgram"],
    "/v1/realtime": STT["openai"],
}
WORDS = ("one", "two", "three", "four")


def utter(stream: TranscriberStream, words: tuple[str, ...] = WORDS) -> None:
    speech = tone_speech(words)
    for pcm in (SILENCE, speech[:1600]):
        stream.push(pcm)
    stream.begin()
    stream.push(speech[1600:])
    stream.push(SILENCE)
    stream.end()


async def outcome(stream: TranscriberStream) -> Final | TranscriberFailed:
    async with asyncio.timeout(10):
        async for event in stream.events():
            if isinstance(event, Final | TranscriberFailed):
                return event
    raise AssertionError("the events ended")


@pytest.mark.parametrize(
    "fault",
    [Fault.REFUSED, Fault.STATUS_429, Fault.STATUS_503, Fault.TIMEOUT, Fault.CUT, Fault.GARBAGE],
)
@pytest.mark.parametrize("route", SOCKETS)
async def test_a_fault_of_a_socket_costs_no_word(
    standins: StandIns, route: str, fault: Fault
) -> None:
    standins.world.faults.plan(route, fault, after_events=2)
    entry = SOCKETS[route]
    transcriber = entry.open(entry.options(), "en", vendor_secrets(standins))
    stream = transcriber.open(Expectation())
    if fault is Fault.TIMEOUT:
        await asyncio.sleep(1.6)  # the first socket is given up
    utter(stream)
    event = await outcome(stream)
    assert isinstance(event, Final)
    assert event.text == " ".join(WORDS)
    assert stream.losses.total() == 1
    await transcriber.aclose()


@pytest.mark.parametrize("route", SOCKETS)
async def test_a_refused_key_kills_the_stream_at_once(standins: StandIns, route: str) -> None:
    entry, key = SOCKETS[route], "sk-very-secret-0123456789"
    secrets = vendor_secrets(standins, OPENAI_API_KEY=key, DEEPGRAM_API_KEY=key)
    transcriber = entry.open(entry.options(), "en", secrets)
    stream = transcriber.open(Expectation())
    async with asyncio.timeout(2):
        events = [event async for event in stream.events()]
    (failed,) = events
    assert isinstance(failed, TranscriberFailed)
    assert not failed.is_recoverable
    assert "401" in failed.detail
    assert "secret" not in failed.detail
    assert standins.world.requests[route] == 1
    utter(stream)  # late, and of no consequence
    await transcriber.aclose()


async def test_a_socket_that_never_opens_is_given_up(standins: StandIns) -> None:
    route, entry = "/v1/listen", SOCKETS["/v1/listen"]
    standins.world.faults.plan(route, Fault.REFUSED, 99)
    transcriber = entry.open(entry.options(), "en", vendor_secrets(standins))
    async with asyncio.timeout(5):
        events = [event async for event in transcriber.open(Expectation()).events()]
    assert [getattr(event, "is_recoverable", None) for event in events] == [False]
    assert standins.world.requests[route] == 6
    await transcriber.aclose()


@pytest.mark.parametrize("route", SOCKETS)
async def test_a_socket_that_falls_silent_costs_one_utterance_at_most(
    standins: StandIns, route: str
) -> None:
    standins.world.faults.plan(route, Fault.STALL, after_events=2)
    make = {"/v1/listen": DeepgramTranscriber, "/v1/realtime": OpenAiRealtimeTranscriber}[route]
    options, secrets = SOCKETS[route].options(), vendor_secrets(standins)
    transcriber = make(options, "en", secrets, final_wait_s=0.8)
    stream = transcriber.open(Expectation())
    began_s = time.monotonic()
    utter(stream)
    first = await outcome(stream)
    assert isinstance(first, Final) or first.is_recoverable
    assert time.monotonic() - began_s < 2
    utter(stream, ("five", "six"))
    second = await outcome(stream)
    assert isinstance(second, Final)
    assert second.text == "five six"
    await transcriber.aclose()


# --- by hand ------------------------------------------------------------------------------------


async def test_faults_are_set_and_seen_over_http(standins: StandIns) -> None:
    async with httpx.AsyncClient(base_url=standins.http_url) as client:
        planned = await client.post(
            "/standin/faults", json={"route": "/v1/speak", "fault": "503", "count": 2}
        )
        assert planned.json() == {"planned": 2}
        wrong = await client.post("/standin/faults", json={"route": "/v1/speak", "fault": "flood"})
        assert wrong.status_code == 422
        with pytest.raises(ProviderFailed):
            await ROUTES["/v1/speak"](vendor_secrets(standins))
        await client.delete("/standin/faults")
        await ROUTES["/v1/speak"](vendor_secrets(standins))
        state = (await client.get("/standin/state")).json()
        assert state["requests"] == {"/v1/speak": 2}
        assert state["finished"] == {"/v1/speak": 1}
