"""A small stand-in for Vobiz's REST side that answers as it is told, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.runtime.http import serve_app

ACCEPTED = {"api_id": "a1", "message": "Call fired", "request_uuid": "vobiz-uuid-1"}


@dataclass
class Answer:
    """What the next request gets; `hangs` until the stand-in closes."""

    status: int = 201
    body: bytes = json.dumps(ACCEPTED).encode()
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False

    @classmethod
    def of(cls, status: int, body: Any = None, **headers: str) -> Answer:
        text = b"" if body is None else json.dumps(body).encode()
        return cls(status, text, {name.replace("_", "-"): v for name, v in headers.items()})


@dataclass
class Seen:
    """A request that came, and when (monotonic): its last byte."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at_s: float = field(default_factory=time.monotonic)


class VobizStandIn:
    """Answers in turn what `answers` holds, then accepts everything.

    Requests for the balance count only where `tells_balance`, those for the limits never.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.seen: list[Seen] = []
        self.tells_balance = False
        self.base = ""
        self.arrived = asyncio.Event()
        self._closing = asyncio.Event()

    async def _on_request(self, request: Request) -> Response:
        is_balance = "/balance" in request.url.path and not self.tells_balance
        if is_balance or request.url.path.endswith("/concurrency"):
            # A dialer asks by itself, now and then: no part of what a test is about.
            return Response(status_code=404)
        body = await request.body()
        self.seen.append(
            Seen(
                request.method,
                request.url.path,
                dict(request.headers),
                json.loads(body) if body else None,
            )
        )
        self.arrived.set()
        answer = self.answers.pop(0) if self.answers else Answer()
        if answer.hangs:
            await self._closing.wait()
        return Response(answer.body, answer.status, answer.headers)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[VobizStandIn]:
        """Listen on a free port of 127.0.0.1; `base` is the API's base URL then."""
        route = Route("/{path:path}", self._on_request, methods=["GET", "POST", "DELETE"])
        async with serve_app(Starlette(routes=[route]), host="127.0.0.1", port=0) as port:
            self.base = f"http://127.0.0.1:{port}/api/v1"
            try:
                yield self
            finally:
                self._closing.set()


@asynccontextmanager
async def serve_rudeness(reply: bytes) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Accept a request, send `reply` (perhaps nothing, perhaps nonsense) and cut the connection.

    Yields:
        the API's base URL, and an event set when a request came.
    """
    arrived = asyncio.Event()

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        arrived.set()
        writer.write(reply)
        try:
            await writer.drain()
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/api/v1", arrived
    finally:
        server.close()
        await server.wait_closed()
