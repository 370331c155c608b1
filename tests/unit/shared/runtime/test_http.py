"""Serving inside a service's own loop."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from shared.runtime.http import serve_app


async def _silent(_scope: Any, _receive: Any, _send: Any) -> None:
    await asyncio.sleep(5)


async def test_small_pieces_are_sent_at_once() -> None:
    """Streamed answers came up to 40 ms late: the listener left Nagle's algorithm on."""
    accepted: list[Any] = []

    class Protocol(asyncio.Protocol):
        def __init__(self, **_options: Any) -> None:
            pass

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.append(transport.get_extra_info("socket"))
            transport.close()

    async with serve_app(_silent, host="127.0.0.1", port=0, http=Protocol) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.read()
        has_nodelay = accepted[0].family == socket.AF_INET and accepted[0].proto
        writer.close()
        await writer.wait_closed()
    assert has_nodelay == socket.IPPROTO_TCP  # by which asyncio decides
