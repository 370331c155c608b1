"""PURE. The short way for a link's frames: whole, unfragmented, masked text, which nearly all are.

A call brings fifty such frames a second and takes as many; through the WebSocket library they cost
as much as all else that is done about them. Everything that is not one of them is handed to the
library untouched, frame by frame: control frames, fragments, what breaks the rules. It is told of
no text frame that went the short way, which is right by RFC 6455: a whole text frame leaves no
state behind, unless a fragmented message is open, and then nothing goes the short way (`is_plain`).

Source: RFC 6455, 5.2 and 5.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

_TEXT = 0x81  # the last fragment of its message, which is text; no reserved bits
_MASKED = 0x80
_MEDIUM, _LONG = 126, 127
_MASK_BYTES = 4
_SHORTEST_MEDIUM = 4 + _MASK_BYTES

Piece: TypeAlias = tuple[bytes, bool]
"""A text frame's payload and True, or a frame's bytes for the library and False."""


class FrameSplitter:
    """One connection's incoming bytes.

    Args:
        most_bytes: of a frame; a longer one is the library's to refuse.
        unmask: returns data without a mask of four bytes.

    Attributes:
        is_plain: no fragmented message is open; to be kept up to date by the owner.
    """

    def __init__(self, most_bytes: int, unmask: Callable[[bytes, bytes], bytes]) -> None:
        self.is_plain = True
        self._most_bytes = most_bytes
        self._unmask = unmask
        self._rest = b""
        self._is_given_up = False

    def whole(self, data: bytes) -> bytes | None:
        """Return the payload when `data` is one text frame and nothing else, as nearly always.

        None says nothing but that `push` is to look at it.
        """
        size = len(data)
        if size < _SHORTEST_MEDIUM or data[0] != _TEXT or data[1] != _MASKED | _MEDIUM:
            return None
        if self._rest or not self.is_plain or self._is_given_up:
            return None
        length = data[2] << 8 | data[3]
        if size != _SHORTEST_MEDIUM + length or length > self._most_bytes:
            return None
        return self._unmask(data[8:], data[4:8])

    def push(self, data: bytes) -> Iterator[Piece]:
        """Yield what has come whole, in order; the rest is kept until more is there."""
        if self._is_given_up:
            yield data, False
            return
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, size = 0, len(data)
        while size - at >= 2:
            length, head = data[at + 1] & 0x7F, 2
            if length == _MEDIUM:
                head = 4
                if size - at < head:
                    break
                length = data[at + 2] << 8 | data[at + 3]
            elif length == _LONG:
                head = 10
                if size - at < head:
                    break
                length = int.from_bytes(data[at + 2 : at + 10], "big")
            is_masked = data[at + 1] & _MASKED
            begin = at + head + (_MASK_BYTES if is_masked else 0)
            end = begin + length
            if not is_masked or length > self._most_bytes:
                self._is_given_up = True  # the library closes the connection for it
                yield data[at:], False
                return
            if end > size:
                break
            if data[at] == _TEXT and self.is_plain:
                yield self._unmask(data[begin:end], data[begin - _MASK_BYTES : begin]), True
            else:
                yield data[at:end], False
            at = end
        self._rest = data[at:]


def text_frame(payload: bytes) -> bytes:
    """Return a server's text frame: whole and unmasked."""
    size = len(payload)
    if size < _MEDIUM:
        return bytes((_TEXT, size)) + payload
    if size < 1 << 16:
        return bytes((_TEXT, _MEDIUM, size >> 8, size & 0xFF)) + payload
    return bytes((_TEXT, _LONG)) + size.to_bytes(8, "big") + payload
