"""The Synthesiser on OpenAI's audio.speech: samples spoken while the rest arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from services.agent.providers.base import Pcm
from services.agent.providers.errors import FailureCause, ProviderFailed
from services.agent.providers.openai.client import (
    NAME,
    SDK_ERRORS,
    failure_of,
    open_client,
    open_connection,
)
from services.agent.providers.openai.options import OpenAiSpeechOptions
from services.agent.providers.pcm_stream import PcmStream
from services.agent.providers.registry import Secrets
from services.agent.providers.spoken_text import split_for_voice

_MOST_CHARS = 4000  # OpenAI takes 4096


class OpenAiSynthesiser:
    """Speaks by one voice; one HTTP client for all calls.

    Raises:
        ProviderUnavailable: no key.
    """

    def __init__(self, options: OpenAiSpeechOptions, secrets: Secrets) -> None:
        self._options = options
        self._client = open_client(options, secrets)

    @property
    def sample_rate_hz(self) -> int:
        """See Synthesiser."""
        return self._options.rate_hz

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        """See Synthesiser."""
        for piece in split_for_voice(text, _MOST_CHARS):
            has_begun = False
            try:
                create: Any = self._client.audio.speech.with_streaming_response.create
                async with create(**self._request(piece)) as answer:
                    _require_audio(answer.headers.get("content-type", ""))
                    stream = PcmStream(self._options.gain_db)
                    async for data in answer.iter_bytes():
                        has_begun = True
                        pcm = stream.push(data)
                        if len(pcm):
                            yield pcm
            except SDK_ERRORS as exc:
                raise failure_of(exc, has_begun=has_begun) from None  # its text may hold the key
            if not has_begun:
                raise ProviderFailed(NAME, "no audio came", FailureCause.CUT)

    async def warm(self) -> None:
        """See Warmable."""
        await open_connection(self._client)

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        await self._client.close()

    def _request(self, text: str) -> dict[str, Any]:
        options = self._options
        request: dict[str, Any] = {
            "model": options.model,
            "voice": options.voice,
            "input": text,
            "response_format": "pcm",
        }
        if options.instructions:
            request["instructions"] = options.instructions
        if options.speed is not None:
            request["speed"] = options.speed
        return request


def _require_audio(content_type: str) -> None:
    if not content_type.startswith(("audio/", "application/octet-stream")):
        raise ProviderFailed(NAME, "an answer that is no audio", FailureCause.GARBAGE)
