"""The Synthesiser on Deepgram's /v1/speak: phone-rate samples, spoken while the rest arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.agent.providers.base import PHONE_RATE_HZ, Pcm
from services.agent.providers.deepgram.client import NAME, SDK_ERRORS, failure_of, open_client
from services.agent.providers.deepgram.options import DeepgramSpeakOptions
from services.agent.providers.errors import FailureCause, ProviderFailed
from services.agent.providers.pcm_stream import PcmStream
from services.agent.providers.registry import Secrets
from services.agent.providers.spoken_text import split_for_voice

_MOST_CHARS = 1900  # Deepgram takes 2000


class DeepgramSynthesiser:
    """Speaks by one of Aura's voices; one HTTP client for all calls.

    Raises:
        ProviderUnavailable: no key.
    """

    def __init__(self, options: DeepgramSpeakOptions, secrets: Secrets) -> None:
        self._options = options
        self._client, self._http = open_client(options, secrets, read_timeout_s=options.timeout_s)

    @property
    def sample_rate_hz(self) -> int:
        """See Synthesiser."""
        return PHONE_RATE_HZ

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        """See Synthesiser."""
        for piece in split_for_voice(text, _MOST_CHARS):
            has_begun = False
            try:
                async with self._client.speak.v1.audio.with_raw_response.generate(
                    text=piece,
                    model=self._options.voice,
                    encoding="linear16",
                    sample_rate=PHONE_RATE_HZ,
                    container="none",
                    mip_opt_out=self._options.mip_opt_out or None,
                    request_options={"max_retries": 0},
                ) as answer:
                    _require_audio(answer.headers.get("content-type", ""))
                    stream = PcmStream(self._options.gain_db)
                    async for data in answer.data:
                        has_begun = True
                        pcm = stream.push(data)
                        if len(pcm):
                            yield pcm
            except SDK_ERRORS as exc:
                raise failure_of(exc, has_begun=has_begun) from None  # its text may hold the key
            if not has_begun:
                raise ProviderFailed(NAME, "no audio came", FailureCause.CUT)

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        await self._http.aclose()


def _require_audio(content_type: str) -> None:
    if not content_type.startswith(("audio/", "application/octet-stream")):
        raise ProviderFailed(NAME, "an answer that is no audio", FailureCause.GARBAGE)
