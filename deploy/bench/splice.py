"""The least a relay in Python can cost: bytes from one socket to another, no frame looked at.

`python -m deploy.bench.splice PORT WORKER_PORT`. What a gateway costs beyond this is what it
does for its calls: frames, limits, the memory for a resume, counters.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop


class _Side(asyncio.Protocol):
    """Writes what it reads to the other side's transport."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self._early += data
        else:
            self.other.transport.write(data)

    def join(self, other: _Side) -> None:
        """Pass all on to another side from now on."""
        self.other = other
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class _Caller(_Side):
    """A caller's side; it has the worker's connected."""

    def __init__(self, worker_port: int) -> None:
        super().__init__()
        self._worker_port = worker_port
        self._joining: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the worker."""
        super().connection_made(transport)
        self._joining = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        worker = _Side()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: worker, "127.0.0.1", self._worker_port)
        worker.join(self)
        self.join(worker)


async def _serve(port: int, worker_port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Caller(worker_port), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
