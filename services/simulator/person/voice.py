"""The voice of `<Speak>` and of scripted people, where an offline engine is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shared.audio.resample import resample
from shared.speech import SpeechError, Voice

_CHARACTERS_PER_S = 14.0
_MAX_CACHED = 64
_SPEECH_TIMEOUT_S = 30.0


class Speaker:
    """Renders texts as 8 kHz PCM, off the event loop, each once.

    Args:
        open_voice: opens the engine; called when first needed.
    """

    def __init__(self, open_voice: Callable[[], Voice]) -> None:
        self._open_voice = open_voice
        self._voice: Voice | None = None
        self._cache: dict[str, NDArray[np.int16]] = {}
        self._lock = asyncio.Lock()

    async def say(self, text: str) -> NDArray[np.int16]:
        """Return a text as speech.

        Raises:
            SpeechError: there is no engine (the text says what to install), or it failed.
        """
        async with self._lock:
            if text not in self._cache:
                async with asyncio.timeout(_SPEECH_TIMEOUT_S):
                    self._cache[text] = await asyncio.to_thread(self._synthesise, text)
                if len(self._cache) > _MAX_CACHED:
                    self._cache.pop(next(iter(self._cache)))
            return self._cache[text]

    async def render(self, text: str, voice: str) -> NDArray[np.int16] | None:
        """Return what `<Speak>` says, or None without an engine; all its voices sound alike."""
        del voice
        try:
            return await self.say(text)
        except (SpeechError, TimeoutError):
            return None

    def estimated_s(self, text: str) -> float:
        """Return how long a text takes to say, roughly."""
        return max(0.5, len(text) / _CHARACTERS_PER_S)

    async def aclose(self) -> None:
        """Free the engine, if one was opened."""
        if self._voice is not None:
            await asyncio.to_thread(self._voice.close)
            self._voice = None

    def _synthesise(self, text: str) -> NDArray[np.int16]:
        if self._voice is None:
            self._voice = self._open_voice()
        return resample(self._voice.synthesise(text), self._voice.sample_rate_hz, 8000)
