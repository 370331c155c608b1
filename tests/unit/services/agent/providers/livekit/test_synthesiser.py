from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from livekit import rtc

from services.agent.providers.base import Pcm
from services.agent.providers.errors import FailureCause, ProviderFailed
from services.agent.providers.livekit.options import LiveKitOptions
from services.agent.providers.livekit.plugin import Plugin
from services.agent.providers.livekit.synthesiser import LiveKitSynthesiser

OPTIONS = LiveKitOptions.model_validate({"plugin": "x", "timeout_s": 1})


class Stream:
    """A plugin's stream of these frames."""

    def __init__(self, frames: Sequence[rtc.AudioFrame]) -> None:
        self._frames = list(frames)
        self.is_closed = False

    async def __anext__(self) -> Any:
        if not self._frames:
            raise StopAsyncIteration
        return SimpleNamespace(frame=self._frames.pop(0))

    async def aclose(self) -> None:
        self.is_closed = True
        raise RuntimeError("plugins raise anything when they are closed")


def voice(stream: Stream) -> LiveKitSynthesiser:
    made = SimpleNamespace(sample_rate=16000, synthesize=lambda _text, conn_options: stream)
    plugin = SimpleNamespace(made=made, name="livekit:x", connection=None)
    return LiveKitSynthesiser(cast(Plugin, plugin), OPTIONS)


def frame(samples: Pcm, rate_hz: int, channels: int = 1) -> rtc.AudioFrame:
    return rtc.AudioFrame(samples.tobytes(), rate_hz, channels, len(samples) // channels)


async def spoken(stream: Stream) -> Pcm:
    chunks = [chunk async for chunk in voice(stream).speak("Hello.")]
    assert stream.is_closed
    return np.concatenate(chunks)


async def test_two_channels_become_one() -> None:
    both = np.array([[100, 300], [-100, -300]], np.int16).reshape(-1)
    assert (await spoken(Stream([frame(both, 16000, 2)]))).tolist() == [200, -200]


async def test_another_rate_than_promised_is_brought_to_it() -> None:
    tone = np.rint(3000 * np.sin(np.arange(2400) * 2 * np.pi * 440 / 24000)).astype(np.int16)
    pcm = await spoken(Stream([frame(tone[:1000], 24000), frame(tone[1000:], 24000)]))
    assert len(pcm) == 1600
    assert np.abs(np.fft.rfft(pcm.astype(float))).argmax() * 10 == pytest.approx(440, abs=10)


async def test_a_voice_that_says_nothing_has_failed() -> None:
    with pytest.raises(ProviderFailed) as caught:
        await spoken(Stream([]))
    assert caught.value.cause is FailureCause.CUT
