"""PURE. The agent's voice on its way out: to 8 kHz mu-law, with its level."""

from __future__ import annotations

import math

import numpy as np

from services.agent.providers.base import PHONE_RATE_HZ, Pcm
from shared.audio.g711 import encode_ulaw
from shared.audio.level import level_dbfs
from shared.audio.resample import Resampler

_SPEECH_DBFS = -45.0
_FULL_SCALE = 32768.0
_SILENT_DBFS = -90.0
_AUDIBLE = 80
"""Amplitude that counts as sound, -52 dB of full scale: below any consonant of a voice here."""
_KEPT_SAMPLES = 160


class LeadingSilence:
    """Takes the silence away that a voice begins with, but for 20 ms before the first sound."""

    def __init__(self) -> None:
        self._is_trimming = True
        self._held: Pcm = np.empty(0, dtype=np.int16)

    def push(self, phone: Pcm, *, is_last: bool) -> Pcm:
        """Hold silence back until the first sound, then let the end of it out with the sound."""
        if not self._is_trimming:
            return phone
        phone = np.concatenate([self._held, phone])
        sounds = np.flatnonzero(np.abs(phone.astype(np.int32)) >= _AUDIBLE)
        if len(sounds) == 0 and not is_last:
            self._held = phone[-_KEPT_SAMPLES:]
            return phone[:0]
        self._is_trimming = False
        first = int(sounds[0]) if len(sounds) else len(phone)
        return phone[max(0, first - _KEPT_SAMPLES) :]


class PhoneVoice:
    """Converts one sentence.

    Args:
        rate_hz: of the samples pushed.
        trims_start: leave out the silence that voices begin with, but for 20 ms before the first
            sound. Synthesisers begin with up to 0.1 s of it, which a waiting caller pays for.
    """

    def __init__(self, rate_hz: int, *, trims_start: bool = False) -> None:
        self._silence = LeadingSilence() if trims_start else None
        self._resampler = Resampler(rate_hz, PHONE_RATE_HZ) if rate_hz != PHONE_RATE_HZ else None
        self._power = 0.0
        self._samples = 0

    def push(self, pcm: Pcm | None) -> bytes:
        """Convert a piece, or with None give what the resampler still holds."""
        is_last = pcm is None
        if pcm is None:
            pcm = np.empty(0, dtype=np.int16)
            phone = self._resampler.push(pcm, last=True) if self._resampler is not None else pcm
        else:
            phone = self._resampler.push(pcm) if self._resampler is not None else pcm
        if self._silence is not None:
            phone = self._silence.push(phone, is_last=is_last)
        if len(phone) and level_dbfs(phone) > _SPEECH_DBFS:
            self._power += float(np.sum(np.square(phone, dtype=np.float64)))
            self._samples += len(phone)
        return encode_ulaw(phone)

    @property
    def level_dbfs(self) -> float:
        """The level of the speech so far, pauses left out; dB of full scale."""
        if self._samples == 0:
            return _SILENT_DBFS
        return 20 * math.log10(math.sqrt(self._power / self._samples) / _FULL_SCALE)
