"""PURE. Cutting encoded audio into frames of one size."""

from __future__ import annotations

from shared.audio.format import FRAME_BYTES, SILENCE


class Framer:
    """Collects bytes of any lengths and gives whole frames; what is over waits for more.

    Args:
        frame_bytes: size of a frame.
        filler: the byte that fills the last one: mu-law's silence.
    """

    def __init__(self, frame_bytes: int = FRAME_BYTES, *, filler: int = SILENCE) -> None:
        if frame_bytes < 1:
            raise ValueError("a frame has at least one byte")
        self._frame_bytes = frame_bytes
        self._filler = bytes([filler])
        self._rest = bytearray()

    @property
    def rest_bytes(self) -> int:
        """Bytes that wait for more: always less than a frame."""
        return len(self._rest)

    def push(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """Take bytes in and return the frames that are whole, in order."""
        self._rest += data
        whole = len(self._rest) - len(self._rest) % self._frame_bytes
        size = self._frame_bytes
        frames = [bytes(self._rest[at : at + size]) for at in range(0, whole, size)]
        del self._rest[:whole]
        return frames

    def flush(self) -> bytes | None:
        """Return what waits as a frame filled up with silence; None when nothing does."""
        if not self._rest:
            return None
        frame = bytes(self._rest).ljust(self._frame_bytes, self._filler)
        self._rest.clear()
        return frame

    def clear(self) -> None:
        """Throw away what waits, as when speech is cut off."""
        self._rest.clear()
