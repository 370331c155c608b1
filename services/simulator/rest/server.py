"""Serves the REST side so that a connection can be cut in the middle of a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.simulator.rest.state import ApiError
from shared.runtime.http import serve_app

_ABORT = "abort_connection"


class _CuttableProtocol(H11Protocol):
    """Hands each request the means to cut its own connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, _ABORT: transport.abort}


@asynccontextmanager
async def serve_cloud(app: FastAPI, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve the simulated cloud while the context lasts; see `serve_app`."""
    async with serve_app(app, host=host, port=port, http=_CuttableProtocol) as bound:
        yield bound


async def cut(request: Request) -> None:
    """Cut a request's connection; nothing more of an answer reaches the asker.

    Raises:
        ApiError: 500, served by other means than `serve_cloud`.
    """
    abort: Callable[[], None] | None = getattr(request.state, _ABORT, None)
    if abort is None:
        raise ApiError(500, "this server cannot cut connections")
    abort()
    await asyncio.sleep(0)
