"""What every offline voice promises, on the engines that this machine has."""

from __future__ import annotations

import asyncio
import time

import pytest

from shared.speech import Voice, open_voice
from shared.speech.level import active_level_dbfs
from tests.support.callers import installed

REAL = (
    "libflite/rms",
    "libflite/slt",
    "libflite/awb",
    "libflite/kal16",
    "libflite/kal",
    "flite/slt",
    "espeak-ng/en-us",
    "espeakng-loader/en-us",
)
SENTENCE = "Please say the number, digit by digit, or use your keypad."


@pytest.fixture(params=installed(REAL))
def real(request: pytest.FixtureRequest) -> Voice:
    return open_voice(request.param)


def test_this_machine_has_a_voice() -> None:
    assert installed(REAL)


def test_a_real_voice_speaks_at_a_phones_level(real: Voice) -> None:
    pcm = real.synthesise(SENTENCE)
    assert active_level_dbfs(pcm, real.sample_rate_hz) == pytest.approx(-20, abs=2.5)
    assert 2.0 < len(pcm) / real.sample_rate_hz < 6.0
    real.close()


async def test_a_real_voice_speaks_several_texts_at_once(real: Voice) -> None:
    texts = ["One moment.", SENTENCE, "Is that right?", "Thank you for calling. Goodbye!"] * 3

    async def length(text: str) -> int:
        return sum([len(chunk) async for chunk in real.stream(text)])

    together = await asyncio.gather(*map(length, texts))
    for text, samples in zip(texts, together, strict=True):
        assert samples == pytest.approx(
            len(real.synthesise(text)), rel=0.05, abs=0.4 * real.sample_rate_hz
        )
    real.close()


async def test_a_real_voice_survives_any_text(real: Voice) -> None:
    for text in ("", "a", "£$%^&*()", "x" * 170, "\u0000\uffff", "-", "--help", "12345678"):
        async for chunk in real.stream(text):
            assert len(chunk)
    real.close()


async def test_a_real_voice_stops_when_closed(real: Voice) -> None:
    stream = real.stream(SENTENCE)
    await anext(stream)
    began_s = time.monotonic()
    await stream.aclose()
    real.close()
    assert time.monotonic() - began_s < 2.0
