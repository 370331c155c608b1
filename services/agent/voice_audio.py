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


class PhoneVoice:
    """Converts one sentence.

    Args:
        rate_hz: of the samples pushed.
    """

    def __init__(self, rate_hz: int) -> None:
        self._resampler = Resampler(rate_hz, PHONE_RATE_HZ) if rate_hz != PHONE_RATE_HZ else None
        self._power = 0.0
        self._samples = 0

    def push(self, pcm: Pcm | None) -> bytes:
        """Convert a piece, or with None give what the resampler still holds."""
        if pcm is None:
            pcm = np.empty(0, dtype=np.int16)
            phone = self._resampler.push(pcm, last=True) if self._resampler is not None else pcm
        else:
            phone = self._resampler.push(pcm) if self._resampler is not None else pcm
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
