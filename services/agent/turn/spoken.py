"""PURE. A sentence of the agent's as mu-law audio: how much is made of it, was sent, was heard."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from shared.audio.format import FRAME_BYTES

SILENCE = b"\xff"
BYTES_PER_S = 8000
_SPOKEN_CHARS_PER_S = 15.0
_WORD_SEARCH_FRAMES = 25
_LONGEST_PAUSE_BYTES = 8000
_AUDIBLE_CODE = 0x18
"""A magnitude of 260 of 32768 (G.711, mu-law, bits inverted)."""


@dataclass(slots=True)
class Sentence:
    """A sentence: its text, its audio as far as it exists, and how much went out.

    `start_byte` is its place in the stream of everything sent since the last clear, None while
    nothing of it was sent; `skipped` is what a caller had heard of it before it was resumed.
    `is_interruptible` False: the session lets it be heard to its end. `formerly` is the name that
    another worker gave it: it was heard if a checkpoint of that name comes back before it is said
    again.
    """

    name: str
    generation: int
    text: str
    is_interruptible: bool = True
    audio: bytearray = field(default_factory=bytearray)
    level_dbfs: float = -20.0
    is_complete: bool = False
    sent: int = 0
    skipped: int = 0
    start_byte: int | None = None
    checkpoint: str | None = None
    end_s: float = 0.0
    is_played: bool = False
    formerly: str | None = None
    _sound_bytes: int | None = None

    @property
    def heard_s(self) -> float:
        """How long it takes to be heard, as far as it is made."""
        return len(self.audio) / BYTES_PER_S

    @property
    def is_sent(self) -> bool:
        """Whether all of it, checkpoint included, went out."""
        return self.checkpoint is not None and self.sent >= len(self.audio)

    @property
    def sound_bytes(self) -> int:
        """Its length without the silence at its end; to be asked once it is complete."""
        if self._sound_bytes is None:
            self._sound_bytes = _sound_bytes(self.audio)
        return self._sound_bytes

    @property
    def expected_bytes(self) -> int:
        """Its whole length; a guess from its text while synthesis goes on."""
        if self.is_complete:
            return len(self.audio)
        return max(len(self.audio), int(len(self.text) / _SPOKEN_CHARS_PER_S * BYTES_PER_S))

    def take_frame(self) -> bytes | None:
        """Take the next 160 bytes; the last ones are filled up with silence. None: not there."""
        frame = bytes(self.audio[self.sent : self.sent + FRAME_BYTES])
        if len(frame) < FRAME_BYTES and not (self.is_complete and frame):
            return None
        self.sent += len(frame)
        return frame.ljust(FRAME_BYTES, SILENCE)

    def text_of(self, count: int) -> str:
        """Return the whole words within its first bytes."""
        return heard_text(self.text, count / max(1, self.expected_bytes))

    def rewind_to_word(self) -> None:
        """Go on from the beginning of the word that was cut; nothing if all of it was heard."""
        if not (self.is_complete and self.skipped >= len(self.audio)):
            self.sent = self.skipped = _word_start(bytes(self.audio), self.skipped)


@dataclass(frozen=True, slots=True)
class HeardSentence:
    """What the caller heard of a sentence; `text` is cut after the last whole word."""

    generation: int
    name: str
    text: str
    is_whole: bool
    heard_s: float = 0.0


def _sound_bytes(ulaw: bytearray) -> int:
    """Return where the last sound of a sentence ends; nothing that ends it is over -42 dBFS."""
    codes = np.frombuffer(ulaw[-_LONGEST_PAUSE_BYTES:], dtype=np.uint8)
    sounds = np.flatnonzero((~codes & 0x7F) >= _AUDIBLE_CODE)
    silent = len(codes) - 1 - int(sounds[-1]) if len(sounds) else len(codes)
    return len(ulaw) - silent


def heard_text(text: str, fraction: float) -> str:
    """Return the whole words within the first part of a text, by length in characters."""
    limit = fraction * len(text)
    end = 0
    for index, char in enumerate(f"{text} "):
        if char == " " and index <= limit:
            end = index
    return text[:end].strip()


def _word_start(ulaw: bytes, position: int) -> int:
    """Find the quietest frame in the half second before a position: where a word began.

    mu-law codes are inverted logarithmic magnitudes, so the mean of their inverted lower seven
    bits orders frames by loudness well enough.
    """
    frames = min(_WORD_SEARCH_FRAMES, position // FRAME_BYTES)
    if frames == 0:
        return 0
    first = position - frames * FRAME_BYTES
    codes = np.frombuffer(ulaw[first:position], dtype=np.uint8).reshape(frames, FRAME_BYTES)
    loudness = (~codes & 0x7F).mean(axis=1)
    latest_quietest = frames - 1 - int(np.argmin(loudness[::-1]))
    return first + latest_quietest * FRAME_BYTES
