"""The Synthesiser over an offline voice, with a memory for sentences it has said before.

A flow says the same sentences over and over; from memory they start in no time and cost nothing.
Only sentences that were spoken to the end are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator

import numpy as np

from services.agent.providers.base import Pcm
from services.agent.providers.errors import ProviderFailed, ProviderUnavailable
from shared.speech import SpeechError, Voice, VoiceUnavailable, open_voice

_NAME = "offline_voice"
_CHUNK_S = 0.1


class OfflineSynthesiser:
    """Speaks by flite or eSpeak NG.

    Args:
        voice: an open voice; this object closes it.
        memory_s: how many seconds of speech are remembered, the least recently used forgotten.
    """

    def __init__(self, voice: Voice, *, memory_s: float = 120.0) -> None:
        self._voice = voice
        self._memory: OrderedDict[str, Pcm] = OrderedDict()
        self._memory_samples = int(memory_s * voice.sample_rate_hz)
        self._held_samples = 0

    @classmethod
    def open(cls, voice_name: str | None = None, *, memory_s: float = 120.0) -> OfflineSynthesiser:
        """Open the best voice of this machine, or the one named; see `open_voice`.

        Raises:
            ProviderUnavailable: no engine here, or no such voice; says what to install.
        """
        try:
            return cls(open_voice(voice_name), memory_s=memory_s)
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
        known = self._memory.get(text)
        if known is not None:
            self._memory.move_to_end(text)
            size = int(_CHUNK_S * self.sample_rate_hz)
            for start in range(0, len(known), size):
                yield known[start : start + size].copy()
            return
        chunks = []
        stream = self._voice.stream(text)
        try:
            async for chunk in stream:
                chunks.append(chunk.copy())
                yield chunk
        except SpeechError as exc:
            raise ProviderFailed(_NAME, str(exc)) from exc
        finally:
            await stream.aclose()
        if chunks:
            self._remember(text, np.concatenate(chunks))

    def close(self) -> None:
        """Let running syntheses end and free the voice."""
        self._voice.close()

    def _remember(self, text: str, pcm: Pcm) -> None:
        if len(pcm) > self._memory_samples // 4 or text in self._memory:
            return
        self._memory[text] = pcm
        self._held_samples += len(pcm)
        while self._held_samples > self._memory_samples:
            _, forgotten = self._memory.popitem(last=False)
            self._held_samples -= len(forgotten)
