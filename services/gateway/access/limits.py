"""Size limits of HTTP requests, before anything of them is read or kept.

A body is refused by its declared length at once, and otherwise as soon as it outgrows the limit.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.metrics.catalogue import GatewayMetrics

_LINGER_BYTES = 8 * 1024 * 1024
_LINGER_S = 2.0


class TooLarge(Exception):
    """A body that outgrew the limit while it was read."""


class RequestLimits:
    """ASGI middleware: 431 for too many header bytes, 413 for too large a body.

    Args:
        app: what it is put before.
        header_max_bytes: of all headers and the path.
        body_max_bytes: of a body.
        own_bounds: paths whose routes bound their body themselves, piece by piece.
        metrics: where refusals are counted.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        header_max_bytes: int,
        body_max_bytes: int,
        own_bounds: re.Pattern[str],
        metrics: GatewayMetrics,
    ) -> None:
        self._app = app
        self._header_max_bytes = header_max_bytes
        self._body_max_bytes = body_max_bytes
        self._own_bounds = own_bounds
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request's sizes, then pass it on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        size_bytes = sum(len(name) + len(value) for name, value in scope["headers"])
        if size_bytes + len(scope.get("raw_path", b"")) > self._header_max_bytes:
            await self._refuse(scope, receive, send, 431, "headers_too_large")
            return
        if scope["type"] == "websocket" or self._own_bounds.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._body_max_bytes:
            await self._refuse(scope, receive, send, 413, "too_large")
            return
        await self._pass_counted(scope, receive, send)

    async def _pass_counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        received_bytes = 0
        has_answered = False

        async def counted() -> Message:
            nonlocal received_bytes
            message = await receive()
            if message["type"] == "http.request":
                received_bytes += len(message.get("body", b""))
                if received_bytes > self._body_max_bytes:
                    raise TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal has_answered
            has_answered = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except TooLarge:
            if has_answered:
                raise
            await self._refuse(scope, receive, send, 413, "too_large")

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, status: int, reason: str
    ) -> None:
        self._metrics.refused_requests.labels(reason=reason).inc()
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        start: dict[str, Any] = {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"connection", b"close"), (b"content-length", b"0")],
        }
        await send(start)
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await _linger(receive)
        await send({"type": "http.response.body", "body": b""})


async def _linger(receive: Receive) -> None:
    """Throw away, within bounds, what the client still sends.

    A connection closed with data unread is reset, and many clients then lose the answer.
    """
    thrown_bytes = 0
    try:
        async with asyncio.timeout(_LINGER_S):
            while thrown_bytes < _LINGER_BYTES:
                message = await receive()
                thrown_bytes += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
