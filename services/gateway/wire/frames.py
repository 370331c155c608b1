"""PURE. WebSocket framing for the relay: where frames begin and end, and nothing more.

A relay needs of RFC 6455 the boundaries of messages, the control frames between them, and an
error's close code; it has no extensions and never fragments what it sends. Frames that are whole
in one read take no buffer and no copy but the payload's.

What is accepted and what is refused, with which code, is what the `websockets` package does: a
test feeds both the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

NORMAL, GOING_AWAY, PROTOCOL_ERROR, NO_STATUS, ABNORMAL = 1000, 1001, 1002, 1005, 1006
INVALID_DATA, TOO_BIG, INTERNAL_ERROR = 1007, 1009, 1011

_OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_FINAL_TEXT = 0x80 | TEXT
_CODES_ON_THE_WIRE = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})
_LONGEST_CONTROL_BYTES = 125
_ZERO_MASK = bytes(4)

Unmask = Callable[[bytes, bytes], bytes]
"""Of data and a key of four bytes the XOR, key repeated."""


class FrameError(Exception):
    """What came breaks the protocol or a limit; the connection is to be closed with `code`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class FrameReader:
    """Makes messages of what is read from one connection.

    Args:
        is_masked: whether the other side masks, as clients must; anything else is an error.
        max_bytes: longest message, all fragments together.
        unmask: the C version, where there is one.
    """

    def __init__(self, *, is_masked: bool, max_bytes: int, unmask: Unmask) -> None:
        self._mask_bit = 0x80 if is_masked else 0
        self._key_bytes = 4 if is_masked else 0
        self._max_bytes = max_bytes
        self._unmask = unmask
        self._buffer = bytearray()
        self._wanted_bytes = 2
        self._fragments = bytearray()
        self._fragments_opcode = 0
        self.error: FrameError | None = None

    @property
    def is_midway(self) -> bool:
        """Whether a message has begun and is not whole."""
        return bool(self._buffer) or self._fragments_opcode != 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return what is complete, as opcode and payload, in order.

        Opcodes are TEXT and BINARY for whole messages, fragments joined, and CLOSE, PING, PONG.
        With a fault, what came before it is returned, and `error` is set: nothing more is to be
        fed.
        """
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._wanted_bytes:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        found: list[tuple[int, bytes]] = []
        at, size = 0, len(data)
        try:
            while at < size:
                at = self._next(data, at, size, found)
                if at < 0:
                    break
        except FrameError as exc:
            self.error = exc
        return found

    def _next(self, data: bytes, at: int, size: int, found: list[tuple[int, bytes]]) -> int:
        """Take one frame from `at`; return where the next begins, -1 when this is not whole."""
        if size - at < 2:
            return self._keep(data, at, 2)
        first, second = data[at], data[at + 1]
        if first != _FINAL_TEXT and (first & 0x0F) not in _OPCODES:
            raise FrameError(PROTOCOL_ERROR, "invalid opcode")
        if second & 0x80 != self._mask_bit:
            raise FrameError(PROTOCOL_ERROR, "incorrect masking")
        length = second & 0x7F
        body = at + 2
        if length >= 126:
            body += 2 if length == 126 else 8
            if size < body:
                return self._keep(data, at, body - at)
            length = int.from_bytes(data[at + 2 : body], "big")
        if length > self._max_bytes - len(self._fragments):
            raise FrameError(TOO_BIG, "message too big")
        key_at = body
        body += self._key_bytes
        end = body + length
        if size < end:
            return self._keep(data, at, end - at)
        payload = data[body:end]
        if self._key_bytes:
            payload = self._unmask(payload, data[key_at:body])
        if first == _FINAL_TEXT and not self._fragments_opcode:
            found.append((TEXT, payload))
        else:
            self._on_other(first, payload, found)
        return end

    def _keep(self, data: bytes, at: int, wanted_bytes: int) -> int:
        self._buffer += data[at:]
        self._wanted_bytes = wanted_bytes
        return -1

    def _on_other(self, first: int, payload: bytes, found: list[tuple[int, bytes]]) -> None:
        opcode, is_final = first & 0x0F, bool(first & 0x80)
        if first & 0x70:
            raise FrameError(PROTOCOL_ERROR, "reserved bits must be 0")
        if opcode >= CLOSE:
            if len(payload) > _LONGEST_CONTROL_BYTES:
                raise FrameError(PROTOCOL_ERROR, "control frame too long")
            if not is_final:
                raise FrameError(PROTOCOL_ERROR, "fragmented control frame")
            if opcode == CLOSE:
                read_close(payload)
                if self._fragments_opcode:
                    raise FrameError(PROTOCOL_ERROR, "incomplete fragmented message")
            found.append((opcode, payload))
        elif opcode == CONTINUATION:
            if not self._fragments_opcode:
                raise FrameError(PROTOCOL_ERROR, "unexpected continuation frame")
            self._add_fragment(payload, found, is_final=is_final)
        elif self._fragments_opcode:
            raise FrameError(PROTOCOL_ERROR, "expected a continuation frame")
        elif is_final:
            found.append((opcode, payload))
        else:
            self._fragments_opcode = opcode
            self._add_fragment(payload, found, is_final=False)

    def _add_fragment(
        self, payload: bytes, found: list[tuple[int, bytes]], *, is_final: bool
    ) -> None:
        self._fragments += payload
        if is_final:
            found.append((self._fragments_opcode, bytes(self._fragments)))
            self._fragments.clear()
            self._fragments_opcode = 0


def read_close(payload: bytes) -> int:
    """Return a close frame's code, 1005 when it has none.

    Raises:
        FrameError: a code that must not be on the wire, or a reason that is no UTF-8.
    """
    if not payload:
        return NO_STATUS
    if len(payload) < 2:
        raise FrameError(PROTOCOL_ERROR, "close frame too short")
    code = int.from_bytes(payload[:2], "big")
    try:
        payload[2:].decode()
    except UnicodeDecodeError as exc:
        raise FrameError(INVALID_DATA, exc.reason) from exc
    if code not in _CODES_ON_THE_WIRE:
        raise FrameError(PROTOCOL_ERROR, "invalid status code")
    return code


def close_payload(code: int) -> bytes:
    """Return a close frame's payload; empty for a code that stands for none."""
    return code.to_bytes(2, "big") if code in _CODES_ON_THE_WIRE else b""


@lru_cache(maxsize=1024)
def frame_header(opcode: int, length_bytes: int, *, is_masked: bool) -> bytes:
    """Return what stands before a payload, which follows as it is.

    A client must mask. Its key guards proxies of the open internet against what scripts of a page
    could have them take for a request; a gateway's link is private and carries no scripts' words.
    So the key is zero, by which every payload masks to itself: any server reads it, and nothing
    is computed.
    """
    first = 0x80 | opcode
    mask_bit = 0x80 if is_masked else 0
    if length_bytes < 126:
        header = bytes((first, mask_bit | length_bytes))
    elif length_bytes < 65_536:
        header = bytes((first, mask_bit | 126, length_bytes >> 8, length_bytes & 0xFF))
    else:
        header = bytes((first, mask_bit | 127)) + length_bytes.to_bytes(8, "big")
    return header + _ZERO_MASK if is_masked else header
