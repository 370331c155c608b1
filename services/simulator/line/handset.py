"""PURE. What the telephone of one call would have recorded: both sides on one clock.

Left is what the caller's side sent into the line, right is what the caller heard. Both are
G.711 mu-law at 8 kHz while the call lasts (a byte a sample, so a hundred calls cost 1.6 MB a
second) and become PCM once, at the end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.audio.format import SILENCE
from shared.audio.g711 import decode_ulaw

SAMPLE_RATE_HZ = 8000
FRAME_SAMPLES = 160
SILENT_FRAME = bytes([SILENCE]) * FRAME_SAMPLES


class Handset:
    """The two sides of a call; sample 0 of both is the moment the answer webhook was sent."""

    def __init__(self) -> None:
        self._said = bytearray()
        self._heard = bytearray()

    @property
    def said_samples(self) -> int:
        """How many samples of the caller's side there are."""
        return len(self._said)

    @property
    def heard_samples(self) -> int:
        """How many samples the caller has heard, silence included."""
        return len(self._heard)

    def say(self, mulaw: bytes) -> None:
        """Append to the caller's side."""
        self._said += mulaw

    def hear(self, mulaw: bytes) -> None:
        """Append to what the caller hears."""
        self._heard += mulaw

    def said(self) -> NDArray[np.int16]:
        """Return the caller's side as PCM, shape (n,)."""
        return decode_ulaw(bytes(self._said))

    def heard(self) -> NDArray[np.int16]:
        """Return what the caller heard as PCM, shape (n,)."""
        return decode_ulaw(bytes(self._heard))

    def heard_between(self, start: int, stop: int) -> NDArray[np.int16]:
        """Return heard samples start..stop-1 as PCM; before the beginning there was silence."""
        head = bytes([SILENCE]) * max(0, min(stop, 0) - start)
        return decode_ulaw(head + bytes(self._heard[max(0, start) : max(0, stop)]))

    def stereo(self) -> NDArray[np.int16]:
        """Return both sides, shape (n, 2): left the caller's, right what the caller heard."""
        samples = max(len(self._said), len(self._heard))
        silence = bytes([SILENCE])
        left = decode_ulaw(bytes(self._said).ljust(samples, silence))
        right = decode_ulaw(bytes(self._heard).ljust(samples, silence))
        return np.stack([left, right], axis=1)
