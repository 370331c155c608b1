"""PURE. Turns what an application wants played into mu-law at 8 kHz, the carrier's codec."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.audio.g711 import encode_ulaw
from shared.audio.resample import Resampler
from shared.protocol.telephony import L16, MULAW, PlayAudio

PHONE_RATE_HZ = 8000
_NO_SAMPLES: NDArray[np.int16] = np.zeros(0, np.int16)
_RATES = {MULAW: (8000,), L16: (8000, 16000, 24000)}
_AS_L16 = frozenset({"raw", "wav", "audio/wav", "audio/raw"})  # what some clients call L16


class UnplayableAudio(Exception):
    """A content type or rate that Vobiz does not play; it ignores such a command."""


class PlayDecoder:
    """Decodes the playAudio commands of one stream, which may change format on the way.

    A rate other than 8 kHz goes through a streaming resampler, whose last milliseconds come out
    with `flush`: at a checkpoint, and when the queue runs dry.
    """

    def __init__(self) -> None:
        self._resampler: Resampler | None = None
        self._rate_hz = PHONE_RATE_HZ

    def decode(self, command: PlayAudio) -> bytes:
        """Return the mu-law this command adds.

        Raises:
            UnplayableAudio: nothing was changed.
        """
        content_type = L16 if command.content_type in _AS_L16 else command.content_type
        if command.sample_rate_hz not in _RATES.get(content_type, ()):
            raise UnplayableAudio(f"{command.content_type} at {command.sample_rate_hz} Hz")
        if content_type == MULAW:
            return self.flush() + command.payload
        whole = len(command.payload) // 2 * 2
        pcm = np.frombuffer(command.payload[:whole], "<i2").astype(np.int16)
        head = self.flush() if command.sample_rate_hz != self._rate_hz else b""
        if command.sample_rate_hz == PHONE_RATE_HZ:
            return head + encode_ulaw(pcm)
        if self._resampler is None:
            self._rate_hz = command.sample_rate_hz
            self._resampler = Resampler(self._rate_hz, PHONE_RATE_HZ)
        return head + encode_ulaw(self._resampler.push(pcm))

    def flush(self) -> bytes:
        """Return what the resampler still holds back, and begin anew."""
        if self._resampler is None:
            return b""
        tail = encode_ulaw(self._resampler.push(_NO_SAMPLES, last=True))
        self.reset()
        return tail

    def reset(self) -> None:
        """Forget what the resampler holds back."""
        self._resampler = None
        self._rate_hz = PHONE_RATE_HZ
