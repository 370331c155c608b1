from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from shared.speech import SynthesisFailed, Voice, VoiceUnavailable, open_voice
from shared.speech.engine import Sink


class ToneEngine:
    """Renders 25 ms of tone a letter; knows which texts it was given and how far it got."""

    name = "tone"
    sample_rate_hz = 16000
    is_ascii_only = True

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.chunks = 0
        self.broken = False
        self.gate = threading.Event()
        self.gate.set()

    def render(self, text: str, sink: Sink) -> None:
        self.texts.append(text)
        wave = 3000 * np.sin(2 * np.pi * 500 * np.arange(400) / 16000)
        for _ in text:
            self.gate.wait(5)
            self.chunks += 1
            if not sink(wave.astype(np.int16)):
                return
            if self.broken:
                raise OSError("out of breath")


@pytest.fixture
def engine() -> ToneEngine:
    return ToneEngine()


@pytest.fixture
def voice(engine: ToneEngine) -> Voice:
    made = Voice(engine)
    engine.texts.clear()
    engine.chunks = 0
    return made


async def test_each_sentence_is_rendered_when_the_one_before_was_taken(
    voice: Voice, engine: ToneEngine
) -> None:
    stream = voice.stream("One. Two. Three.")
    await anext(stream)
    assert engine.texts == ["One."]
    rest = [chunk async for chunk in stream]
    assert engine.texts == ["One.", "Two.", "Three."]
    assert rest
    voice.close()


async def test_closing_the_stream_stops_the_engine(voice: Voice, engine: ToneEngine) -> None:
    stream = voice.stream("a" * 150)
    await anext(stream)
    await stream.aclose()
    stopped_at = engine.chunks
    voice.close()
    assert engine.chunks <= stopped_at + 150
    assert engine.texts == ["a" * 150]


async def test_a_slow_listener_does_not_hold_a_thread(voice: Voice, engine: ToneEngine) -> None:
    """Twenty listeners that take nothing would starve all others if synthesis waited for them."""
    slow = [voice.stream(f"Slow listener {n}.") for n in range(20)]
    for stream in slow:
        await anext(stream)
    async with asyncio.timeout(5):
        assert [chunk async for chunk in voice.stream("Quick listener.")]
    for stream in slow:
        await stream.aclose()
    voice.close()


async def test_an_engine_that_breaks_is_reported_after_what_it_gave(
    voice: Voice, engine: ToneEngine
) -> None:
    engine.broken = True
    stream = voice.stream("Hello.")
    assert len(await anext(stream))
    with pytest.raises(SynthesisFailed, match="out of breath"):
        await anext(stream)
    engine.broken = False
    assert [chunk async for chunk in voice.stream("Hello again.")]
    voice.close()


async def test_the_loop_goes_on_while_an_engine_works(voice: Voice, engine: ToneEngine) -> None:
    engine.gate.clear()
    stream = voice.stream("Hello.")
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.01)
    assert not first.done()
    engine.gate.set()
    assert len(await first)
    await stream.aclose()
    voice.close()


def test_a_voice_nobody_has_says_what_to_install() -> None:
    with pytest.raises(VoiceUnavailable) as caught:
        open_voice("nobody")
    assert "apt-get install flite" in str(caught.value)
    assert "pip install espeakng-loader" in str(caught.value)
    with pytest.raises(VoiceUnavailable, match="no such engine"):
        open_voice("festival/rms")
