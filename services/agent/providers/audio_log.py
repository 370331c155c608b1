"""PURE. What a caller said lately, by its place in the call, so that it can be sent once more."""

from __future__ import annotations

_SPARE_BYTES = 8000


class AudioLog:
    """Mu-law 8 kHz, one byte a sample; a place is a number of samples since the call began.

    Args:
        most_samples: how much is kept; more pushes the oldest out.

    Attributes:
        begin: place of the oldest sample kept.
        end: place after the newest.
    """

    def __init__(self, most_samples: int) -> None:
        self._most = most_samples
        self._bytes = bytearray()
        self._spare = 0  # bytes at the front that are given up, removed a lot at a time
        self.begin = 0
        self.end = 0

    def push(self, ulaw: bytes) -> int:
        """Add the newest audio; returns how many samples of the oldest were dropped for it."""
        self._bytes += ulaw
        self.end += len(ulaw)
        dropped = max(0, self.end - self.begin - self._most)
        self.trim(self.begin + dropped)
        return dropped

    def trim(self, place: int) -> None:
        """Give up what is before a place."""
        given_up = min(max(0, place - self.begin), self.end - self.begin)
        self.begin += given_up
        self._spare += given_up
        if self._spare >= _SPARE_BYTES:
            del self._bytes[: self._spare]
            self._spare = 0

    def read(self, place: int, until: int) -> bytes:
        """Return what is kept from a place up to another; empty where there is nothing."""
        start = max(place, self.begin) - self.begin + self._spare
        stop = min(until, self.end) - self.begin + self._spare
        return bytes(self._bytes[start:stop]) if stop > start else b""
