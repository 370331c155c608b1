"""The way out: rate, companding, level; neither the first nor the last sound is lost."""

from __future__ import annotations

import numpy as np
import pytest

from services.agent.speech.voice_audio import PhoneVoice
from shared.audio.g711 import decode_ulaw


def tone(seconds: float, rate_hz: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    return (np.sin(2 * np.pi * 500 * t) * 8000).astype(np.int16)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 24000])
def test_sentence_keeps_its_length_and_level(rate_hz: int) -> None:
    voice = PhoneVoice(rate_hz)
    pcm = tone(1.0, rate_hz)
    ulaw = b"".join(voice.push(pcm[n : n + 400]) for n in range(0, len(pcm), 400))
    ulaw += voice.push(None)
    assert len(ulaw) == pytest.approx(8000, abs=2)
    assert voice.level_dbfs == pytest.approx(-15.3, abs=0.3)
    heard = decode_ulaw(ulaw).astype(float)
    assert np.abs(heard[:80]).max() > 4000
    assert np.abs(heard[-80:]).max() > 4000


def test_pauses_do_not_lower_the_level() -> None:
    voice = PhoneVoice(8000)
    voice.push(tone(0.5, 8000))
    loud = voice.level_dbfs
    voice.push(np.zeros(8000, dtype=np.int16))
    assert voice.level_dbfs == loud


def test_level_of_nothing_is_low() -> None:
    assert PhoneVoice(8000).level_dbfs == -90.0


@pytest.mark.parametrize("chunk", [1, 7, 160, 400, 5000])
def test_silence_before_the_first_sound_is_left_out_and_no_sound_with_it(chunk: int) -> None:
    pcm = np.concatenate([np.full(900, 5, dtype=np.int16), tone(0.2, 8000)])
    voice = PhoneVoice(8000, trims_start=True)
    ulaw = b"".join(voice.push(pcm[n : n + chunk]) for n in range(0, len(pcm), chunk))
    ulaw += voice.push(None)
    assert len(ulaw) == pytest.approx(1600 + 160, abs=2)
    assert np.abs(decode_ulaw(ulaw[-1600:]).astype(int) - tone(0.2, 8000)).max() < 300


def test_sentence_of_mere_silence_is_short() -> None:
    voice = PhoneVoice(8000, trims_start=True)
    assert voice.push(np.zeros(4000, dtype=np.int16)) == b""
    assert len(voice.push(None)) <= 160
