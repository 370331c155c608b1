"""uvicorn's WebSocket protocol up to the upgrade; then the socket is the relay's own.

Routing, refusals before the upgrade and the opening handshake stay uvicorn's and ASGI's affair. A
frame that had to pass through ASGI's `receive` and `send` would cost three times what it costs to
relay it: so the application takes the connection over, by an ASGI extension.
"""

from __future__ import annotations

import socket
from asyncio import TimerHandle
from asyncio.transports import BaseTransport
from collections.abc import Callable

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from services.gateway.wire.frame_socket import FrameSocket, SocketLimits

TAKE_EXTENSION = "parley.take"
"""A callable that takes SocketLimits and gives the FrameSocket; after `websocket.accept`."""

Take = Callable[[SocketLimits], FrameSocket]

_MOST_EARLY_BYTES = 65_536
_SERVICE_RESTART = 1012


class MediaProtocol(WebSocketsSansIOProtocol):
    """Offers its connection to the application, and steps aside once it is taken."""

    _frames: FrameSocket | None = None
    _ping: TimerHandle | None = None
    _early = b""

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin; Nagle's algorithm would hold back frames of 20 ms."""
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)

    def handle_connect(self, event: Request) -> None:
        """Start the application with one extension more."""
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][TAKE_EXTENSION] = self.take

    def data_received(self, data: bytes) -> None:
        """Read the request; what comes behind it before it is answered is kept."""
        if not self.handshake_initiated:
            super().data_received(data)
            return
        self._early += data
        if len(self._early) > _MOST_EARLY_BYTES:
            self.transport.abort()

    def take(self, limits: SocketLimits) -> FrameSocket:
        """Give the connection away; what is left here is uvicorn's book-keeping."""
        self.stop_keepalive()
        early, self._early = self._early, b""
        self._frames = FrameSocket(
            self.transport,
            limits,
            is_server=True,
            early=early,
            on_lost=self.connection_lost,
        )
        if self.ping_interval:
            self._ping = self.loop.call_later(self.ping_interval, self._on_ping_due)
        return self._frames

    def _on_ping_due(self) -> None:
        assert self._frames is not None
        assert self.ping_interval is not None
        self._frames.ping()
        self._ping = self.loop.call_later(self.ping_interval, self._on_ping_due)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._ping is not None:
            self._ping.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: the caller may go to another one."""
        if self._frames is not None:
            self._frames.close(_SERVICE_RESTART)
        else:
            super().shutdown()
