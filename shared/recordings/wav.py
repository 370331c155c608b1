"""PURE. A recording as a WAV file, made when it is read: stereo, 8 kHz, 16 bit; any range of it."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from shared.audio.format import PHONE_RATE_HZ
from shared.audio.g711 import decode_ulaw

HEADER_BYTES = 44
_CHANNELS, _BYTES_A_SAMPLE = 2, 2
_BLOCK_BYTES = _CHANNELS * _BYTES_A_SAMPLE
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def wav_bytes(samples: int) -> int:
    """How long the file is, for so many samples of each side."""
    return HEADER_BYTES + samples * _BLOCK_BYTES


def wav_header(samples: int) -> bytes:
    """Return its first 44 bytes."""
    body = samples * _BLOCK_BYTES
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", HEADER_BYTES - 8 + body, b"WAVE", b"fmt ", 16, 1, _CHANNELS),
        *(PHONE_RATE_HZ, PHONE_RATE_HZ * _BLOCK_BYTES, _BLOCK_BYTES, 8 * _BYTES_A_SAMPLE),
        *(b"data", body),
    )


def pcm_of(ulaw: bytes) -> bytes:
    """Return mu-law bytes as little-endian 16-bit samples."""
    return decode_ulaw(ulaw).astype("<i2").tobytes()


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes first..last of a file, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many."""
        return self.last - self.first + 1

    def content_range(self, size: int) -> str:
        """The header that says which they are."""
        return f"bytes {self.first}-{self.last}/{size}"


class UnsatisfiableRange(ValueError):
    """A range that begins behind the end."""


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """Read a Range header; None where the whole file is to be sent.

    What is no single range of bytes is passed over, as RFC 9110 (14.2) allows.

    Raises:
        UnsatisfiableRange: nothing of it is in the file.
    """
    found = _RANGE.fullmatch((header or "").strip())
    if found is None or found.group(1) == found.group(2) == "":
        return None
    first, last = found.group(1), found.group(2)
    if not first:
        length = min(int(last), size)
        wanted = ByteRange(size - length, size - 1)
    else:
        wanted = ByteRange(int(first), min(int(last), size - 1) if last else size - 1)
        if last and int(last) < int(first):
            return None
    if wanted.first >= size or wanted.length <= 0:
        raise UnsatisfiableRange(header)
    return wanted


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the mu-law audio makes a range of the WAV.

    Attributes:
        head: bytes of the header that come first.
        start: of the audio, in its bytes.
        length: of it.
        skip: bytes to leave out at the beginning of what is made of it.
        most: bytes to keep then.
    """

    head: bytes
    start: int
    length: int
    skip: int
    most: int


def wanted_of(span: ByteRange, samples: int) -> Wanted:
    """Return what is to be read for a range of a file of so many samples a side."""
    head = wav_header(samples)[span.first : span.last + 1]
    first = max(0, span.first - HEADER_BYTES)
    end = max(0, span.last + 1 - HEADER_BYTES)
    start = first // _BYTES_A_SAMPLE
    length = max(0, -(-end // _BYTES_A_SAMPLE) - start)
    return Wanted(head, start, length, first % _BYTES_A_SAMPLE, end - first)
