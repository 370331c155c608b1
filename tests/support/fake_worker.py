"""A worker as the gateway sees it: a real WebSocket server that speaks Vobiz's JSON.

It registers itself in a pool, does what the test tells it and keeps what it was sent.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from shared.bus.base import WorkerRegistry
from shared.bus.messages import WorkerLease
from shared.protocol.call import CallId, WorkerId
from shared.protocol.worker import LinkRefused, LinkRequest

SECRET = "parley-local"


class WorkerCall:
    """One link as the worker sees it."""

    def __init__(self, socket: ServerConnection, request: LinkRequest) -> None:
        self._socket = socket
        self.request = request
        self.frames: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.close_code: int | None = None

    async def next_frame(self, timeout_s: float = 5.0) -> str:
        async with asyncio.timeout(timeout_s):
            frame = await self.frames.get()
        assert isinstance(frame, str)
        return frame

    async def next_event(self, timeout_s: float = 5.0) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(await self.next_frame(timeout_s))
        return body

    async def send(self, text: str) -> None:
        await self._socket.send(text)

    async def close(self, code: int) -> None:
        await self._socket.close(code)

    async def say_back(self) -> None:
        """Send the caller's audio back to it until the link closes."""
        async for message in self._socket:
            if '"start"' not in str(message):
                await self._socket.send(message)

    def vanish(self) -> None:
        """The process is gone: no close frame, the connection just breaks."""
        self._socket.transport.abort()

    def stop_reading(self) -> None:
        self._socket.transport.pause_reading()

    def resume_reading(self) -> None:
        self._socket.transport.resume_reading()

    async def wait_closed(self, timeout_s: float = 5.0) -> int:
        async with asyncio.timeout(timeout_s):
            await self.closed.wait()
        assert self.close_code is not None
        return self.close_code


class FakeWorker:
    """Entered, it listens and is in the pool; left, it is gone.

    `refuse_with` makes it refuse links with that status; `on_call` runs for each link it takes.
    """

    def __init__(
        self,
        registry: WorkerRegistry,
        name: str = "worker-1",
        *,
        capacity: int = 10,
        refuse_with: int | None = None,
        on_call: Callable[[WorkerCall], Awaitable[None]] | None = None,
        secret: str = SECRET,
    ) -> None:
        self._registry = registry
        self._secret = secret
        self._on_call = on_call
        self._capacity = capacity
        self._server: Server | None = None
        self._beat: asyncio.Task[None] | None = None
        self._new = asyncio.Condition()
        self.worker_id = WorkerId(name)
        self.refuse_with = refuse_with
        self.refused = 0
        self.address = ""
        self.calls: list[WorkerCall] = []
        self.sessions: set[CallId] = set()
        """Calls held though their link is closed: those that are away."""

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve, "127.0.0.1", 0, process_request=self._judge, compression=None
        )
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        await self.beat()
        self._beat = asyncio.get_running_loop().create_task(self._keep_beating())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        assert self._beat is not None
        self._beat.cancel()
        await asyncio.wait({self._beat})
        for call in self.calls:
            call._socket.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    async def beat(self) -> None:
        lease = WorkerLease(self.worker_id, self.address, self._capacity)
        linked = {call.request.call_id for call in self.calls if not call.closed.is_set()}
        await self._registry.heartbeat(lease, list(linked | self.sessions))

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self.beat()

    async def _judge(self, socket: ServerConnection, request: Request) -> Response | None:
        if self.refuse_with is not None:
            self.refused += 1
            return socket.respond(HTTPStatus(self.refuse_with), "")
        try:
            headers = {name: request.headers.get(name, "") for name in request.headers}
            LinkRequest.from_headers(request.path, _Loose(headers), self._secret, time.time())
        except LinkRefused:
            return socket.respond(HTTPStatus.UNAUTHORIZED, "")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        request = socket.request
        assert request is not None
        headers = _Loose(dict(request.headers.raw_items()))
        call = WorkerCall(
            socket, LinkRequest.from_headers(request.path, headers, self._secret, time.time())
        )
        async with self._new:
            self.calls.append(call)
            self._new.notify_all()
        try:
            if self._on_call is not None:
                await self._on_call(call)
            async for message in socket:
                call.frames.put_nowait(message)
        except ConnectionClosed:
            pass
        finally:
            call.close_code = socket.close_code or 1006
            call.closed.set()

    async def call(self, call_id: str, *, attach: int = 1, timeout_s: float = 5.0) -> WorkerCall:
        """Wait for the n-th link of a call to this worker."""

        def links() -> list[WorkerCall]:
            return [call for call in self.calls if call.request.call_id == CallId(call_id)]

        async with asyncio.timeout(timeout_s), self._new:
            await self._new.wait_for(lambda: len(links()) >= attach)
            return links()[attach - 1]


class _Loose(dict[str, str]):
    """Headers looked up without regard to case."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in headers.items()})

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)
