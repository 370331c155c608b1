"""The Synthesiser over an offline voice."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.agent.providers.base import Pcm
from services.agent.providers.errors import ProviderFailed, ProviderUnavailable
from shared.runtime.tasks import closing
from shared.speech import SpeechError, Voice, VoiceUnavailable, open_voice

_NAME = "offline_voice"


class OfflineSynthesiser:
    """Speaks by flite or eSpeak NG.

    Args:
        voice: an open voice; this object closes it.
    """

    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    @classmethod
    def open(cls, voice_name: str | None = None) -> OfflineSynthesiser:
        """Open the best voice of this machine, or the one named; see `open_voice`.

        Raises:
            ProviderUnavailable: no engine here, or no such voice; says what to install.
        """
        try:
            return cls(open_voice(voice_name))
        except VoiceUnavailable as exc:
            raise ProviderUnavailable(_NAME, str(exc)) from exc

    @property
    def name(self) -> str:
        """Engine and voice, e.g. `flite/rms`."""
        return self._voice.name

    @property
    def sample_rate_hz(self) -> int:
        """See Synthesiser."""
        return self._voice.sample_rate_hz

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        """See Synthesiser."""
        try:
            async with closing(self._voice.stream(text)) as chunks:
                async for chunk in chunks:
                    yield chunk.copy()
        except SpeechError as exc:
            raise ProviderFailed(_NAME, str(exc)) from exc

    async def aclose(self) -> None:
        """The same as `close`, as every provider has it."""
        self.close()

    def close(self) -> None:
        """Let running syntheses end and free the voice."""
        self._voice.close()
