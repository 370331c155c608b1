"""PURE. Bytes of 16-bit samples as a network cuts them, to whole samples at a phone's level."""

from __future__ import annotations

import numpy as np

from services.agent.providers.base import Pcm
from shared.speech.level import apply_gain


class PcmStream:
    """Little-endian int16 mono in pieces of any length, odd ones too.

    Args:
        gain_db: added to every sample, without clipping.
    """

    def __init__(self, gain_db: float = 0.0) -> None:
        self._gain = 10 ** (gain_db / 20)
        self._rest = b""

    def push(self, data: bytes) -> Pcm:
        """Return the whole samples that a piece completes, perhaps none; a new array."""
        data = self._rest + data
        whole = len(data) // 2 * 2
        self._rest = data[whole:]
        pcm = np.frombuffer(data[:whole], "<i2").astype(np.int16)
        return apply_gain(pcm, self._gain) if self._gain != 1.0 else pcm
