"""LiveFeed inside one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.protocol.call import CallId

_QUEUE = 1000


class MemoryLive:
    """A queue for each follower; what finds no place in it is lost to that one."""

    def __init__(self) -> None:
        self._followers: dict[asyncio.Queue[str], CallId] = {}

    async def publish(self, call_id: CallId, text: str) -> None:
        """Hand a text to the call's followers."""
        for queue, followed in self._followers.items():
            if followed == call_id and not queue.full():
                queue.put_nowait(text)

    @asynccontextmanager
    async def follow(self, call_id: CallId) -> AsyncIterator[AsyncIterator[str]]:
        """Follow a call."""
        queue: asyncio.Queue[str] = asyncio.Queue(_QUEUE)
        self._followers[queue] = call_id
        try:
            yield _drain(queue)
        finally:
            del self._followers[queue]


async def _drain(queue: asyncio.Queue[str]) -> AsyncIterator[str]:
    while True:
        yield await queue.get()
