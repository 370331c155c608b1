"""A receiver of post-call requests on loopback that behaves as badly as it is told to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_READ_S = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver does with one request.

    `status` 0: the connection is cut instead of an answer. `delay_s` comes before the answer.
    `body_bytes` follow the head; with `is_cut` fewer than the head has promised.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    body_bytes: int = 0
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """A request, header names in lower case."""

    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Takes requests and answers by its script, then with 200."""

    url: str = ""
    script: deque[Answer] = field(default_factory=deque)
    got: list[Received] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_for(self, count: int, *, limit_s: float = 5.0) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(limit_s):
            while len(self.got) < count:
                self.arrived.clear()
                await self.arrived.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_READ_S):
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.got.append(Received(head[0].split(" ")[1], headers, body))
            self.arrived.set()
            answer = self.script.popleft() if self.script else Answer()
            await asyncio.sleep(answer.delay_s)
            if answer.status:
                await self._answer(answer, writer)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        more = 10 if answer.is_cut else 0
        lines = [
            f"HTTP/1.1 {answer.status} As told",
            f"Content-Length: {answer.body_bytes + more}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in answer.headers.items()),
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + b"x" * answer.body_bytes)
        await writer.drain()


@asynccontextmanager
async def running_receiver(*script: Answer) -> AsyncIterator[Receiver]:
    """Serve on a free port of 127.0.0.1 while the context lasts."""
    receiver = Receiver(script=deque(script))
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(receiver.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?key=1"
    try:
        yield receiver
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()
