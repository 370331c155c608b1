"""OpenAI by its own SDK: chat with tools, speech of 24 kHz, transcription by socket and by file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from services.agent.providers.base import (
    ChatMessage,
    Expectation,
    Final,
    LanguageDelta,
    Partial,
    TextDelta,
    ToolCall,
    ToolSpec,
    TranscriberEvent,
    TranscriberFailed,
    TranscriberStream,
    Usage,
)
from services.agent.providers.errors import FailureCause, ProviderFailed
from services.agent.providers.openai.chat import OpenAiLanguageModel
from services.agent.providers.openai.options import (
    OpenAiChatOptions,
    OpenAiSpeechOptions,
    OpenAiTranscriptionOptions,
)
from services.agent.providers.openai.speech import OpenAiSynthesiser
from services.agent.providers.openai.transcription import OpenAiRealtimeTranscriber
from services.agent.providers.openai.transcription_file import OpenAiFileTranscriber
from tests.support.standins import CallTool, Fault, StandIns, ToneEar, tone_speech
from tests.support.standins.openai_http import CHAT, SPEECH, TRANSCRIPTIONS
from tests.support.standins.transcription_session import REALTIME
from tests.support.vendors import FakeSecrets, vendor_secrets

pytestmark = pytest.mark.system

HELLO = (ChatMessage("system", "Be brief."), ChatMessage("user", "hello there"))
TOOL = ToolSpec("look_up", "Look it up.", {"type": "object", "properties": {}})
SILENCE = np.zeros(4000, np.int16)
LOST_TWICE = TranscriberFailed("openai: lost twice", is_recoverable=True, cause=FailureCause.CUT)


@pytest.fixture
async def standins() -> AsyncIterator[StandIns]:
    async with StandIns() as running:
        running.world.ear = ToneEar()
        yield running


# --- chat ---------------------------------------------------------------------------------------


async def ask(
    standins: StandIns, messages: tuple[ChatMessage, ...] = HELLO, **options: Any
) -> list[LanguageDelta]:
    model = OpenAiLanguageModel(OpenAiChatOptions(**options), vendor_secrets(standins))
    try:
        return [delta async for delta in model.stream(messages, [TOOL])]
    finally:
        await model.aclose()


async def test_the_first_words_are_there_before_the_last_token_is_made(standins: StandIns) -> None:
    standins.world.talker.token_s = 0.01
    model = OpenAiLanguageModel(OpenAiChatOptions(), vendor_secrets(standins))
    deltas = model.stream(HELLO, ())
    first = await anext(deltas)
    assert standins.world.finished[CHAT] == 0
    rest = [delta async for delta in deltas]
    text = "".join(delta.text for delta in [first, *rest] if isinstance(delta, TextDelta))
    assert text == "You said: hello there. What else can I do for you?"
    await model.aclose()


async def test_two_tool_calls_are_put_together_from_their_fragments(standins: StandIns) -> None:
    first = CallTool("look_up", json.dumps({"city": "Pune", "when": ["today", "tomorrow"]}))
    standins.world.talker.add([first, CallTool("hang_up", "{}", "Bye.")])
    deltas = await ask(standins)
    assert [delta for delta in deltas if isinstance(delta, ToolCall)] == [
        ToolCall("call_0x", "look_up", first.arguments),
        ToolCall("call_1x", "hang_up", "{}"),
    ]
    assert all(isinstance(delta, Usage) for delta in deltas[-3:])


async def test_usage_tells_cached_tokens_apart(standins: StandIns) -> None:
    usage = {d.unit: d.amount for d in await ask(standins) if isinstance(d, Usage)}
    assert set(usage) == {"input_tokens", "cached_tokens", "output_tokens"}
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 5


async def test_the_request_is_as_the_options_say(standins: StandIns) -> None:
    options = {
        "model": "llama-3.1-8b",
        "temperature": 0.2,
        "most_tokens": 64,
        "tokens_field": "max_tokens",
        "has_usage": False,
        "extra_body": {"top_k": 20},
    }
    call = ToolCall("call_7", "look_up", '{"a": 1}')
    asked = (
        *HELLO,
        ChatMessage("assistant", "", (call,)),
        ChatMessage("tool", "30 degrees", tool_call_id="call_7"),
    )
    deltas = await ask(standins, asked, **options)
    assert not [delta for delta in deltas if isinstance(delta, Usage)]
    body = standins.world.last_asked(CHAT).json
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello there"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_7",
                    "type": "function",
                    "function": {"name": "look_up", "arguments": '{"a": 1}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_7", "content": "30 degrees"},
    ]
    assert {key: body[key] for key in ("model", "temperature", "max_tokens", "top_k")} == {
        "model": "llama-3.1-8b",
        "temperature": 0.2,
        "max_tokens": 64,
        "top_k": 20,
    }
    assert "stream_options" not in body
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look_up"]


async def test_a_server_that_wants_no_key_gets_none(standins: StandIns) -> None:
    standins.world.lets_anyone_in = True
    options = OpenAiChatOptions(base_url=standins.openai_base_url, api_key_env="")
    model = OpenAiLanguageModel(options, FakeSecrets())
    assert [delta async for delta in model.stream(HELLO, ())]
    await model.aclose()


async def test_words_before_a_cut_stand(standins: StandIns) -> None:
    standins.world.faults.plan(CHAT, Fault.CUT, after_events=4)
    model = OpenAiLanguageModel(OpenAiChatOptions(), vendor_secrets(standins))
    text = ""
    with pytest.raises(ProviderFailed) as caught:  # noqa: PT012 # what came before counts too
        async for delta in model.stream(HELLO, ()):
            assert isinstance(delta, TextDelta)
            text += delta.text
    assert caught.value.cause is FailureCause.CUT
    assert "You said: hello there.".startswith(text)
    assert text
    await model.aclose()


async def test_an_answer_cut_after_its_end_is_whole(standins: StandIns) -> None:
    standins.world.talker.add("Yes.")
    standins.world.faults.plan(CHAT, Fault.CUT, after_events=3)  # role, text, finish_reason
    deltas = await ask(standins)
    assert deltas == [TextDelta("Yes.")]


async def test_closing_an_answer_ends_the_request(standins: StandIns) -> None:
    standins.world.talker.token_s = 0.01
    standins.world.talker.add("word " * 500)
    model = OpenAiLanguageModel(OpenAiChatOptions(), vendor_secrets(standins))
    deltas = model.stream(HELLO, ())
    await anext(deltas)
    await deltas.aclose()  # type: ignore[attr-defined] # it is a generator
    await asyncio.sleep(0.05)
    assert standins.world.finished[CHAT] == 0
    await model.aclose()


# --- speech -------------------------------------------------------------------------------------


async def test_chunks_of_odd_length_make_the_same_samples(standins: StandIns) -> None:
    standins.world.mouth.is_tone = True
    voice = OpenAiSynthesiser(OpenAiSpeechOptions(), vendor_secrets(standins))
    spoken = []
    for is_odd in (False, True):
        standins.world.speaks_odd_chunks = is_odd
        chunks = [chunk async for chunk in voice.speak("Hello, how can I help?")]
        spoken.append(np.concatenate(chunks))
    np.testing.assert_array_equal(spoken[0], spoken[1])
    assert len(spoken[0]) / voice.sample_rate_hz == pytest.approx(0.06 * 16, abs=0.001)
    assert standins.world.last_asked(SPEECH).json == {
        "model": "gpt-4o-mini-tts",
        "voice": "alloy",
        "input": "Hello, how can I help?",
        "response_format": "pcm",
    }
    await voice.aclose()


async def test_speech_is_yielded_before_the_last_byte_is_sent(standins: StandIns) -> None:
    mouth = standins.world.mouth
    mouth.is_tone, mouth.pace_s = True, 0.02
    voice = OpenAiSynthesiser(OpenAiSpeechOptions(), vendor_secrets(standins))
    chunks = voice.speak("Hello, how can I help?")
    await anext(chunks)
    assert standins.world.finished[SPEECH] == 0
    await chunks.aclose()  # type: ignore[attr-defined] # it is a generator
    await voice.aclose()


# --- transcription ------------------------------------------------------------------------------


def utter(stream: TranscriberStream, *words: str) -> None:
    speech = tone_speech(words)
    for pcm in (SILENCE, speech[:1600]):
        stream.push(pcm)
    stream.begin()
    for at in range(1600, len(speech), 160):
        stream.push(speech[at : at + 160])
    stream.push(SILENCE)
    stream.end()


async def heard(stream: TranscriberStream, finals: int = 1) -> list[TranscriberEvent]:
    events: list[TranscriberEvent] = []
    async with asyncio.timeout(8):
        async for event in stream.events():
            events.append(event)
            finals -= isinstance(event, Final | TranscriberFailed)
            if finals == 0:
                break
    return events


def texts(events: list[TranscriberEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, Final)]


def transcriber_of(
    standins: StandIns, mode: str, **options: Any
) -> OpenAiRealtimeTranscriber | OpenAiFileTranscriber:
    chosen = OpenAiTranscriptionOptions.model_validate({"mode": mode, **options})
    make = OpenAiRealtimeTranscriber if mode == "realtime" else OpenAiFileTranscriber
    return make(chosen, "en-IN", vendor_secrets(standins))


@pytest.mark.parametrize("mode", ["realtime", "file"])
async def test_text_comes_in_partials_and_then_whole(standins: StandIns, mode: str) -> None:
    transcriber = transcriber_of(standins, mode)
    stream = transcriber.open(Expectation())
    utter(stream, "one", "two", "three")
    *partials, final = await heard(stream)
    said = [partial.text for partial in partials if isinstance(partial, Partial)]
    assert len(said) >= 3
    assert all("one two three".startswith(text) for text in said)
    assert final == Final("one two three", is_understood=True, confidence=1.0)
    await transcriber.aclose()


async def test_a_realtime_session_is_set_up_for_a_phone(standins: StandIns) -> None:
    transcriber = transcriber_of(standins, "realtime", prompt="Parley", noise_reduction="far_field")
    stream = transcriber.open(Expectation())
    utter(stream, "one")
    await heard(stream)
    (update,) = standins.world.messages(REALTIME, "session.update")
    assert update["session"] == {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {
                    "model": "gpt-4o-mini-transcribe",
                    "language": "en",
                    "prompt": "Parley",
                },
                "turn_detection": None,
                "noise_reduction": {"type": "far_field"},
            }
        },
    }
    # Only the utterance was sent, with 0.4 s from before it was noticed.
    sent = standins.world.audio_bytes[REALTIME]
    assert sent == 3200 + len(tone_speech(["one"])) - 1600 + len(SILENCE)
    await transcriber.aclose()


async def test_a_file_is_what_was_said_with_a_little_before_it(standins: StandIns) -> None:
    transcriber = transcriber_of(standins, "file", is_streamed=False)
    stream = transcriber.open(Expectation())
    utter(stream, "one", "two")
    assert texts(await heard(stream)) == ["one two"]
    body = standins.world.last_asked(TRANSCRIPTIONS).body
    assert b'name="language"\r\n\r\nen\r\n' in body
    assert b"gpt-4o-mini-transcribe" in body
    assert b'name="stream"' not in body
    await transcriber.aclose()


@pytest.mark.parametrize(
    ("mode", "after_events"),
    [*(("realtime", after) for after in range(5)), ("file", 0), ("file", 1)],
)
async def test_an_utterance_is_sent_once_more_when_its_connection_is_lost(
    standins: StandIns, mode: str, after_events: int
) -> None:
    route = REALTIME if mode == "realtime" else TRANSCRIPTIONS
    standins.world.faults.plan(route, Fault.CUT, after_events=after_events)
    transcriber = transcriber_of(standins, mode)
    stream = transcriber.open(Expectation())
    utter(stream, "one", "two")
    utter(stream, "three")
    assert texts(await heard(stream, 2)) == ["one two", "three"]
    assert standins.world.requests[route] == (2 if mode == "realtime" else 3)
    await transcriber.aclose()


async def test_an_utterance_lost_twice_is_given_up_and_the_next_is_heard(
    standins: StandIns,
) -> None:
    for _ in range(2):
        standins.world.faults.plan(REALTIME, Fault.CUT, after_events=3)
    transcriber = transcriber_of(standins, "realtime")
    stream = transcriber.open(Expectation())
    utter(stream, "one", "two")
    events = await heard(stream)
    assert events[-1] == LOST_TWICE
    utter(stream, "three")
    assert texts(await heard(stream)) == ["three"]
    await transcriber.aclose()


async def test_a_text_cut_after_its_end_is_whole(standins: StandIns) -> None:
    standins.world.faults.plan(TRANSCRIPTIONS, Fault.CUT, after_events=2)  # delta, done
    transcriber = transcriber_of(standins, "file")
    stream = transcriber.open(Expectation())
    utter(stream, "one")
    assert texts(await heard(stream)) == ["one"]
    assert standins.world.requests[TRANSCRIPTIONS] == 1
    await transcriber.aclose()


@pytest.mark.parametrize("mode", ["realtime", "file"])
async def test_silence_is_not_understood(standins: StandIns, mode: str) -> None:
    transcriber = transcriber_of(standins, mode)
    stream = transcriber.open(Expectation())
    stream.push(SILENCE)
    stream.begin()
    stream.push(SILENCE)
    stream.end()
    stream.begin()
    stream.end()  # too short to be sent as it is
    assert await heard(stream, 2) == [Final("", is_understood=False, confidence=0.0)] * 2
    await transcriber.aclose()


async def test_an_error_of_the_session_costs_the_utterance_in_hand_at_most(
    standins: StandIns,
) -> None:
    transcriber = transcriber_of(standins, "realtime")
    stream = transcriber.open(Expectation())
    utter(stream, "one")
    assert texts(await heard(stream)) == ["one"]
    standins.world.abort_all()
    await asyncio.sleep(0.1)
    utter(stream, "two")
    assert texts(await heard(stream)) == ["two"]
    await transcriber.aclose()


async def test_a_refused_session_kills_the_stream(standins: StandIns) -> None:
    standins.world.session_error = "invalid_language"
    transcriber = transcriber_of(standins, "realtime")
    async with asyncio.timeout(2):
        events = [event async for event in transcriber.open(Expectation()).events()]
    (failed,) = events
    assert isinstance(failed, TranscriberFailed)
    assert not failed.is_recoverable
    assert "invalid_language" in failed.detail
    await transcriber.aclose()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("input_audio_buffer_commit_empty", Final("", is_understood=False, confidence=0.0)),
        ("server_overloaded", LOST_TWICE),
    ],
)
async def test_a_commit_that_is_refused_costs_its_utterance_alone(
    standins: StandIns, code: str, expected: TranscriberEvent
) -> None:
    standins.world.commit_error = code
    transcriber = transcriber_of(standins, "realtime")
    stream = transcriber.open(Expectation())
    utter(stream, "one")
    assert await heard(stream) == [expected]
    standins.world.commit_error = ""
    utter(stream, "two")
    assert texts(await heard(stream)) == ["two"]
    await transcriber.aclose()


async def test_an_utterance_that_the_server_fails_at_is_lost_alone(standins: StandIns) -> None:
    standins.world.failing_items = 1
    transcriber = transcriber_of(standins, "realtime")
    stream = transcriber.open(Expectation())
    utter(stream, "one")
    utter(stream, "two")
    first, second = [e for e in await heard(stream, 2) if not isinstance(e, Partial)]
    assert isinstance(first, TranscriberFailed)
    assert first.is_recoverable
    assert "audio_unintelligible" in first.detail
    assert isinstance(second, Final)
    assert second.text == "two"
    await transcriber.aclose()
