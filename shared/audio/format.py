"""PURE. Rates and lengths: the one place where seconds, samples and bytes meet.

Inside the platform audio is int16 mono in numpy arrays; encodings exist at the edges alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.audio.errors import AudioError

FRAME_S = 0.02
"""What phone networks packetise speech by, and Vobiz's media messages carry."""
PHONE_RATE_HZ = 8000
FRAME_SAMPLES = 160
FRAME_BYTES = 160
"""One frame of mu-law at 8 kHz, one byte a sample."""
SILENCE = 0xFF
"""Mu-law's positive zero."""


class Encoding(StrEnum):
    """How samples become bytes, named by Vobiz's content type."""

    MULAW = "audio/x-mulaw"
    L16 = "audio/x-l16"

    @property
    def bytes_per_sample(self) -> int:
        """Bytes a mono sample takes."""
        return 1 if self is Encoding.MULAW else 2


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A mono format.

    Raises:
        AudioError: a rate that has no whole number of samples in 20 ms, or is out of 4-192 kHz.
    """

    sample_rate_hz: int = PHONE_RATE_HZ
    encoding: Encoding = Encoding.MULAW

    def __post_init__(self) -> None:
        if not 4000 <= self.sample_rate_hz <= 192_000 or self.sample_rate_hz % 50:
            raise AudioError(f"{self.sample_rate_hz} Hz is not a rate of frames of 20 ms")

    @property
    def frame_samples(self) -> int:
        """Samples in 20 ms."""
        return self.sample_rate_hz // 50

    @property
    def frame_bytes(self) -> int:
        """Bytes in 20 ms."""
        return self.frame_samples * self.encoding.bytes_per_sample

    def samples(self, duration_s: float) -> int:
        """Return how many samples last `duration_s`, to the nearest."""
        return round(duration_s * self.sample_rate_hz)

    def bytes(self, duration_s: float) -> int:
        """Return how many bytes last `duration_s`, to the nearest sample."""
        return self.samples(duration_s) * self.encoding.bytes_per_sample

    def seconds(self, length_bytes: int) -> float:
        """Return how long a number of bytes lasts."""
        return length_bytes / (self.sample_rate_hz * self.encoding.bytes_per_sample)

    def seconds_of(self, length_samples: int) -> float:
        """Return how long a number of samples lasts."""
        return length_samples / self.sample_rate_hz

    def silence(self, duration_s: float) -> bytearray:
        """Return encoded silence."""
        zero = SILENCE if self.encoding is Encoding.MULAW else 0
        return bytearray([zero]) * self.bytes(duration_s)


PHONE = AudioFormat()
"""What travels between Vobiz and us: mu-law at 8 kHz."""
