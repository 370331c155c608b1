"""An ASGI application served inside a service's own loop, under the service's own signals."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

_START_S = 10.0
_STOP_S = 10.0


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the life cycle owns the signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve_app(app: Any, *, host: str, port: int, **options: Any) -> AsyncIterator[int]:
    """Serve an application while the context lasts.

    Args:
        app: the ASGI application.
        host: address to bind.
        port: port to bind, 0 for a free one.
        options: further settings of `uvicorn.Config`.

    Yields:
        the port bound.

    Raises:
        OSError: the address is taken; nothing was started.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's algorithm off for those alone that name
    # it: with it on, a small piece waits up to 40 ms for the acknowledgement of the one before.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, **options
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(_START_S):
            # uvicorn offers no event for this.
            while not server.started and not serving.done():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await asyncio.wait({serving}, timeout=_STOP_S)
        serving.cancel()
        listener.close()
