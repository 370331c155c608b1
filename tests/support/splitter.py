"""A load balancer without stickiness, as a program: `PORT BACKEND_PORT...`.

Each connection goes to the next backend in turn; one that does not take it is passed over. What
breaks on one side breaks on the other. /readyz, as the first request of a connection, is answered
by whatever backend is next.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import uvloop

_HOST = "127.0.0.1"
_CONNECT_S = 1.0
_CHUNK_BYTES = 65_536


class Splitter:
    """Spreads connections over ports."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self._turn = 0

    async def on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Join a client with a backend until either side is done."""
        backend = await self._next_backend()
        if backend is None:
            writer.transport.abort()
            return
        from_backend, to_backend = backend
        await asyncio.gather(_pass_on(reader, to_backend), _pass_on(from_backend, writer))

    async def _next_backend(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self._ports:
            self._turn = (self._turn + 1) % len(self._ports)
            try:
                async with asyncio.timeout(_CONNECT_S):
                    return await asyncio.open_connection(_HOST, self._ports[self._turn])
            except (OSError, TimeoutError):
                continue
        return None


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        writer.close()
    except OSError:
        writer.transport.abort()


async def _main(port: int, backends: Sequence[int]) -> None:
    splitter = Splitter(backends)
    server = await asyncio.start_server(splitter.on_connection, _HOST, port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), [int(text) for text in sys.argv[2:]]))
