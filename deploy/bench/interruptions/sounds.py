"""What comes from a line while an agent speaks: words, coughs, clicks, tones, noise. 8 kHz PCM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from shared.audio.resample import resample
from shared.speech import Voice, VoiceUnavailable, open_voice
from shared.speech.level import active_level_dbfs

RATE_HZ = 8000
Pcm = NDArray[np.int16]
_FULL_SCALE = 32768.0
_VOICES = ("slt", "awb", "kal16", "rms", "espeak-ng/en-gb", "espeak-ng/en-us")
_KEYS_HZ = {
    key: (low, high)
    for row, low in zip(("123A", "456B", "789C", "*0#D"), (697, 770, 852, 941), strict=True)
    for key, high in zip(row, (1209, 1336, 1477, 1633), strict=True)
}


def voices() -> list[Voice]:
    """Return the offline voices that this machine has; the caller closes them.

    Raises:
        VoiceUnavailable: it has none.
    """
    found = []
    for name in _VOICES:
        try:
            found.append(open_voice(name))
        except VoiceUnavailable:
            continue
    return found or [open_voice()]


def said(text: str, voice: Voice, level_dbfs: float) -> Pcm:
    """Return a text as somebody says it."""
    return at_level(resample(voice.synthesise(text), voice.sample_rate_hz, RATE_HZ), level_dbfs)


def at_level(pcm: Pcm, level_dbfs: float) -> Pcm:
    """Bring speech to an active level."""
    gain = 10 ** ((level_dbfs - active_level_dbfs(pcm, RATE_HZ)) / 20)
    return _to_pcm(pcm.astype(np.float64) * gain)


def cough(rng: Generator, level_dbfs: float, *, bursts: int) -> Pcm:
    """Return a cough: each burst an explosion of air, a hiss that dies away, at times a voiced end.

    Shaped after the three phases of the literature (Korpas, Sadlonova, Vrabec: Analysis of the
    cough sound, 1996): 30-50 ms, 100-200 ms, 0-80 ms.
    """
    parts = []
    for _ in range(bursts):
        burst = _air(rng, float(rng.uniform(0.03, 0.05)), (400.0, 2800.0))
        hiss = _air(rng, float(rng.uniform(0.1, 0.2)), (900.0, 3300.0))
        hiss *= np.exp(-np.arange(len(hiss)) / RATE_HZ / 0.05)
        parts += [burst * 1.0, hiss * 0.6]
        if rng.random() < 0.4:
            parts.append(_hum(rng, float(rng.uniform(0.03, 0.08))) * 0.3)
        parts.append(np.zeros(int(float(rng.uniform(0.1, 0.2)) * RATE_HZ)))
    return _scaled(np.concatenate(parts), level_dbfs)


def click(rng: Generator, level_dbfs: float) -> Pcm:
    """Return a knock on the receiver: a few milliseconds, dying away."""
    samples = int(0.04 * RATE_HZ)
    shape = np.exp(-np.arange(samples) / RATE_HZ / 0.004)
    return _scaled(rng.standard_normal(samples) * shape, level_dbfs)


def noise(rng: Generator, seconds: float, level_dbfs: float) -> Pcm:
    """Return a gust of line noise."""
    return _scaled(_air(rng, seconds, (300.0, 3400.0)), level_dbfs)


def keys(digits: str, level_dbfs: float) -> Pcm:
    """Return keypad tones as they sound on the line (ITU-T Q.23): 100 ms each, 60 ms apart."""
    time_s = np.arange(int(0.1 * RATE_HZ)) / RATE_HZ
    parts = []
    for digit in digits:
        low, high = _KEYS_HZ[digit]
        parts.append(np.sin(2 * np.pi * low * time_s) + np.sin(2 * np.pi * high * time_s))
        parts.append(np.zeros(int(0.06 * RATE_HZ)))
    return _scaled(np.concatenate(parts), level_dbfs)


def _air(rng: Generator, seconds: float, band_hz: Sequence[float]) -> NDArray[np.float64]:
    samples = max(160, int(seconds * RATE_HZ))
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    spectrum[(frequency < band_hz[0]) | (frequency > band_hz[1])] = 0
    shaped = np.fft.irfft(spectrum, samples)
    ramp = min(40, samples // 4)
    shaped[:ramp] *= np.linspace(0, 1, ramp)
    return shaped / max(1e-9, float(np.sqrt(np.mean(shaped**2))))


def _hum(rng: Generator, seconds: float) -> NDArray[np.float64]:
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    pitch_hz = float(rng.uniform(90, 180))
    waves = [np.sin(2 * np.pi * pitch_hz * n * time_s) / n for n in range(1, 9)]
    tone: NDArray[np.float64] = np.sum(waves, axis=0) * np.linspace(1, 0, len(time_s))
    return tone


def _scaled(samples: NDArray[np.float64], level_dbfs: float) -> Pcm:
    """Bring the loud part of a sound to a level."""
    loud = samples[np.abs(samples) > 0.1 * float(np.max(np.abs(samples)))]
    rms = float(np.sqrt(np.mean(loud**2)))
    return _to_pcm(samples / rms * _FULL_SCALE * 10 ** (level_dbfs / 20))


def _to_pcm(samples: NDArray[np.float64]) -> Pcm:
    limited: Pcm = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return limited
