"""LiveKit's plugins against servers that speak their vendors' wire formats."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from services.agent.providers.base import (
    ChatMessage,
    Expectation,
    Final,
    LanguageDelta,
    Partial,
    Pcm,
    TextDelta,
    ToolCall,
    ToolSpec,
    TranscriberFailed,
    TranscriberStream,
    Usage,
)
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.agent.providers.livekit.entries import (
    llm_entry,
    open_language_model,
    open_synthesiser,
    open_transcriber,
    stt_entry,
    tts_entry,
)
from services.agent.providers.livekit.language_model import LiveKitLanguageModel
from services.agent.providers.livekit.options import LiveKitOptions
from services.agent.providers.livekit.synthesiser import LiveKitSynthesiser
from services.agent.providers.livekit.transcriber import LiveKitTranscriber
from shared.audio.level import level_dbfs
from tests.contract.test_transcriber import next_event, utter
from tests.support.callers import say
from tests.support.livekit_servers import KEY, Keys, VendorServers

pytestmark = pytest.mark.system
HEARD = ("is it free", "take my number")
ASKED = (ChatMessage("user", "Hello?"),)


@asynccontextmanager
async def transcriber(
    servers: VendorServers, plugin: str = "deepgram", path: str = "/v1/listen", **more: Any
) -> AsyncIterator[LiveKitTranscriber]:
    made = open_transcriber(servers.options(plugin, path, **more), "en", Keys())
    try:
        yield cast(LiveKitTranscriber, made)
    finally:
        await cast(LiveKitTranscriber, made).aclose()


@asynccontextmanager
async def voice(
    servers: VendorServers, plugin: str = "deepgram", path: str = "/v1/speak", **more: Any
) -> AsyncIterator[LiveKitSynthesiser]:
    made = cast(
        LiveKitSynthesiser, open_synthesiser(servers.options(plugin, path, **more), "en", Keys())
    )
    try:
        yield made
    finally:
        await made.aclose()


@asynccontextmanager
async def model(servers: VendorServers, **more: Any) -> AsyncIterator[LiveKitLanguageModel]:
    made = open_language_model(servers.options("openai", "/v1", **more), "en", Keys())
    try:
        yield cast(LiveKitLanguageModel, made)
    finally:
        await cast(LiveKitLanguageModel, made).aclose()


async def spoken(made: LiveKitSynthesiser, text: str) -> Pcm:
    return np.concatenate([chunk async for chunk in made.speak(text)])


async def first_event(stream: TranscriberStream) -> object:
    async with asyncio.timeout(5):
        async for event in stream.events():
            return event
    raise AssertionError("the events ended")


# --- transcription ------------------------------------------------------------------------------


async def test_the_phones_audio_goes_as_it_is_under_the_key_and_partials_come_early() -> None:
    async with VendorServers(HEARD) as servers, transcriber(servers) as made:
        stream = made.open(Expectation())
        utter(stream, "is it free")
        assert await first_event(stream) == Partial("guess")
        final = await next_event(stream)
        assert final == Final("is it free", True, 0.9)
        assert servers.queries[0]["sample_rate"] == "8000"
        assert servers.queries[0]["language"] == "en"
        assert servers.keys == {f"Token {KEY}"}
        await stream.aclose()


async def test_a_rate_that_the_file_asks_for_is_made() -> None:
    async with VendorServers() as servers, transcriber(servers, sample_rate=16000) as made:
        stream = made.open(Expectation())
        stream.push(say("take my number"))
        stream.begin()
        assert await first_event(stream) == Partial("guess")
        assert servers.queries[0]["sample_rate"] == "16000"
        await stream.aclose()


async def test_a_connection_cut_within_a_word_loses_none() -> None:
    """The socket is opened again at once and what was not settled is said again."""
    async with VendorServers(HEARD) as servers, transcriber(servers) as made:
        servers.faults.cuts = 1
        stream = made.open(Expectation())
        utter(stream, "take my number")
        assert await next_event(stream) == Final("take my number", True, 0.9)
        assert servers.sockets == 2
        await stream.aclose()


async def test_a_second_cut_soon_after_ends_the_stream() -> None:
    async with VendorServers(HEARD) as servers, transcriber(servers) as made:
        servers.faults.cuts = 2
        stream = made.open(Expectation())
        utter(stream, "take my number")
        failed = await next_event(stream)
        assert isinstance(failed, TranscriberFailed)
        assert not failed.is_recoverable
        await stream.aclose()


async def test_a_wrong_key_ends_the_stream_without_another_try() -> None:
    async with VendorServers() as servers, transcriber(servers) as made:
        servers.faults.statuses = [401]
        stream = made.open(Expectation())
        failed = await next_event(stream)
        assert failed == TranscriberFailed(
            "livekit:deepgram: 401", is_recoverable=False, cause=FailureCause.UNAUTHORIZED
        )
        assert servers.sockets == 1
        await stream.aclose()


async def test_a_vendor_who_hears_nothing_is_waited_for_only_so_long() -> None:
    async with VendorServers() as servers, transcriber(servers, final_s=0.3) as made:
        servers.faults.is_silent = True
        stream = made.open(Expectation())
        utter(stream, "is it free")
        async with asyncio.timeout(1.0):
            assert await next_event(stream) == Final("", False, 0.0)
        await stream.aclose()


async def test_an_utterance_sent_as_a_whole_has_its_bound_too() -> None:
    async with (
        VendorServers(HEARD) as servers,
        transcriber(servers, "openai", "/v1", final_s=0.8, model="whisper-1") as made,
    ):
        stream = made.open(Expectation())
        servers.faults.is_silent = True
        utter(stream, "is it free")
        failed = await next_event(stream)
        assert failed == TranscriberFailed(
            "livekit:openai: no answer in time", True, FailureCause.TIMEOUT
        )
        servers.faults.is_silent = False
        servers.faults.statuses = [500]
        utter(stream, "is it free")
        assert await next_event(stream) == TranscriberFailed(
            "livekit:openai: 500", True, FailureCause.SERVER_ERROR
        )
        utter(stream, "is it free")
        final = await next_event(stream)
        assert isinstance(final, Final)
        assert final.is_understood
        await stream.aclose()


# --- language -----------------------------------------------------------------------------------


async def read(deltas: AsyncIterator[LanguageDelta]) -> list[LanguageDelta]:
    return [delta async for delta in deltas]


async def test_text_comes_as_it_is_made_and_the_usage_last() -> None:
    async with VendorServers() as servers, model(servers, model="gpt-x", temperature=0.2) as made:
        deltas = await read(made.stream((ChatMessage("system", "Be brief."), *ASKED), ()))
        assert deltas == [
            TextDelta("Hello"),
            TextDelta(" there."),
            Usage("llm", "livekit:openai", "input_tokens", 9.0),
            Usage("llm", "livekit:openai", "cached_tokens", 2.0),
            Usage("llm", "livekit:openai", "output_tokens", 4.0),
        ]
        request = servers.requests[0]
        assert (request["model"], request["temperature"]) == ("gpt-x", 0.2)
        assert request["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello?"},
        ]
        assert servers.keys == {f"Bearer {KEY}"}


async def test_tools_go_there_and_calls_and_their_results_come_and_go() -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "look", "arguments": '{"at":'}}
    rest = {"index": 0, "function": {"arguments": '"x"}'}}
    tool = ToolSpec("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
    history = (
        *ASKED,
        ChatMessage("assistant", "", (ToolCall("a", "look", "{}"), ToolCall("b", "look", "{}"))),
        ChatMessage("tool", "nothing", tool_call_id="a"),
        ChatMessage("tool", "all", tool_call_id="b"),
    )
    async with (
        VendorServers(answer=({"tool_calls": [call]}, {"tool_calls": [rest]})) as servers,
        model(servers) as made,
    ):
        deltas = await read(made.stream(history, (tool,)))
        assert deltas[0] == ToolCall("c1", "look", '{"at":"x"}')
        assert [m["role"] for m in servers.requests[0]["messages"]] == [
            *("user", "assistant", "tool", "tool")
        ]
        assert [c["id"] for c in servers.requests[0]["messages"][1]["tool_calls"]] == ["a", "b"]
        sent = servers.requests[0]["tools"][0]["function"]
        assert (sent["name"], sent["parameters"]) == ("look", tool.parameters)


async def test_an_answer_that_is_closed_early_leaves_nothing_behind() -> None:
    async with VendorServers() as servers, model(servers) as made:
        stream = made.stream(ASKED, ())
        assert await anext(stream) == TextDelta("Hello")
        await cast(Any, stream).aclose()


@pytest.mark.parametrize(
    ("break_it", "kind", "cause"),
    [
        (lambda f: f.statuses.append(401), ProviderUnavailable, FailureCause.UNAUTHORIZED),
        (lambda f: f.statuses.append(429), ProviderFailed, FailureCause.RATE_LIMITED),
        (lambda f: f.statuses.append(503), ProviderFailed, FailureCause.SERVER_ERROR),
        (lambda f: setattr(f, "cuts", 1), ProviderFailed, FailureCause.CUT),
        (lambda f: setattr(f, "is_silent", True), ProviderTimeout, FailureCause.TIMEOUT),
    ],
    ids=["401", "429", "503", "cut", "silent"],
)
@pytest.mark.parametrize("part", ["llm", "tts"])
async def test_each_fault_has_its_cause_is_told_once_and_quotes_nothing(
    part: str,
    break_it: Callable[[Any], None],
    kind: type[ProviderError],
    cause: FailureCause,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with VendorServers() as servers:
        break_it(servers.faults)
        caplog.set_level(logging.DEBUG)
        async with model(servers, timeout_s=0.5) as chat, voice(servers, timeout_s=0.5) as tts:
            asked = (ChatMessage("user", "private"),)
            work = read(chat.stream(asked, ())) if part == "llm" else spoken(tts, "private words")
            with pytest.raises(kind) as caught:
                await work
        assert caught.value.cause is cause
        assert "private" not in str(caught.value)
        assert KEY not in repr(caught.value) + str(caught.value)
        ours = [record for record in caplog.records if record.name.startswith("livekit")]
        assert ours == []


async def test_nobody_there_is_said_at_once() -> None:
    nowhere = VendorServers()
    nowhere.port = 9  # discard: nothing listens
    async with voice(nowhere) as made:
        with pytest.raises(ProviderFailed) as caught:
            await spoken(made, "Hello.")
    assert caught.value.cause is FailureCause.UNREACHABLE


# --- speech -------------------------------------------------------------------------------------


async def test_a_voice_that_is_too_quiet_is_lifted() -> None:
    async with (
        VendorServers() as servers,
        voice(servers) as plain,
        voice(servers, gain_db=6) as lifted,
    ):
        before, after = await spoken(plain, "Hello there."), await spoken(lifted, "Hello there.")
        assert level_dbfs(after) - level_dbfs(before) == pytest.approx(6.0, abs=0.3)


async def test_openais_audio_comes_as_pcm_and_as_events_where_it_can() -> None:
    async with (
        VendorServers() as servers,
        voice(servers, "openai", "/v1", voice="sage") as made,
    ):
        assert len(await spoken(made, "Hello.")) > 0.3 * made.sample_rate_hz
        assert servers.requests[0]["response_format"] == "pcm"
        assert (servers.requests[0]["voice"], servers.requests[0]["stream_format"]) == (
            *("sage", "sse"),
        )


async def test_a_third_vendor_needs_no_code_of_its_own() -> None:
    async with (
        VendorServers() as servers,
        voice(servers, "cartesia", "", voice="v1", speed=1.1) as made,
    ):
        assert len(await spoken(made, "Hello.")) > 0.3 * made.sample_rate_hz
        assert servers.requests[0]["language"] == "en"


async def test_the_first_sound_comes_before_the_last_is_made() -> None:
    async with VendorServers() as servers, voice(servers) as made:
        stream = made.speak("A sentence of some length.")
        await anext(stream)
        servers.faults.is_silent = True  # the rest is not there yet
        await cast(Any, stream).aclose()


# --- what is refused when opened ----------------------------------------------------------------


async def test_a_misspelt_option_is_named_with_those_there_are() -> None:
    options = LiveKitOptions.model_validate({"plugin": "deepgram", "modell": "nova"})
    with pytest.raises(ProviderUnavailable, match=r"STT has no option modell; there are .*model"):
        open_transcriber(options, "en", Keys())


async def test_a_key_that_is_not_set_is_named() -> None:
    options = LiveKitOptions.model_validate({"plugin": "deepgram"})
    with pytest.raises(ProviderUnavailable, match="DEEPGRAM_API_KEY is not set") as caught:
        open_transcriber(options, "en", Keys("DEEPGRAM_API_KEY"))
    assert caught.value.cause is FailureCause.MISSING


async def test_a_plugin_that_is_not_there_says_what_to_install() -> None:
    options = LiveKitOptions.model_validate({"plugin": "no_such"})
    with pytest.raises(ProviderUnavailable, match=r"pip install .*livekit-plugins-no-such"):
        open_synthesiser(options, "en", Keys())


async def test_without_livekit_the_entry_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "livekit.agents", None)
    options = LiveKitOptions.model_validate({"plugin": "openai"})
    with pytest.raises(ProviderUnavailable, match="pip install livekit-agents livekit-plugins-"):
        open_language_model(options, "en", Keys())


async def test_a_plugin_without_such_a_class_is_refused() -> None:
    options = LiveKitOptions.model_validate({"plugin": "deepgram"})
    with pytest.raises(ProviderUnavailable, match="no class LLM"):
        open_language_model(options, "en", Keys())


async def test_options_that_the_class_refuses_are_told_without_the_key() -> None:
    options = LiveKitOptions.model_validate({"plugin": "deepgram", "speed": 9})
    with pytest.raises(ProviderUnavailable, match="speed must be between") as caught:
        open_synthesiser(options, "en", Keys())
    assert KEY not in str(caught.value)


async def test_any_plugin_that_is_installed_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "livekit" / "plugins"
    folder.mkdir(parents=True)
    (folder / "oddvendor.py").write_text(
        "from livekit.agents import tts\n"
        "class Voice(tts.TTS):\n"
        "    def __init__(self, **anything):\n"
        "        super().__init__(capabilities=tts.TTSCapabilities(streaming=False),\n"
        "                         sample_rate=8000, num_channels=1)\n"
        "        self.given = anything\n"
        "    def synthesize(self, text, *, conn_options): raise NotImplementedError\n"
    )
    (folder / "broken.py").write_text("raise OSError('libsomething.so')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    odd = {"plugin": "oddvendor", "class_name": "Voice", "key_argument": "token", "tone": "warm"}
    made = open_synthesiser(LiveKitOptions.model_validate(odd), "en", Keys())
    assert isinstance(made, LiveKitSynthesiser)
    assert made._plugin.made.given == {"token": KEY, "tone": "warm"}
    with pytest.raises(ProviderFailed) as caught:
        await spoken(made, "Hello.")
    assert caught.value.cause is FailureCause.BROKEN
    await made.aclose()
    with pytest.raises(ProviderUnavailable, match="cannot be imported: OSError"):
        open_synthesiser(LiveKitOptions.model_validate({"plugin": "broken"}), "en", Keys())


async def test_nobody_but_the_vendor_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """No telemetry, no start-up request, and no thread or process is left behind either."""
    spoken_to: set[object] = set()
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect
    threads = {thread.name for thread in threading.enumerate()}

    async def note(sock: socket.socket, address: Any) -> None:
        spoken_to.add(address)
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", note)
    async with VendorServers(HEARD) as servers:
        async with transcriber(servers) as ear, model(servers) as chat, voice(servers) as tts:
            stream = ear.open(Expectation())
            utter(stream, "is it free")
            await next_event(stream)
            await read(chat.stream(ASKED, ()))
            await spoken(tts, "Hello.")
            await stream.aclose()
        assert spoken_to == {("127.0.0.1", servers.port)}
    begun = {thread.name for thread in threading.enumerate()} - threads
    assert {name for name in begun if not name.startswith("asyncio_")} == set()  # the loop's own
    assert multiprocessing.active_children() == []


def test_the_entries_know_their_options() -> None:
    for entry in (stt_entry(), llm_entry(), tts_entry()):
        assert entry.needs_key
        assert entry.options is LiveKitOptions
