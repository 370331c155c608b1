"""The Transcriber by files: each utterance is posted when it is over, as every server takes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from services.agent.providers.audio_log import AudioLog
from services.agent.providers.base import (
    FRAME_SAMPLES,
    PHONE_RATE_HZ,
    Expectation,
    Pcm,
    TranscriberEvent,
    TranscriberFailed,
)
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderUnavailable,
)
from services.agent.providers.open_streams import OpenStreams
from services.agent.providers.openai.client import (
    NAME,
    SDK_ERRORS,
    failure_of,
    open_client,
)
from services.agent.providers.openai.options import OpenAiTranscriptionOptions, primary_language
from services.agent.providers.openai.utterances import (
    NOTHING,
    PREROLL_SAMPLES,
    Utterance,
    Utterances,
    final_of,
)
from services.agent.providers.registry import Secrets
from services.agent.providers.transcript_events import TranscriptEvents
from shared.audio.g711 import decode_ulaw, encode_ulaw
from shared.audio.wav import wav_bytes
from shared.runtime.tasks import TaskOwner

_KEPT_SAMPLES = 60 * PHONE_RATE_HZ
_LEAST_SAMPLES = PHONE_RATE_HZ // 10
_LOST = (FailureCause.UNREACHABLE, FailureCause.CUT)


class OpenAiFileTranscriber:
    """The recogniser of a worker; one HTTP client for all calls.

    Args:
        options: as the agent's file says.
        language: what is spoken, unless the options say another.
        secrets: where the key is.
        on_dropped: told how many frames of 20 ms were dropped, oldest first, from an utterance
            that went on for more than a minute.

    Raises:
        ProviderUnavailable: no key.
    """

    def __init__(
        self,
        options: OpenAiTranscriptionOptions,
        language: str,
        secrets: Secrets,
        *,
        on_dropped: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._options = options
        self._language = primary_language(options.language or language)
        self._client = open_client(options, secrets)
        self._streams: OpenStreams[OpenAiFileStream] = OpenStreams(NAME)
        self.on_dropped = on_dropped

    def open(self, expect: Expectation) -> OpenAiFileStream:
        """See Transcriber. What is expected is not used."""
        return self._streams.open(lambda: OpenAiFileStream(self))

    async def aclose(self) -> None:
        """Close all streams and connections; may be called twice."""
        await self._streams.aclose()
        await self._client.close()

    async def recognise(self, wav: bytes, on_delta: Callable[[str], None]) -> str:
        """Have a recording recognised; what is heard of it meanwhile goes to `on_delta`.

        Raises:
            ProviderError: no text, or not the whole of it.
        """
        has_begun, text = False, None
        try:
            create: Any = self._client.audio.transcriptions.create
            answer = await create(**self._request(wav))
            if not self._options.is_streamed:
                return _text(answer.text)
            has_begun = True
            async with answer as events:
                async for event in events:
                    if event.type == "transcript.text.delta":
                        on_delta(_text(event.delta))
                    elif event.type == "transcript.text.done":
                        text = _text(event.text)
        except SDK_ERRORS as exc:
            if text is None:  # cut after its end it is whole
                raise failure_of(exc, has_begun=has_begun) from None  # its text may hold the key
        if text is None:
            raise ProviderFailed(NAME, "the text was cut", FailureCause.CUT)
        return text

    def _request(self, wav: bytes) -> dict[str, Any]:
        request: dict[str, Any] = {
            "file": ("utterance.wav", wav, "audio/wav"),
            "model": self._options.model,
            "response_format": "json",
        }
        if self._language:
            request["language"] = self._language
        if self._options.prompt:
            request["prompt"] = self._options.prompt
        if self._options.is_streamed:
            request["stream"] = True
        return request


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


class OpenAiFileStream:
    """One call's ear. See TranscriberStream."""

    def __init__(self, transcriber: OpenAiFileTranscriber) -> None:
        self._transcriber = transcriber
        self._events = TranscriptEvents()
        self._utterances = Utterances(self._events)
        self._audio = AudioLog(_KEPT_SAMPLES)
        self._owner = TaskOwner(NAME, stop_timeout_s=2.0)

    def push(self, pcm: Pcm) -> None:
        """See TranscriberStream."""
        if self._events.is_ended or not len(pcm):
            return
        dropped = self._audio.push(encode_ulaw(pcm))
        if self._utterances.active is None:
            self._audio.trim(self._audio.end - PREROLL_SAMPLES)
        elif dropped:
            self._transcriber.on_dropped(dropped / FRAME_SAMPLES)

    def begin(self) -> None:
        """See TranscriberStream."""
        if not self._events.is_ended:
            self._utterances.begin(self._audio.end)

    def end(self) -> None:
        """See TranscriberStream."""
        if self._events.is_ended:
            return
        utterance = self._utterances.end(self._audio.end)
        if utterance.event is not None:
            return
        ulaw = self._audio.read(utterance.begin, self._audio.end)
        if len(ulaw) < _LEAST_SAMPLES:
            self._utterances.settle(utterance, NOTHING)
            return
        self._owner.start(self._recognise(utterance, ulaw), name="recognise")

    def expect(self, expectation: Expectation) -> None:
        """See TranscriberStream."""

    def events(self) -> AsyncIterator[TranscriberEvent]:
        """See TranscriberStream."""
        return aiter(self._events)

    async def aclose(self) -> None:
        """See TranscriberStream."""
        self._events.close()
        self._utterances.clear()
        await self._owner.stop()

    async def _recognise(self, utterance: Utterance, ulaw: bytes) -> None:
        """Post it, once more when the connection was lost."""
        wav = wav_bytes(decode_ulaw(ulaw), PHONE_RATE_HZ)
        try:
            try:
                text = await self._post(utterance, wav)
            except ProviderFailed as exc:
                if exc.cause not in _LOST:
                    raise
                text = await self._post(utterance, wav)
        except ProviderError as exc:
            is_recoverable = not isinstance(exc, ProviderUnavailable)
            failed = TranscriberFailed(str(exc), is_recoverable, exc.cause)
            self._utterances.settle(utterance, failed)
            return
        self._utterances.settle(utterance, final_of(text))

    async def _post(self, utterance: Utterance, wav: bytes) -> str:
        utterance.text = ""
        return await self._transcriber.recognise(
            wav, lambda more: self._utterances.grow(utterance, more)
        )
