"""A Synthesiser over a LiveKit plugin's TTS class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from services.agent.providers.base import Pcm
from services.agent.providers.errors import FailureCause, ProviderError, ProviderFailed
from services.agent.providers.livekit.failures import failure_of
from services.agent.providers.livekit.options import LiveKitOptions
from services.agent.providers.livekit.plugin import Plugin
from services.agent.providers.livekit.streams import end_stream, next_of
from shared.audio.resample import Resampler
from shared.speech.level import apply_gain


class LiveKitSynthesiser:
    """A plugin's voice; speaks at the class's own rate. See Synthesiser."""

    def __init__(self, plugin: Plugin, options: LiveKitOptions) -> None:
        self._plugin = plugin
        self._timeout_s = options.timeout_s
        self._gain = 10 ** (options.gain_db / 20)

    @property
    def sample_rate_hz(self) -> int:
        """See Synthesiser."""
        return int(self._plugin.made.sample_rate)

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        """See Synthesiser."""
        if not any(character.isalnum() for character in text):
            return
        stream = None
        resampler: Resampler | None = None
        has_spoken = False
        try:
            stream = self._plugin.made.synthesize(text, conn_options=self._plugin.connection)
            while (audio := await next_of(stream, self._timeout_s)) is not None:
                if audio.frame.sample_rate != self.sample_rate_hz and resampler is None:
                    resampler = Resampler(audio.frame.sample_rate, self.sample_rate_hz)
                pcm = _mono(audio.frame)
                pcm = pcm if resampler is None else resampler.push(pcm)
                if len(pcm):
                    has_spoken = True
                    yield self._at_level(pcm)
            if resampler is not None and len(rest := resampler.push(np.zeros(0, np.int16), True)):
                yield self._at_level(rest)
        except ProviderError:
            raise
        except Exception as exc:  # noqa: BLE001 - a plugin may raise anything; it is translated
            raise failure_of(self._plugin.name, exc) from None
        finally:
            if stream is not None:
                await end_stream(stream)
        if not has_spoken:
            raise ProviderFailed(self._plugin.name, "no audio came", FailureCause.CUT)

    def _at_level(self, pcm: Pcm) -> Pcm:
        return pcm if self._gain == 1.0 else apply_gain(pcm, self._gain)

    async def aclose(self) -> None:
        """Close the plugin's connections; may be called twice."""
        async with asyncio.timeout(self._timeout_s):
            await self._plugin.aclose()


def _mono(frame: Any) -> Pcm:
    samples = np.frombuffer(frame.data, np.int16).copy()
    if frame.num_channels == 1:
        return samples
    mixed = samples.reshape(-1, frame.num_channels).mean(axis=1)
    return np.asarray(np.rint(mixed), np.int16)
