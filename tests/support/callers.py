"""Synthetic callers on a phone line, made at test time: voices, levels, band, noise, mu-law."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from services.agent.providers.base import PHONE_RATE_HZ, Pcm
from shared.audio.g711 import decode_ulaw, encode_ulaw
from shared.audio.resample import resample
from shared.speech import Voice, VoiceUnavailable, open_voice
from shared.speech.level import active_level_dbfs

Noise = Literal["white", "pink", "car", "hum"]
NOISES: tuple[Noise, ...] = ("white", "pink", "car", "hum")
_FULL_SCALE = 32768.0
_CLEAN_LINE_DBFS = -70.0


@lru_cache(maxsize=8)
def _voice(name: str | None) -> Voice:
    return open_voice(name)


@lru_cache
def installed(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the voices that this machine has."""
    found = []
    for name in names:
        try:
            _voice(name)
        except VoiceUnavailable:
            continue
        found.append(name)
    return tuple(found)


@lru_cache(maxsize=512)
def _spoken(text: str, voice: str | None) -> Pcm:
    opened = _voice(voice)
    pcm = resample(opened.synthesise(text), opened.sample_rate_hz, PHONE_RATE_HZ)
    return _to_int16(_band(pcm.astype(np.float64)))


def say(
    text: str,
    voice: str | None = None,
    *,
    level_dbfs: float = -22.0,
    snr_db: float | None = None,
    noise: Noise = "white",
    lead_s: float = 0.0,
    tail_s: float = 0.0,
    seed: int = 0,
) -> Pcm:
    """Return a text as a phone line brings it: 8 kHz, band-limited, through mu-law.

    `snr_db` None is a clean line, with a noise floor of -70 dBFS.
    """
    speech = at_level(_spoken(text, voice), level_dbfs)
    padded = np.concatenate(
        [np.zeros(int(lead_s * PHONE_RATE_HZ)), speech, np.zeros(int(tail_s * PHONE_RATE_HZ))]
    )
    floor = _CLEAN_LINE_DBFS if snr_db is None else level_dbfs - snr_db
    return through_line(padded + make_noise(noise, len(padded), floor, seed=seed))


def onset_s(text: str, voice: str | None) -> float:
    """When a spoken text begins to be heard: its first 10 ms within 25 dB of its level."""
    pcm = _spoken(text, voice).astype(np.float64)
    blocks = pcm[: len(pcm) // 80 * 80].reshape(-1, 80)
    power = np.mean(blocks * blocks, axis=1) / _FULL_SCALE**2
    level = active_level_dbfs(_spoken(text, voice), PHONE_RATE_HZ)
    return float(np.flatnonzero(power > 10 ** ((level - 25) / 10))[0]) * 0.01


def at_level(pcm: Pcm, level_dbfs: float) -> NDArray[np.float64]:
    """Bring speech to an active level."""
    gain = 10 ** ((level_dbfs - active_level_dbfs(pcm, PHONE_RATE_HZ)) / 20)
    return pcm.astype(np.float64) * gain


def through_line(samples: NDArray[np.float64]) -> Pcm:
    """Pass samples through the network's mu-law."""
    return decode_ulaw(encode_ulaw(_to_int16(samples)))


def make_noise(
    kind: Noise, samples: int, level_dbfs: float, *, seed: int = 0
) -> NDArray[np.float64]:
    """Return steady noise of this RMS level."""
    white = np.random.default_rng(seed).standard_normal(samples)
    if kind == "hum":
        time_s = np.arange(samples) / PHONE_RATE_HZ
        shaped = 0.05 * white
        for harmonic in (1, 2, 3, 4, 6, 8):
            shaped = shaped + np.sin(2 * np.pi * 50 * harmonic * time_s) / harmonic
    else:
        spectrum = np.fft.rfft(white)
        frequency = np.maximum(np.fft.rfftfreq(samples, 1 / PHONE_RATE_HZ), 10.0)
        slope = {"white": 0.0, "pink": 0.5, "car": 1.2}[kind]
        shaped = np.fft.irfft(spectrum / frequency**slope, samples)
    rms = float(np.sqrt(np.mean(shaped * shaped)))
    noise: NDArray[np.float64] = shaped / rms * _FULL_SCALE * 10 ** (level_dbfs / 20)
    return noise


def _band(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pass 250-3600 Hz, as a phone network does."""
    frequency = np.maximum(np.fft.rfftfreq(len(samples), 1 / PHONE_RATE_HZ), 1.0)
    gain = 1 / np.sqrt(1 + (250 / frequency) ** 8) / np.sqrt(1 + (frequency / 3600) ** 20)
    banded: NDArray[np.float64] = np.fft.irfft(np.fft.rfft(samples) * gain, len(samples))
    return banded


def _to_int16(samples: NDArray[np.float64]) -> Pcm:
    limited: Pcm = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return limited
