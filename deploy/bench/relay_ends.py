"""The two ends of a relay, as cheap as Python can be: callers on one side, a worker on the other.

Both are in one process, so that one clock measures how long a frame was under way. A frame is made
once; only the time it was sent at is written into it. Nothing is parsed but frame boundaries.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from abc import ABC, abstractmethod
from array import array
from typing import cast
from urllib.parse import urlsplit

from websockets.speedups import apply_mask

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MASK = b"\x37\xfa\x21\x3d"
_STAMP_CHARS = 16
_PAYLOAD_CHARS = 216
_STREAM_ID = "c3f7e2aa-17b9-4c55-8e40-6d2b9f0a7711"
_HEADER_BYTES = 4
_MASKED_HEADER_BYTES = 8


def _template(head: str, tail: str) -> tuple[bytes, int]:
    """A message, and where in it the time stands: the payload's first characters."""
    message = head + "0" * _STAMP_CHARS + "A" * (_PAYLOAD_CHARS - _STAMP_CHARS) + tail
    return message.encode(), len(head)


_MEDIA, MEDIA_STAMP_AT = _template(
    f'{{"sequenceNumber": 4711, "streamId": "{_STREAM_ID}", "event": "media", "media": '
    '{"track": "inbound", "timestamp": "1790921506412", "chunk": 4711, "payload": "',
    '"}, "extra_headers": "{}"}',
)
_PLAY, PLAY_STAMP_AT = _template(
    f'{{"event":"playAudio","streamId":"{_STREAM_ID}","media":'
    '{"contentType":"audio/x-mulaw","sampleRate":8000,"payload":"',
    '"}}',
)
START = (
    f'{{"sequenceNumber":0,"event":"start","start":{{"callId":"c","streamId":"{_STREAM_ID}",'
    '"accountId":"528191","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw",'
    '"sampleRate":8000}},"extra_headers":"{}"}'
).encode()


def _header(opcode: int, length: int, mask: bytes = b"") -> bytes:
    mask_bit = 0x80 if mask else 0
    size = bytes((mask_bit | length,)) if length < 126 else b""
    size = size or bytes((mask_bit | 126,)) + length.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + size + mask


def _stamped(message: bytes, at: int) -> bytes:
    stamp = b"%016d" % time.perf_counter_ns()
    return message[:at] + stamp + message[at + _STAMP_CHARS :]


class _End(asyncio.Protocol, ABC):
    """One socket: a handshake, then frames; `delays_us` takes how long each one was under way."""

    def __init__(self, stamp_at: int, delays_us: array[float]) -> None:
        self._stamp_at = stamp_at
        self._delays_us = delays_us
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.is_upgraded = asyncio.Event()
        self.is_lost = False
        self.frames = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self.is_upgraded.set()

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        now_ns = time.perf_counter_ns()
        data = self._buffer + data if self._buffer else data
        if not self.is_upgraded.is_set():
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            self.on_handshake(head)
        self._buffer = self._take(data, now_ns) if data else b""

    @abstractmethod
    def on_handshake(self, head: bytes) -> None:
        """Answer or check the head of the upgrade."""

    def _take(self, data: bytes, now_ns: int) -> bytes:
        at, size = 0, len(data)
        while size - at >= 2:
            header_bytes = 6 if data[at + 1] & 0x80 else 2
            length = data[at + 1] & 0x7F
            if length == 126:
                if size - at < _HEADER_BYTES:
                    break
                length = int.from_bytes(data[at + 2 : at + 4], "big")
                header_bytes += 2
            if size - at < header_bytes + length:
                break
            body = data[at + header_bytes : at + header_bytes + length]
            if data[at + 1] & 0x80:
                body = apply_mask(body, data[at + header_bytes - 4 : at + header_bytes])
            self.on_frame(data[at] & 0x0F, body, now_ns)
            at += header_bytes + length
        return data[at:]

    def on_frame(self, opcode: int, body: bytes, now_ns: int) -> None:
        if opcode == 9:
            self.write(self.framed(10, body))
        elif opcode == 1 and len(body) > _PAYLOAD_CHARS + self._stamp_at:
            self.frames += 1
            sent_ns = int(body[self._stamp_at : self._stamp_at + _STAMP_CHARS])
            self._delays_us.append((now_ns - sent_ns) / 1000)

    @abstractmethod
    def framed(self, opcode: int, body: bytes) -> bytes:
        """Return a frame as this end has to write it."""


class CallerEnd(_End):
    """The telephony cloud's end of one call."""

    def __init__(self, url: str, delays_us: array[float]) -> None:
        super().__init__(PLAY_STAMP_AT, delays_us)
        self._parts = urlsplit(url)
        self._media_header = _header(1, len(_MEDIA), _MASK)

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect."""
        assert self._parts.hostname is not None
        assert self._parts.port is not None
        return (self._parts.hostname, self._parts.port)

    def ask(self) -> None:
        """Ask for the upgrade."""
        key = base64.b64encode(b"0123456789abcdef").decode()
        self.write(
            f"GET {self._parts.path} HTTP/1.1\r\nHost: {self._parts.netloc}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )

    def on_handshake(self, head: bytes) -> None:
        """Go on once let in."""
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(f"the gateway refused: {head[:60]!r}")
        self.write(self.framed(1, START))
        self.is_upgraded.set()

    def say(self) -> None:
        """Send 20 ms of the caller's audio."""
        self.write(self._media_header + apply_mask(_stamped(_MEDIA, MEDIA_STAMP_AT), _MASK))

    def framed(self, opcode: int, body: bytes) -> bytes:
        """Return a frame as a client sends it."""
        return _header(opcode, len(body), _MASK) + apply_mask(body, _MASK)


class WorkerEnd(_End):
    """The worker's end of one call: no voice, no words, frames on the beat."""

    def __init__(self, delays_us: array[float]) -> None:
        super().__init__(MEDIA_STAMP_AT, delays_us)
        self._play_header = _header(1, len(_PLAY))

    def on_handshake(self, head: bytes) -> None:
        """Let the gateway in."""
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        key = next(value for name, value in lines.items() if name.lower() == b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        self.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.is_upgraded.set()

    def say(self, frames: int = 1) -> None:
        """Send so many frames of 20 ms of the agent's audio, in one write."""
        self.write((self._play_header + _stamped(_PLAY, PLAY_STAMP_AT)) * frames)

    def framed(self, opcode: int, body: bytes) -> bytes:
        """Return a frame as a server sends it."""
        return _header(opcode, len(body)) + body
