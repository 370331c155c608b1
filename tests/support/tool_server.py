"""An HTTP service as an agent's tool meets it, on loopback; it can misbehave."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass
class Asked:
    """A request as it came over the wire."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]


def answer(body: bytes = b"{}", *, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer; header names come with _ for -."""
    fields = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


@dataclass
class ToolServer:
    """Answers each request with `answers` in turn, the last one for ever; None: never.

    `tail` is written after an answer for as long as somebody reads it.
    """

    answers: list[bytes | None] = field(default_factory=lambda: [answer()])
    asked: list[Asked] = field(default_factory=list)
    tail: bytes = b""
    connections: int = 0
    host: str = "127.0.0.1"
    port: int = 0

    async def __aenter__(self) -> Self:
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._serve, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self.asked.append(await _read(reader))
                given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if given is not None:
                    writer.write(given)
                    await writer.drain()
                while self.tail:
                    writer.write(self.tail)
                    await writer.drain()
        self._writers.discard(writer)
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *rows = head.strip().split("\r\n")
    headers = {row.partition(": ")[0].lower(): row.partition(": ")[2] for row in rows}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(line, headers, body)
