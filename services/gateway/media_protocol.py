"""uvicorn's WebSocket protocol, made fit for media: fair when flooded, and able to cut.

A read may bring a quarter of a megabyte; thousands of tiny frames in it would hold the event loop,
and with it every other call, until all are parsed. Here they are parsed a few kilobytes at a time
with the loop in between. A media frame has 350 bytes, so ordinary traffic takes the direct way.
"""

from __future__ import annotations

import socket
from asyncio.transports import BaseTransport
from collections import deque

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

ABORT_EXTENSION = "parley.abort"
_SLICE_BYTES = 2048
_MOST_WAITING_BYTES = 1_048_576
_MOST_WAITING_MESSAGES = 64


class MediaProtocol(WebSocketsSansIOProtocol):
    """Takes what it reads in slices; offers `abort` to the application as an ASGI extension."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin; Nagle's algorithm would hold back frames of 20 ms."""
        self._slices: deque[bytes] = deque()
        self._is_parsing = False
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)

    def handle_connect(self, event: Request) -> None:
        """Start the application with one extension more."""
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][ABORT_EXTENSION] = {"abort": self.transport.abort}

    def data_received(self, data: bytes) -> None:
        """Parse a small read at once, a large one slice by slice."""
        if len(data) <= _SLICE_BYTES and not self._slices:
            super().data_received(data)
            return
        if sum(map(len, self._slices)) > _MOST_WAITING_BYTES:
            self.transport.abort()
            return
        for begin in range(0, len(data), _SLICE_BYTES):
            self._slices.append(data[begin : begin + _SLICE_BYTES])
        # No more is read until these are parsed: that bounds what waits here.
        self.transport.pause_reading()
        self._parse_soon()

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next message; reading goes on when all of the last read is consumed."""
        message = await self.queue.get()
        if self._slices:
            self._parse_soon()
        elif self.read_paused and self.queue.empty():
            self.read_paused = False
            self.transport.resume_reading()
        return message

    def _parse_soon(self) -> None:
        if not self._is_parsing and self.queue.qsize() < _MOST_WAITING_MESSAGES:
            self._is_parsing = True
            self.loop.call_soon(self._parse_slice)

    def _parse_slice(self) -> None:
        self._is_parsing = False
        if self.disconnected or self.transport.is_closing():
            self._slices.clear()
            return
        if self._slices:
            super().data_received(self._slices.popleft())
        if self._slices:
            self._parse_soon()
        elif self.queue.empty() and not self.transport.is_closing():
            # Else the application's next `receive` resumes it.
            self.read_paused = False
            self.transport.resume_reading()
